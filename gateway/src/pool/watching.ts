/**
 * Watchers of jobs: replay, snapshot, and volatile frames of which only the latest counts.
 * @module
 */
import type { BridgeFrame, ProgressItem } from '@limner/shared';
import { waitingReason } from './dependencies.ts';
import { queueView } from './explain.ts';
import { durableFrame } from './history.ts';
import { jobIsOver } from './ending.ts';
import type { Ctx, Job, PoolState, Send, Task, Watched } from './model.ts';

/** Volatile frames of one job go out at most this often; the latest of each kind wins. */
const VOLATILE_MS = 200;
/** Queue places are worked out anew at most this often for a watched job. */
const QUEUE_VIEW_MS = 500;
const POKE_BATCH = 200;

const progressFrame = (task: Task): BridgeFrame | undefined => {
	const { run, nodeId, index, epoch } = task;
	if (run === null || nodeId === null || run.orphanAt !== null) return undefined;
	if (run.phase === 'downloading' || run.phase === 'loading') {
		const fraction = run.fraction === undefined ? {} : { fraction: run.fraction };
		return { event: 'loading', data: { index, nodeId, phase: run.phase, ...fraction } };
	}
	const rate =
		run.itPerS === undefined || run.itPerS === 0
			? {}
			: { itPerS: run.itPerS, etaMs: Math.round(((run.steps - run.step) / run.itPerS) * 1000) };
	return { event: 'progress', data: { index, epoch, nodeId, phase: run.phase, step: run.step, steps: run.steps, ...rate } };
};

const queueFrame = (state: PoolState, now: number, job: Job): BridgeFrame | undefined => {
	if (job.state === 'waiting') return { event: 'waiting', data: { reason: waitingReason(job) } };
	const view = queueView(state, now, job);
	if (view === undefined) return undefined;
	if (view.feasible) return { event: 'position', data: view };
	const refusals = view.refusals === undefined ? {} : { refusals: view.refusals };
	return { event: 'waiting', data: { reason: view.reason ?? '', ...refusals } };
};

const freshWatched = (): Watched => ({ count: 0, pending: new Map(), sentAt: 0, lastQueue: '', queueAt: 0 });

/** Somebody watches: used for new watchers and for sockets that outlived the pool's memory. */
export const addWatcher = (state: PoolState, jobId: string): boolean => {
	const watched = state.watched.get(jobId) ?? freshWatched();
	state.watched.set(jobId, watched);
	watched.count++;
	return watched.count === 1;
};

/** Tells the holders of a job's tasks whether somebody looks. */
const tellHolders = (ctx: Ctx, job: Job, on: boolean): void => {
	const holders = new Set(job.tasks.filter((task) => task.run !== null && task.run.orphanAt === null).map((task) => task.nodeId ?? ''));
	for (const nodeId of holders) {
		const conn = ctx.state.nodes.get(nodeId)?.conn;
		if (conn) ctx.sends.push({ kind: 'frame', connId: conn.id, frame: { t: 'watch', jobId: job.id, on } });
	}
};

/** History after `after`, and the end: for a job that is over. */
export const replayOnly = (job: Job, after: number, watcher: string): Extract<Send, { kind: 'bridge' | 'endBridge' }>[] => [
	...job.hist.filter((entry) => entry.rev > after).map((entry) => ({ kind: 'bridge' as const, watcher, frame: durableFrame(job, entry) })),
	{ kind: 'endBridge', watcher },
];

/** Replay after `after`, then a snapshot of what is volatile; a job that is over closes the bridge. */
export const replay = (ctx: Ctx, job: Job, after: number, watcher: string): void => {
	const over = replayOnly(job, after, watcher);
	if (jobIsOver(job)) {
		ctx.sends.push(...over);
		return;
	}
	ctx.sends.push(...over.slice(0, -1));
	const queued = queueFrame(ctx.state, ctx.now, job);
	if (queued !== undefined) ctx.sends.push({ kind: 'bridge', watcher, frame: queued });
	for (const task of job.tasks) {
		const frame = progressFrame(task);
		if (frame !== undefined) ctx.sends.push({ kind: 'bridge', watcher, frame });
	}
	if (addWatcher(ctx.state, job.id)) tellHolders(ctx, job, true);
};

export const unwatch = (ctx: Ctx, jobId: string): void => {
	const watched = ctx.state.watched.get(jobId);
	if (watched === undefined) return;
	watched.count--;
	if (watched.count > 0) return;
	ctx.state.watched.delete(jobId);
	const job = ctx.state.jobs.get(jobId);
	if (job !== undefined) tellHolders(ctx, job, false);
};

const offer = (ctx: Ctx, jobId: string, key: string, frame: BridgeFrame): void => {
	const watched = ctx.state.watched.get(jobId);
	if (watched === undefined) return;
	watched.pending.set(key, frame);
	if (watched.sentAt + VOLATILE_MS <= ctx.now) flushOne(ctx, jobId, watched);
	else pokeBy(ctx, watched.sentAt + VOLATILE_MS);
};

const pokeBy = (ctx: Ctx, at: number): void => {
	ctx.state.pokeAt = Math.min(ctx.state.pokeAt, at);
};

const flushOne = (ctx: Ctx, jobId: string, watched: Watched): void => {
	for (const frame of watched.pending.values()) ctx.sends.push({ kind: 'watch', jobId, frame });
	watched.pending.clear();
	watched.sentAt = ctx.now;
};

/** A sign of progress for whoever watches. */
export const offerProgress = (ctx: Ctx, job: Job, task: Task): void => {
	const frame = ctx.state.watched.has(job.id) ? progressFrame(task) : undefined;
	if (frame !== undefined) offer(ctx, job.id, `${frame.event}/${task.index}`, frame);
};

/** A picture of the work in progress, for whoever watches. */
export const offerPreview = (ctx: Ctx, job: Job, preview: { index: number; step: number; contentType: string; base64: string }): void =>
	offer(ctx, job.id, `preview/${preview.index}`, { event: 'preview', data: preview });

/** Sends what waits, and new queue places where they changed. */
export const flushWatched = (ctx: Ctx): void => {
	ctx.state.pokeAt = Number.POSITIVE_INFINITY;
	for (const [jobId, watched] of ctx.state.watched) {
		if (watched.pending.size === 0) continue;
		if (watched.sentAt + VOLATILE_MS <= ctx.now) flushOne(ctx, jobId, watched);
		else pokeBy(ctx, watched.sentAt + VOLATILE_MS);
	}
};

/** After the queue moved: tells watched, queued jobs their new place, at most twice a second each. */
export const refreshQueueViews = (ctx: Ctx): void => {
	let looked = 0;
	for (const [jobId, watched] of ctx.state.watched) {
		const job = ctx.state.jobs.get(jobId);
		if (job === undefined || !job.tasks.some((task) => task.queued)) continue;
		if (watched.queueAt + QUEUE_VIEW_MS > ctx.now || looked >= POKE_BATCH) {
			pokeBy(ctx, Math.max(watched.queueAt + QUEUE_VIEW_MS, ctx.now + 50));
			continue;
		}
		looked++;
		watched.queueAt = ctx.now;
		const frame = queueFrame(ctx.state, ctx.now, job);
		const text = JSON.stringify(frame);
		if (frame === undefined || text === watched.lastQueue) continue;
		watched.lastQueue = text;
		offer(ctx, jobId, 'queue', frame);
	}
};

/** Copies what a node says about a running task; answers whether it got on. */
export const applyProgress = (task: Task, item: ProgressItem): boolean => {
	const { run } = task;
	if (run === null) return false;
	const moved = item.phase !== run.phase || item.step !== run.step || item.fraction !== run.fraction;
	run.phase = item.phase;
	run.step = item.step;
	run.steps = item.steps;
	if (item.fraction === undefined) delete run.fraction;
	else run.fraction = item.fraction;
	if (item.itPerS !== undefined) run.itPerS = item.itPerS;
	return moved;
};
