/**
 * What must hold of the queues after every step.
 * @module
 */
import { itemBefore, type Group, type Lane } from '../pens.ts';
import type { PoolState, QueueItem } from '../model.ts';
import { first, inOrder, sizeOf } from '../ordered.ts';

export const must = (holds: boolean, text: () => string): void => {
	if (!holds) throw new Error(`invariant: ${text()}`);
};

export const checkQueues = (state: PoolState): void => {
	let count = 0;
	for (const [ws, queue] of state.queues) {
		let before: QueueItem | undefined;
		for (const item of inOrder(queue)) {
			count++;
			must(item.task.queued, () => 'a queue holds a task that does not wait');
			must(before === undefined || itemBefore(before, item), () => `the queue of ${ws} is out of order`);
			before = item;
		}
		must(sizeOf(queue) > 0, () => `${ws} has an empty queue`);
	}
	must(count === state.backlog, () => `backlog is ${state.backlog}, ${count} tasks wait`);
	for (const { task } of inOrder(state.chores)) must(task.queued, () => 'a chore is listed that does not wait');
};

const checkGroup = (lane: Lane, group: Group): void => {
	must(group.lanes.places.has(lane) === !lane.held, () => `the lane ${lane.key} held=${lane.held}`);
	must(group.pen.groups.places.has(group) === (!group.parked && group.lanes.items.length > 0), () => `the group ${group.key}`);
};

const checkLane = (state: PoolState, lane: Lane): void => {
	must(lane.head !== null && lane.head === first(lane.items), () => `the lane ${lane.key} has a wrong head`);
	const tag = state.fair.f.get(lane.ws);
	must(tag === undefined || lane.tag <= tag, () => `the lane ${lane.key} is too late`);
	for (const group of lane.groups) checkGroup(lane, group);
};

/** Pictures in work, counted from the slots. */
const working = (state: PoolState): Map<string, number> => {
	const found = new Map<string, number>();
	const keys = [...state.nodes.values()].flatMap((node) => [...node.slots.values()].flatMap((slot) => [...slot.batch]));
	for (const key of keys) {
		const ws = state.jobs.get(key.slice(0, key.lastIndexOf('/')))?.ws ?? '';
		found.set(ws, (found.get(ws) ?? 0) + 1);
	}
	return found;
};

/** Each waiting task stands in the lane of its need; what is neither parked nor held is found from the top. */
export const checkLanes = (state: PoolState): void => {
	const { lanes, pens, ready, busy } = state.lanes;
	let count = 0;
	for (const lane of lanes.values()) {
		count += sizeOf(lane.items);
		checkLane(state, lane);
	}
	const waiting = state.backlog + sizeOf(state.chores);
	must(count === waiting, () => `${count} tasks stand in lanes, ${waiting} wait`);
	for (const pen of pens.values()) {
		for (const { node } of pen.slots) must(pen.target === undefined || pen.target === node.id, () => `${node.id} stands in ${pen.key}`);
		const listed = ready.places.has(pen);
		must(listed === (pen.slots.size > 0 && pen.groups.items.length > 0), () => `the pen ${pen.key} ready=${listed}`);
	}
	const counted = working(state);
	for (const ws of new Set([...counted.keys(), ...busy.keys()]))
		must(counted.get(ws) === busy.get(ws), () => `${ws} counts ${busy.get(ws)} pictures in work and has ${counted.get(ws)}`);
};
