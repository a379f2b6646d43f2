/**
 * Keeps logs from filling the disk.
 * @module
 */
import { copyFileSync, renameSync, rmSync, statSync, truncateSync } from 'node:fs';

const MAX_LOG_BYTES = 16 * 1024 * 1024;

/**
 * Sets a log that has grown large aside as `<file>.1`, over the one before it.
 * @returns whether it did
 */
export const rotate = (file: string, maxBytes = MAX_LOG_BYTES): boolean => {
	try {
		if ((statSync(file, { throwIfNoEntry: false })?.size ?? 0) < maxBytes) return false;
		renameSync(file, `${file}.1`);
		return true;
	} catch {
		return false;
	}
};

/**
 * The same for a log that another process holds open for appending: copied aside, then emptied. Lines that arrive in
 * between are lost, which beats a full disk.
 * @returns whether it did
 */
export const rotateInPlace = (file: string, maxBytes = MAX_LOG_BYTES): boolean => {
	try {
		if ((statSync(file, { throwIfNoEntry: false })?.size ?? 0) < maxBytes) return false;
		copyAside(file);
		truncateSync(file);
		return true;
	} catch {
		return false;
	}
};

/** Where there is no room for a copy, the log is emptied all the more. */
const copyAside = (file: string): void => {
	try {
		copyFileSync(file, `${file}.1`);
	} catch {
		rmSync(`${file}.1`, { force: true });
	}
};
