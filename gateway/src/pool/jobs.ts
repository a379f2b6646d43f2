/**
 * Jobs: hand-over, cancel, deadline, results.
 * @module
 */
import { BODY_LIMITS, refuse, transition, type JobSpec, type QueueView, type Refusal } from '@limner/shared';
import type { PoolJob } from '../rpc.ts';
import { judgeCanary, sourceReached } from './care.ts';
import { beginWaiting, dependenciesOf, subtreeOf, waitingReason } from './dependencies.ts';
import { endIfDone, endJob, jobIsOver } from './ending.ts';
import { queueView } from './explain.ts';
import { dropGrant, endTask, failAttempt } from './grants.ts';
import { record } from './history.ts';
import { blame } from './modes.ts';
import { wakeAllSpecial } from './pens.ts';
import { heldTask } from './nodes.ts';
import { typeOf, type Ctx, type EventMap, type Job, type PoolNode, type Replies, type Task } from './model.ts';
import { enqueueTask } from './queue.ts';
import { arm } from './timers.ts';
import { noteEnd } from './workstats.ts';

/** A spec larger than this is refused: with its history and pictures a row must stay below SQLite's 2 MB. */
const SPEC_MAX_CHARS = 2 * BODY_LIMITS.jsonBytes;
const JOB_WARNINGS_MAX = 32;

/** A job that was cancelled before it came: nothing is known of it but its end. */
const UNKNOWN_SPEC: JobSpec = {
	task: 'txt2img',
	model: '',
	prompt: '',
	negativePrompt: null,
	width: 0,
	height: 0,
	steps: 0,
	guidance: 0,
	scheduler: '',
	seed: 0,
	n: 0,
	pasteBack: false,
	class: 'interactive',
	priority: 0,
	deadlineAt: 0,
};

/** A task that nobody has had yet. */
export const createTask = (index: number): Task => ({
	index,
	state: 'queued',
	epoch: 0,
	nodeId: null,
	slotId: null,
	grantedAt: 0,
	leaseMs: 0,
	losses: 0,
	fails: [],
	image: null,
	report: null,
	run: null,
	queued: false,
	retryAt: 0,
	readyAt: 0,
});

const createJob = (job: PoolJob): Job => ({
	id: job.id,
	ws: job.ws,
	weight: job.weight,
	keyId: job.keyId,
	spec: job.spec,
	createdAt: job.createdAt,
	startedAt: null,
	finishedAt: null,
	state: 'queued',
	rev: 0,
	tasks: Array.from({ length: job.spec.n }, (_, index) => createTask(index)),
	hist: [],
	warnings: [...job.warnings],
	error: null,
	traceId: job.traceId ?? null,
	retryOf: job.retryOf ?? null,
	ftag: 0,
	deps: dependenciesOf(job),
	inputs: {},
});

const overView = (job: Job | undefined): QueueView => ({ feasible: false, reason: `The job is ${job?.state ?? 'over'}.` });

/** Takes a job in, unless it is known. Answers why not. */
const takeIn = (ctx: Ctx, input: PoolJob, notAfter: number): Refusal | undefined => {
	const { state, now } = ctx;
	if (state.jobs.has(input.id) || state.settled.has(input.id)) return undefined;
	if (now > notAfter) return refuse('retry_later', 'The job reached its shard too late; it is handed over again.');
	if (JSON.stringify(input.spec).length > SPEC_MAX_CHARS) return refuse('payload_too_large', 'The job is too large to be kept.');
	const job = createJob(input);
	state.jobs.set(job.id, job);
	const waits = job.deps.length > 0;
	if (waits) job.state = 'waiting';
	const retry = job.retryOf === null ? {} : { retryOf: job.retryOf };
	record(ctx, job, { type: 'queued', who: `key:${job.keyId}`, to: job.state, ...retry });
	arm(state.timers, `j:${job.id}`, job.spec.deadlineAt);
	if (waits) beginWaiting(ctx, job, input.deps);
	else for (const task of job.tasks) enqueueTask(state, job, task, now);
	ctx.match = true;
	return undefined;
};

/** A graph in one commit. Idempotent: what is known already stays as it is. */
export const onEnqueueAll = (ctx: Ctx, { jobs, notAfter }: EventMap['enqueueAll']): Replies['enqueueAll'] => {
	for (const job of jobs) {
		const refusal = takeIn(ctx, job, notAfter);
		if (refusal !== undefined) return refusal;
	}
	return { ok: true };
};

/** Idempotent by job id. The queue view is worked out after matching. */
export const onEnqueue = (ctx: Ctx, { job: input, notAfter }: EventMap['enqueue']): (() => Replies['enqueue']) => {
	const { state, now } = ctx;
	const refusal = takeIn(ctx, input, notAfter);
	if (refusal !== undefined) return () => refusal;
	// Asked after matching, so that a job that started at once is not told that it waits.
	return () => {
		const job = state.jobs.get(input.id);
		if (job === undefined || jobIsOver(job)) return { ok: true, queue: overView(job) };
		if (job.state === 'waiting') return { ok: true, queue: { feasible: true, reason: waitingReason(job) } };
		return { ok: true, queue: queueView(state, now, job) ?? { feasible: true } };
	};
};

const endAll = (ctx: Ctx, job: Job, to: 'canceled' | 'expired'): void => {
	for (const task of job.tasks) if (task.state === 'queued' || task.state === 'leased') endTask(ctx, job, task, to, true);
};

const cancelOne = (ctx: Ctx, job: Job, who: string): void => {
	if (jobIsOver(job)) return;
	endAll(ctx, job, 'canceled');
	endJob(ctx, job, 'canceled', who);
};

/** The first turn wins: a result that came before stays, one that comes after is stale. */
export const onCancel = (ctx: Ctx, { ws, jobId, who, subtree }: EventMap['cancel']): Replies['cancel'] => {
	const { state, now } = ctx;
	const settled = state.settled.get(jobId);
	const job = state.jobs.get(jobId);
	if ((settled ?? job ?? { ws }).ws !== ws) return refuse('not_found', 'There is no such job.');
	// Those furthest down first: the end of a job would start or fail whoever waits for it.
	if (subtree === true) for (const child of subtreeOf(state, jobId).toReversed()) cancelOne(ctx, child, who);
	if (settled !== undefined) return refuse('conflict', 'The job is over.');
	if (job === undefined) {
		// The hand-over of this job may still be on its way: the row makes it a no-op.
		const tombstone = createJob({ id: jobId, ws, weight: 1, spec: UNKNOWN_SPEC, createdAt: now, warnings: [], keyId: '' });
		state.jobs.set(jobId, tombstone);
		endJob(ctx, tombstone, 'canceled', who);
		return { ok: true, state: 'canceled' };
	}
	if (jobIsOver(job)) return { ok: true, state: job.state };
	cancelOne(ctx, job, who);
	return { ok: true, state: 'canceled' };
};

/** The deadline passed: what is not made by now is not made. */
export const expireJob = (ctx: Ctx, job: Job): void => {
	endAll(ctx, job, 'expired');
	endJob(ctx, job, 'expired', 'pool', 'the deadline passed');
};

const noteWarnings = (job: Job, meta: Record<string, unknown> | undefined): void => {
	const warnings = meta?.['warnings'];
	if (!Array.isArray(warnings)) return;
	for (const text of warnings) {
		if (typeof text === 'string' && !job.warnings.includes(text) && job.warnings.length < JOB_WARNINGS_MAX) job.warnings.push(text);
	}
};

/** Whether a stored picture becomes the result. */
export const onComplete = (ctx: Ctx, { input }: EventMap['complete']): Replies['complete'] => {
	const { state } = ctx;
	const job = state.jobs.get(input.jobId);
	if (job === undefined || job.ws !== input.ws) return 'unknown';
	const task = job.tasks[input.index];
	if (task?.state === 'succeeded' && task.image?.key === input.image.key) return 'accepted';
	const held = heldTask(ctx, input.nodeId, { jobId: input.jobId, index: input.index, epoch: input.epoch });
	// A tombstone knows no tasks, so it cannot tell whose the picture was: the Workspace can.
	if (task === undefined && job.tasks.length === 0) return 'unknown';
	if (held === undefined) {
		state.counters.staleResults++;
		return 'stale';
	}
	accept(ctx, job, held.task, input);
	return 'accepted';
};

/** Whether a report becomes the result: as for pictures, but that it is kept in the history instead of the bucket. */
export const onReport = (ctx: Ctx, { input }: EventMap['report']): Replies['report'] => {
	const { state } = ctx;
	const job = state.jobs.get(input.jobId);
	if (job === undefined || job.ws !== input.ws) return 'unknown';
	const task = job.tasks[input.index];
	if (task?.state === 'succeeded' && task.report === input.report.key) return 'accepted';
	if (task === undefined && job.tasks.length === 0) return 'unknown';
	const held = heldTask(ctx, input.nodeId, { jobId: input.jobId, index: input.index, epoch: input.epoch });
	if (held === undefined) {
		state.counters.staleResults++;
		return 'stale';
	}
	const { nodeId, report } = input;
	finishTask(ctx, job, held.task, nodeId);
	held.task.report = report.key;
	const { index, epoch } = held.task;
	record(ctx, job, {
		type: 'result',
		who: `node:${nodeId}`,
		index,
		epoch,
		nodeId,
		from: 'leased',
		to: 'succeeded',
		data: report.data,
		key: report.key,
	});
	sourceReached(ctx, job, held.task);
	// The model is where it was to go: its removal at the old place may follow.
	if (typeOf(job) === 'MIGRATION') wakeAllSpecial(ctx.state);
	ctx.match = true;
	endIfDone(ctx, job);
	return 'accepted';
};

/** A task has its result: its holder is free of it, and is credited with it. */
const finishTask = (ctx: Ctx, job: Job, task: Task, nodeId: string): PoolNode | undefined => {
	const node = ctx.state.nodes.get(nodeId);
	dropGrant(ctx, job, task, false);
	task.state = transition('task', task.state, 'succeeded');
	noteEnd(ctx, node, job, task, 'ok');
	if (node !== undefined) node.completed++;
	return node;
};

const boundedMeta = (image: EventMap['complete']['input']['image']): EventMap['complete']['input']['image'] => {
	if (JSON.stringify(image.meta ?? {}).length <= BODY_LIMITS.resultMetaBytes) return image;
	const { meta: _, ...rest } = image;
	return rest;
};

const accept = (ctx: Ctx, job: Job, task: Task, input: EventMap['complete']['input']): void => {
	const node = finishTask(ctx, job, task, input.nodeId);
	task.image = boundedMeta(input.image);
	noteWarnings(job, input.image.meta);
	const { index, epoch } = task;
	record(ctx, job, { type: 'image', who: `node:${input.nodeId}`, index, epoch, nodeId: input.nodeId, from: 'leased', to: 'succeeded' });
	judgeCanary(ctx, job, task, node, task.image);
	endIfDone(ctx, job);
};

/** The upload of a result was refused for what it held. */
export const onRefused = (ctx: Ctx, event: EventMap['refused']): void => {
	const held = heldTask(ctx, event.nodeId, event);
	if (held === undefined || held.job.ws !== event.ws) return;
	const node = ctx.state.nodes.get(event.nodeId);
	const cls = event.final === true ? 'invalid' : 'engine';
	if (node !== undefined) blame(ctx, node, cls, event.reason, event.jobId);
	failAttempt(ctx, held.job, held.task, cls, event.reason, true);
};
