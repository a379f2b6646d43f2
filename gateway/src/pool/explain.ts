/**
 * What the pool tells a caller whose job waits.
 * @module
 */
import type { QueueView } from '@limner/shared';
import { isChore } from '@limner/shared';
import { plural } from './idle.ts';
import type { Job, PoolState, Tally } from './model.ts';
import { expectedMs, speedKey } from './placement.ts';
import { positionOf } from './queue.ts';
import { remediesFor } from './remedies.ts';
import { tallyOf } from './tally.ts';
import { typeOf } from './model.ts';

const ETA_LOW = 0.7;
const ETA_HIGH = 1.6;

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
	let measured = 0;
	let sum = 0;
	for (const slot of found.slots) {
		if (slot.node.speed[speedKey(slot.info.id, job.spec.model)] === undefined) continue;
		measured++;
		sum += expectedMs(slot, job);
	}
	if (measured === 0) return undefined;
	const mean = sum / measured;
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
