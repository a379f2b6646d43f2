import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { canTransition, isTerminal, MACHINES, type MachineName, transition, TransitionError } from './states.ts';

type Edges = Readonly<Record<string, readonly string[]>>;
const tables = Object.entries(MACHINES) as [MachineName, Edges][];

/** The design's words, written out again: a table that changes by mistake fails here. */
const DESIGN: Record<MachineName, string> = {
	task: 'queued→leased|failed|canceled|expired; leased→leased|queued|succeeded|failed|canceled|expired; succeeded; failed; canceled; expired',
	job: 'waiting→queued|failed|canceled|expired; queued→running|failed|canceled|expired; running→succeeded|failed|canceled|expired; succeeded; failed; canceled; expired',
	slot: 'IDLE→RUNNING|PAUSED|TERMINATED; RUNNING→COMPLETED|FAILED|PAUSED|TERMINATED; PAUSED→IDLE|RUNNING|TERMINATED; COMPLETED→IDLE|TERMINATED; FAILED→IDLE|TERMINATED; TERMINATED',
	nodeMode: 'active→draining|paused|terminated; draining→active|paused|terminated; paused→active|draining|terminated; terminated',
	nodeLink: 'pending→online|offline; online→suspect|offline; suspect→online|offline; offline→pending|online',
};
const TERMINAL: Record<MachineName, string[]> = {
	task: ['succeeded', 'failed', 'canceled', 'expired'],
	job: ['succeeded', 'failed', 'canceled', 'expired'],
	slot: ['TERMINATED'],
	nodeMode: ['terminated'],
	nodeLink: [],
};

/** Class of what the call throws; `undefined` when it answers. */
const refusalOf = (call: () => unknown): unknown => {
	try {
		call();
		return undefined;
	} catch (error) {
		return error instanceof Error ? error.constructor : error;
	}
};
const reachable = (edges: Edges, from: string): Set<string> => {
	const seen = new Set([from]);
	for (const state of seen) for (const next of edges[state]!) seen.add(next);
	return seen;
};

describe.each(tables)('%s', (machine, edges) => {
	const states = Object.keys(edges);
	// The states are only known as texts here; the typed signature is what callers see.
	const go = transition as (machine: MachineName, from: string, to: string) => string;

	it('is the table of the design', () => {
		const text = states.map((from) => `${from}${edges[from]!.length > 0 ? `→${edges[from]!.join('|')}` : ''}`).join('; ');
		expect(text).toBe(DESIGN[machine]);
	});

	it('lets every listed edge pass and throws for every other pair', () => {
		const pairs = states.flatMap((from) => states.map((to): [string, string] => [from, to]));
		for (const [from, to] of pairs) expect(canTransition(machine, from, to)).toBe(edges[from]!.includes(to));
		const [listed, others] = [true, false].map((wanted) => pairs.filter(([from, to]) => edges[from]!.includes(to) === wanted));
		for (const [from, to] of listed!) expect(go(machine, from, to)).toBe(to);
		for (const [from, to] of others!) expect(() => go(machine, from, to)).toThrow(TransitionError);
	});

	it('has no way out of a terminal state, and a way to an end from every other', () => {
		const terminal = TERMINAL[machine];
		expect(states.filter((state) => isTerminal(machine, state))).toEqual(terminal);
		for (const state of terminal) expect(states.filter((to) => canTransition(machine, state, to))).toEqual([]);
		const endless = states.filter((state) => ![...reachable(edges, state)].some((end) => isTerminal(machine, end)));
		expect(endless).toEqual(terminal.length > 0 ? [] : states);
		expect([...reachable(edges, states[0]!)].toSorted()).toEqual(states.toSorted());
	});

	it('names only states that exist', () => {
		for (const targets of Object.values(edges)) {
			for (const to of targets) expect(states).toContain(to);
			expect(new Set(targets).size).toBe(targets.length);
		}
	});

	it('says which edge was refused', () => {
		const [from] = states;
		expect(() => go(machine, from!, 'nowhere')).toThrow(`${machine} cannot go from ${from} to nowhere`);
	});

	it('refuses names that are no states, inherited ones included', () => {
		for (const name of ['', 'nowhere', 'constructor', '__proto__', 'toString']) {
			expect(canTransition(machine, name, states[0]!)).toBe(false);
			expect(isTerminal(machine, name)).toBe(false);
			expect(() => go(machine, name, states[0]!)).toThrow(TransitionError);
		}
	});

	it('random walks never leave the table', () => {
		fc.assert(
			fc.property(fc.constantFrom(...states), fc.array(fc.constantFrom(...states, 'nowhere'), { maxLength: 40 }), (start, wishes) => {
				let state = start;
				for (const wish of wishes) {
					const before = state;
					const attempt = (): string => (state = go(machine, before, wish));
					expect(refusalOf(attempt)).toBe(edges[before]!.includes(wish) ? undefined : TransitionError);
					// A refused wish leaves the state alone; `leased → leased` is the one edge onto itself.
					expect(state).toBe(edges[before]!.includes(wish) ? wish : before);
					expect(states).toContain(state);
				}
			}),
		);
	});
});
