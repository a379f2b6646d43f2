/**
 * Finished pictures that wait for their upload, on disk, so that neither a crash nor a lost gateway loses one. An entry
 * is two files: the bytes, then the record that names them. The record's rename is the commit: bytes without a record
 * are garbage of a crash, a record without its bytes cannot come about.
 * @module
 */
import { join } from 'node:path';
import { z } from 'zod';
import type { GrantRef } from '@limner/shared';
import { realFs, type DurableFs } from '../lib/durable-fs.ts';
import { errorCode, messageOf, UserError } from '../lib/user-error.ts';

const OutboxRecord = z.object({
	version: z.literal(1),
	jobId: z.string(),
	index: z.int(),
	epoch: z.int(),
	ticket: z.string(),
	contentType: z.string(),
	bytes: z.int(),
	sha256: z.string(),
	/** base64url JSON for the X-Limner-Meta header. */
	meta: z.string(),
	createdAt: z.int(),
	/** The gateway offered to take it straight into its bucket. */
	upload: z.literal('direct').optional(),
	traceId: z.string().optional(),
});
export type OutboxRecord = z.infer<typeof OutboxRecord>;

export interface OutboxLimits {
	maxCount: number;
	maxBytes: number;
}

/** Why a picture could not be kept. The sentence is for the job's owner and for the node's. */
export class OutboxError extends Error {
	override readonly name = 'OutboxError';
	readonly kind: 'full' | 'disk';
	constructor(kind: 'full' | 'disk', sentence: string, cause?: unknown) {
		super(sentence, { cause });
		this.kind = kind;
	}
}

export const DEFAULT_OUTBOX_LIMITS: OutboxLimits = { maxCount: 512, maxBytes: 1024 ** 3 };

export const outboxKey = (ref: GrantRef): string => `${ref.jobId}-${ref.index}-${ref.epoch}`;

export interface Outbox {
	/** Keeps a picture; when this resolves it survives a crash. Throws {@link OutboxError}. */
	put: (record: OutboxRecord, bytes: Uint8Array) => Promise<void>;
	bytesOf: (record: OutboxRecord) => Promise<Uint8Array>;
	remove: (ref: GrantRef) => Promise<void>;
	list: () => OutboxRecord[];
	has: (ref: GrantRef) => boolean;
}

/** Whether one more picture fits. */
export const outboxRoom = (records: readonly OutboxRecord[], incoming: number, limits: OutboxLimits): string | undefined => {
	if (records.length >= limits.maxCount) return `${records.length} finished pictures already wait for their upload`;
	const bytes = records.reduce((sum, record) => sum + record.bytes, 0);
	if (bytes + incoming > limits.maxBytes)
		return `finished pictures waiting for their upload already take ${Math.ceil(bytes / 1024 ** 2)} MiB`;
	return undefined;
};

const DISK_ERRORS = new Set(['ENOSPC', 'EDQUOT', 'EFBIG', 'EROFS']);

const diskError = (folder: string, error: unknown): OutboxError => {
	const code = errorCode(error) ?? messageOf(error);
	const full = DISK_ERRORS.has(code) ? 'The disk of the node is full' : 'The node cannot write to its disk';
	return new OutboxError('disk', `${full} (${code} in ${folder}), so the finished picture could not be kept.`, error);
};

const readRecord = async (fs: DurableFs, path: string): Promise<OutboxRecord | undefined> => {
	try {
		return OutboxRecord.safeParse(JSON.parse(Buffer.from(await fs.read(path)).toString())).data;
	} catch {
		return undefined;
	}
};

/** Reads what is left from before, and removes the garbage of crashes. */
const recover = async (fs: DurableFs, folder: string): Promise<OutboxRecord[]> => {
	const names = await fs.list(folder);
	const present = new Set(names);
	const records: OutboxRecord[] = [];
	for (const name of names.filter((candidate) => candidate.endsWith('.json'))) {
		const record = await readRecord(fs, join(folder, name));
		if (record !== undefined && `${outboxKey(record)}.json` === name && present.has(`${outboxKey(record)}.bin`)) records.push(record);
	}
	const kept = new Set(records.flatMap((record) => [`${outboxKey(record)}.json`, `${outboxKey(record)}.bin`]));
	for (const name of names) if (!kept.has(name)) await fs.remove(join(folder, name)).catch(() => undefined);
	return records.toSorted((a, b) => a.createdAt - b.createdAt);
};

const openFolder = async (fs: DurableFs, folder: string): Promise<OutboxRecord[]> => {
	try {
		await fs.makeFolder(folder);
		return await recover(fs, folder);
	} catch (error) {
		throw new UserError(
			`The folder ${folder} cannot be used (${errorCode(error) ?? messageOf(error)}); mend or remove it, or choose another --state-dir.`,
			{ cause: error },
		);
	}
};

/** Waits for all, even when one fails: nothing may still be written while the remains are removed. */
const allOrFirstError = async (work: readonly Promise<void>[]): Promise<void> => {
	const failed = (await Promise.allSettled(work)).find((result) => result.status === 'rejected');
	if (failed !== undefined) throw failed.reason;
};

/**
 * Opens the outbox of a state folder.
 * @throws {UserError} when the folder cannot be used
 */
export const openOutbox = async (folder: string, options: { fs?: DurableFs; limits?: OutboxLimits } = {}): Promise<Outbox> => {
	const fs = options.fs ?? realFs;
	const limits = options.limits ?? DEFAULT_OUTBOX_LIMITS;
	const left = await openFolder(fs, folder);
	const records = new Map(left.map((record) => [outboxKey(record), record]));
	const file = (key: string, ending: string): string => join(folder, `${key}.${ending}`);
	return {
		put: async (record, bytes) => {
			const room = outboxRoom([...records.values()], bytes.length, limits);
			if (room !== undefined) throw new OutboxError('full', `The node cannot keep more pictures: ${room}.`);
			const key = outboxKey(record);
			try {
				// Both must be on disk before either gets its name; in which order they get there does not matter.
				await allOrFirstError([fs.write(file(key, 'bin.tmp'), bytes), fs.write(file(key, 'json.tmp'), JSON.stringify(record))]);
				await fs.rename(file(key, 'bin.tmp'), file(key, 'bin'));
				await fs.rename(file(key, 'json.tmp'), file(key, 'json'));
				await fs.syncFolder(folder);
			} catch (error) {
				for (const ending of ['json', 'json.tmp', 'bin', 'bin.tmp']) await fs.remove(file(key, ending)).catch(() => undefined);
				throw diskError(folder, error);
			}
			records.set(key, record);
		},
		bytesOf: async (record) => fs.read(file(outboxKey(record), 'bin')),
		remove: async (ref) => {
			const key = outboxKey(ref);
			records.delete(key);
			// The record goes first: bytes alone are garbage, a record alone would be a lie.
			await fs.remove(file(key, 'json'));
			await fs.remove(file(key, 'bin'));
		},
		list: () => [...records.values()],
		has: (ref) => records.has(outboxKey(ref)),
	};
};
