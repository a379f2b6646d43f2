/**
 * The package as a user's project gets it: packed, unpacked into a folder's node_modules, with what it depends on.
 * @module
 */
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, existsSync, mkdirSync, symlinkSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { projectRoot } from '../../node-agent/src/cli/up/project.ts';
import { packSdk } from '../scripts/pack.ts';

export const SDK = join(dirname(fileURLToPath(import.meta.url)), '..');
const BUN = '1.4.5';

/** Links a package that the SDK's workspace has. */
const link = (modules: string, name: string): void => {
	const entry = createRequire(join(SDK, 'package.json')).resolve(name);
	symlinkSync(entry.slice(0, entry.lastIndexOf(`node_modules/${name}`) + `node_modules/${name}`.length), join(modules, name));
};

/** Packs the SDK and installs it below `folder`; answers the tarball's path. */
export const installPacked = (folder: string, ...also: string[]): string => {
	const tarball = packSdk(folder);
	const modules = join(folder, 'node_modules');
	mkdirSync(join(modules, '@limner'), { recursive: true });
	execFileSync('tar', ['-xzf', tarball, '-C', join(modules, '@limner')]);
	cpSync(join(modules, '@limner/package'), join(modules, '@limner/sdk'), { recursive: true });
	for (const name of ['eventsource-parser', ...also]) link(modules, name);
	return tarball;
};

const works = (command: string): boolean => spawnSync(command, ['--version'], { stdio: 'ignore' }).status === 0;

/**
 * Bun: the one in PATH, or the one of its npm package, installed once below node_modules/.cache.
 * @throws when it is neither here nor can be installed
 */
export const bunCommand = (): string => {
	if (works('bun')) return 'bun';
	const folder = join(projectRoot(), 'node_modules/.cache/limner-bun');
	const bun = join(folder, 'node_modules/.bin/bun');
	if (existsSync(bun) && works(bun)) return bun;
	mkdirSync(folder, { recursive: true });
	spawnSync('npm', ['install', '--no-save', '--no-audit', '--no-fund', '--prefix', folder, `bun@${BUN}`], {
		stdio: ['ignore', 'ignore', 'inherit'],
	});
	if (!works(bun)) throw new Error('Bun is needed for this test and could not be installed from npm');
	return bun;
};
