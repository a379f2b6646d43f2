/**
 * The models that a running node offers. Folders are looked at again from time to time, so that a model which was pulled,
 * imported or removed meanwhile is offered, or no longer, without a restart.
 * @module
 */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { fileHashCache, listModels, type ModelList } from './store.ts';

export interface ShelfOptions {
	/** Folders that are a model or hold some. */
	dirs: readonly string[];
	/** File of remembered hashes. */
	cacheFile: string;
}

/** A model's files lie at most this deep below a folder of models. */
const DEPTH = 3;

const entriesOf = async (dir: string, depth: number): Promise<string[]> => {
	const entries = await readdir(dir, { withFileTypes: true }).catch(() => []);
	const lines = await Promise.all(
		entries.map(async (entry) => {
			const path = join(dir, entry.name);
			// Follows links: the files of a pulled model lie in the hub's cache.
			const info = await stat(path).catch(() => undefined);
			if (info === undefined) return [`${path} gone`];
			if (!info.isDirectory()) return [`${path} ${info.size} ${info.mtimeMs}`];
			return depth > 1 ? entriesOf(path, depth - 1) : [];
		}),
	);
	return lines.flat();
};

/** Changes whenever a file below the folders comes, goes or changes; costs one `stat` a file. */
export const fingerprint = async (dirs: readonly string[]): Promise<string> =>
	(await Promise.all(dirs.map((dir) => entriesOf(dir, DEPTH)))).flat().toSorted().join('\n');

export class ModelShelf {
	readonly #options: ShelfOptions;
	readonly #cache: ReturnType<typeof fileHashCache>;
	/** State of the folders that `list` was read from. */
	#read = '';
	/** State of the folders when they were last looked at. */
	#seen = '';
	list: ModelList = { models: [], broken: [] };

	constructor(options: ShelfOptions) {
		this.#options = options;
		this.#cache = fileHashCache(options.cacheFile);
	}

	/** Reads all folders. */
	async open(): Promise<ModelList> {
		this.#seen = await fingerprint(this.#options.dirs);
		return this.#load();
	}

	/**
	 * Looks again. A change counts when the folders have been still between two looks: half a copy is no model.
	 * @returns the new list, or nothing when it is the old one
	 */
	async look(): Promise<ModelList | undefined> {
		const now = await fingerprint(this.#options.dirs);
		const still = now === this.#seen;
		this.#seen = now;
		if (!still || now === this.#read) return undefined;
		const before = identity(this.list);
		const list = await this.#load();
		return identity(list) === before ? undefined : list;
	}

	/** Reads all folders now, without waiting for them to be still: something was just put there as a whole. */
	async refresh(): Promise<ModelList> {
		return this.open();
	}

	async #load(): Promise<ModelList> {
		this.#read = this.#seen;
		this.list = await listModels(this.#options.dirs, this.#cache);
		await this.#cache.save();
		return this.list;
	}
}

const identity = ({ models, broken }: ModelList): string =>
	JSON.stringify([models.map(({ info, dir }) => [info, dir]), broken.map(({ sentence }) => sentence)]);
