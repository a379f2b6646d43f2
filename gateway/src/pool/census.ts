/**
 * Nodes counted by what they are. Nodes that refuse every task for the same reasons form a **kind**: of one mode, there or
 * away, with the same models and task types, working for the same workspace. What a task meets is asked of one node of each
 * kind and multiplied, so it costs as much with ten thousand nodes as with ten. What differs within a kind is whether its
 * slots are taken and how much memory they have; both are counted.
 *
 * A change of a node only marks it (`touch`); it is counted anew at the end of the step, or before somebody asks.
 * @module
 */
import type { ModelInfo, NodeMode } from '@limner/shared';
import { memoryOf, type PoolNode, type PoolState, type Slot } from './model.ts';
import type { Refusal } from './placement.ts';

/** Why a slot takes nothing now although its kind would; '' = it does. */
type SlotRefusal = string;
export const BUSY = 'busy';

export interface Count {
	slots: number;
	refused: Map<SlotRefusal, number>;
}

/** Which slots are counted: places for tasks that need no device, all devices, or those of one size of memory in bytes. */
export const AGENTS = -2;
export const DEVICES = -1;
export type Section = number;

export interface Kind {
	mode: NodeMode;
	/** Whom its nodes work for, if they are connected and may work: without such a kind nothing is feasible. */
	serves: string | null;
	nodes: Set<PoolNode>;
	/** What all of them say to a need that none of them is special for, once they were asked. It never changes: who changes is of another kind. */
	says: Map<string, Refusal | null>;
	counts: Map<Section, Count>;
}

/** A kind, and where it is found. */
interface Place {
	kind: Kind;
	key: string;
	owner: string;
	all: Map<string, Map<string, Kind>>;
}

interface Facts extends Pick<PoolNode, 'ws' | 'trust' | 'mode' | 'taskTypes' | 'models'> {
	away: boolean;
	/** What the lists say; they are replaced, never changed. */
	offers: string;
}

/** What a node was counted as. */
interface Entry {
	/** Where it was counted: among those who work for the same workspace, and, if it is lent, among those of its owner. */
	places: Place[];
	/** What decided that. */
	facts: Facts;
	slots: { memory: number | null; refusal: SlotRefusal }[];
}

export interface Census {
	/** Kinds by whom their nodes work for, '' = everybody. */
	serving: Map<string, Map<string, Kind>>;
	/** Kinds of shared nodes by the workspace that lends them. */
	lent: Map<string, Map<string, Kind>>;
	entries: Map<PoolNode, Entry>;
	/** By whom nodes work for, how often a kind that works, or a size of memory in it, has appeared or vanished. */
	shapes: Map<string, number>;
	touched: Set<PoolNode>;
}

export const createCensus = (): Census => ({
	serving: new Map(),
	lent: new Map(),
	entries: new Map(),
	shapes: new Map(),
	touched: new Set(),
});

/** Something about a node has changed that decides what it takes. */
export const touch = ({ census }: PoolState, node: PoolNode): void => {
	census.touched.add(node);
};

const offerOf = ({ name, operations, sizeMultiple, source = '' }: ModelInfo): string =>
	`${name}\0${operations.join('\0')}\0${sizeMultiple}\0${source}`;

const offersOf = ({ taskTypes, models }: Pick<PoolNode, 'taskTypes' | 'models'>): string =>
	`${taskTypes.join(',')}|${models.map(offerOf).join('\n')}`;

const keyOf = ({ mode, conn }: PoolNode, offers: string): string => `${mode}|${conn === null ? 'away' : 'here'}|${offers}`;

const kindIn = (census: Census, all: Map<string, Map<string, Kind>>, owner: string, key: string, { mode, conn }: PoolNode): Place => {
	const among = all.get(owner) ?? new Map<string, Kind>();
	all.set(owner, among);
	const serves = all === census.serving && mode === 'active' && conn !== null ? owner : null;
	const kind = among.get(key) ?? { mode, serves, nodes: new Set(), says: new Map(), counts: new Map() };
	among.set(key, kind);
	return { kind, key, owner, all };
};

const refusalOf = ({ aside }: PoolState, slot: Slot): SlotRefusal => (slot.grant === null ? (aside.get(slot) ?? '') : BUSY);

const placesOf = (state: PoolState, node: PoolNode, offers: string): Place[] => {
	const { census } = state;
	const { serving, lent } = census;
	const key = keyOf(node, offers);
	if (node.trust === 'own') return [kindIn(census, serving, node.ws, key, node)];
	return [kindIn(census, serving, '', key, node), kindIn(census, lent, node.ws, key, node)];
};

const factsOf = ({ ws, trust, mode, conn, taskTypes, models }: PoolNode, before: Facts | undefined): Facts => {
	const away = conn === null;
	const offers = before?.taskTypes === taskTypes && before.models === models ? before.offers : offersOf({ taskTypes, models });
	const alike = before?.ws === ws && before.trust === trust && before.mode === mode && before.away === away && before.offers === offers;
	if (!alike) return { ws, trust, mode, away, taskTypes, models, offers };
	before.taskTypes = taskTypes;
	before.models = models;
	return before;
};

const slotsOf = (state: PoolState, node: PoolNode): Entry['slots'] => {
	const slots: Entry['slots'] = [];
	for (const slot of node.slots.values()) slots.push({ memory: memoryOf(slot), refusal: refusalOf(state, slot) });
	if (node.service !== null) slots.push({ memory: null, refusal: refusalOf(state, node.service) });
	return slots;
};

const sameSlots = (a: Entry['slots'], b: Entry['slots']): boolean =>
	a.length === b.length && a.every(({ memory, refusal }, i) => memory === b[i]?.memory && refusal === b[i].refusal);

const shift = (count: Count, refusal: SlotRefusal, by: 1 | -1): void => {
	count.slots += by;
	if (refusal === '') return;
	const refused = (count.refused.get(refusal) ?? 0) + by;
	if (refused === 0) count.refused.delete(refusal);
	else count.refused.set(refusal, refused);
};

const reshape = ({ shapes }: Census, { serves }: Kind): void => {
	if (serves !== null) shapes.set(serves, (shapes.get(serves) ?? 0) + 1);
};

const enterSection = (census: Census, kind: Kind, section: Section, refusal: SlotRefusal, by: 1 | -1): void => {
	let count = kind.counts.get(section);
	if (count === undefined) {
		count = { slots: 0, refused: new Map() };
		kind.counts.set(section, count);
		reshape(census, kind);
	}
	shift(count, refusal, by);
	if (count.slots > 0) return;
	kind.counts.delete(section);
	reshape(census, kind);
};

const enter = (census: Census, kind: Kind, slots: Entry['slots'], by: 1 | -1): void => {
	for (const { memory, refusal } of slots) {
		enterSection(census, kind, memory === null ? AGENTS : DEVICES, refusal, by);
		if (memory !== null) enterSection(census, kind, memory, refusal, by);
	}
};

const leave = (node: PoolNode, { kind, key, owner, all }: Place): void => {
	kind.nodes.delete(node);
	if (kind.nodes.size > 0) return;
	const among = all.get(owner);
	among?.delete(key);
	if (among?.size === 0) all.delete(owner);
};

const setSlots = (census: Census, entry: Entry, slots: Entry['slots']): void => {
	if (sameSlots(entry.slots, slots)) return;
	for (const { kind } of entry.places) {
		// First in, then out: what stays never vanishes in between.
		enter(census, kind, slots, 1);
		enter(census, kind, entry.slots, -1);
	}
	entry.slots = slots;
};

/** A shared node that changes hands is still among those that serve everybody. */
const moveOut = (census: Census, node: PoolNode, before: Entry, entry: Entry): void => {
	for (const place of before.places) {
		enter(census, place.kind, before.slots, -1);
		if (!entry.places.some(({ kind }) => kind === place.kind)) leave(node, place);
	}
};

/** Most changes are of slots only. */
const recount = (state: PoolState, node: PoolNode): void => {
	const { census } = state;
	const { entries } = census;
	const before = entries.get(node);
	const facts = factsOf(node, before?.facts);
	const slots = slotsOf(state, node);
	if (before?.facts === facts) {
		setSlots(census, before, slots);
		return;
	}
	const entry: Entry = { places: placesOf(state, node, facts.offers), facts, slots };
	entries.set(node, entry);
	for (const { kind } of entry.places) {
		enter(census, kind, slots, 1);
		kind.nodes.add(node);
	}
	if (before !== undefined) moveOut(census, node, before, entry);
};

/** Counts anew what was touched. */
export const takeCensus = (state: PoolState): Census => {
	const { census } = state;
	for (const node of census.touched) recount(state, node);
	census.touched.clear();
	return census;
};

const NONE: ReadonlyMap<string, Kind> = new Map();

/** Kinds of nodes that work for a workspace: its own, and those that work for everybody. */
export const kindsServing = (state: PoolState, ws: string): ReadonlyMap<string, Kind>[] => {
	const { serving } = takeCensus(state);
	return [serving.get(ws) ?? NONE, serving.get('') ?? NONE];
};

/** Kinds of nodes that belong to a workspace: what it looks after. */
export const kindsOwned = (state: PoolState, ws: string): ReadonlyMap<string, Kind>[] => {
	const { serving, lent } = takeCensus(state);
	return [serving.get(ws) ?? NONE, lent.get(ws) ?? NONE];
};

/** As long as it stays the same, what is feasible for a workspace stays so, and what is not is not. It only grows. */
export const shapeFor = (state: PoolState, ws: string): number => {
	const { shapes } = takeCensus(state);
	return (shapes.get(ws) ?? 0) + (shapes.get('') ?? 0);
};

/** The kind that a node belongs to among those who work for the same; with `owned`, among those of them that also have the same owner. */
export const kindOf = (state: PoolState, node: PoolNode, owned: boolean): Kind | undefined =>
	takeCensus(state)
		.entries.get(node)
		?.places.at(owned ? -1 : 0)?.kind;

/** Slots of a section of a kind, without those of some of its nodes. */
export const countIn = ({ census }: PoolState, { counts }: Kind, section: Section, without: readonly PoolNode[]): Count => {
	const all = counts.get(section);
	if (all === undefined) return { slots: 0, refused: new Map() };
	if (without.length === 0) return all;
	const rest: Count = { slots: all.slots, refused: new Map(all.refused) };
	for (const { memory, refusal } of without.flatMap((node) => census.entries.get(node)?.slots ?? [])) {
		if (section === AGENTS ? memory === null : memory !== null && (section === DEVICES || section === memory)) shift(rest, refusal, -1);
	}
	return rest;
};
