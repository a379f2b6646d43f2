/**
 * Where tasks and free slots meet: pens, the groups of lanes in them, and the slots that stand there. lanes.ts tells how
 * they work together.
 * @module
 */
import { isChore } from '@limner/shared';
import { createHeap, put, take, top, type Heap } from './heap.ts';
import type { PoolNode, PoolState, QueueItem, Slot } from './model.ts';
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
	/** What distinguishes its tasks from others of the pen can change with these nodes, not only with slots of the pen; '' = with any node. */
	decidedBy: readonly string[];
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
	/** Number of pens of each node that tasks are meant for. */
	targets: Map<string, number>;
	ready: Heap<Pen>;
	/** All parked groups; and those of them whose tasks failed or look after the pool, by the nodes that decide about them, '' = any. */
	parked: Set<Group>;
	special: Map<string, Set<Group>>;
	/** Held lanes by workspace. */
	held: Map<string, Set<Lane>>;
	/** Pictures in work by workspace. */
	busy: Map<string, number>;
}

export const createLanes = (): Lanes => ({
	lanes: new Map(),
	groups: new Map(),
	pens: new Map(),
	targets: new Map(),
	ready: createHeap(),
	parked: new Set(),
	special: new Map(),
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
	/** Another node that decides whether that one may. */
	from: string | undefined;
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
	const { pens, targets } = state.lanes;
	const known = pens.get(key);
	if (known !== undefined) return known;
	const slots = new Set(target === undefined ? [] : offeredBy(state, target, key));
	const pen: Pen = { key, target, slots, groups: createHeap(), parked: new Set(), count: 0 };
	pens.set(key, pen);
	if (target !== undefined) targets.set(target, (targets.get(target) ?? 0) + 1);
	return pen;
};

/** Owners of the pens that a task waits in. */
export const ownersFor = (ws: string, { chore, target }: Need): string[] => {
	if (target !== undefined) return [`@${target}`];
	return chore ? [ws] : [ws, ''];
};

const dropPen = ({ pens, targets }: Lanes, { key, target }: Pen): void => {
	if (!pens.delete(key) || target === undefined) return;
	const left = (targets.get(target) ?? 0) - 1;
	if (left === 0) targets.delete(target);
	else targets.set(target, left);
};

export const placePen = ({ lanes }: PoolState, pen: Pen): void => {
	if (pen.slots.size > 0 && top(pen.groups) !== undefined) put(lanes.ready, pen, penBefore);
	else take(lanes.ready, pen, penBefore);
	if (pen.count === 0 && (pen.slots.size === 0 || pen.target !== undefined)) dropPen(lanes, pen);
};

export const placeGroup = (state: PoolState, group: Group): void => {
	const { pen } = group;
	if (!group.parked && top(group.lanes) !== undefined) put(pen.groups, group, groupBefore);
	else take(pen.groups, group, groupBefore);
	placePen(state, pen);
};

const decidersOf = ({ special, target, from }: Need): string[] => {
	if (!special) return [];
	return target === undefined ? [''] : from === undefined ? [target] : [target, from];
};

export const groupFor = (state: PoolState, owner: string, need: Need): Group => {
	const pen = penFor(state, penKey(owner, need.model, need.operation), need.target);
	const key = `${pen.key}|${need.key}`;
	const known = state.lanes.groups.get(key);
	if (known !== undefined) return known;
	const group: Group = { key, pen, lanes: createHeap(), count: 0, parked: false, decidedBy: decidersOf(need) };
	state.lanes.groups.set(key, group);
	pen.count++;
	return group;
};

/** Every free slot of its pen refused the group: it is not asked about again before something has changed. */
export const park = (state: PoolState, group: Group): void => {
	group.parked = true;
	group.pen.parked.add(group);
	state.lanes.parked.add(group);
	for (const id of group.decidedBy) {
		const known = state.lanes.special.get(id);
		if (known === undefined) state.lanes.special.set(id, new Set([group]));
		else known.add(group);
	}
	placeGroup(state, group);
};

/** A group waits for no node any more: it is asked again, or gone. */
export const unlistGroup = ({ lanes }: PoolState, group: Group): void => {
	group.pen.parked.delete(group);
	lanes.parked.delete(group);
	for (const id of group.decidedBy) {
		const among = lanes.special.get(id);
		among?.delete(group);
		if (among?.size === 0) lanes.special.delete(id);
	}
};

const unpark = (state: PoolState, group: Group): void => {
	if (!group.parked) return;
	group.parked = false;
	unlistGroup(state, group);
	placeGroup(state, group);
};

/** A node came, went or changed: who had failed a task may be the only one left for it, and what is meant for this node may begin. */
export const wakeSpecial = (state: PoolState, { id }: PoolNode): void => {
	for (const decider of ['', id]) for (const group of state.lanes.special.get(decider) ?? []) unpark(state, group);
};

/** Something changed that decides about all that looks after the pool. */
export const wakeAllSpecial = (state: PoolState): void => {
	for (const groups of state.lanes.special.values()) for (const group of groups) unpark(state, group);
};

/** Time passed: refusals that nothing tells the end of may be over. */
export const wakeAll = (state: PoolState): void => {
	for (const group of state.lanes.parked) unpark(state, group);
};

/** Keys of the pens in which a node's slots stand, and what they were made of: models and the rest are replaced, never changed. */
export interface PenKeys extends Pick<PoolNode, 'models' | 'taskTypes' | 'ws' | 'trust'> {
	devices: string[];
	service: string[];
}

/** Texts are made once for each node: every grant and every end of one asks for them. */
const penKeysOf = (slot: Slot): string[] => {
	const { node } = slot;
	const { models, taskTypes, ws, trust } = node;
	const known = node.penKeys;
	const alike = known?.models === models && known.taskTypes === taskTypes && known.ws === ws && known.trust === trust;
	const keys = alike ? known : { models, taskTypes, ws, trust, devices: [], service: [] };
	node.penKeys = keys;
	const list = slot === node.service ? keys.service : keys.devices;
	if (list.length === 0) for (const [model, operation] of offersOf(slot)) list.push(penKey(ownerOf(slot), model, operation));
	return list;
};

/** Pens of tasks that are meant for the slot's node. */
const ownPensOf = ({ lanes }: PoolState, slot: Slot): Pen[] => {
	if (!lanes.targets.has(slot.node.id)) return [];
	return offersOf(slot).flatMap(([model, operation]) => lanes.pens.get(penKey(`@${slot.node.id}`, model, operation)) ?? []);
};

/** A slot became free. */
export const listSlot = (state: PoolState, slot: Slot): void => {
	const enter = (pen: Pen): void => {
		pen.slots.add(slot);
		for (const group of pen.parked) unpark(state, group);
		placePen(state, pen);
	};
	for (const key of penKeysOf(slot)) enter(penFor(state, key));
	for (const pen of ownPensOf(state, slot)) enter(pen);
};

/** A slot is free no more, or its node is about to change what it offers. */
export const unlistSlot = (state: PoolState, slot: Slot): void => {
	const leave = (pen: Pen): void => {
		if (pen.slots.delete(slot)) placePen(state, pen);
	};
	for (const key of penKeysOf(slot)) {
		const pen = state.lanes.pens.get(key);
		if (pen !== undefined) leave(pen);
	}
	for (const pen of ownPensOf(state, slot)) leave(pen);
};

/** Whether a free slot stands wherever tasks look for it. */
export const isListed = (state: PoolState, slot: Slot): boolean =>
	offersOf(slot).every(([model, operation]) => {
		const own = state.lanes.pens.get(penKey(`@${slot.node.id}`, model, operation));
		return (
			(own === undefined || own.slots.has(slot)) && state.lanes.pens.get(penKey(ownerOf(slot), model, operation))?.slots.has(slot) === true
		);
	});

/** How many slots stand where the tasks of a lane look for one. */
export const freeCount = ({ groups }: Lane): number => groups.reduce((count, { pen }) => count + pen.slots.size, 0);

/** Free slots that could take a task of a lane, those of its workspace's own nodes first. */
export function* freeSlots({ groups }: Lane): Generator<Slot, void, undefined> {
	for (const { pen } of groups) yield* pen.slots;
}
