/**
 * What the pool tells a caller whose job waits, and an owner whose node gets no work.
 * @module
 */
import type { QueueView } from '@limner/shared';
import type { Job, PoolNode, PoolState, Tally } from './model.ts';
import { isChore } from '@limner/shared';
import { expectedMs, nodeRefusal, speedKey, worksFor } from './placement.ts';
import { positionOf, queuedTasks } from './queue.ts';
import { remediesFor } from './remedies.ts';
import { tallyOf } from './tally.ts';
import { typeOf } from './model.ts';

const ETA_LOW = 0.7;
const ETA_HIGH = 1.6;
/** Of a long queue only so many entries are looked at for a node's status line. */
const STATUS_LOOKS = 64;

const plural = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`;

const listed = (refusals: Record<string, number>): string =>
	Object.entries(refusals)
		.toSorted((a, b) => b[1] - a[1])
		.map(([reason, count]) => `${plural(count, 'slot')}: ${reason}`)
		.join('; ');

const reasonOf = (found: Tally, job: Job): string => {
	if (found.nodes === 0)
		return typeOf(job) === 'GENERAL'
			? 'No node has joined yet. Start one with `limner node`.'
			: 'This workspace has no node yet, and others do not look after it. Start one with `limner node`.';
	if (found.feasible) return `Waits for a free slot (${listed(found.refusals) || 'about to start'}).`;
	const what = isChore(typeOf(job)) ? 'do' : 'make';
	const text = listed(found.refusals) || `no node does ${typeOf(job)} tasks`;
	const when = isChore(typeOf(job)) ? 'when one can' : `when a node with the model ${job.spec.model} is there`;
	return `No node can ${what} this now (${text}). It starts ${when}.`;
};

/** An interval from measured speeds only: nothing is promised for a model that nobody has run. */
const etaOf = (found: Tally, job: Job, position: number): { low: number; high: number } | undefined => {
	const measured = found.slots.filter((slot) => slot.node.speed[speedKey(slot.info.id, job.spec.model)] !== undefined);
	if (measured.length === 0) return undefined;
	const mean = measured.reduce((sum, slot) => sum + expectedMs(slot, job), 0) / measured.length;
	const rounds = Math.ceil((position + job.tasks.filter((task) => task.queued).length - 1) / found.slotCount);
	return { low: Math.round(mean * Math.max(1, rounds) * ETA_LOW), high: Math.round(mean * (rounds + 1) * ETA_HIGH) };
};

/** Place, reason and refusals of a job of which something is queued; undefined when nothing is. */
export const queueView = (state: PoolState, now: number, job: Job): QueueView | undefined => {
	const task = job.tasks.find((each) => each.queued);
	const position = positionOf(state, job);
	if (task === undefined || position === undefined) return undefined;
	const found = tallyOf(state, now, job, task);
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
