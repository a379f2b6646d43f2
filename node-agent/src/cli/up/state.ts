/**
 * Local state of `limner up`: the first API key and the gateway's secret, made once and kept in the state folder with
 * mode 600. Everything else in the folder (Durable Objects, pictures, the node's identity) is written by its owner.
 * @module
 */
import { createHash, randomBytes } from 'node:crypto';
import { chmodSync, existsSync, mkdirSync, readFileSync, renameSync, statfsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { newApiKey, parseApiKey } from '@limner/shared';
import { UserError } from '../../lib/user-error.ts';

const MIN_FREE_BYTES = 200 * 1024 ** 2;
const SECRET_BYTES = 48;
export const LOCAL_WORKSPACE = 'main';

export interface LocalState {
	dir: string;
	apiKey: string;
	/** SHA-256 (hex) of the key: all that the gateway gets to know of it. */
	apiKeySha256: string;
	secret: string;
	/** Made by this call: the first start. */
	fresh: boolean;
}

const readOrMake = (file: string, make: () => string): string => {
	if (existsSync(file)) return readFileSync(file, 'utf8').trim();
	const value = make();
	// Written aside and renamed, so that a crash never leaves half a key.
	writeFileSync(`${file}.new`, `${value}\n`, { mode: 0o600 });
	chmodSync(`${file}.new`, 0o600);
	renameSync(`${file}.new`, file);
	return value;
};

const explain = (dir: string, error: unknown): UserError => {
	const code = error instanceof Error && 'code' in error ? error.code : undefined;
	if (code === 'ENOSPC') return new UserError(`the disk that holds ${dir} is full; free at least 200 MiB and try again.`);
	if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') {
		return new UserError(`${dir} cannot be written; make it writable or choose another folder with --state-dir.`);
	}
	return new UserError(
		`the state folder ${dir} cannot be used (${error instanceof Error ? error.message : String(error)}); choose another with --state-dir.`,
	);
};

/**
 * Opens the state folder, and makes it and its secrets on the first call.
 * @throws {UserError} when the folder cannot be written, the disk is nearly full or the key file was damaged.
 */
export const openState = (dir: string): LocalState => {
	try {
		mkdirSync(dir, { recursive: true, mode: 0o700 });
		const { bavail, bsize } = statfsSync(dir);
		if (bavail * bsize < MIN_FREE_BYTES) throw Object.assign(new Error('full'), { code: 'ENOSPC' });
		const keyFile = join(dir, 'key');
		const fresh = !existsSync(keyFile);
		const apiKey = readOrMake(keyFile, () => newApiKey(LOCAL_WORKSPACE, randomBytes(37)));
		const secret = readOrMake(join(dir, 'secret'), () => randomBytes(SECRET_BYTES).toString('base64url'));
		if (!parseApiKey(apiKey)) throw new UserError(`${keyFile} does not hold an API key; delete the file and a new key is made.`);
		return { dir, apiKey, apiKeySha256: createHash('sha256').update(apiKey).digest('hex'), secret, fresh };
	} catch (error) {
		throw error instanceof UserError ? error : explain(dir, error);
	}
};
