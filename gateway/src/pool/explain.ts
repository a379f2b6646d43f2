/**
 * What the pool tells a caller whose job waits.
 * @module
 */
import type { QueueView } from '@limner/shared';
import { isChore } from '@limner/shared';
import { plural } from './idle.ts';
import { shapeFor } from './census.ts';
import type { Answer, Job, PoolState, Tally, Task } from './model.ts';
import { expectedMs, needOf, needText, speedKey } from './placement.ts';
import { positionOf } from './queue.ts';
import { remediesFor } from './remedies.ts';
import { tallyOf } from './tally.ts';
import { typeOf } from './model.ts';

const ETA_LOW = 0.7;
const ETA_HIGH = 1.6;
/** In a pool of at least so many nodes everybody who asks for the same within a moment is told the same. */
const MANY_NODES = 256;
/** Beside the time for which the numbers of shared nodes are remembered (tally.ts). */
const ANSWER_MS = 250;
const ANSWERS_MAX = 1000;
/** Sizes and steps of which an answer remembers how long they take. */
const PACES_MAX = 100;

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

/** Mean of what a picture is expected to take, in milliseconds, from measured speeds only: nothing is promised for a model that nobody has run. */
const paceOf = ({ slots }: Tally, job: Job): number | null => {
	let measured = 0;
	let sum = 0;
	for (const slot of slots) {
		if (slot.node.speed[speedKey(slot.info.id, job.spec.model)] === undefined) continue;
		measured++;
		sum += expectedMs(slot, job);
	}
	return measured === 0 ? null : sum / measured;
};

/** An interval, or nothing where nothing is known. */
const etaOf = ({ tally, paces }: Answer, job: Job, position: number): { low: number; high: number } | undefined => {
	const { width, height, steps } = job.spec;
	const key = `${width}x${height}x${steps}`;
	let mean = paces.get(key);
	if (mean === undefined) {
		mean = paceOf(tally, job);
		if (paces.size >= PACES_MAX) paces.clear();
		paces.set(key, mean);
	}
	if (mean === null) return undefined;
	const rounds = Math.ceil((position + job.tasks.filter((task) => task.queued).length - 1) / tally.slotCount);
	return { low: Math.round(mean * Math.max(1, rounds) * ETA_LOW), high: Math.round(mean * (rounds + 1) * ETA_HIGH) };
};

const freshAnswer = (state: PoolState, now: number, job: Job, task: Task, recent: boolean): Answer => {
	const tally = tallyOf(state, now, job, task, recent);
	const remedies = tally.feasible ? [] : remediesFor(state, now, job, task);
	return { at: now, shape: shapeFor(state, job.ws), tally, reason: reasonOf(tally, job), remedies, paces: new Map() };
};

/**
 * What is told of a task, but for its place. In a large pool its numbers may be a moment old, as they are when they arrive
 * anyway; whether it is feasible is never out of date.
 */
const answerTo = (state: PoolState, now: number, job: Job, task: Task, manyNodes: number): Answer => {
	const need = needOf(job, task);
	if (need.special || state.nodes.size < manyNodes) return freshAnswer(state, now, job, task, false);
	const key = `${job.ws}|${needText(need)}`;
	const known = state.answers.get(key);
	if (known !== undefined && known.shape === shapeFor(state, job.ws) && known.at + ANSWER_MS > now) return known;
	const answer = freshAnswer(state, now, job, task, true);
	if (state.answers.size >= ANSWERS_MAX) state.answers.clear();
	state.answers.set(key, answer);
	return answer;
};

/**
 * Place, reason and refusals of a job of which something is queued; undefined when nothing is.
 * @param manyNodes from how many nodes on answers are remembered for a moment
 */
export const queueView = (state: PoolState, now: number, job: Job, manyNodes = MANY_NODES): QueueView | undefined => {
	const task = job.tasks.find((each) => each.queued);
	const position = positionOf(state, job);
	if (task === undefined || position === undefined) return undefined;
	const answer = answerTo(state, now, job, task, manyNodes);
	const { feasible, refusals } = answer.tally;
	const etaMs = feasible ? etaOf(answer, job, position) : undefined;
	return {
		position,
		...(etaMs === undefined ? {} : { etaMs }),
		feasible,
		reason: answer.reason,
		refusals,
		...(feasible ? {} : { remedies: answer.remedies }),
	};
};
