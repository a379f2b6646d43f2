/**
 * What nodes and slots have done so far. It feeds the choice of a slot, and tells owners which machine is slow or fails.
 * Kept in the node's row, which is written at most once a minute for it.
 * @module
 */
import type { ModelHistory, SlotHistory, WorkHistory } from '../rpc.ts';
import { typeOf, type Ctx, type Job, type PoolNode, type PoolState, type SlotStat, type Task, type WorkStat } from './model.ts';
import { worksFor } from './placement.ts';
import { arm, takeDue } from './timers.ts';

/** Between two writes of a row for what a node has done. */
const NODE_SAVE_MS = 60_000;
/** What belongs together comes within so short a time: the end of the work, its speed, its result. */
const NODE_QUIET_MS = 2000;
/** Weight of a new measurement. */
const EWMA = 0.3;
/** Kinds of work that a node remembers; the longest unseen is forgotten. */
const KINDS_MAX = 128;
const LAST_ERRORS = 10;

export const blend = (old: number | undefined, value: number): number => (old === undefined ? value : old + EWMA * (value - old));

export const workKey = (taskType: string, model: string): string => `${taskType}|${model}`;

const workOf = (node: PoolNode, job: Job, now: number): WorkStat => {
	const key = workKey(typeOf(job), job.spec.model);
	const known = node.work[key];
	if (known !== undefined) {
		known.at = now;
		return known;
	}
	const keys = Object.keys(node.work);
	if (keys.length >= KINDS_MAX) {
		const oldest = keys.reduce((a, b) => ((node.work[a]?.at ?? 0) <= (node.work[b]?.at ?? 0) ? a : b));
		delete node.work[oldest];
	}
	const fresh: WorkStat = { ok: 0, failed: 0, lost: 0, at: now };
	node.work[key] = fresh;
	return fresh;
};

const slotStatOf = (node: PoolNode, slotId: string): SlotStat => (node.slotStats[slotId] ??= { ok: 0, failed: 0, lost: 0 });

/** Something is known of a node that is not worth a write of its own: it is written together with the next thing. */
export const markDirty = (node: PoolNode): void => {
	node.dirty = true;
};

/**
 * A node has done something. Its row is written soon, and a minute after the last time at the earliest. Until then a short
 * timer of the shell keeps the object in memory, so that hibernation forgets nothing.
 */
export const markWorked = ({ state, now }: Pick<Ctx, 'state' | 'now'>, node: PoolNode): void => {
	node.dirty = true;
	const at = Math.max(now + NODE_QUIET_MS, node.historyAt + NODE_SAVE_MS);
	// On the whole second, so that one turn writes the rows of many nodes.
	arm(state.saves, node.id, Math.ceil(at / 1000) * 1000);
};

/** Writes the nodes whose time has come. */
export const saveDirty = ({ state, now, writes }: Ctx): void => {
	for (let id = takeDue(state.saves, now); id !== undefined; id = takeDue(state.saves, now)) {
		const node = state.nodes.get(id);
		if (node === undefined || !node.dirty) continue;
		node.historyAt = now;
		writes.nodes.add(node);
	}
};

/** One attempt on a node has ended. */
export const noteEnd = (ctx: Ctx, node: PoolNode | undefined, job: Job, task: Task, how: 'ok' | 'failed' | 'lost'): void => {
	if (node === undefined) return;
	workOf(node, job, ctx.now)[how]++;
	if (task.slotId !== null) slotStatOf(node, task.slotId)[how]++;
	markWorked(ctx, node);
};

export const noteSlotError = (node: PoolNode, slotId: string | null, error: SlotStat['error']): void => {
	if (slotId !== null && error !== undefined) slotStatOf(node, slotId).error = error;
};

export const noteAssigned = (ctx: Ctx, node: PoolNode, job: Job, waitedMs: number): void => {
	const work = workOf(node, job, ctx.now);
	work.assignMs = blend(work.assignMs, waitedMs);
	markDirty(node);
};

/** Speed of one finished piece of work. */
export const noteSpeed = (node: PoolNode, job: Job, now: number, seen: { sPerMpStep: number; loadMs?: number }): void => {
	const work = workOf(node, job, now);
	const { width, height } = job.spec;
	work.sPerMpStep = blend(work.sPerMpStep, seen.sPerMpStep);
	work.sPerStep = blend(work.sPerStep, (seen.sPerMpStep * width * height) / 1_000_000);
	if (seen.loadMs !== undefined && seen.loadMs > 0) work.loadMs = blend(work.loadMs, seen.loadMs);
};

/**
 * How likely work succeeds here, between 0 and 1: as it went before, and one half of a doubt at first (Laplace's rule).
 * @param key the kind of work, as `workKey` names it
 */
export const chanceOf = (node: PoolNode, key: string): number => {
	const work = node.work[key];
	return work === undefined ? 1 : (work.ok + 2) / (work.ok + work.failed + work.lost + 2);
};

const split = (key: string): { taskType: WorkHistory['taskType']; model: string } => {
	const bar = key.indexOf('|');
	return { taskType: key.slice(0, bar) as WorkHistory['taskType'], model: key.slice(bar + 1) };
};

const historyOf = (key: string, work: WorkStat): WorkHistory => {
	const all = work.ok + work.failed + work.lost;
	return {
		...split(key),
		succeeded: work.ok,
		failed: work.failed,
		lost: work.lost,
		...(all === 0 ? {} : { successRate: work.ok / all }),
		...(work.sPerMpStep === undefined ? {} : { sPerMpStep: work.sPerMpStep }),
		...(work.sPerStep === undefined ? {} : { sPerStep: work.sPerStep }),
		...(work.loadMs === undefined ? {} : { loadMs: work.loadMs }),
		...(work.assignMs === undefined ? {} : { assignmentLatencyMs: work.assignMs }),
		lastAt: work.at,
	};
};

/** A node's history for its owner. */
export const nodeHistory = (node: PoolNode): { work: WorkHistory[]; slots: SlotHistory[] } => ({
	work: Object.entries(node.work)
		.map(([key, work]) => historyOf(key, work))
		.toSorted((a, b) => b.lastAt - a.lastAt),
	slots: Object.entries(node.slotStats).map(([slotId, { ok, failed, lost, error }]) => ({
		slotId,
		succeeded: ok,
		failed,
		lost,
		...(error === undefined ? {} : { lastError: error }),
	})),
});

const mean = (a: number | undefined, aCount: number, b: number | undefined, bCount: number): number | undefined => {
	if (a === undefined || b === undefined) return a ?? b;
	return (a * aCount + b * bCount) / Math.max(1, aCount + bCount);
};

const merge = (into: WorkStat, work: WorkStat): WorkStat => {
	const merged: WorkStat = {
		ok: into.ok + work.ok,
		failed: into.failed + work.failed,
		lost: into.lost + work.lost,
		at: Math.max(into.at, work.at),
	};
	for (const field of ['sPerMpStep', 'sPerStep', 'loadMs', 'assignMs'] as const) {
		const value = mean(into[field], into.ok, work[field], work.ok);
		if (value !== undefined) merged[field] = value;
	}
	return merged;
};

/** Kinds of work over all nodes that serve a workspace. Errors are told of its own nodes only. */
export const modelHistory = (state: PoolState, ws: string): ModelHistory[] => {
	const found = new Map<string, { work: WorkStat; nodes: number; errors: ModelHistory['lastErrors'] }>();
	for (const node of state.nodes.values()) {
		if (!worksFor(node, ws)) continue;
		for (const [key, work] of Object.entries(node.work)) {
			const known = found.get(key);
			const errors = node.ws !== ws ? [] : node.recentErrors.filter(({ model }) => model === split(key).model);
			const told = errors.map(({ at, class: cls, message, jobId }) => ({ at, class: cls, message, jobId, nodeId: node.id }));
			if (known === undefined) found.set(key, { work: { ...work }, nodes: 1, errors: told });
			else found.set(key, { work: merge(known.work, work), nodes: known.nodes + 1, errors: [...known.errors, ...told] });
		}
	}
	return [...found]
		.map(([key, { work, nodes, errors }]) => ({
			...historyOf(key, work),
			nodes,
			lastErrors: errors.toSorted((a, b) => b.at - a.at).slice(0, LAST_ERRORS),
		}))
		.toSorted((a, b) => (a.model + a.taskType < b.model + b.taskType ? -1 : 1));
};
