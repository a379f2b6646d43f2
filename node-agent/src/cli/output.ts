/**
 * Writes pictures where the user wants them.
 * @module
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { basename, dirname, extname, join } from 'node:path';
import { errorCode, messageOf, UserError } from '../lib/user-error.ts';

/** File of picture `index`: `out` itself for a single one, `name.0.png`, `name.1.png` … for several. */
export const numberedFile = (out: string, index: number, n: number): string =>
	n === 1 ? out : join(dirname(out), `${basename(out, extname(out))}.${index}${extname(out)}`);

/** Writes a file and the folders above it. */
export const writeOutput = (file: string, bytes: Uint8Array): void => {
	try {
		mkdirSync(dirname(file), { recursive: true });
		writeFileSync(file, bytes);
	} catch (error) {
		throw new UserError(`${file} cannot be written (${errorCode(error) ?? messageOf(error)}); choose another place or free some disk.`, {
			cause: error,
		});
	}
};

/** A time for people. */
export const shortTime = (ms: number): string => (ms < 1000 ? `${Math.round(ms)} ms` : `${(ms / 1000).toFixed(1)} s`);

/** Times by name, as one line. */
export const timesLine = (times: Record<string, number>): string =>
	Object.entries(times)
		.map(([name, ms]) => `${name.replace(/Ms$/, '')} ${shortTime(ms)}`)
		.join(', ');
