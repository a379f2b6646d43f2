/**
 * Where things are in a clone of the project.
 * @module
 */
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { UserError } from '../../lib/user-error.ts';

/** Folder with wrangler.toml, found upwards from this file, so that every command works from any folder. */
export const projectRoot = (): string => {
	let folder = dirname(fileURLToPath(import.meta.url));
	while (!existsSync(join(folder, 'wrangler.toml'))) {
		const parent = dirname(folder);
		if (parent === folder)
			throw new UserError(
				'wrangler.toml is missing, so the gateway cannot be started here; run the command inside a full clone of the project.',
			);
		folder = parent;
	}
	return folder;
};

/** Folder that relative paths of the user mean: where npm was called, not where the script lives. */
export const callerFolder = (): string => process.env['INIT_CWD'] ?? process.cwd();
