/**
 * Who refuses a task, counted: what a caller is told about a job that waits. Kinds of nodes are asked, not nodes, so that
 * the answer to a submit costs the same in a large pool.
 * @module
 */
import { isChore } from '@limner/shared';
import { AGENTS, DEVICES, countIn, shapeFor, type Kind, type Section } from './census.ts';
import { memoryOf, typeOf, type Job, type PoolNode, type PoolState, type Slot, type Tally, type Task } from './model.ts';
import {
	TOO_LITTLE,
	apartFor,
	firstBut,
	kindRefusal,
	kindsFor,
	mayTake,
	needOf,
	needText,
	oomMemory,
	slotRefusal,
	type Refusal,
} from './placement.ts';

/** Of the slots that could take a task so many are looked at, to estimate from. */
const SLOTS_KEPT = 16;
/** Where nodes are of more kinds than this, what they say is remembered for a moment, longer the more there are. */
const MANY_KINDS = 100;
const TALLY_MS = 500;
const TALLY_MS_A_KIND = 0.5;
const TALLIES_MAX = 500;
/** Of shared nodes what they say may be so old, where that will do. */
const RECENT_MS = 250;

/** Needs that a kind remembers its answers to. */
const SAYS_MAX = 1000;

interface Ask {
	state: PoolState;
	now: number;
	job: Job;
	task: Task;
	/** What the task needs, where that alone decides what a kind of nodes says; '' = it does not. */
	need: string;
}

/** Where on a node a task would run. */
export const placesFor = (node: PoolNode, job: Job): Iterable<Slot> => {
	if (!isChore(typeOf(job))) return node.slots.values();
	return node.service === null ? [] : [node.service];
};

const refuse = (tally: Tally, reason: string, slots: number): void => {
	if (slots > 0) tally.refusals[reason] = (tally.refusals[reason] ?? 0) + slots;
};

/** A node that is asked by itself, slot by slot. */
const askNode = (tally: Tally, { state, now, job, task }: Ask, node: PoolNode): void => {
	tally.nodes++;
	for (const slot of placesFor(node, job)) {
		const refusal = slotRefusal(state, now, slot, job, task);
		if (refusal !== null) refuse(tally, refusal.reason, 1);
		if (!mayTake(refusal)) continue;
		tally.slotCount++;
		tally.slots.push(slot);
	}
};

/** Sections of a kind by whether they have the memory that a task needs. */
const sectionsOf = ({ counts }: Kind, { job, task }: Ask): [Section, enough: boolean][] => {
	if (isChore(typeOf(job))) return [[AGENTS, true]];
	const oom = oomMemory(task);
	if (oom < 0) return [[DEVICES, true]];
	return [...counts.keys()].filter((section) => section >= 0).map((memory) => [memory, memory > oom]);
};

/** Some of the slots of a kind that a task could run on. */
const sample = (tally: Tally, { job, task }: Ask, { nodes }: Kind, without: readonly PoolNode[], most: number): void => {
	let left = most;
	for (const node of nodes) {
		if (left <= 0) return;
		if (without.includes(node)) continue;
		for (const slot of placesFor(node, job)) if (memoryOf(slot) > oomMemory(task) && left-- > 0) tally.slots.push(slot);
	}
};

/** What a kind says to a task; undefined when all of its nodes are asked apart. */
const sayOf = ({ state, now, job, task, need }: Ask, { says, nodes }: Kind, apart: readonly PoolNode[]): Refusal | null | undefined => {
	let said = need === '' ? undefined : says.get(need);
	if (said !== undefined) return said;
	const speaker = firstBut(nodes, apart);
	if (speaker === undefined) return undefined;
	said = kindRefusal(state, now, speaker, job, task);
	if (need === '') return said;
	if (says.size >= SAYS_MAX) says.clear();
	says.set(need, said);
	return said;
};

/** Answers how many slots of the kind could take the task, now or later. */
const askKind = (tally: Tally, ask: Ask, kind: Kind, apart: readonly PoolNode[]): number => {
	const { state } = ask;
	const refusal = sayOf(ask, kind, apart);
	if (refusal === undefined) return 0;
	tally.nodes += kind.nodes.size - apart.length;
	let slotCount = 0;
	for (const [section, enough] of sectionsOf(kind, ask)) {
		const { slots, refused } = countIn(state, kind, section, apart);
		const ofAll = refusal !== null && (!refusal.temporary || enough) ? refusal : enough ? null : TOO_LITTLE;
		if (ofAll !== null) refuse(tally, ofAll.reason, slots);
		else for (const [reason, count] of refused) refuse(tally, reason, count);
		if (mayTake(ofAll)) slotCount += slots;
	}
	tally.slotCount += slotCount;
	return slotCount;
};

const askKinds = (ask: Ask, kinds: ReadonlyMap<string, Kind>): Tally => {
	const tally: Tally = { refusals: {}, feasible: false, slots: [], slotCount: 0, nodes: 0 };
	const apart = apartFor(ask.state, ask.job, ask.task);
	const takers: { kind: Kind; here: PoolNode[]; slots: number }[] = [];
	for (const kind of kinds.values()) {
		if (kind.mode === 'terminated') continue;
		const here = apart.length === 0 ? apart : apart.filter((node) => kind.nodes.has(node));
		for (const node of here) askNode(tally, ask, node);
		const slots = askKind(tally, ask, kind, here);
		if (slots > 0) takers.push({ kind, here, slots });
	}
	// Of each kind as many as its share: an estimate speaks for all of them.
	for (const { kind, here, slots } of takers) sample(tally, ask, kind, here, Math.ceil((SLOTS_KEPT * slots) / tally.slotCount));
	return tally;
};

const sum = (a: Tally, b: Tally): Tally => {
	const refusals = { ...a.refusals };
	for (const [reason, count] of Object.entries(b.refusals)) refusals[reason] = (refusals[reason] ?? 0) + count;
	const slotCount = a.slotCount + b.slotCount;
	return { refusals, feasible: slotCount > 0, slots: [...a.slots, ...b.slots].slice(0, SLOTS_KEPT), slotCount, nodes: a.nodes + b.nodes };
};

/** @param shape of the census, where what is remembered must not say anything else about what is feasible */
const remembered = ({ state, now }: Ask, key: string, forMs: number, shape: number, fresh: () => Tally): Tally => {
	const known = state.tallies.get(key);
	if (known !== undefined && known.shape === shape && known.at + forMs > now) return known.tally;
	const tally = fresh();
	if (state.tallies.size >= TALLIES_MAX) state.tallies.clear();
	state.tallies.set(key, { at: now, shape, tally });
	return tally;
};

const NOBODY: Tally = { refusals: {}, feasible: false, slots: [], slotCount: 0, nodes: 0 };

/**
 * What the nodes that work for a job's workspace say to a task; of what looks after the pool, what the workspace's own nodes say.
 * @param recent whether the numbers of shared nodes may be a moment old; whether the task is feasible never is
 */
export const tallyOf = (state: PoolState, now: number, job: Job, task: Task, recent = false): Tally => {
	const need = needOf(job, task);
	const text = needText(need);
	const ask = { state, now, job, task, need: need.special ? '' : text };
	const [own, others] = kindsFor(state, job).map((kinds, whose) => {
		if (kinds.size > MANY_KINDS)
			return remembered(ask, `${whose}|${job.ws}|${text}`, Math.max(TALLY_MS, TALLY_MS_A_KIND * kinds.size), 0, () => askKinds(ask, kinds));
		// Shared nodes say the same to everybody.
		if (whose === 1 && recent && !need.special)
			return remembered(ask, `|${text}`, RECENT_MS, shapeFor(state, ''), () => askKinds(ask, kinds));
		return askKinds(ask, kinds);
	});
	return sum(own ?? NOBODY, others ?? NOBODY);
};
