/**
 * One job for one waiting caller: submit, follow, answer; and cancel when the caller hangs up. What all dialects share.
 * @module
 */
import { ImageRecord, isTerminal, JobError, LimnerError, TERMINAL_EVENTS, type BridgeFrame, type JobRequest } from '@limner/shared';
import { z } from 'zod';
import { followJob } from '../../lib/bridge.ts';
import type { AppContext } from '../../lib/context.ts';
import { describeError } from '../../lib/log.ts';
import { idempotent, workspaceOf } from '../../lib/stubs.ts';
import { cancel, currentRow, specOf, submit } from '../../routes/jobs/service.ts';
import type { JobRow } from '../../rpc.ts';
import { JobEnded } from './fault.ts';

/** What a terminal event brings with it. */
const Outcome = z.object({
	images: z.array(ImageRecord).default([]),
	warnings: z.array(z.string()).default([]),
	error: JobError.optional(),
});

export interface Done {
	row: JobRow;
	/** By index. */
	images: ImageRecord[];
	warnings: string[];
	/** The job was cancelled by somebody else than the caller; `images` are those made before. */
	canceled: boolean;
}

export interface StartOptions {
	request: JobRequest;
	/** Hashed for the idempotency check; the request when absent. */
	body?: unknown;
	idempotencyKey?: string | undefined;
}

/**
 * Submits.
 * @throws {LimnerError}
 */
export const startJob = async (c: AppContext, { request, body = request, idempotencyKey }: StartOptions): Promise<JobRow> => {
	const nowMs = Date.now();
	const { spec, warnings } = await specOf(c, request, nowMs);
	return (await submit(c, { spec, warnings, body, idempotencyKey }, nowMs)).row;
};

/** Cancels a job that nobody waits for any more. It may have ended in the same moment. */
export const abandon = async (c: AppContext, jobId: string): Promise<void> => {
	try {
		await cancel(c, await currentRow(c, jobId));
	} catch (error) {
		if (error instanceof LimnerError && error.code === 'conflict') return;
		c.get('log').warn('a job whose caller has gone could not be cancelled', { jobId, ...describeError(error) });
	}
};

export interface WaitOptions {
	/** Ends the wait and cancels the job; the request's own signal when absent. */
	signal?: AbortSignal;
	onFrame?: (frame: BridgeFrame) => void;
	/** The pictures of a cancelled job are an answer, not an error. */
	keepCanceled?: boolean;
}

const outcomeOf = (row: JobRow, event: string, data: unknown): Done & { state: string; error?: z.infer<typeof JobError> | undefined } => {
	const { images, warnings, error } = Outcome.parse(data);
	const sorted = images.toSorted((a, b) => a.index - b.index);
	return {
		row,
		images: sorted,
		warnings: [...new Set([...row.warnings, ...warnings])],
		canceled: event === 'canceled',
		state: event,
		error,
	};
};

const follow = async (c: AppContext, row: JobRow, options: WaitOptions, signal: AbortSignal): Promise<Done> => {
	let last: BridgeFrame | undefined;
	const end = await followJob({
		env: c.env,
		ws: row.ws,
		jobId: row.id,
		after: 0,
		signal,
		row: () =>
			idempotent(
				() => workspaceOf(c.env, row.ws),
				(stub) => stub.getJob(row.id),
			),
		onFrame: (frame) => {
			if (TERMINAL_EVENTS.has(frame.event)) last = frame;
			options.onFrame?.(frame);
		},
	});
	if (last === undefined) {
		await abandon(c, row.id);
		if (end === 'aborted') throw new JobEnded(row.id, 'canceled', undefined);
		throw new LimnerError('retry_later', { detail: `the job ${row.id} could not be followed; it was given up` });
	}
	const done = outcomeOf(row, last.event, last.data);
	if (last.event === 'succeeded' || (done.canceled && options.keepCanceled === true)) return done;
	throw new JobEnded(row.id, done.state, done.error);
};

/**
 * Waits for a job's end and answers its pictures. When the caller hangs up before, the job is cancelled.
 * @throws {JobEnded | LimnerError}
 */
export const waitForJob = async (c: AppContext, row: JobRow, options: WaitOptions = {}): Promise<Done> => {
	const ended = follow(c, row, options, options.signal ?? c.req.raw.signal);
	// Without this the runtime may drop the whole request when its caller goes, and with it the cancel.
	c.executionCtx.waitUntil(ended.catch(() => undefined));
	return ended;
};

/** Submits and waits. */
export const runJob = async (c: AppContext, start: StartOptions, wait: WaitOptions = {}): Promise<Done> =>
	waitForJob(c, await startJob(c, start), wait);

/** Whether a row has ended. */
export const hasEnded = (row: JobRow): boolean => isTerminal('job', row.state);
