/**
 * The few file operations that crash-safe storage needs. Callers get them as an argument, so that tests can cut the
 * power between any two of them.
 * @module
 */
import { mkdir, open, readdir, readFile, rename, unlink } from 'node:fs/promises';
import { dirname } from 'node:path';

export interface DurableFs {
	/** Writes the whole file and forces it to disk. */
	write: (path: string, bytes: Uint8Array | string, mode?: number) => Promise<void>;
	/** Atomic replace. */
	rename: (from: string, to: string) => Promise<void>;
	/** Forces the folder's entries to disk, so that a rename survives a power cut. */
	syncFolder: (path: string) => Promise<void>;
	/** Removes a file; a missing one is no error. */
	remove: (path: string) => Promise<void>;
	list: (path: string) => Promise<string[]>;
	read: (path: string) => Promise<Uint8Array>;
	makeFolder: (path: string) => Promise<void>;
}

const DEFAULT_MODE = 0o600;

export const realFs: DurableFs = {
	write: async (path, bytes, mode = DEFAULT_MODE) => {
		const file = await open(path, 'w', mode);
		try {
			await file.writeFile(bytes);
			await file.datasync();
		} finally {
			await file.close();
		}
	},
	rename,
	syncFolder: async (path) => {
		// Windows cannot open folders; its renames are journalled.
		if (process.platform === 'win32') return;
		const folder = await open(path, 'r');
		try {
			await folder.sync();
		} finally {
			await folder.close();
		}
	},
	remove: async (path) => {
		try {
			await unlink(path);
		} catch (error) {
			if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
		}
	},
	list: async (path) => {
		try {
			return await readdir(path);
		} catch (error) {
			if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return [];
			throw error;
		}
	},
	read: async (path) => readFile(path),
	makeFolder: async (path) => {
		await mkdir(path, { recursive: true, mode: 0o700 });
	},
};

let counter = 0;

/** Replaces a file so that a reader, or a crash, sees the old text or the new one and nothing between. */
export const writeAtomic = async (fs: DurableFs, path: string, bytes: Uint8Array | string, mode = DEFAULT_MODE): Promise<void> => {
	const temporary = `${path}.${process.pid}.${++counter}.tmp`;
	try {
		await fs.write(temporary, bytes, mode);
		await fs.rename(temporary, path);
	} catch (error) {
		await fs.remove(temporary).catch(() => undefined);
		throw error;
	}
	await fs.syncFolder(dirname(path));
};
