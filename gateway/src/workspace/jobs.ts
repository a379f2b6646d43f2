/**
 * What a Workspace decides about jobs: whether a submit is taken, and whether a settlement applies. Pure.
 * @module
 */
import { canTransition, isTerminal, newJobId, refuse, transition, type HistEntry, type JobState, type Refusal } from '@limner/shared';
import type { JobRow, KnownDependency, PoolJob, Settlement, SubmitInput } from '../rpc.ts';

/** A row and the key that made it. The key is not part of what callers see. */
export interface StoredJob {
	row: JobRow;
	keyId: string;
}

/** What an Idempotency-Key was used for before. */
export interface IdemRow {
	bodyHash: string;
	job: StoredJob;
}

/** A rough hint for a full queue: the queue moves when a job finishes, which takes seconds. */
const QUEUE_FULL_RETRY_S = 5;

export type SubmitDecision =
	| { kind: 'insert'; job: StoredJob }
	| { kind: 'replay'; job: StoredJob }
	| { kind: 'refused'; refusal: Refusal };

export interface SubmitContext {
	ws: string;
	shard: number;
	openJobs: number;
	maxQueueDepth: number;
	/** What the Idempotency-Key stands for, if it is still valid. */
	idem: IdemRow | undefined;
	/** Never earlier than that of the last job, so that ids keep their order when the clock steps back. */
	nowMs: number;
	/** At least 10 bytes. */
	random: Uint8Array;
}

/** Decides a submit. A replay is answered even when the queue is full: it opens nothing. */
export const decideSubmit = (input: SubmitInput, context: SubmitContext): SubmitDecision => {
	const { idem } = context;
	if (idem !== undefined && input.idempotency !== undefined) {
		if (idem.bodyHash === input.idempotency.bodyHash) return { kind: 'replay', job: idem.job };
		const detail = `the Idempotency-Key was used for ${idem.job.row.id} with another body; use a new key for a new request`;
		return { kind: 'refused', refusal: refuse('idempotency_mismatch', detail) };
	}
	if (context.openJobs >= context.maxQueueDepth) {
		const detail = `this workspace has ${context.openJobs} open jobs and may have ${context.maxQueueDepth}; wait until one finishes, or cancel one`;
		return {
			kind: 'refused',
			refusal: refuse('queue_full', detail, {
				retryAfterS: QUEUE_FULL_RETRY_S,
				rateLimit: { limit: context.maxQueueDepth, remaining: 0, resetS: QUEUE_FULL_RETRY_S },
			}),
		};
	}
	const row: JobRow = {
		id: newJobId(context.nowMs, context.random, context.shard),
		ws: context.ws,
		state: input.spec.dependsOn === undefined ? 'queued' : 'waiting',
		spec: input.spec,
		createdAt: context.nowMs,
		images: [],
		hist: [],
		warnings: input.warnings,
		traceId: input.traceId,
		...(input.retryOf === undefined ? {} : { retryOf: input.retryOf }),
	};
	return { kind: 'insert', job: { row, keyId: input.keyId } };
};

/**
 * State after a settlement. A row does not follow a live job: it says `queued` until the job ends, so a job that ran
 * takes both edges here.
 * @throws {TransitionError} when the settlement's state is not one that ends a job
 */
const settledState = (from: JobState, to: JobState): JobState => {
	if (!isTerminal('job', to)) return transition('job', to, to);
	if (canTransition('job', from, to)) return transition('job', from, to);
	const queued = from === 'waiting' ? transition('job', from, 'queued') : from;
	return transition('job', transition('job', queued, 'running'), to);
};

export type SettleDecision = { outcome: 'settled'; row: JobRow } | { outcome: 'already' } | { outcome: 'unknown' };

/** Applies a settlement iff the job is open. Values are absolute: nothing is added to what the row holds. */
export const decideSettle = (row: JobRow | undefined, settlement: Settlement): SettleDecision => {
	if (row === undefined || row.ws !== settlement.ws) return { outcome: 'unknown' };
	if (isTerminal('job', row.state)) return { outcome: 'already' };
	return {
		outcome: 'settled',
		row: {
			...row,
			state: settledState(row.state, settlement.state),
			images: settlement.images,
			hist: settlement.hist,
			warnings: settlement.warnings,
			usage: settlement.usage,
			finishedAt: settlement.finishedAt,
			...(settlement.startedAt === undefined ? {} : { startedAt: settlement.startedAt }),
			...(settlement.error === undefined ? {} : { error: settlement.error }),
		},
	};
};

/**
 * How thoroughly objects of a settled job must be removed later. A task that was granted more than once, or granted and
 * not finished, may have left an object that no row names (the node or the Worker died after the upload), so those jobs
 * need a listing of their prefix.
 */
export const OBJECTS = { none: 0, named: 1, prefix: 2 } as const;
export type ObjectsKind = (typeof OBJECTS)[keyof typeof OBJECTS];

const count = (row: Pick<JobRow, 'hist'>, type: HistEntry['type']): number => row.hist.filter((entry) => entry.type === type).length;

export const objectsOf = (row: Pick<JobRow, 'images' | 'hist'>): ObjectsKind => {
	if (row.images.some(({ direct }) => direct === true)) return OBJECTS.prefix;
	if (row.hist.some((entry) => (entry.epoch ?? 0) > 1) || count(row, 'assigned') > count(row, 'image') + count(row, 'result'))
		return OBJECTS.prefix;
	return row.images.length > 0 ? OBJECTS.named : OBJECTS.none;
};

export type PurgeDecision = { kind: 'purge'; row: JobRow; keys: string[]; indexes: number[] } | { kind: 'refused'; refusal: Refusal };

/** Decides which pictures of a job the owner may delete: all, or one. Deleting what is deleted is no error. */
export const decidePurge = (row: JobRow | undefined, index: number | undefined, nowMs: number): PurgeDecision => {
	if (row === undefined) return { kind: 'refused', refusal: refuse('not_found', 'there is no such job') };
	if (!isTerminal('job', row.state)) {
		return { kind: 'refused', refusal: refuse('conflict', 'the job is still open; cancel it, or wait until it ends') };
	}
	const gone = row.images.filter((image) => index === undefined || image.index === index);
	if (gone.length === 0 && row.purgedAt === undefined && index !== undefined) {
		return { kind: 'refused', refusal: refuse('not_found', `the job has no picture ${index}`) };
	}
	return {
		kind: 'purge',
		row: { ...row, images: row.images.filter((image) => !gone.includes(image)), purgedAt: row.purgedAt ?? nowMs },
		keys: gone.map((image) => image.key),
		indexes: gone.map((image) => image.index),
	};
};

/** A job as its shard must get it again. */
export const toPoolJob = ({ row, keyId }: StoredJob, weight: number, deps: KnownDependency[] = []): PoolJob => ({
	...(deps.length === 0 ? {} : { deps }),
	id: row.id,
	ws: row.ws,
	weight,
	spec: row.spec,
	createdAt: row.createdAt,
	warnings: row.warnings,
	keyId,
	...(row.traceId === undefined ? {} : { traceId: row.traceId }),
	...(row.retryOf === undefined ? {} : { retryOf: row.retryOf }),
});
