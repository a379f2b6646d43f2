/**
 * Takes libraries out of a wheel or a NuGet package; both are zip files.
 * @module
 */
import { createWriteStream } from 'node:fs';
import { basename, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { openPromise, type Entry, type ZipFile } from 'yauzl';
import { messageOf, UserError } from '../lib/user-error.ts';

const extractEntry = async (zip: ZipFile, entry: Entry, to: string): Promise<void> => {
	const from = await zip.openReadStreamPromise(entry);
	await pipeline(from, createWriteStream(to, { mode: 0o755 }));
};

/**
 * Writes the wanted files of an archive into a folder, all beside each other.
 * @param wanted by the name without its folders, which is all that is used of an entry's path
 * @returns the names that were written
 * @throws {UserError} when it is no archive, or damaged
 */
export const extractFiles = async (archive: string, folder: string, wanted: (name: string) => boolean): Promise<string[]> => {
	const written: string[] = [];
	let zip: ZipFile | undefined;
	try {
		zip = await openPromise(archive, { lazyEntries: true, autoClose: false });
		for await (const entry of zip.eachEntry()) {
			const name = basename(entry.fileName);
			if (entry.fileName.endsWith('/') || !wanted(name)) continue;
			await extractEntry(zip, entry, join(folder, name));
			written.push(name);
		}
	} catch (error) {
		throw new UserError(`${archive} cannot be unpacked (${messageOf(error)}); it is no wheel or NuGet package, or damaged: get it again.`, {
			cause: error,
		});
	} finally {
		zip?.close();
	}
	return written;
};
