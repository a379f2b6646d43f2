/**
 * Breadth-first exploration of everything that can happen, and whether from everywhere everything can still end well.
 * @module
 */
import { hash } from 'node:crypto';
import { canonical } from './canon.ts';
import { movesOf, type Move } from './moves.ts';
import { checkWork, freeze, initial, isDone, thaw, type System } from './system.ts';

export interface Bounds {
	nodes: number;
	tasks: number;
	faults: number;
	/** Tasks look after the pool instead of making pictures. */
	care: boolean;
	/** Wall-clock milliseconds after which the search gives up, which counts as a failure. */
	budgetMs: number;
}

export interface Explored {
	states: number;
	edges: number;
	depth: number;
	/** Nothing is left to look at. */
	frontierEmpty: boolean;
	/** States in which everything had ended. */
	done: number;
	seconds: number;
	violation?: { message: string; trace: string[] };
}

/** A state whose moves were not made yet. */
interface Waiting {
	state: number;
	bytes: Buffer;
}

/** Where each state was first met from. */
interface Graph {
	index: Map<string, number>;
	parents: number[];
	names: string[];
	from: number[];
	to: number[];
	done: number[];
}

const traceOf = (graph: Graph, state: number, last?: string): string[] => {
	const trace = last === undefined ? [] : [last];
	for (let at = state; at > 0; at = graph.parents[at] ?? 0) trace.unshift(graph.names[at] ?? '');
	return trace;
};

/** States from which no way leads to the end. */
const stuckStates = (graph: Graph): number[] => {
	const into = Array.from({ length: graph.parents.length }, (): number[] => []);
	for (const [i, to] of graph.to.entries()) into[to]?.push(graph.from[i] ?? 0);
	const good = new Uint8Array(graph.parents.length);
	const open = [...graph.done];
	for (const state of open) good[state] = 1;
	for (let state = open.pop(); state !== undefined; state = open.pop()) {
		for (const before of into[state] ?? []) {
			if (good[before] === 1) continue;
			good[before] = 1;
			open.push(before);
		}
	}
	return [...good.keys()].filter((state) => good[state] === 0);
};

const apply = (bytes: Buffer, move: Move): System => {
	const next = thaw(bytes);
	if (move.fault) next.faults--;
	move.run(next);
	checkWork(next);
	return next;
};

/** Looks at every state that can be reached within the bounds. */
export const explore = (bounds: Bounds, onProgress: (states: number, frontier: number, depth: number) => void): Explored => {
	const startedAt = performance.now();
	const first = initial(bounds.nodes, bounds.tasks, bounds.faults, bounds.care);
	const graph: Graph = { index: new Map([[digest(first), 0]]), parents: [0], names: [''], from: [], to: [], done: [] };
	let layer: Waiting[] = [{ state: 0, bytes: freeze(first) }];
	let depth = 0;
	const answer = (frontierEmpty: boolean, violation?: Explored['violation']): Explored => ({
		states: graph.parents.length,
		edges: graph.from.length,
		depth,
		frontierEmpty,
		done: graph.done.length,
		seconds: (performance.now() - startedAt) / 1000,
		...(violation === undefined ? {} : { violation }),
	});
	while (layer.length > 0) {
		const next: typeof layer = [];
		for (let waiting = layer.pop(); waiting !== undefined; waiting = layer.pop()) {
			const { state, bytes } = waiting;
			if (performance.now() - startedAt > bounds.budgetMs) return answer(false);
			const violation = expand(graph, state, bytes, next);
			if (violation !== undefined) return answer(false, violation);
		}
		layer = next;
		if (layer.length > 0) depth++;
		onProgress(graph.parents.length, layer.length, depth);
	}
	const [stuck] = stuckStates(graph);
	const message = 'invariant: from here the jobs can never end';
	return answer(true, stuck === undefined ? undefined : { message, trace: traceOf(graph, stuck) });
};

const digest = (system: System): string => hash('sha1', canonical(system), 'base64');

const expand = (graph: Graph, state: number, bytes: Buffer, next: Waiting[]): Explored['violation'] => {
	const system = thaw(bytes);
	if (isDone(system)) graph.done.push(state);
	for (const move of movesOf(system)) {
		let reached: System;
		try {
			reached = apply(bytes, move);
		} catch (error) {
			if (!(error instanceof Error)) throw error;
			return { message: error.message, trace: traceOf(graph, state, move.name) };
		}
		const key = digest(reached);
		let to = graph.index.get(key);
		if (to === undefined) {
			to = graph.parents.length;
			graph.index.set(key, to);
			graph.parents.push(state);
			graph.names.push(move.name);
			next.push({ state: to, bytes: freeze(reached) });
		}
		graph.from.push(state);
		graph.to.push(to);
	}
	return undefined;
};
