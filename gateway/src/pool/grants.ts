/**
 * Grants: booking a slot for a task, losing it, taking it back, failing it.
 * @module
 */
import { POOL_LIMITS, TIMING, transition, type FailureClass, type HistEntry, type TaskState } from '@limner/shared';
import { noteTrial, sourceOf } from './care.ts';
import { touch } from './census.ts';
import { addFree, occupy, removeFree, vacate } from './free.ts';
import { record, moveJob } from './history.ts';
import { endIfDone } from './ending.ts';
import {
	memoryOf,
	slotNamed,
	taskKey,
	typeOf,
	type BatchMate,
	type Ctx,
	type Job,
	type PoolNode,
	type QueueItem,
	type Slot,
	type Task,
	type TaskRun,
} from './model.ts';
import { leaseFor, moreMemoryExists, retryDelayMs } from './placement.ts';
import { chargeGrant, dequeueTask, enqueueTask } from './queue.ts';
import { arm } from './timers.ts';
import { noteAssigned, noteEnd } from './workstats.ts';

/** A slot whose task was cancelled may need the engine to be killed; plus a margin for the way. */
const STOPPING_MS = TIMING.killAfterCancelMs + 1000;
/** An upload repeats for long; past this the task is made again elsewhere. */
const UPLOAD_MIN_MS = 60_000;

export const armTask = (ctx: Ctx, job: Job, task: Task): void => {
	const at = taskDueAt(task);
	if (at !== undefined) arm(ctx.state.timers, `t:${taskKey(job.id, task.index)}`, at);
};

/** How long a phase may stand still. Loading has no steps to count, so it gets more. */
const STANDSTILL_MS = 5 * 60_000;

const standstillMs = (task: Task, run: TaskRun): number => {
	if (run.phase === 'downloading') return TIMING.leaseMaxMs;
	if (run.phase !== 'denoising') return STANDSTILL_MS;
	const expected = task.leaseMs / TIMING.leaseFactor / Math.max(1, run.steps);
	const stepMs = run.itPerS !== undefined && run.itPerS > 0 ? 1000 / run.itPerS : expected;
	return Math.max(TIMING.stepTimeoutMinMs, TIMING.stepTimeoutFactor * stepMs);
};

/** When something must happen to a granted task if no frame comes. */
export const taskDueAt = (task: Task): number | undefined => {
	const { run } = task;
	if (run === null) return undefined;
	if (run.orphanAt !== null) return task.queued ? undefined : run.orphanAt;
	// The lease asks whether the node still speaks of the task, this whether the task gets on.
	const standstill = run.generated ? Number.POSITIVE_INFINITY : run.lastStepAt + standstillMs(task, run);
	return Math.min(run.ackBy ?? Number.POSITIVE_INFINITY, run.leaseUntil, standstill);
};

/** Keeps the set of free slots true after a change of slot, node or connection. */
export const refreshSlot = (ctx: Ctx, slot: Slot): void => {
	const { node } = slot;
	const usable = node.conn !== null && node.mode === 'active' && slotNamed(node, slot.info.id) === slot;
	if (usable && slot.grant === null) {
		if (addFree(ctx.state, slot)) ctx.match = true;
	} else removeFree(ctx.state, slot);
};

export const refreshNode = (ctx: Ctx, node: PoolNode): void => {
	touch(ctx.state, node);
	for (const slot of node.slots.values()) refreshSlot(ctx, slot);
	if (node.service !== null) refreshSlot(ctx, node.service);
};

export const slotOf = (ctx: Ctx, task: Task): Slot | undefined => {
	const node = ctx.state.nodes.get(task.nodeId ?? '');
	return node === undefined || task.slotId === null ? undefined : slotNamed(node, task.slotId);
};

/**
 * Gives the slot back if this task holds it. With `stopping` the slot first has to end what it does: it may be granted
 * at once, since nodes keep the next task until the engine has stopped, but another slot is better.
 */
export const releaseSlot = (ctx: Ctx, job: Job, task: Task, stopping: boolean): void => {
	const slot = slotOf(ctx, task);
	const key = taskKey(job.id, task.index);
	if (slot === undefined || !slot.batch.has(key)) return;
	if (!vacate(ctx.state, slot, key, job.ws)) return;
	slot.stopping = stopping ? { key, epoch: task.epoch, until: ctx.now + STOPPING_MS } : null;
	refreshSlot(ctx, slot);
};

/** Tells the holder to stop, when it can be reached. */
export const tellCancel = (ctx: Ctx, job: Job, task: Task, reason: string): void => {
	const conn = task.nodeId === null ? null : (ctx.state.nodes.get(task.nodeId)?.conn ?? null);
	if (conn === null) return;
	ctx.sends.push({
		kind: 'frame',
		connId: conn.id,
		frame: { t: 'cancel', jobId: job.id, index: task.index, epoch: task.epoch, reason },
	});
};

/** Forgets everything volatile about a grant: it ended, or its holder changes. */
export const dropGrant = (ctx: Ctx, job: Job, task: Task, stopping: boolean): void => {
	dequeueTask(ctx.state, job, task);
	releaseSlot(ctx, job, task, stopping);
	if (task.nodeId !== null) ctx.state.nodes.get(task.nodeId)?.grants.delete(taskKey(job.id, task.index));
	task.run = null;
};

/** Moves a task along an edge of its state machine; a terminal task holds nothing. */
export const endTask = (ctx: Ctx, job: Job, task: Task, to: TaskState, stopping: boolean): void => {
	if (stopping && task.run !== null && !task.run.generated) tellCancel(ctx, job, task, to);
	dropGrant(ctx, job, task, stopping);
	task.state = transition('task', task.state, to);
	ctx.writes.jobs.add(job);
};

const lossEntry = (ctx: Ctx, job: Job, task: Task): void => {
	if (task.run?.lossCounts === true) {
		task.losses++;
		noteEnd(ctx, ctx.state.nodes.get(task.nodeId ?? ''), job, task, 'lost');
	}
	ctx.state.counters.requeued++;
	record(ctx, job, {
		type: 'requeued',
		who: 'pool',
		index: task.index,
		epoch: task.epoch,
		...(task.nodeId === null ? {} : { nodeId: task.nodeId }),
		from: 'leased',
		to: 'leased',
		reason: task.run?.lossCounts === true ? 'the node that had it was lost' : 'the node that had it did not start it',
	});
};

/** Who had it before, for a grant that is not the first. */
const relay = (ctx: Ctx, task: Task, slot: Slot): { handoff?: HistEntry['handoff'] } => {
	if (task.epoch === 0 || task.nodeId === null) return {};
	const notes = task.fails.at(-1)?.message ?? 'the node that had it was lost';
	return { handoff: { from: `node:${task.nodeId}`, to: `node:${slot.node.id}`, artefacts: [], notes, at: ctx.now, ok: true } };
};

/** Books a slot for one task: +1 on the epoch, here and nowhere else. */
const book = (ctx: Ctx, job: Job, task: Task, slot: Slot, count: number): void => {
	const { state, now } = ctx;
	const key = taskKey(job.id, task.index);
	if (task.state === 'leased') lossEntry(ctx, job, task);
	const from = task.state;
	const before = relay(ctx, task, slot);
	noteAssigned(ctx, slot.node, job, Math.max(0, now - task.readyAt));
	// Before its lane is placed anew, so that it is placed once.
	chargeGrant(state, job);
	dropGrant(ctx, job, task, false);
	task.state = transition('task', task.state, 'leased');
	task.epoch++;
	task.nodeId = slot.node.id;
	task.slotId = slot.info.id;
	task.grantedAt = now;
	task.leaseMs = leaseFor(slot, job, count);
	task.run = freshRun(now, task.leaseMs, job.spec.steps);
	occupy(state, slot, key, job.ws);
	slot.node.grants.add(key);
	refreshSlot(ctx, slot);
	state.counters.granted++;
	if (job.state === 'queued') moveJob(ctx, job, 'running');
	job.startedAt ??= now;
	const { epoch, index } = task;
	record(ctx, job, {
		type: 'assigned',
		who: 'pool',
		index,
		epoch,
		nodeId: slot.node.id,
		slotId: slot.info.id,
		from,
		to: 'leased',
		...before,
	});
	armTask(ctx, job, task);
};

/** Grants a task, and with it others that the slot makes in one go. */
export const grant = (ctx: Ctx, job: Job, task: Task, slot: Slot, mates: readonly QueueItem[] = []): void => {
	const { state, now } = ctx;
	const { conn } = slot.node;
	if (conn === null || slot.grant !== null)
		throw new Error(`slot ${slot.node.id}/${slot.info.id} cannot take ${taskKey(job.id, task.index)}`);
	noteTrial(ctx, job, task);
	book(ctx, job, task, slot, mates.length + 1);
	const batch = mates.map((mate): BatchMate => {
		book(ctx, mate.job, mate.task, slot, mates.length + 1);
		return { job: mate.job, index: mate.task.index, epoch: mate.task.epoch, watched: state.watched.has(mate.job.id) };
	});
	const source = typeOf(job) === 'MIGRATION' ? sourceOf(state, job) : undefined;
	const { epoch, leaseMs, index } = task;
	ctx.sends.push({
		kind: 'task',
		connId: conn.id,
		job,
		index,
		epoch,
		slotId: slot.info.id,
		leaseMs,
		watched: state.watched.has(job.id),
		...(source === undefined ? {} : { source }),
		...(batch.length === 0 ? {} : { batch }),
	});
	arm(state.timers, `n:${slot.node.id}`, now + TIMING.suspectMs);
};

export const freshRun = (now: number, leaseMs: number, steps: number): TaskRun => ({
	acked: false,
	ackBy: now + TIMING.ackMs,
	leaseUntil: now + leaseMs,
	lastStepAt: now,
	phase: 'granted',
	step: 0,
	steps,
	generated: false,
	orphanAt: null,
	lossCounts: false,
});

/** The holder is out of reach: from `at` on the task may be granted again; until then its holder may come back. */
export const orphan = (ctx: Ctx, job: Job, task: Task, at: number): void => {
	const { run } = task;
	if (run === null || run.orphanAt !== null) return;
	run.orphanAt = at;
	run.lossCounts = run.acked;
	run.ackBy = null;
	releaseSlot(ctx, job, task, false);
	if (at <= ctx.now) makeRegrantable(ctx, job, task);
	else armTask(ctx, job, task);
};

/** Ends the grace of an orphaned task: it queues again, still under its old epoch until somebody takes it. */
export const makeRegrantable = (ctx: Ctx, job: Job, task: Task): void => {
	const { run } = task;
	if (run === null || task.queued) return;
	if (run.lossCounts && task.losses + 1 >= POOL_LIMITS.maxLosses) {
		task.losses++;
		failForGood(
			ctx,
			job,
			task,
			'poison',
			`${task.losses} nodes in a row were lost while they worked on this picture; it may be the cause.`,
			true,
		);
		return;
	}
	enqueueTask(ctx.state, job, task, ctx.now);
	ctx.match = true;
};

/** Ends a task as failed; its siblings go on. */
export const failForGood = (ctx: Ctx, job: Job, task: Task, cls: FailureClass, message: string, stopping: boolean): void => {
	const nodeId = task.nodeId ?? undefined;
	job.error ??= { class: cls, message, index: task.index, ...(nodeId === undefined ? {} : { nodeId }) };
	endTask(ctx, job, task, 'failed', stopping);
	if (typeOf(job) === 'MIGRATION') dropRest(ctx, job);
	endIfDone(ctx, job);
};

/** A model that did not arrive is not removed where it is. */
const dropRest = (ctx: Ctx, job: Job): void => {
	for (const task of job.tasks) if (task.state === 'queued') endTask(ctx, job, task, 'failed', false);
};

const exhausted = (ctx: Ctx, job: Job, task: Task, cls: FailureClass): boolean => {
	if (cls === 'invalid' || task.fails.length > POOL_LIMITS.maxRetries) return true;
	return cls === 'oom' && !moreMemoryExists(ctx.state, ctx.now, job, task);
};

/** One attempt failed. It is tried again, elsewhere first, unless its class or the number of attempts forbids it. */
export const failAttempt = (ctx: Ctx, job: Job, task: Task, cls: FailureClass, message: string, stopping: boolean): void => {
	const { nodeId } = task;
	const slot = slotOf(ctx, task);
	// An orphaned task may be queued; what failed stands elsewhere in the queue than what did not.
	dequeueTask(ctx.state, job, task);
	if (cls !== 'invalid') noteEnd(ctx, ctx.state.nodes.get(nodeId ?? ''), job, task, 'failed');
	task.fails.push({
		class: cls,
		message,
		...(nodeId === null ? {} : { nodeId }),
		...(cls === 'oom' && slot !== undefined ? { memory: memoryOf(slot) } : {}),
	});
	if (exhausted(ctx, job, task, cls)) {
		const tries = task.fails.length > 1 ? ` (attempt ${task.fails.length})` : '';
		failForGood(ctx, job, task, cls, `${message}${tries}`, stopping);
		return;
	}
	task.retryAt = ctx.now + retryDelayMs(task.fails.length);
	putBack(ctx, job, task, `${cls}: ${message}`, stopping);
};

/** Takes a task from its holder and queues it again. No attempt is counted here. */
export const putBack = (ctx: Ctx, job: Job, task: Task, reason: string, stopping: boolean, by?: string): void => {
	const { nodeId, epoch, index } = task;
	if (stopping) tellCancel(ctx, job, task, reason.slice(0, 200));
	dropGrant(ctx, job, task, stopping);
	task.state = transition('task', task.state, 'queued');
	ctx.state.counters.requeued++;
	const who = by ?? (nodeId === null ? 'pool' : `node:${nodeId}`);
	record(ctx, job, { type: 'requeued', who, index, epoch, ...(nodeId === null ? {} : { nodeId }), from: 'leased', to: 'queued', reason });
	enqueueTask(ctx.state, job, task, ctx.now);
	ctx.match = true;
};

/** The picture exists: the slot is free, the upload has its own, longer lease. */
export const markGenerated = (ctx: Ctx, job: Job, task: Task): void => {
	const { run } = task;
	if (run === null) return;
	releaseSlot(ctx, job, task, false);
	run.generated = true;
	run.phase = 'uploading';
	run.leaseUntil = ctx.now + Math.max(UPLOAD_MIN_MS, task.leaseMs);
	run.ackBy = null;
	armTask(ctx, job, task);
};
