/**
 * Whose turn it is, without looking at those whose turn it is not. Queued tasks stand in **lanes**: what the same slots
 * refuse for the same reasons, of one workspace. Lanes of one need form a **group**; groups that the same free slots could
 * serve share a **pen**. Each keeps its lanes or groups in a heap, and pens that have free slots and something that waits
 * for them are in one heap too. So the next task is found at the top, and infeasible work costs nothing until something
 * happens that may make it feasible:
 *
 * - a group that every free slot of its pen refused is *parked*; the next slot of the pen that becomes free wakes it, and so
 *   does the next look when a refusal passes with time,
 * - a lane of a workspace that has as many pictures in work as it may is *held* until one of them is done.
 *
 * A slot of a shared node serves the pens without an owner, a slot of an `own` node those of its workspace, so each lane
 * stands in two groups.
 * @module
 */
import { createHeap, put, take, top, type Heap } from './heap.ts';
import type { PoolNode, PoolState, QueueItem, Slot } from './model.ts';
import { createOrdered, first, insert, remove, sizeOf, type Ordered } from './ordered.ts';

export interface Lane {
	key: string;
	ws: string;
	items: Ordered<QueueItem>;
	head: QueueItem | null;
	/** The workspace's finish tag when the lane was placed. Tags only grow, so it is at most too early, and is corrected at the top. */
	tag: number;
	held: boolean;
	groups: Group[];
}

export interface Group {
	key: string;
	pen: Pen;
	lanes: Heap<Lane>;
	/** Lanes that belong to it, those that are held included. */
	count: number;
	parked: boolean;
	/** What distinguishes its tasks from others of the pen can change with other nodes, not only with slots of the pen. */
	special: boolean;
}

export interface Pen {
	key: string;
	/** Free slots, the one that is free longest first. */
	slots: Set<Slot>;
	groups: Heap<Group>;
	parked: Set<Group>;
	count: number;
}

/** The part of the pool's state that this file keeps. */
export interface Lanes {
	lanes: Map<string, Lane>;
	groups: Map<string, Group>;
	pens: Map<string, Pen>;
	ready: Heap<Pen>;
	/** All parked groups, and those of them whose tasks failed or look after the pool. */
	parked: Set<Group>;
	special: Set<Group>;
	/** Held lanes by workspace. */
	held: Map<string, Set<Lane>>;
	/** Pictures in work by workspace. */
	busy: Map<string, number>;
}

export const createLanes = (): Lanes => ({
	lanes: new Map(),
	groups: new Map(),
	pens: new Map(),
	ready: createHeap(),
	parked: new Set(),
	special: new Set(),
	held: new Map(),
	busy: new Map(),
});

/** What decides which slots refuse a task; made by placement.ts. */
export interface Need {
	model: string;
	/** `txt2img` … */
	operation: string;
	/** Equal for tasks that the same slots refuse. */
	key: string;
	special: boolean;
}

/** Smaller score first, then the earlier deadline, the older job, the lower index. */
export const itemBefore = (a: QueueItem, b: QueueItem): boolean => {
	if (a.score !== b.score) return a.score < b.score;
	if (a.job.spec.deadlineAt !== b.job.spec.deadlineAt) return a.job.spec.deadlineAt < b.job.spec.deadlineAt;
	if (a.job.id !== b.job.id) return a.job.id < b.job.id;
	return a.task.index < b.task.index;
};

const laneBefore = (a: Lane, b: Lane): boolean => {
	if (a.tag !== b.tag) return a.tag < b.tag;
	if (a.ws !== b.ws) return a.ws < b.ws;
	return a.head !== null && b.head !== null && itemBefore(a.head, b.head);
};

const groupBefore = (a: Group, b: Group): boolean => {
	const [x, y] = [top(a.lanes), top(b.lanes)];
	return x !== undefined && (y === undefined || laneBefore(x, y));
};

const penBefore = (a: Pen, b: Pen): boolean => {
	const [x, y] = [top(a.groups), top(b.groups)];
	return x !== undefined && (y === undefined || groupBefore(x, y));
};

/** @param owner a workspace, or '' for shared nodes */
const penKey = (owner: string, model: string, operation: string): string => `${owner}|${model}|${operation}`;

const penFor = ({ lanes }: PoolState, key: string): Pen => {
	const known = lanes.pens.get(key);
	if (known !== undefined) return known;
	const pen: Pen = { key, slots: new Set(), groups: createHeap(), parked: new Set(), count: 0 };
	lanes.pens.set(key, pen);
	return pen;
};

const placePen = ({ lanes }: PoolState, pen: Pen): void => {
	if (pen.slots.size > 0 && top(pen.groups) !== undefined) put(lanes.ready, pen, penBefore);
	else take(lanes.ready, pen, penBefore);
	if (pen.slots.size === 0 && pen.count === 0) lanes.pens.delete(pen.key);
};

const placeGroup = (state: PoolState, group: Group): void => {
	const { pen } = group;
	if (!group.parked && top(group.lanes) !== undefined) put(pen.groups, group, groupBefore);
	else take(pen.groups, group, groupBefore);
	placePen(state, pen);
};

/** Takes a lane out of all heaps while it changes: a heap may hold one item at most whose order has changed. */
const withdraw = (state: PoolState, lane: Lane): void => {
	for (const group of lane.groups) {
		take(group.lanes, lane, laneBefore);
		placeGroup(state, group);
	}
};

const offer = (state: PoolState, lane: Lane): void => {
	if (lane.held || lane.head === null) return;
	for (const group of lane.groups) {
		put(group.lanes, lane, laneBefore);
		placeGroup(state, group);
	}
};

const groupFor = (state: PoolState, owner: string, need: Need): Group => {
	const pen = penFor(state, penKey(owner, need.model, need.operation));
	const key = `${pen.key}|${need.key}`;
	const known = state.lanes.groups.get(key);
	if (known !== undefined) return known;
	const group: Group = { key, pen, lanes: createHeap(), count: 0, parked: false, special: need.special };
	state.lanes.groups.set(key, group);
	pen.count++;
	return group;
};

const laneKey = (ws: string, limit: unknown, need: Need): string =>
	`${ws}|${typeof limit === 'number' ? limit : ''}|${need.model}|${need.operation}|${need.key}`;

const tagOf = (state: PoolState, ws: string): number => state.fair.f.get(ws) ?? 0;

const laneFor = (state: PoolState, { job }: QueueItem, need: Need): Lane => {
	const key = laneKey(job.ws, job.spec.maxConcurrent, need);
	const known = state.lanes.lanes.get(key);
	if (known !== undefined) return known;
	const groups = [groupFor(state, '', need), groupFor(state, job.ws, need)];
	for (const group of groups) group.count++;
	const lane: Lane = { key, ws: job.ws, items: createOrdered(), head: null, tag: tagOf(state, job.ws), held: false, groups };
	state.lanes.lanes.set(key, lane);
	return lane;
};

const setHead = (state: PoolState, lane: Lane, change: () => void, moves: boolean): void => {
	if (!moves) return change();
	withdraw(state, lane);
	change();
	lane.head = first(lane.items) ?? null;
	offer(state, lane);
};

/** Puts a task into its lane. */
export const enterLane = (state: PoolState, item: QueueItem, need: Need): void => {
	const lane = laneFor(state, item, need);
	const isFirst = lane.head === null || itemBefore(item, lane.head);
	setHead(state, lane, () => insert(lane.items, item, 0, itemBefore), isFirst);
};

const dropLane = (state: PoolState, lane: Lane): void => {
	const { lanes } = state;
	lanes.lanes.delete(lane.key);
	lanes.held.get(lane.ws)?.delete(lane);
	for (const group of lane.groups) {
		if (--group.count > 0) continue;
		lanes.groups.delete(group.key);
		lanes.parked.delete(group);
		lanes.special.delete(group);
		group.pen.parked.delete(group);
		group.pen.count--;
		placePen(state, group.pen);
	}
};

/** Takes a task out of its lane. */
export const leaveLane = (state: PoolState, item: QueueItem, need: Need): void => {
	const lane = state.lanes.lanes.get(laneKey(item.job.ws, item.job.spec.maxConcurrent, need));
	if (lane === undefined) throw new Error(`no lane for ${item.job.id}/${item.task.index}`);
	const isFirst = lane.head?.task === item.task;
	setHead(state, lane, () => void remove(lane.items, item, itemBefore), isFirst);
	if (sizeOf(lane.items) === 0) dropLane(state, lane);
};

export interface Turn {
	group: Group;
	lane: Lane;
	item: QueueItem;
}

/** The task whose turn it is among those that a free slot may take; undefined = there is none. */
export const nextTurn = (state: PoolState): Turn | undefined => {
	for (;;) {
		const pen = top(state.lanes.ready);
		const group = pen === undefined ? undefined : top(pen.groups);
		const lane = group === undefined ? undefined : top(group.lanes);
		if (group === undefined || lane === undefined || lane.head === null) return undefined;
		const tag = tagOf(state, lane.ws);
		if (tag <= lane.tag) return { group, lane, item: lane.head };
		withdraw(state, lane);
		lane.tag = tag;
		offer(state, lane);
	}
};

/** Every free slot of its pen refused the group: it is not asked about again before something has changed. */
export const park = (state: PoolState, group: Group): void => {
	group.parked = true;
	group.pen.parked.add(group);
	state.lanes.parked.add(group);
	if (group.special) state.lanes.special.add(group);
	placeGroup(state, group);
};

const unpark = (state: PoolState, group: Group): void => {
	if (!group.parked) return;
	group.parked = false;
	group.pen.parked.delete(group);
	state.lanes.parked.delete(group);
	state.lanes.special.delete(group);
	placeGroup(state, group);
};

/** Other nodes came, went or changed: who had failed a task may be the only one left for it. */
export const wakeSpecial = (state: PoolState): void => {
	for (const group of state.lanes.special) unpark(state, group);
};

/** Time passed: refusals that nothing tells the end of may be over. */
export const wakeAll = (state: PoolState): void => {
	for (const group of state.lanes.parked) unpark(state, group);
};

/** The workspace has as much in work as it may. */
export const hold = (state: PoolState, lane: Lane): void => {
	withdraw(state, lane);
	lane.held = true;
	const held = state.lanes.held.get(lane.ws);
	if (held === undefined) state.lanes.held.set(lane.ws, new Set([lane]));
	else held.add(lane);
};

/** Counts pictures in work; when one ends, lanes that were held for it go on. */
export const countBusy = (state: PoolState, ws: string, by: 1 | -1): void => {
	const { busy, held } = state.lanes;
	const count = (busy.get(ws) ?? 0) + by;
	if (count === 0) busy.delete(ws);
	else busy.set(ws, count);
	const lanes = by === -1 ? held.get(ws) : undefined;
	if (lanes === undefined) return;
	held.delete(ws);
	for (const lane of lanes) {
		lane.held = false;
		offer(state, lane);
	}
};

/** Pens that a slot serves while it is free. */
const pensOf = (node: PoolNode): string[] => {
	const owner = node.trust === 'own' ? node.ws : '';
	return node.models.flatMap(({ name, operations }) => operations.map((operation) => penKey(owner, name, operation)));
};

/** A slot became free. */
export const listSlot = (state: PoolState, slot: Slot): void => {
	for (const key of pensOf(slot.node)) {
		const pen = penFor(state, key);
		pen.slots.add(slot);
		for (const group of pen.parked) unpark(state, group);
		placePen(state, pen);
	}
};

/** A slot is free no more, or its node is about to change what it offers. */
export const unlistSlot = (state: PoolState, slot: Slot): void => {
	for (const key of pensOf(slot.node)) {
		const pen = state.lanes.pens.get(key);
		if (pen === undefined || !pen.slots.delete(slot)) continue;
		placePen(state, pen);
	}
};

/** Whether a free slot stands where tasks of a model and operation look for it. */
export const isListed = (state: PoolState, slot: Slot, model: string, operation: string): boolean => {
	const owner = slot.node.trust === 'own' ? slot.node.ws : '';
	return state.lanes.pens.get(penKey(owner, model, operation))?.slots.has(slot) === true;
};

/** Free slots that could take a task, those of the workspace's own nodes first. */
export function* freeSlots(state: PoolState, ws: string, model: string, operation: string): Generator<Slot, void, undefined> {
	for (const owner of [ws, '']) {
		const pen = state.lanes.pens.get(penKey(owner, model, operation));
		if (pen !== undefined) yield* pen.slots;
	}
}
