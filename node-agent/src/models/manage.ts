/**
 * Models that came by `pull` or `import`: take in a folder, check every file, take one away.
 * @module
 */
import { existsSync, lstatSync, realpathSync, statSync } from 'node:fs';
import { cp, rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { UserError } from '../lib/user-error.ts';
import { hashOf } from './download.ts';
import { makeFolder, removeSnapshotFiles, repoCache } from './hub-cache.ts';
import { singleFileSentence } from './layout.ts';
import { entryName, placeModel } from './pull.ts';
import { listRecords, readRecord, removeRecord, writeRecord, type ModelRecord, type PullRecord } from './records.ts';
import { readModel, type StoredModel } from './store.ts';

/**
 * Makes a folder of the user a model of this machine.
 * @param copy copies its files, so that the folder may go
 * @throws {UserError} when it is no model that works here
 */
export const importModel = async (from: string, store: string, options: { name?: string; copy?: boolean }): Promise<StoredModel> => {
	if (!existsSync(from)) throw new UserError(`There is no folder ${from}; check the path.`);
	if (!statSync(from).isDirectory()) throw new UserError(singleFileSentence(from));
	const checked = await readModel(from);
	if (!checked.ok) throw new UserError(checked.broken.sentence);
	const name = options.name ?? basename(realpathSync(from));
	const entry = entryName({ name, store, spec: { repo: name, revision: 'main' } });
	await makeFolder(store);
	const path = join(store, entry);
	if (options.copy === true) await cp(from, path, { recursive: true, dereference: true });
	else await placeModel(from, path, [], false);
	const copied = !(lstatSync(path, { throwIfNoEntry: false })?.isSymbolicLink() ?? false);
	// Where links are not allowed the folder is empty by now.
	if (copied && options.copy !== true) await cp(from, path, { recursive: true, dereference: true });
	await writeRecord(store, { kind: 'import', entry, from, copied });
	const read = await readModel(path);
	if (!read.ok) throw new UserError(read.broken.sentence);
	return read.model;
};

/**
 * Reads every file of a pulled model and compares its hash.
 * @returns one sentence for each file that is not what the hub has
 */
export const damagedFiles = async (store: string, record: PullRecord): Promise<string[]> => {
	const sentences: string[] = [];
	for (const file of record.files) {
		const path = join(store, record.entry, file.path);
		const again = `run: limner models pull ${record.repo}@${record.commit}${record.entry === record.repo.split('/').at(-1) ? '' : ` --name ${record.entry}`}`;
		if (!existsSync(path)) sentences.push(`${path} is missing; ${again}`);
		else if ((await hashOf(path, file.kind)) !== file.oid) sentences.push(`${path} is damaged: its hash is not the hub's; ${again}`);
	}
	return sentences;
};

/** The record of a model in one of the folders, by the name of its folder. */
export const findRecord = (stores: readonly string[], entry: string): { store: string; record: ModelRecord } | undefined => {
	for (const store of stores) {
		const record = readRecord(store, entry);
		if (record !== undefined) return { store, record };
	}
	return undefined;
};

const isShared = (stores: readonly string[], record: PullRecord): boolean =>
	stores
		.flatMap(listRecords)
		.some(
			(other) =>
				other.kind === 'pull' &&
				other.entry !== record.entry &&
				other.hub === record.hub &&
				other.repo === record.repo &&
				other.commit === record.commit,
		);

/**
 * Takes a model away that was pulled or imported. An imported folder itself stays, unless it was copied.
 * @param keepFiles leaves the files in the Hugging Face cache
 * @returns bytes that this freed in the cache
 * @throws {UserError} when the model is none of these
 */
export const removeModel = async (entry: string, stores: readonly string[], keepFiles: boolean): Promise<number> => {
	const found = findRecord(stores, entry);
	if (found === undefined) {
		const folder = stores.map((store) => join(store, entry)).find((path) => existsSync(join(path, 'model_index.json')));
		if (folder === undefined) throw new UserError(`There is no model "${entry}"; \`limner models list\` shows what there is.`);
		throw new UserError(`${folder} came neither by pull nor by import, so it is left alone; delete the folder yourself.`);
	}
	const { store, record } = found;
	await rm(join(store, record.entry), { recursive: true, force: true });
	await removeRecord(store, record.entry);
	if (record.kind !== 'pull' || keepFiles || isShared(stores, record)) return 0;
	return removeSnapshotFiles(repoCache(record.hub, record.repo), record.commit, record.files);
};
