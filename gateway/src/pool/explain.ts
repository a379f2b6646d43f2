/**
 * What the pool tells a caller whose job waits, and an owner whose node gets no work.
 * @module
 */
import type { QueueView } from '@limner/shared';
import type { Job, PoolNode, PoolState, Slot, Tally, Task } from './model.ts';
import { isChore } from '@limner/shared';
import { expectedMs, needKey, nodeRefusal, slotRefusal, speedKey, worksFor } from './placement.ts';
import { choresInOrder, positionOf, queuedTasks } from './queue.ts';
import { remediesFor } from './remedies.ts';
import { typeOf } from './model.ts';

const ETA_LOW = 0.7;
const ETA_HIGH = 1.6;
/** Of a long queue only so many entries are looked at for a node's status line. */
const STATUS_LOOKS = 64;
const ETA_LOOKS = 32;
const LARGE_POOL = 100;
const TALLY_MS = 500;
/** Each node of a large pool makes its numbers so much older. */
const TALLY_MS_A_NODE = 0.5;
const TALLIES_MAX = 500;

/** Where on a node a task would run. */
const slotsFor = (node: PoolNode, job: Job): Iterable<Slot> => {
	if (!isChore(typeOf(job))) return node.slots.values();
	return node.service === null ? [] : [node.service];
};

const askAll = (state: PoolState, now: number, job: Job, task: Task): Tally => {
	const result: Tally = { refusals: {}, feasible: false, slots: [], nodes: 0 };
	for (const node of state.nodes.values()) {
		if (!worksFor(node, job.ws) || node.mode === 'terminated') continue;
		result.nodes++;
		for (const slot of slotsFor(node, job)) {
			const refusal = slotRefusal(state, now, slot, job, task);
			if (refusal !== null) result.refusals[refusal.reason] = (result.refusals[refusal.reason] ?? 0) + 1;
			if (refusal === null || refusal.temporary) {
				result.feasible = true;
				result.slots.push(slot);
			}
		}
	}
	return result;
};

/** Counting a large pool for each submission would cost more than granting: its numbers may be a moment old. */
const tally = (state: PoolState, now: number, job: Job, task: Task): Tally => {
	if (state.nodes.size < LARGE_POOL) return askAll(state, now, job, task);
	const need = needKey(job, task);
	const known = state.tallies.get(need);
	if (known !== undefined && known.at + Math.max(TALLY_MS, TALLY_MS_A_NODE * state.nodes.size) > now) return known.tally;
	const fresh = askAll(state, now, job, task);
	if (state.tallies.size >= TALLIES_MAX) state.tallies.clear();
	state.tallies.set(need, { at: now, tally: fresh });
	return fresh;
};

const plural = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`;

const listed = (refusals: Record<string, number>): string =>
	Object.entries(refusals)
		.toSorted((a, b) => b[1] - a[1])
		.map(([reason, count]) => `${plural(count, 'slot')}: ${reason}`)
		.join('; ');

const reasonOf = (found: Tally, job: Job): string => {
	if (found.nodes === 0) return 'No node has joined yet. Start one with `limner node`.';
	if (found.feasible) return `Waits for a free slot (${listed(found.refusals) || 'about to start'}).`;
	const what = isChore(typeOf(job)) ? 'do' : 'make';
	const text = listed(found.refusals) || `no node does ${typeOf(job)} tasks`;
	const when = isChore(typeOf(job)) ? 'when one can' : `when a node with the model ${job.spec.model} is there`;
	return `No node can ${what} this now (${text}). It starts ${when}.`;
};

/** An interval from measured speeds only: nothing is promised for a model that nobody has run. */
const etaOf = (found: Tally, job: Job, position: number): { low: number; high: number } | undefined => {
	const measured = found.slots.slice(0, ETA_LOOKS).filter((slot) => slot.node.speed[speedKey(slot.info.id, job.spec.model)] !== undefined);
	if (measured.length === 0) return undefined;
	const mean = measured.reduce((sum, slot) => sum + expectedMs(slot, job), 0) / measured.length;
	const rounds = Math.ceil((position + job.tasks.filter((task) => task.queued).length - 1) / found.slots.length);
	return { low: Math.round(mean * Math.max(1, rounds) * ETA_LOW), high: Math.round(mean * (rounds + 1) * ETA_HIGH) };
};

/** Place, reason and refusals of a job of which something is queued; undefined when nothing is. */
export const queueView = (state: PoolState, now: number, job: Job): QueueView | undefined => {
	const task = job.tasks.find((each) => each.queued);
	const position =
		task !== undefined && isChore(typeOf(job)) ? choresInOrder(state).findIndex((item) => item.task === task) + 1 : positionOf(state, job);
	if (task === undefined || position === undefined) return undefined;
	const found = tally(state, now, job, task);
	const etaMs = found.feasible ? etaOf(found, job, position) : undefined;
	return {
		position,
		...(etaMs === undefined ? {} : { etaMs }),
		feasible: found.feasible,
		reason: reasonOf(found, job),
		refusals: found.refusals,
		...(found.feasible ? {} : { remedies: remediesFor(state, now, job, task) }),
	};
};

const MODE_TEXT = {
	draining: 'It finishes what it has and takes nothing new',
	paused: 'It is paused',
	terminated: 'It was terminated',
} as const;

const queuedReason = (state: PoolState, now: number, node: PoolNode): string => {
	const reasons = new Map<string, number>();
	let foreign = 0;
	let looked = 0;
	for (const { job, task } of queuedTasks(state)) {
		if (looked++ >= STATUS_LOOKS) break;
		if (!worksFor(node, job.ws)) {
			foreign++;
			continue;
		}
		const reason = nodeRefusal(state, now, node, job, task)?.reason ?? 'failed here before, or waits for more memory';
		reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
	}
	const parts = [...reasons].map(([reason, count]) => `${plural(count, 'task')}: this node ${reason}`);
	if (foreign > 0) parts.push(`${plural(foreign, 'task')} of other workspaces, which a node with trust "own" does not take`);
	return `${plural(state.backlog, 'task')} waiting, none for this node (${parts.join('; ')}).`;
};

/** Why a node gets no work now, in words; undefined while it works. */
export const idleReason = (state: PoolState, now: number, node: PoolNode): string | undefined => {
	if (node.mode !== 'active') return `${MODE_TEXT[node.mode]}${node.modeReason === null ? '' : `: ${node.modeReason}`}.`;
	if (node.conn === null) return 'It is not connected.';
	if ([...node.slots.values()].some((slot) => slot.grant !== null)) return undefined;
	if (node.models.length === 0) return 'It offers no model.';
	if (node.excludedUntil > now) return 'It did not answer a task within 3 seconds and gets the next one in half a minute.';
	return state.backlog === 0 ? 'Ready; nothing is waiting.' : queuedReason(state, now, node);
};
