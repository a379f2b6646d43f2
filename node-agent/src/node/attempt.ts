/**
 * A task between its grant and its upload, and what is told of it.
 * @module
 */
import { createHash } from 'node:crypto';
import { isChore, type GrantRef, type NodeFrame, type Task } from '@limner/shared';
import type { Logger } from '../lib/log.ts';
import type { OutboxRecord } from '../outbox/outbox.ts';
import type { ResultMeta } from '../slots/messages.ts';
import type { SlotRun } from '../slots/state.ts';
import type { BenchmarkRun } from './benchmark.ts';
import type { ReportItem } from './reporter.ts';
import { attemptKey, encodeMeta, grantOf } from './requests.ts';

export type FailedFrame = Extract<NodeFrame, { t: 'failed' }>;

export interface Attempt {
	key: string;
	grant: GrantRef;
	slotId: string;
	frame: Task;
	stage: 'fetching' | 'slot' | 'keeping' | 'uploading' | 'failed';
	abort: AbortController;
	log: Logger;
	/** Nobody wants the picture any more. */
	cancelled: boolean;
	/** Handed back: the gateway is told by `bye`, not by `failed`. */
	abandoned: boolean;
	/** When its slot began, on this machine's clock; 0 before. */
	startedMs: number;
	/** Names the tasks that its slot began with it. */
	batch?: string;
	/** Of a task that the node does itself: how far it is, 0..1. */
	fraction?: number;
	/** Runs of a benchmark so far. */
	runs?: BenchmarkRun[];
	/** Could not be told while the link was down. */
	untold?: FailedFrame;
}

/** A grant that was just taken. */
export const newAttempt = (frame: Task, log: Logger): Attempt => {
	const { jobId, index, epoch, traceId } = frame;
	return {
		key: attemptKey(frame),
		grant: grantOf(frame),
		slotId: frame.slotId,
		frame,
		stage: 'fetching',
		startedMs: 0,
		abort: new AbortController(),
		log: log.child({ jobId, index, epoch, traceId }),
		cancelled: false,
		abandoned: false,
	};
};

/** What the outbox keeps of a finished picture. */
export const outboxRecord = ({ grant, frame }: Attempt, png: Uint8Array, meta: ResultMeta): OutboxRecord => ({
	version: 1,
	...grant,
	ticket: frame.ticket,
	contentType: `image/${frame.spec.outputFormat ?? 'png'}`,
	bytes: png.length,
	sha256: createHash('sha256').update(png).digest('hex'),
	meta: encodeMeta(meta),
	createdAt: Date.now(),
	...(frame.upload === undefined ? {} : { upload: frame.upload }),
	...(frame.traceId === undefined ? {} : { traceId: frame.traceId }),
});

/** What the outbox keeps of a report. */
export const reportRecord = ({ grant, frame }: Attempt, bytes: Uint8Array): OutboxRecord => ({
	version: 1,
	...grant,
	ticket: frame.ticket,
	contentType: 'application/json',
	bytes: bytes.length,
	sha256: createHash('sha256').update(bytes).digest('hex'),
	meta: '',
	createdAt: Date.now(),
	...(frame.traceId === undefined ? {} : { traceId: frame.traceId }),
});

/** A task without a slot is told as a download: only then may it go on for long without a step. */
const fetching = ({ frame, fraction }: Attempt): Pick<ReportItem, 'phase' | 'fraction'> => {
	const chore = isChore(frame.spec.taskType ?? 'GENERAL');
	if (!chore && frame.inputs.length === 0) return { phase: 'granted' };
	return { phase: 'downloading', ...(chore && fraction !== undefined ? { fraction } : {}) };
};

/**
 * What `progress` tells of a task.
 * @param run of its slot, once it is there
 */
export const reportItem = (attempt: Attempt, run: SlotRun | undefined, watched: boolean): ReportItem => {
	const { steps } = attempt.frame.spec;
	const base = { ...attempt.grant, key: attempt.key, watched, step: 0, steps };
	if (attempt.stage === 'fetching') return { ...base, ...fetching(attempt) };
	if (attempt.stage !== 'slot' || run === undefined)
		return { ...base, step: attempt.stage === 'slot' ? 0 : steps, phase: attempt.stage === 'slot' ? 'granted' : 'uploading' };
	const { phase, step, fraction, itPerS } = run;
	return {
		...base,
		phase,
		step,
		steps: run.steps,
		...(fraction === undefined ? {} : { fraction: Math.min(1, Math.max(0, fraction)) }),
		...(itPerS === undefined ? {} : { itPerS }),
	};
};
