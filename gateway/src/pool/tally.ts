/**
 * Who refuses a task, counted: what a caller is told about a job that waits.
 * @module
 */
import { isChore } from '@limner/shared';
import { typeOf, type Job, type PoolNode, type PoolState, type Slot, type Tally, type Task } from './model.ts';
import { nodesFor, nodesOf, ownNodes } from './owners.ts';
import { needKey, needOf, slotRefusal } from './placement.ts';

/** Of the slots that could take a task so many are remembered, to estimate from. */
const SLOTS_KEPT = 32;
const LARGE_POOL = 100;
const TALLY_MS = 500;
/** Each node of a large pool makes its numbers so much older. */
const TALLY_MS_A_NODE = 0.5;
const TALLIES_MAX = 500;

/** Where on a node a task would run. */
const placesFor = (node: PoolNode, job: Job): Iterable<Slot> => {
	if (!isChore(typeOf(job))) return node.slots.values();
	return node.service === null ? [] : [node.service];
};

const ask = (state: PoolState, now: number, job: Job, task: Task, nodes: Iterable<PoolNode>): Tally => {
	const result: Tally = { refusals: {}, feasible: false, slots: [], slotCount: 0, nodes: 0 };
	for (const node of nodes) {
		if (node.mode === 'terminated') continue;
		result.nodes++;
		for (const slot of placesFor(node, job)) {
			const refusal = slotRefusal(state, now, slot, job, task);
			if (refusal !== null) result.refusals[refusal.reason] = (result.refusals[refusal.reason] ?? 0) + 1;
			if (refusal !== null && !refusal.temporary) continue;
			result.slotCount++;
			if (result.slots.length < SLOTS_KEPT) result.slots.push(slot);
		}
	}
	result.feasible = result.slotCount > 0;
	return result;
};

const sum = (a: Tally, b: Tally): Tally => {
	const refusals = { ...a.refusals };
	for (const [reason, count] of Object.entries(b.refusals)) refusals[reason] = (refusals[reason] ?? 0) + count;
	return {
		refusals,
		feasible: a.feasible || b.feasible,
		slots: [...a.slots, ...b.slots].slice(0, SLOTS_KEPT),
		slotCount: a.slotCount + b.slotCount,
		nodes: a.nodes + b.nodes,
	};
};

const remembered = (state: PoolState, now: number, key: string, fresh: () => Tally): Tally => {
	const known = state.tallies.get(key);
	if (known !== undefined && known.at + Math.max(TALLY_MS, TALLY_MS_A_NODE * state.nodes.size) > now) return known.tally;
	const tally = fresh();
	if (state.tallies.size >= TALLIES_MAX) state.tallies.clear();
	state.tallies.set(key, { at: now, tally });
	return tally;
};

/**
 * What the nodes that work for a job's workspace say to a task. Counting a large pool for each submission would cost more
 * than granting, so its numbers may be a moment old; shared nodes say the same to everybody, and are counted once for all.
 */
export const tallyOf = (state: PoolState, now: number, job: Job, task: Task): Tally => {
	const { ws } = job;
	const all = (): Tally => ask(state, now, job, task, typeOf(job) === 'GENERAL' ? nodesFor(state, ws) : nodesOf(state, ws));
	if (state.nodes.size < LARGE_POOL) return all();
	const need = needOf(job, task);
	if (need.special) return remembered(state, now, needKey(job, task), all);
	const key = `|${need.model}|${need.operation}|${need.key}`;
	const shared = remembered(state, now, key, () => ask(state, now, job, task, state.owners.shared));
	const own = ownNodes(state, ws);
	const ofOwn = (): Tally => ask(state, now, job, task, own);
	return sum(own.size < LARGE_POOL ? ofOwn() : remembered(state, now, `${ws}${key}`, ofOwn), shared);
};
