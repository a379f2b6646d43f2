/**
 * Tasks that look after the pool: who may do them, what they need, and what their results change.
 * @module
 */
import { TASK_LIMITS, isChore, needsModelSource, type ImageRecord } from '@limner/shared';
import { record } from './history.ts';
import { wakeAllSpecial } from './pens.ts';
import { typeOf, type Ctx, type Job, type PoolNode, type PoolState, type Slot, type Task } from './model.ts';
import { applyMode } from './modes.ts';
import type { Refusal } from './placement.ts';
import { arm } from './timers.ts';

/** While one task tries whether the source is back, the others go on waiting. */
const TRIAL_MS = 60_000;

/** The one node that may do a task; undefined = any. The second task of a move is the removal at the old place. */
export const targetOf = (job: Job, task: Task): string | undefined =>
	typeOf(job) === 'MIGRATION' && task.index === 1 ? job.spec.params?.from : job.spec.nodeId;

/** Where a model that moves came from, as the node says that has it. */
export const sourceOf = (state: PoolState, job: Job): string | undefined =>
	state.nodes.get(job.spec.params?.from ?? '')?.models.find((model) => model.name === job.spec.model)?.source;

/** Whether the task asks the model source: the removal of a moved model does not. */
export const asksSource = (job: Job, task: Task): boolean =>
	needsModelSource(typeOf(job)) && job.spec.params?.modelSource !== false && task.index === 0;

const moveRefusal = (state: PoolState, job: Job, task: Task, node: PoolNode): Refusal | null => {
	if (task.index > 0) return null;
	if (node.models.some((model) => model.name === job.spec.model)) return null;
	if (sourceOf(state, job) !== undefined) return null;
	return { reason: `cannot fetch ${job.spec.model}: the node that has it does not say where it came from`, temporary: false };
};

const waitsForSource = (state: PoolState, now: number, job: Job, task: Task): Refusal | null => {
	const { source } = state;
	if (source === null || source.retryAt <= now || !asksSource(job, task)) return null;
	return { reason: `waits for the model source: ${source.reason}`, temporary: true, recheckAt: source.retryAt };
};

/** Why no node does a task for the moment, whichever it is. */
export const careWait = (state: PoolState, now: number, job: Job, task: Task): Refusal | null => {
	const type = typeOf(job);
	if (type === 'GENERAL') return null;
	if (type === 'MIGRATION' && task.index > 0 && job.tasks[0]?.state !== 'succeeded')
		return { reason: 'waits until the model is on the other node', temporary: true };
	return waitsForSource(state, now, job, task);
};

/** Why a node does not do a task of this kind; null also for pictures, about which this file knows nothing. */
export const careRefusal = (state: PoolState, now: number, node: PoolNode, job: Job, task: Task): Refusal | null => {
	const target = targetOf(job, task);
	if (target !== undefined && target !== node.id) return { reason: 'is not the node that was asked for', temporary: false };
	const type = typeOf(job);
	if (type === 'GENERAL') return null;
	if (node.ws !== job.ws) return { reason: 'belongs to another workspace, which alone looks after it', temporary: false };
	if (!node.taskTypes.includes(type)) return { reason: `does not do ${type} tasks`, temporary: false };
	if (type === 'MIGRATION') {
		const refusal = moveRefusal(state, job, task, node);
		if (refusal !== null) return refusal;
	}
	return careWait(state, now, job, task);
};

/** A task is granted while the source is in doubt: it is the trial. */
export const noteTrial = (ctx: Ctx, job: Job, task: Task): void => {
	const { source } = ctx.state;
	if (source === null || !isChore(typeOf(job)) || !asksSource(job, task)) return;
	source.retryAt = ctx.now + TRIAL_MS;
	arm(ctx.state.timers, 'recheck', source.retryAt);
};

/** A node could not reach the model source. */
export const sourceFailed = (ctx: Ctx, reason: string): void => {
	const { state, now } = ctx;
	const tries = (state.source?.tries ?? 0) + 1;
	const pause = Math.min(TASK_LIMITS.sourceRetryCapMs, TASK_LIMITS.sourceRetryFirstMs * 2 ** (tries - 1));
	state.source = { reason, since: state.source?.since ?? now, retryAt: now + pause, tries };
	arm(state.timers, 'recheck', state.source.retryAt);
};

/** A task that needs the source succeeded: it is back. */
export const sourceReached = (ctx: Ctx, job: Job, task: Task): void => {
	if (ctx.state.source === null || (typeOf(job) !== 'INGEST' && !asksSource(job, task))) return;
	ctx.state.source = null;
	wakeAllSpecial(ctx.state);
	ctx.match = true;
};

/** Whether a failure for want of the source keeps the task waiting instead of counting against it. */
export const mayWaitForSource = (job: Job, task: Task): boolean => asksSource(job, task);

const canaryKey = (job: Job, image: ImageRecord, slot: Slot | undefined): string => {
	const sha256 = image.meta?.['modelSha256'];
	return `${job.spec.model}|${typeof sha256 === 'string' ? sha256 : ''}|${slot?.info.device.kind ?? ''}`;
};

/** Compares a canary picture with the earlier one of its node and model. A difference means that something broke. */
export const judgeCanary = (ctx: Ctx, job: Job, task: Task, node: PoolNode | undefined, image: ImageRecord): void => {
	const pixels = image.meta?.['pixelSha256'];
	if (typeOf(job) !== 'HEARTBEAT' || node === undefined || typeof pixels !== 'string') return;
	const key = canaryKey(job, image, node.slots.get(task.slotId ?? ''));
	const previous = node.canaries[key];
	const matches = previous === undefined ? null : previous === pixels;
	const data = { model: job.spec.model, pixelSha256: pixels, matches, ...(previous === undefined ? {} : { previous }) };
	record(ctx, job, { type: 'result', who: `node:${node.id}`, index: task.index, epoch: task.epoch, nodeId: node.id, data });
	node.canaries[key] ??= pixels;
	ctx.writes.nodes.add(node);
	if (matches !== false || node.mode !== 'active') return;
	const why = `its canary picture of ${job.spec.model} is not the one that it made before: its memory, disk or driver may be failing`;
	applyMode(ctx, node, 'draining', why);
};
