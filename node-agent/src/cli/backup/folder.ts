/**
 * The folder of a backup: files with checksums, and the manifest that names them, which is written last. A folder
 * without a manifest is a backup that broke off.
 * @module
 */
import { createHash } from 'node:crypto';
import { createReadStream, existsSync, mkdirSync, readFileSync, readdirSync, writeFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { BackupManifest } from '@limner/shared';
import { errorCode, messageOf, UserError } from '../../lib/user-error.ts';

export type Files = BackupManifest['files'];
export const MANIFEST = 'manifest.json';

const sha256 = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex');

/** Writes into a new folder, and keeps the books. */
export class BackupWriter {
	readonly #folder: string;
	readonly files: Files = {};

	/** @throws {UserError} when the folder has something in it */
	constructor(folder: string) {
		this.#folder = folder;
		if (existsSync(folder) && readdirSync(folder).length > 0) {
			throw new UserError(`${folder} is not empty; name a folder that does not exist yet with --out.`);
		}
		mkdirSync(folder, { recursive: true, mode: 0o700 });
	}

	write(path: string, bytes: Uint8Array | string): void {
		const file = join(this.#folder, path);
		try {
			mkdirSync(dirname(file), { recursive: true, mode: 0o700 });
			writeFileSync(file, bytes, { mode: 0o600, flag: 'wx' });
		} catch (error) {
			throw new UserError(
				`${file} cannot be written (${errorCode(error) ?? messageOf(error)}); free some disk, or choose another folder.`,
				{
					cause: error,
				},
			);
		}
		this.files[path] = { bytes: Buffer.byteLength(bytes), sha256: sha256(bytes) };
	}

	finish(manifest: Omit<BackupManifest, 'files'>): void {
		writeFileSync(join(this.#folder, MANIFEST), `${JSON.stringify({ ...manifest, files: this.files }, null, '\t')}\n`, {
			mode: 0o600,
			flag: 'wx',
		});
	}
}

/** @throws {UserError} when there is no readable manifest */
export const readManifest = (folder: string): BackupManifest => {
	const file = join(folder, MANIFEST);
	if (!existsSync(file)) throw new UserError(`${folder} has no ${MANIFEST}: it is no backup, or one that broke off.`);
	try {
		return BackupManifest.parse(JSON.parse(readFileSync(file, 'utf8')));
	} catch (error) {
		throw new UserError(`${file} cannot be read (${messageOf(error).slice(0, 200)}); the backup is damaged, or of a newer version.`, {
			cause: error,
		});
	}
};

const hashOf = async (file: string): Promise<{ bytes: number; sha256: string }> => {
	const hash = createHash('sha256');
	let bytes = 0;
	for await (const chunk of createReadStream(file)) {
		hash.update(chunk as Buffer);
		bytes += (chunk as Buffer).length;
	}
	return { bytes, sha256: hash.digest('hex') };
};

/**
 * Compares every file with the manifest.
 * @throws {UserError} for the first one that differs, is missing, or lies outside the folder
 */
export const verifyFiles = async (folder: string, manifest: BackupManifest): Promise<void> => {
	for (const [path, wanted] of Object.entries(manifest.files)) {
		if (normalize(path) !== path || path.startsWith('..') || path.startsWith('/'))
			throw new UserError(`The manifest names ${path}, which no backup has.`);
		const file = join(folder, path);
		if (!existsSync(file)) throw new UserError(`${file} is missing; the backup is not complete.`);
		const found = await hashOf(file);
		if (found.bytes !== wanted.bytes || found.sha256 !== wanted.sha256) {
			throw new UserError(`${file} is not what was backed up (its SHA-256 differs); the backup is damaged.`);
		}
	}
};
