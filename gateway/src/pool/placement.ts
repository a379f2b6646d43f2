/**
 * Which slot a task goes to: refusals in words, expected finish, best candidate (design §5).
 * @module
 */
import { POOL_LIMITS, TIMING, isChore, type SlotInfo } from '@limner/shared';
import { asksSource, careRefusal, targetOf } from './care.ts';
import { freeSlots, type Lane, type Need } from './pens.ts';
import { memoryOf, typeOf, type Job, type PoolNode, type PoolState, type QueueItem, type Slot, type Task } from './model.ts';
import { BUSY, kindsOwned, kindsServing, type Kind } from './census.ts';
import { chanceOf, workKey } from './workstats.ts';

/** Why a slot does not take a task. */
export interface Refusal {
	reason: string;
	/** It will pass without anybody doing something: the job is feasible all the same. */
	temporary: boolean;
	/** Nothing tells the pool when it has passed, so look again then. */
	recheckAt?: number;
	/** It holds for the whole node and every task: until then its free slots need not be looked at. */
	rests?: true;
}

export const mayTake = (refusal: Refusal | null): boolean => refusal === null || refusal.temporary;

/** Of many free slots the best of so many, longest free first, is good enough and keeps a decision short. */
const CANDIDATES_MAX = 16;
/** Models need sizes in multiples of 8 or 64. */
const SIZE_MULTIPLE_MAX = 64;
const RECHECK_MS = 1000;
const TRANSFER_MS = 300;
const DEFAULT_LOAD_MS = 10_000;
/** A preferred node gets the task when it would be slower by no more than this. */
const PREFERRED_MS = 5000;
/** Tasks that need no device have nothing to be measured by: a download may go on for long. */
const CHORE_MS = 60_000;

/** Seconds per megapixel-step before anything was measured, by kind of device. */
const DEFAULT_S_PER_MP_STEP: Record<SlotInfo['device']['kind'], number> = {
	cpu: 8,
	cuda: 0.15,
	coreml: 0.6,
	webgpu: 0.5,
	dml: 0.4,
	tensorrt: 0.1,
	mock: 0.05,
};

export const speedKey = (slotId: string, model: string): string => `${slotId}|${model}`;

/** When the node was last heard of, in ms since the epoch. */
export const lastSeen = (state: PoolState, node: PoolNode): number => {
	if (node.conn === null) return node.lastSeenAt ?? 0;
	return Math.max(node.conn.at, node.conn.lastFrameAt, state.readings.pingAt(node.conn.id) ?? 0);
};

/** Whether a connected node was heard of since then. Asking the runtime for its last ping costs more than looking at its frames. */
const heardSince = (state: PoolState, node: PoolNode, since: number): boolean => {
	const { conn } = node;
	return conn !== null && (conn.lastFrameAt >= since || conn.at >= since || (state.readings.pingAt(conn.id) ?? 0) >= since);
};

/** Whether a node works for a workspace at all. What it may not see is not even counted. */
export const worksFor = (node: PoolNode, ws: string): boolean => node.trust === 'shared' || node.ws === ws;

/** Expected duration of one picture on a slot, in milliseconds. */
export const expectedMs = (slot: Slot, job: Job): number => {
	const { spec } = job;
	if (isChore(typeOf(job))) return CHORE_MS;
	const speed = slot.node.speed[speedKey(slot.info.id, spec.model)];
	const loadMs = slot.info.loaded === spec.model ? 0 : (speed?.loadMs ?? (slot.info.device.kind === 'mock' ? 0 : DEFAULT_LOAD_MS));
	const sPerMpStep = speed?.sPerMpStep ?? DEFAULT_S_PER_MP_STEP[slot.info.device.kind];
	const runs = typeOf(job) === 'RESEARCH' ? (spec.params?.repeat ?? 1) + 1 : 1;
	return loadMs + runs * sPerMpStep * 1000 * spec.steps * ((spec.width * spec.height) / 1_000_000) + TRANSFER_MS;
};

/**
 * Lease of a grant on a slot: a duration, because the two clocks differ.
 * @param count pictures that are made together; the time covers all of them
 */
export const leaseFor = (slot: Slot, job: Job, count = 1): number =>
	Math.round(Math.min(TIMING.leaseMaxMs, Math.max(TIMING.leaseMinMs, TIMING.leaseFactor * expectedMs(slot, job) * count)));

const modelRefusal = (node: PoolNode, job: Job): Refusal | null => {
	const model = node.models.find((each) => each.name === job.spec.model);
	if (model === undefined) return { reason: `does not have the model ${job.spec.model}`, temporary: false };
	if (!model.operations.includes(job.spec.task))
		return { reason: `its model ${job.spec.model} cannot do ${job.spec.task}`, temporary: false };
	return job.spec.width % model.sizeMultiple === 0 && job.spec.height % model.sizeMultiple === 0
		? null
		: { reason: `its model ${job.spec.model} needs sizes in multiples of ${model.sizeMultiple}`, temporary: false };
};

const SILENT = 'silent for some seconds';
const UNANSWERED = 'did not answer its last task';
/** What is known of a node only when a decision looks at it. */
export const OUT_OF_REACH: ReadonlySet<string> = new Set([SILENT, UNANSWERED]);

/** Why a node that is there is given nothing for a moment. */
export const restRefusal = (state: PoolState, now: number, node: PoolNode): Refusal | null => {
	if (!heardSince(state, node, now - TIMING.candidateSeenMs))
		return { reason: SILENT, temporary: true, recheckAt: now + RECHECK_MS, rests: true };
	if (node.excludedUntil > now) return { reason: UNANSWERED, temporary: true, recheckAt: node.excludedUntil, rests: true };
	return null;
};

const MODE_WORDS = { active: '', draining: 'draining', paused: 'paused', terminated: 'terminated' } as const;

/** Why no node of a kind takes this task, but for what only one node knows: when it was heard of, and whether it was asked for. */
export const kindRefusal = (state: PoolState, now: number, node: PoolNode, job: Job, task: Task): Refusal | null => {
	if (node.mode !== 'active') return { reason: MODE_WORDS[node.mode], temporary: false };
	const care = careRefusal(state, now, node, job, task);
	if (care !== null && !care.temporary) return care;
	const model = isChore(typeOf(job)) ? null : modelRefusal(node, job);
	return model ?? (node.conn === null ? { reason: 'offline', temporary: false } : care);
};

/** Why a node as a whole does not take this task. */
export const nodeRefusal = (state: PoolState, now: number, node: PoolNode, job: Job, task: Task): Refusal | null =>
	kindRefusal(state, now, node, job, task) ?? restRefusal(state, now, node);

/** Kinds of nodes that a job can meet. */
export const kindsFor = (state: PoolState, job: Job): ReadonlyMap<string, Kind>[] =>
	typeOf(job) === 'GENERAL' ? kindsServing(state, job.ws) : kindsOwned(state, job.ws);

/** Largest memory on which the task ran out of memory, or -1. */
export const oomMemory = (task: Task): number =>
	task.fails.reduce((most, fail) => (fail.class === 'oom' ? Math.max(most, fail.memory ?? 0) : most), -1);

export const TOO_LITTLE: Refusal = { reason: 'has too little memory', temporary: false };

const failedOn = (task: Task, nodeId: string): boolean => task.fails.some((fail) => fail.nodeId === nodeId);

/** Nodes that are asked by themselves: the one that a task is meant for, and those that failed it. Their kind does not speak for them. */
export const apartFor = (state: PoolState, job: Job, task: Task): PoolNode[] => {
	const ids = new Set([targetOf(job, task), ...task.fails.map(({ nodeId }) => nodeId)]);
	return [...ids].flatMap((id) => (id === undefined ? [] : (state.nodes.get(id) ?? [])));
};

/** Whether some other node could take a task that this node failed: then this node need not try again. */
const existsElsewhere = (state: PoolState, now: number, job: Job, task: Task): boolean => {
	if (targetOf(job, task) !== undefined) return false;
	const failed = apartFor(state, job, task);
	for (const kinds of kindsFor(state, job)) {
		for (const { nodes } of kinds.values()) {
			const other = firstBut(nodes, failed);
			if (other === undefined) continue;
			if (mayTake(kindRefusal(state, now, other, job, task))) return true;
		}
	}
	return false;
};

/** A node that speaks for its kind. */
export const firstBut = (nodes: ReadonlySet<PoolNode>, without: readonly PoolNode[]): PoolNode | undefined => {
	for (const node of nodes) if (!without.includes(node)) return node;
	return undefined;
};

/** Why this slot does not take this task now; null = it does. */
export const slotRefusal = (state: PoolState, now: number, slot: Slot, job: Job, task: Task): Refusal | null => {
	const byKind = kindRefusal(state, now, slot.node, job, task);
	if (byKind !== null && !byKind.temporary) return byKind;
	const oom = oomMemory(task);
	if (oom >= 0 && memoryOf(slot) <= oom) return TOO_LITTLE;
	if (byKind !== null) return byKind;
	if (slot.grant !== null) return { reason: BUSY, temporary: true };
	const rest = restRefusal(state, now, slot.node);
	if (rest !== null) return rest;
	if (!failedOn(task, slot.node.id)) return null;
	if (existsElsewhere(state, now, job, task)) return { reason: 'failed this task before', temporary: true };
	return task.retryAt > now ? { reason: 'waits before it tries again', temporary: true, recheckAt: task.retryAt } : null;
};

/** Of tasks that need no device: those that ask the model source wait for it together, a model that moves goes its own way. */
const choreKey = (job: Job, task: Task): string => {
	const type = typeOf(job);
	return type === 'MIGRATION' ? `${type}|${job.id}|${task.index}` : `${type}|${asksSource(job, task) ? 'source' : ''}`;
};

const needKeyOf = (job: Job, task: Task, target: string | undefined): string => {
	const { width, height, taskType } = job.spec;
	const type = typeOf(job);
	// What failed goes its own way: where, and with how much memory.
	if (task.fails.length > 0) return `${job.id}/${task.index}`;
	if (isChore(type)) return choreKey(job, task);
	const size = `${width % SIZE_MULTIPLE_MAX}x${height % SIZE_MULTIPLE_MAX}`;
	// What looks after the pool is meant for one node or another.
	return type === 'GENERAL' && target === undefined ? size : `${size}|${taskType ?? ''}|${target ?? ''}|${task.index}|${job.ws}`;
};

/** What decides which slots refuse a task. Tasks with equal keys are refused by the same ones, so that one look serves them all. */
export const needOf = (job: Job, task: Task): Need => {
	const type = typeOf(job);
	const chore = isChore(type);
	const target = targetOf(job, task);
	return {
		model: chore ? '' : job.spec.model,
		operation: chore ? type : job.spec.task,
		key: needKeyOf(job, task, target),
		special: type !== 'GENERAL' || target !== undefined || task.fails.length > 0,
		chore,
		target,
		from: type === 'MIGRATION' ? job.spec.params?.from : undefined,
	};
};

/** The same as a text. Tasks of different workspaces may share it, where the workspace decides nothing but whose nodes are asked. */
export const needText = ({ model, operation, key, target }: Need): string => `${model}|${operation}|${target ?? ''}|${key}`;

export interface Choice {
	slot: Slot | null;
	recheckAt: number | undefined;
	/** Free slots of nodes that are out of reach for a moment, and until when. */
	resting: { slot: Slot; until: number; reason: string }[];
}

const earlier = (a: number | undefined, b: number | undefined): number | undefined =>
	a === undefined ? b : b === undefined ? a : Math.min(a, b);

/** When a task would be done on a free slot, in milliseconds from now, as far as it is worth comparing. */
const finishMs = (now: number, slot: Slot, job: Job, work: string): number => {
	const stoppingMs = Math.max(0, (slot.stopping?.until ?? now) - now);
	// What fails here now and then takes as long as its repetition too.
	const workMs = expectedMs(slot, job) / chanceOf(slot.node, work);
	const bonusMs = job.spec.preferNode === slot.node.id ? PREFERRED_MS : 0;
	return workMs + stoppingMs - bonusMs + slot.node.grants.size * 1e-3;
};

/** The next free slots of a lane, the one with the least expected finish first; among equals the one that is free longest. */
const nextCandidates = (now: number, slots: Iterator<Slot>, job: Job): Slot[] => {
	const work = workKey(typeOf(job), job.spec.model);
	const found: { slot: Slot; ms: number }[] = [];
	while (found.length < CANDIDATES_MAX) {
		const { value: slot, done } = slots.next();
		if (done === true) break;
		if (worksFor(slot.node, job.ws)) found.push({ slot, ms: finishMs(now, slot, job, work) });
	}
	return found.toSorted((a, b) => a.ms - b.ms).map(({ slot }) => slot);
};

/**
 * The free slot with the least expected finish, of so many that are free longest; among equals the least busy node, then the
 * one that is free longest. Whether a slot refuses the task is asked of the best ones only: in a pen few do, and the answer
 * costs a question to the runtime (when the node was last heard of).
 */
export const bestSlot = (state: PoolState, now: number, lane: Lane, { job, task }: Pick<QueueItem, 'job' | 'task'>): Choice => {
	let recheckAt: number | undefined;
	const resting: Choice['resting'] = [];
	const slots = freeSlots(lane);
	for (let found = nextCandidates(now, slots, job); found.length > 0; found = nextCandidates(now, slots, job)) {
		for (const slot of found) {
			const refusal = slotRefusal(state, now, slot, job, task);
			if (refusal === null) return { slot, recheckAt, resting };
			if (refusal.rests === true) resting.push({ slot, until: refusal.recheckAt ?? now, reason: refusal.reason });
			else recheckAt = earlier(recheckAt, refusal.recheckAt);
		}
	}
	return { slot: null, recheckAt, resting };
};

/** Whether some slot that is there has more memory than the task ran out of. */
export const moreMemoryExists = (state: PoolState, now: number, job: Job, task: Task): boolean => {
	const target = targetOf(job, task);
	if (target !== undefined)
		return [...(state.nodes.get(target)?.slots.values() ?? [])].some((slot) => mayTake(slotRefusal(state, now, slot, job, task)));
	const oom = oomMemory(task);
	for (const kinds of kindsFor(state, job)) {
		for (const { nodes, counts } of kinds.values()) {
			const [node] = nodes;
			if (node === undefined || !mayTake(kindRefusal(state, now, node, job, task))) continue;
			for (const memory of counts.keys()) if (memory >= 0 && memory > oom) return true;
		}
	}
	return false;
};

/** Back-off before a task goes back to a node that failed it, in milliseconds. */
export const retryDelayMs = (failures: number): number => 500 * 2 ** Math.min(failures, POOL_LIMITS.maxRetries);
