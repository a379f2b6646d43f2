/**
 * Frames of a node after its hello.
 * @module
 */
import { TIMING, type GrantRef } from '@limner/shared';
import { mayWaitForSource, sourceFailed } from './care.ts';
import { armTask, failAttempt, markGenerated, orphan, putBack } from './grants.ts';
import { blame } from './modes.ts';
import { adopt, heldTask, sendTo, setModels, setSlots } from './nodes.ts';
import { taskKey, type Ctx, type EventMap, type Job, type PoolNode, type Slot, type Task, type WorkFrame } from './model.ts';
import { speedKey } from './placement.ts';
import { blend, markDirty, markWorked, noteSpeed } from './workstats.ts';
import { applyProgress, offerPreview, offerProgress } from './watching.ts';

type FrameOf<T extends WorkFrame['t']> = Extract<WorkFrame, { t: T }>;

const DISPATCH_SAMPLES = 2048;
/** An hour of readings at two a minute. */
const TELEMETRY_SAMPLES = 120;

/** The slot has stopped as soon as the node says anything final about what it did. */
const noteStopped = (node: PoolNode, ref: GrantRef): void => {
	for (const slot of node.slots.values()) if (isStopping(slot, ref)) slot.stopping = null;
};

const isStopping = (slot: Slot, ref: GrantRef): boolean =>
	slot.stopping?.key === taskKey(ref.jobId, ref.index) && slot.stopping.epoch === ref.epoch;

/**
 * The grant that a frame speaks of, taken back first if it was orphaned. What is stale is told so, once for each frame
 * that costs the node work.
 */
const current = (ctx: Ctx, node: PoolNode, ref: GrantRef, slotId?: string): { job: Job; task: Task } | undefined => {
	const held = heldTask(ctx, node.id, ref);
	const ours = held?.task.run?.orphanAt == null || adopt(ctx, held.job, held.task, slotId, held.task.run.generated);
	if (held !== undefined && ours) return held;
	// It was told already and may need a moment.
	const stopping = [...node.slots.values()].some((slot) => isStopping(slot, ref));
	if (!stopping && node.conn !== null)
		sendTo(ctx, node.conn.id, { t: 'cancel', jobId: ref.jobId, index: ref.index, epoch: ref.epoch, reason: 'stale' });
	return undefined;
};

const onAck = (ctx: Ctx, node: PoolNode, frame: FrameOf<'ack'>): void => {
	const held = current(ctx, node, frame, frame.slotId);
	const run = held?.task.run;
	if (held === undefined || !run || run.acked) return;
	run.acked = true;
	run.ackBy = null;
	const samples = ctx.state.dispatchMs;
	samples.push(ctx.now - held.task.grantedAt);
	if (samples.length > DISPATCH_SAMPLES) samples.splice(0, samples.length - DISPATCH_SAMPLES);
	offerProgress(ctx, held.job, held.task);
};

const onProgress = (ctx: Ctx, node: PoolNode, frame: FrameOf<'progress'>): void => {
	for (const item of frame.items) {
		const held = current(ctx, node, item);
		const run = held?.task.run;
		if (held === undefined || !run) continue;
		run.acked = true;
		run.ackBy = null;
		run.leaseUntil = Math.max(run.leaseUntil, ctx.now + held.task.leaseMs);
		if (!applyProgress(held.task, item)) continue;
		run.lastStepAt = ctx.now;
		if (item.phase === 'uploading' && !run.generated) markGenerated(ctx, held.job, held.task);
		armTask(ctx, held.job, held.task);
		offerProgress(ctx, held.job, held.task);
	}
};

const measure = (ctx: Ctx, node: PoolNode, job: Job, frame: FrameOf<'generated'>): void => {
	const { spec } = job;
	const work = spec.steps * ((spec.width * spec.height) / 1_000_000);
	// A download has no steps to be measured by.
	if (work === 0) return;
	const key = speedKey(frame.slotId, spec.model);
	const old = node.speed[key];
	const denoiseMs = frame.denoiseMs ?? Math.max(0, frame.totalMs - (frame.loadMs ?? 0));
	const loadMs = frame.loadMs !== undefined && frame.loadMs > 0 ? blend(old?.loadMs, frame.loadMs) : (old?.loadMs ?? 0);
	const sPerMpStep = denoiseMs / 1000 / work;
	node.speed[key] = { sPerMpStep: blend(old?.sPerMpStep, sPerMpStep), loadMs };
	noteSpeed(node, job, ctx.now, { sPerMpStep, ...(frame.loadMs === undefined ? {} : { loadMs: frame.loadMs }) });
	markWorked(ctx, node);
	const slot = node.slots.get(frame.slotId);
	if (slot !== undefined) slot.info = { ...slot.info, loaded: spec.model };
};

const ISOLATION_RECORDS = 500;

/** For the isolation report; written with the next change of the node that is, at most once a minute. */
const noteIsolation = (ctx: Ctx, node: PoolNode, job: Job, frame: FrameOf<'generated'> | FrameOf<'failed'>): void => {
	const { isolation, jobId, index, epoch, slotId } = frame;
	if (isolation === undefined || slotId === undefined) return;
	const { pid, folder, startedMs, endedMs, leftovers, batch } = isolation;
	const record = {
		nodeId: node.id,
		bootId: node.conn?.bootId ?? '',
		ws: job.ws,
		jobId,
		index,
		epoch,
		slotId,
		folder,
		startedMs,
		endedMs,
		leftovers,
		...(pid === undefined ? {} : { pid }),
		...(batch === undefined ? {} : { batch }),
	};
	node.isolation.push(record);
	if (node.isolation.length > ISOLATION_RECORDS) node.isolation.splice(0, node.isolation.length - ISOLATION_RECORDS);
	markWorked(ctx, node);
};

const onGenerated = (ctx: Ctx, node: PoolNode, frame: FrameOf<'generated'>): void => {
	noteStopped(node, frame);
	const held = current(ctx, node, frame, frame.slotId);
	const run = held?.task.run;
	if (held === undefined || !run || run.generated) return;
	run.acked = true;
	noteIsolation(ctx, node, held.job, frame);
	measure(ctx, node, held.job, frame);
	markGenerated(ctx, held.job, held.task);
	offerProgress(ctx, held.job, held.task);
};

const onFailed = (ctx: Ctx, node: PoolNode, frame: FrameOf<'failed'>): void => {
	noteStopped(node, frame);
	const held = heldTask(ctx, node.id, frame);
	if (held === undefined) return;
	const { job, task } = held;
	noteIsolation(ctx, node, job, frame);
	if (frame.need === 'model-source') {
		sourceFailed(ctx, frame.message);
		if (mayWaitForSource(job, task)) {
			putBack(ctx, job, task, frame.message, false);
			return;
		}
	}
	if (frame.class === 'lost' && task.run !== null) {
		// The engine process died: a loss, not a verdict on the request.
		task.run.acked = true;
		task.run.orphanAt = null;
		orphan(ctx, job, task, ctx.now);
		blame(ctx, node, frame.class, frame.message, job.id, task.slotId);
		return;
	}
	blame(ctx, node, frame.class, frame.message, job.id, task.slotId, frame.fault === 'gateway');
	// The pool alone decides that a task is poison; a node cannot know.
	failAttempt(ctx, job, task, frame.class === 'poison' ? 'engine' : frame.class, frame.message, false);
};

/** Keeps the last readings. They are written with the next change that is, at most once a minute. */
const noteReadings = (ctx: Ctx, node: PoolNode, { rssBytes, cpuUtil, diskFreeBytes, gpus }: FrameOf<'telemetry'>): void => {
	if (rssBytes === undefined && cpuUtil === undefined && gpus === undefined) return;
	const sample = {
		at: ctx.now,
		...(rssBytes === undefined ? {} : { rssBytes }),
		...(cpuUtil === undefined ? {} : { cpuUtil }),
		...(diskFreeBytes === undefined ? {} : { diskFreeBytes }),
		...(gpus === undefined ? {} : { gpus }),
	};
	node.telemetry = [...node.telemetry, sample].slice(-TELEMETRY_SAMPLES);
	markDirty(node);
};

const onTelemetry = (ctx: Ctx, node: PoolNode, frame: FrameOf<'telemetry'>): void => {
	noteReadings(ctx, node, frame);
	if (frame.diskFreeBytes !== undefined) node.diskFreeBytes = frame.diskFreeBytes;
	const slots = frame.slots === undefined ? false : setSlots(ctx, node, frame.slots);
	const models = frame.models === undefined ? false : setModels(ctx, node, frame.models);
	if (slots || models) ctx.writes.nodes.add(node);
};

const onBye = (ctx: Ctx, node: PoolNode, frame: FrameOf<'bye'>): void => {
	for (const ref of frame.abandoned) {
		const held = heldTask(ctx, node.id, ref);
		if (held === undefined || held.task.run === null || held.task.queued) continue;
		held.task.run.orphanAt = null;
		// Handed back on purpose: no loss that could make the task look like poison.
		held.task.run.acked = false;
		orphan(ctx, held.job, held.task, ctx.now);
	}
	// Whatever it is asked next it would not answer.
	node.excludedUntil = ctx.now + TIMING.ackExcludeMs;
};

/** Frames of an older socket of the same node are ignored: that node speaks through its newest one. */
export const onFrame = (ctx: Ctx, { connId, frame }: EventMap['frame']): void => {
	const node = ctx.state.nodes.get(ctx.state.connNode.get(connId) ?? '');
	if (node?.conn?.id !== connId) return;
	node.conn.lastFrameAt = ctx.now;
	switch (frame.t) {
		case 'ack':
			onAck(ctx, node, frame);
			break;
		case 'progress':
			onProgress(ctx, node, frame);
			break;
		case 'generated':
			onGenerated(ctx, node, frame);
			break;
		case 'failed':
			onFailed(ctx, node, frame);
			break;
		case 'telemetry':
			onTelemetry(ctx, node, frame);
			break;
		case 'bye':
			onBye(ctx, node, frame);
			break;
	}
};

/** A preview goes to watchers only, and only from the holder. */
export const onPreview = (ctx: Ctx, { connId, header, base64 }: EventMap['preview']): void => {
	const node = ctx.state.nodes.get(ctx.state.connNode.get(connId) ?? '');
	if (node?.conn?.id !== connId) return;
	node.conn.lastFrameAt = ctx.now;
	const held = heldTask(ctx, node.id, header);
	if (held === undefined) return;
	const { index, step, contentType } = header;
	offerPreview(ctx, held.job, { index, step, contentType, base64 });
};
