/**
 * Writes pictures where the user wants them.
 * @module
 */
import { accessSync, constants, existsSync, mkdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { basename, dirname, extname, join } from 'node:path';
import { errorCode, messageOf, UserError } from '../lib/user-error.ts';
import { shortTime } from '../lib/words.ts';

/** File of picture `index`: `out` itself for a single one, `name.0.png`, `name.1.png` … for several. */
export const numberedFile = (out: string, index: number, n: number): string =>
	n === 1 ? out : join(dirname(out), `${basename(out, extname(out))}.${index}${extname(out)}`);

const unwritable = (file: string, error: unknown): UserError =>
	new UserError(`${file} cannot be written (${errorCode(error) ?? messageOf(error)}); choose another place or free some disk.`, {
		cause: error,
	});

/** Level by level: where a file system refuses in odd ways (/proc), Node's own recursive mkdir never ends. */
const makeFolders = (folder: string): void => {
	if (existsSync(folder)) return;
	makeFolders(dirname(folder));
	mkdirSync(folder);
};

/**
 * Finds out before the work begins whether a file can be written, and makes the folders above it.
 * @throws {UserError} that says why not
 */
export const checkOutput = (file: string): void => {
	try {
		makeFolders(dirname(file));
		const there = statSync(file, { throwIfNoEntry: false });
		if (there?.isDirectory() === true) throw new UserError(`${file} is a folder; name a file in it with --out.`);
		if (there !== undefined) return accessSync(file, constants.W_OK);
		// Rights alone do not tell: a disk may be full, or mounted for reading only.
		const probe = join(dirname(file), `.limner-${process.pid}.tmp`);
		writeFileSync(probe, 'x');
		rmSync(probe, { force: true });
	} catch (error) {
		throw error instanceof UserError ? error : unwritable(file, error);
	}
};

/** Writes a file and the folders above it. */
export const writeOutput = (file: string, bytes: Uint8Array): void => {
	try {
		makeFolders(dirname(file));
		writeFileSync(file, bytes);
	} catch (error) {
		throw unwritable(file, error);
	}
};

/** Times by name, as one line. */
export const timesLine = (times: Record<string, number>): string =>
	Object.entries(times)
		.map(([name, ms]) => `${name.replace(/Ms$/, '')} ${shortTime(ms)}`)
		.join(', ');
