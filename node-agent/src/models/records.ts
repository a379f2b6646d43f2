/**
 * What is known about models that `limner models pull` and `import` brought: where from, and every file's hash. One JSON
 * file a model, in `.limner/` beside the models.
 * @module
 */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { z } from 'zod';
import { realFs, writeAtomic } from '../lib/durable-fs.ts';
import { makeFolder } from './hub-cache.ts';

const RecordFile = z.object({ path: z.string(), bytes: z.number(), oid: z.string(), kind: z.enum(['sha256', 'git-sha1']) });

export const ModelRecord = z.discriminatedUnion('kind', [
	z.object({
		kind: z.literal('pull'),
		/** Name of the link or folder beside this record's folder. */
		entry: z.string(),
		repo: z.string(),
		revision: z.string(),
		commit: z.string(),
		endpoint: z.string(),
		/** Folder of the cache. */
		hub: z.string(),
		files: z.array(RecordFile),
		licence: z.string().optional(),
		/** The node fetched it by itself, and may remove it to make room. */
		auto: z.boolean().optional(),
	}),
	z.object({ kind: z.literal('import'), entry: z.string(), from: z.string(), copied: z.boolean() }),
]);
export type ModelRecord = z.infer<typeof ModelRecord>;
export type PullRecord = Extract<ModelRecord, { kind: 'pull' }>;

const FOLDER = '.limner';

const recordFile = (store: string, entry: string): string => join(store, FOLDER, `${entry}.json`);

export const readRecord = (store: string, entry: string): ModelRecord | undefined => {
	try {
		return ModelRecord.parse(JSON.parse(readFileSync(recordFile(store, entry), 'utf8')));
	} catch {
		// A model without a record is one that the user put there.
		return undefined;
	}
};

export const writeRecord = async (store: string, record: ModelRecord): Promise<void> => {
	await makeFolder(join(store, FOLDER));
	await writeAtomic(realFs, recordFile(store, record.entry), `${JSON.stringify(record, null, '\t')}\n`);
};

export const removeRecord = (store: string, entry: string): Promise<void> => rm(recordFile(store, entry), { force: true });

/** All records of a folder of models. */
export const listRecords = (store: string): ModelRecord[] => {
	const folder = join(store, FOLDER);
	if (!existsSync(folder)) return [];
	return readdirSync(folder)
		.filter((name) => name.endsWith('.json'))
		.map((name) => readRecord(store, name.slice(0, -'.json'.length)))
		.filter((record) => record !== undefined);
};

/** The record of a model that is here, by its name: the name stands in the model itself and need not be its folder's. */
export const findRecordOf = (
	stores: readonly string[],
	name: string,
	models: readonly { name: string; dir: string }[],
): ModelRecord | undefined => {
	const dir = models.find((model) => model.name === name)?.dir;
	const entries = [name, ...(dir === undefined ? [] : [basename(dir)])];
	for (const store of stores) {
		for (const entry of entries) {
			const record = readRecord(store, entry);
			if (record !== undefined) return record;
		}
	}
	return undefined;
};

/** Where a pulled model came from, `owner/name@commit`: other nodes can fetch it there. */
export const pulledFrom = (store: string, entry: string): string | undefined => {
	const record = readRecord(store, entry);
	return record?.kind === 'pull' ? `${record.repo}@${record.commit}` : undefined;
};
