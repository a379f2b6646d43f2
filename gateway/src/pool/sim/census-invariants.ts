/**
 * The census of nodes, and the refusals that are read off it, against counting every slot: what was remembered too long
 * shows as a difference.
 * @module
 */
import { createCensus, takeCensus, touch, type Kind } from '../census.ts';
import { queueView } from '../explain.ts';
import type { Job, PoolState, Tally, Task } from '../model.ts';
import { nodesFor, nodesOf } from '../owners.ts';
import { OUT_OF_REACH, mayTake, slotRefusal } from '../placement.ts';
import { placesFor, tallyOf } from '../tally.ts';
import { typeOf } from '../model.ts';
import { must } from './queue-invariants.ts';

/** What `tallyOf` answers, slot by slot. */
export const countedOneByOne = (state: PoolState, now: number, job: Job, task: Task): Omit<Tally, 'slots'> => {
	const refusals: Record<string, number> = {};
	let nodes = 0;
	let slotCount = 0;
	for (const node of typeOf(job) === 'GENERAL' ? nodesFor(state, job.ws) : nodesOf(state, job.ws)) {
		if (node.mode === 'terminated') continue;
		nodes++;
		for (const slot of placesFor(node, job)) {
			const refusal = slotRefusal(state, now, slot, job, task);
			if (refusal !== null) refusals[refusal.reason] = (refusals[refusal.reason] ?? 0) + 1;
			if (mayTake(refusal)) slotCount++;
		}
	}
	return { refusals, feasible: slotCount > 0, slotCount, nodes };
};

/** Whether a free slot is out of reach is known of those that a decision has looked at: the only reasons that may differ. */
const settled = (refusals: Record<string, number>): [string, number][] =>
	Object.entries(refusals)
		.filter(([reason]) => !OUT_OF_REACH.has(reason))
		.toSorted(([a], [b]) => (a < b ? -1 : 1));

export const comparable = ({ refusals, feasible, slotCount, nodes }: Omit<Tally, 'slots'>): string =>
	JSON.stringify([settled(refusals), feasible, slotCount, nodes]);

type Kinds = ReadonlyMap<string, ReadonlyMap<string, Kind>>;

const countsText = ({ mode, counts }: Kind): string => {
	const sections = [...counts].toSorted(([a], [b]) => a - b);
	const texts = sections.map(([section, { slots, refused }]) => [section, slots, [...refused].toSorted(([a], [b]) => (a < b ? -1 : 1))]);
	return JSON.stringify([mode, texts]);
};

/** Whether two censuses have the same nodes in the same kinds, and the same counts of them. */
const compareKinds = (counted: Kinds, anew: Kinds, what: string): void => {
	must(counted.size === anew.size, () => `${what}: ${counted.size} owners are counted, there are ${anew.size}`);
	for (const [owner, kinds] of anew) {
		const known = counted.get(owner);
		must(known?.size === kinds.size, () => `${what} ${owner}: ${known?.size} kinds are counted, there are ${kinds.size}`);
		for (const [key, kind] of kinds) compareKind(known?.get(key), kind, `${what} ${owner} ${key}`);
	}
};

/** A kind's key in words: it is made to be told apart, not to be read. */
const shown = (what: string): string => what.replaceAll('\0', ' ').replaceAll('\n', '; ');

const compareKind = (known: Kind | undefined, kind: Kind, what: string): void => {
	const alike = known !== undefined && known.nodes.size === kind.nodes.size && [...kind.nodes].every((node) => known.nodes.has(node));
	must(alike, () => `${shown(what)}: other nodes are counted than there are`);
	must(
		known !== undefined && countsText(known) === countsText(kind),
		() => `${shown(what)}: counted ${known === undefined ? '' : countsText(known)}, should be ${countsText(kind)}`,
	);
};

/** What is remembered of answers for a moment may be a moment old, but not in whether a task is feasible. */
const checkAnswer = (state: PoolState, now: number, job: Job): void => {
	const task = job.tasks.find((each) => each.queued);
	const told = queueView(state, now, job, 0);
	if (task === undefined || told === undefined) return;
	const { feasible } = countedOneByOne(state, now, job, task);
	must(told.feasible === feasible, () => `${job.id} is told that it is ${feasible ? 'not ' : ''}feasible; it is ${feasible ? '' : 'not'}`);
};

/** In a large pool not every need is counted out. */
const LOOKS_MAX = 2000;

/** The census is what counting anew gives, and what each need that waits is told is what asking every slot gives. */
export const checkCensus = (state: PoolState, now: number): void => {
	const fresh: PoolState = { ...state, census: createCensus() };
	for (const node of state.nodes.values()) touch(fresh, node);
	const [counted, anew] = [takeCensus(state), takeCensus(fresh)];
	compareKinds(counted.serving, anew.serving, 'nodes serving');
	compareKinds(counted.lent, anew.lent, 'nodes lent by');
	let looks = 0;
	for (const { head } of state.lanes.lanes.values()) {
		if (head === null) continue;
		if (looks > LOOKS_MAX) break;
		looks += state.nodes.size;
		const told = comparable(tallyOf(state, now, head.job, head.task));
		const found = comparable(countedOneByOne(state, now, head.job, head.task));
		must(told === found, () => `${head.job.id} is told ${told} and should be told ${found}`);
		checkAnswer(state, now, head.job);
	}
};
