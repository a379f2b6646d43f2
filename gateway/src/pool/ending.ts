/**
 * How jobs end, and the outbox that tells their Workspace.
 * @module
 */
import { TIMING, isTerminal, type JobState } from '@limner/shared';
import type { Settlement } from '../rpc.ts';
import { forgetDependents, settleDependents } from './dependencies.ts';
import { imagesOf, moveJob, record, usageOf } from './history.ts';
import type { Ctx, Job, Outbox, PoolState } from './model.ts';
import { arm, disarm, nextAt, takeDue } from './timers.ts';

/** The alarm is only the safety net of a settle batch; a short timer of the shell usually comes first. */
const SETTLE_ALARM_MS = 2000;
const SETTLE_BACKOFF_MS = 1000;
const SETTLE_BACKOFF_MAX_MS = 60_000;

export const jobIsOver = (job: Job): boolean => isTerminal('job', job.state);

/** Ends the job when its last task has ended. Never `succeeded` with a picture missing. */
export const endIfDone = (ctx: Ctx, job: Job): void => {
	if (jobIsOver(job) || job.tasks.some((task) => !isTerminal('task', task.state))) return;
	if (job.tasks.every((task) => task.state === 'succeeded' && (task.image !== null || task.report !== null)))
		endJob(ctx, job, 'succeeded', 'pool');
	else if (job.tasks.some((task) => task.state === 'failed')) endJob(ctx, job, 'failed', 'pool', job.error?.message);
	else throw new Error(`${job.id} has ended tasks and no reason`);
};

/** Writes the last entry and puts the job into the outbox of its workspace. */
export const endJob = (
	ctx: Ctx,
	job: Job,
	to: JobState & ('succeeded' | 'failed' | 'canceled' | 'expired'),
	who: string,
	reason?: string,
): void => {
	const from = job.state;
	moveJob(ctx, job, to);
	job.finishedAt = ctx.now;
	if (to === 'succeeded') ctx.state.counters.completed++;
	if (to === 'failed') ctx.state.counters.failed++;
	record(ctx, job, { type: to, who, from, to, ...(reason === undefined ? {} : { reason }) });
	disarm(ctx.state.timers, `j:${job.id}`);
	if (ctx.state.watched.delete(job.id)) ctx.sends.push({ kind: 'endWatch', jobId: job.id });
	queueSettlement(ctx.state, job, ctx.now);
	settleDependents(ctx, job);
};

const isFull = ({ tries, ids }: Outbox): boolean => tries === 0 && ids.size >= TIMING.settleBatchJobs;

/** One batch at a time for each workspace; the answer to it arms the next one. */
const armFlush = (state: PoolState, ws: string, outbox: Outbox, now: number): void => {
	if (outbox.inFlight.size === 0) arm(state.flushes, ws, isFull(outbox) ? now : outbox.flushAt);
};

/** Also used when rows are loaded: a `done` row is the outbox. */
export const queueSettlement = (state: PoolState, job: Job, now: number): void => {
	const outbox = state.outbox.get(job.ws) ?? { ids: new Set<string>(), inFlight: new Set<string>(), flushAt: 0, tries: 0 };
	state.outbox.set(job.ws, outbox);
	outbox.ids.add(job.id);
	if (outbox.flushAt === 0) outbox.flushAt = now + TIMING.settleBatchMs;
	armFlush(state, job.ws, outbox, now);
	arm(state.timers, `o:${job.ws}`, Math.max(outbox.flushAt, now + SETTLE_ALARM_MS));
};

const settlementOf = (job: Job): Settlement => ({
	ws: job.ws,
	jobId: job.id,
	state: job.state,
	images: imagesOf(job),
	hist: job.hist,
	usage: usageOf(job),
	warnings: job.warnings,
	finishedAt: job.finishedAt ?? job.createdAt,
	...(job.startedAt === null ? {} : { startedAt: job.startedAt }),
	...(job.error === null ? {} : { error: job.error }),
});

const sendBatch = (ctx: Ctx, ws: string, outbox: Outbox): void => {
	const batch: Settlement[] = [];
	for (const id of outbox.ids) {
		if (outbox.inFlight.has(id)) continue;
		const job = ctx.state.jobs.get(id);
		if (job === undefined) throw new Error(`${id} is in the outbox but not known`);
		batch.push(settlementOf(job));
		if (batch.length === TIMING.settleBatchJobs) break;
	}
	if (batch.length === 0) return;
	for (const { jobId } of batch) outbox.inFlight.add(jobId);
	ctx.sends.push({ kind: 'settle', ws, batch });
};

/** Sends what is due: a full batch at once, else after 100 ms. */
export const flushOutboxes = (ctx: Ctx): void => {
	const { state, now } = ctx;
	for (let ws = takeDue(state.flushes, now); ws !== undefined; ws = takeDue(state.flushes, now)) {
		const outbox = state.outbox.get(ws);
		if (outbox === undefined || outbox.inFlight.size > 0) continue;
		// It stood earlier than it should: a failed call put the batch off.
		if (outbox.flushAt > now && !isFull(outbox)) armFlush(state, ws, outbox, now);
		else sendBatch(ctx, ws, outbox);
	}
};

/** Earliest flush that is not in flight; undefined when there is none. */
export const nextFlushAt = (state: PoolState): number | undefined => nextAt(state.flushes);

/** The Workspace has them: the jobs leave memory, their rows stay for a while so that late calls find an answer. */
export const onSettled = (ctx: Ctx, ws: string, jobIds: string[]): void => {
	const outbox = ctx.state.outbox.get(ws);
	for (const id of jobIds) {
		outbox?.ids.delete(id);
		outbox?.inFlight.delete(id);
		const job = ctx.state.jobs.get(id);
		if (job === undefined) continue;
		ctx.state.jobs.delete(id);
		forgetDependents(ctx.state, job);
		const images = imagesOf(job).map(({ index, key }) => ({ index, key }));
		ctx.state.settled.set(id, { ws, ackedAt: ctx.now, state: job.state, images });
	}
	if (jobIds.length > 0) arm(ctx.state.timers, 'purge', ctx.now + TIMING.doneKeepMs);
	if (outbox === undefined) return;
	outbox.tries = 0;
	if (outbox.ids.size === 0) ctx.state.outbox.delete(ws);
	else rearmOutbox(ctx, ws, outbox, TIMING.settleBatchMs);
};

const rearmOutbox = (ctx: Ctx, ws: string, outbox: Outbox, delayMs: number): void => {
	outbox.flushAt = ctx.now + delayMs;
	armFlush(ctx.state, ws, outbox, ctx.now);
	arm(ctx.state.timers, `o:${ws}`, ctx.now + Math.max(delayMs, SETTLE_ALARM_MS));
};

/** The Workspace could not be reached: the rows stay, the batch comes again after a back-off. */
export const onSettleFailed = (ctx: Ctx, ws: string, jobIds: string[]): void => {
	const outbox = ctx.state.outbox.get(ws);
	if (outbox === undefined) return;
	for (const id of jobIds) outbox.inFlight.delete(id);
	outbox.tries++;
	rearmOutbox(ctx, ws, outbox, Math.min(SETTLE_BACKOFF_MAX_MS, SETTLE_BACKOFF_MS * 2 ** (outbox.tries - 1)));
};

const PURGE_BATCH = 500;
/** Rows that follow soon are deleted in the same turn instead of an alarm of their own. */
const PURGE_SLACK_MS = 15_000;

/** Deletes rows that were acknowledged long enough ago. `settled` is in order of acknowledgement. */
export const purgeSettled = (ctx: Ctx): void => {
	const { settled, timers } = ctx.state;
	for (const [id, { ackedAt }] of settled) {
		const due = ackedAt + TIMING.doneKeepMs;
		if (due > ctx.now || ctx.writes.deleted.length >= PURGE_BATCH) {
			arm(timers, 'purge', Math.max(due, ctx.now) + (due > ctx.now ? PURGE_SLACK_MS : 1000));
			return;
		}
		settled.delete(id);
		ctx.writes.deleted.push(id);
	}
};
