/**
 * Where tasks and free slots meet: pens, the groups of lanes in them, and the slots that stand there. lanes.ts tells how
 * they work together.
 * @module
 */
import { isChore } from '@limner/shared';
import { createHeap, put, take, top, type Heap } from './heap.ts';
import type { PoolState, QueueItem, Slot } from './model.ts';
import type { Ordered } from './ordered.ts';

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
	/** The one node whose slots stand here; undefined = all nodes of the pen's owner. */
	target: string | undefined;
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
	/** `txt2img` …; of a task that needs no device its type. */
	operation: string;
	/** Equal for tasks that the same slots refuse. */
	key: string;
	special: boolean;
	/** It needs no device, only an agent of the workspace. */
	chore: boolean;
	/** The one node that may do it; undefined = any. */
	target: string | undefined;
}

/** Smaller score first, then the earlier deadline, the older job, the lower index. */
export const itemBefore = (a: QueueItem, b: QueueItem): boolean => {
	if (a.score !== b.score) return a.score < b.score;
	if (a.job.spec.deadlineAt !== b.job.spec.deadlineAt) return a.job.spec.deadlineAt < b.job.spec.deadlineAt;
	if (a.job.id !== b.job.id) return a.job.id < b.job.id;
	return a.task.index < b.task.index;
};

export const laneBefore = (a: Lane, b: Lane): boolean => {
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

/** @param owner a workspace, '' for shared nodes, or one node as `@id` */
const penKey = (owner: string, model: string, operation: string): string => `${owner}|${model}|${operation}`;

/** What a slot does, as `[model, operation]`. */
const offersOf = (slot: Slot): [model: string, operation: string][] => {
	const { node } = slot;
	if (slot === node.service) return node.taskTypes.filter(isChore).map((type) => ['', type]);
	return node.models.flatMap(({ name, operations }) => operations.map((operation): [string, string] => [name, operation]));
};

const ownerOf = (slot: Slot): string => (slot === slot.node.service || slot.node.trust === 'own' ? slot.node.ws : '');

/** Whether decisions look at a slot: it is free and its node within reach. */
const isOffered = (state: PoolState, slot: Slot): boolean => (state.free.has(slot) || state.service.has(slot)) && !state.aside.has(slot);

/** Slots of one node that decisions look at and that do what a pen is for. */
const offeredBy = (state: PoolState, nodeId: string, key: string): Slot[] => {
	const node = state.nodes.get(nodeId);
	if (node === undefined) return [];
	return [...node.slots.values(), ...(node.service === null ? [] : [node.service])].filter(
		(slot) => isOffered(state, slot) && offersOf(slot).some(([model, operation]) => penKey(`@${nodeId}`, model, operation) === key),
	);
};

const penFor = (state: PoolState, key: string, target?: string): Pen => {
	const { pens } = state.lanes;
	const known = pens.get(key);
	if (known !== undefined) return known;
	const slots = new Set(target === undefined ? [] : offeredBy(state, target, key));
	const pen: Pen = { key, target, slots, groups: createHeap(), parked: new Set(), count: 0 };
	pens.set(key, pen);
	return pen;
};

/** Owners of the pens that a task waits in. */
export const ownersFor = (ws: string, { chore, target }: Need): string[] => {
	if (target !== undefined) return [`@${target}`];
	return chore ? [ws] : [ws, ''];
};

export const placePen = ({ lanes }: PoolState, pen: Pen): void => {
	if (pen.slots.size > 0 && top(pen.groups) !== undefined) put(lanes.ready, pen, penBefore);
	else take(lanes.ready, pen, penBefore);
	if (pen.count === 0 && (pen.slots.size === 0 || pen.target !== undefined)) lanes.pens.delete(pen.key);
};

export const placeGroup = (state: PoolState, group: Group): void => {
	const { pen } = group;
	if (!group.parked && top(group.lanes) !== undefined) put(pen.groups, group, groupBefore);
	else take(pen.groups, group, groupBefore);
	placePen(state, pen);
};

export const groupFor = (state: PoolState, owner: string, need: Need): Group => {
	const pen = penFor(state, penKey(owner, need.model, need.operation), need.target);
	const key = `${pen.key}|${need.key}`;
	const known = state.lanes.groups.get(key);
	if (known !== undefined) return known;
	const group: Group = { key, pen, lanes: createHeap(), count: 0, parked: false, special: need.special };
	state.lanes.groups.set(key, group);
	pen.count++;
	return group;
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

/** A slot became free. */
export const listSlot = (state: PoolState, slot: Slot): void => {
	const enter = (pen: Pen): void => {
		pen.slots.add(slot);
		for (const group of pen.parked) unpark(state, group);
		placePen(state, pen);
	};
	for (const [model, operation] of offersOf(slot)) {
		enter(penFor(state, penKey(ownerOf(slot), model, operation)));
		const own = state.lanes.pens.get(penKey(`@${slot.node.id}`, model, operation));
		if (own !== undefined) enter(own);
	}
};

/** A slot is free no more, or its node is about to change what it offers. */
export const unlistSlot = (state: PoolState, slot: Slot): void => {
	for (const [model, operation] of offersOf(slot)) {
		for (const owner of [ownerOf(slot), `@${slot.node.id}`]) {
			const pen = state.lanes.pens.get(penKey(owner, model, operation));
			if (pen?.slots.delete(slot) === true) placePen(state, pen);
		}
	}
};

/** Whether a free slot stands wherever tasks look for it. */
export const isListed = (state: PoolState, slot: Slot): boolean =>
	offersOf(slot).every(([model, operation]) => {
		const own = state.lanes.pens.get(penKey(`@${slot.node.id}`, model, operation));
		return (
			(own === undefined || own.slots.has(slot)) && state.lanes.pens.get(penKey(ownerOf(slot), model, operation))?.slots.has(slot) === true
		);
	});

/** Free slots that could take a task of a workspace, those of its own nodes first. */
export function* freeSlots(state: PoolState, ws: string, need: Need): Generator<Slot, void, undefined> {
	for (const owner of ownersFor(ws, need)) {
		const pen = state.lanes.pens.get(penKey(owner, need.model, need.operation));
		if (pen !== undefined) yield* pen.slots;
	}
}
