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
 * stands in two groups. Tasks that need no device have pens of their workspace only, and tasks that are meant for one node
 * have pens of that node, which exist as long as such a task waits.
 * @module
 */
import { put, take, top } from './heap.ts';
import type { PoolState, QueueItem } from './model.ts';
import { createOrdered, first, insert, remove, sizeOf } from './ordered.ts';
import {
	groupFor,
	itemBefore,
	laneBefore,
	ownersFor,
	placeGroup,
	placePen,
	unlistGroup,
	type Group,
	type Lane,
	type Need,
} from './pens.ts';

/** Takes a lane out of all heaps while it changes: a heap may hold one item at most whose order has changed. */
const withdraw = (state: PoolState, lane: Lane): void => {
	for (const group of lane.groups) {
		take(group.lanes, lane, laneBefore);
		placeGroup(state, group);
	}
};

const tagOf = (state: PoolState, ws: string): number => state.fair.f.get(ws) ?? 0;

/** Puts a lane that was taken out back into all heaps, where its workspace's tag stands now. */
const offer = (state: PoolState, lane: Lane): void => {
	if (lane.held || lane.head === null) return;
	lane.tag = tagOf(state, lane.ws);
	for (const group of lane.groups) {
		put(group.lanes, lane, laneBefore);
		placeGroup(state, group);
	}
};

const laneKey = (ws: string, limit: unknown, need: Need): string =>
	`${ws}|${typeof limit === 'number' ? limit : ''}|${need.target ?? ''}|${need.model}|${need.operation}|${need.key}`;

const laneFor = (state: PoolState, { job, lane: key }: QueueItem, need: Need): Lane => {
	const known = state.lanes.lanes.get(key);
	if (known !== undefined) return known;
	const groups = ownersFor(job.ws, need).map((owner) => groupFor(state, owner, need));
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
	item.lane = laneKey(item.job.ws, item.job.spec.maxConcurrent, need);
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
		unlistGroup(state, group);
		group.pen.count--;
		placePen(state, group.pen);
	}
};

/** Takes a task out of its lane. */
export const leaveLane = (state: PoolState, item: QueueItem): void => {
	const lane = state.lanes.lanes.get(item.lane);
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
		if (tagOf(state, lane.ws) <= lane.tag) return { group, lane, item: lane.head };
		withdraw(state, lane);
		offer(state, lane);
	}
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
