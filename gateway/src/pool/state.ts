/**
 * The state of a pool that knows nothing.
 * @module
 */
import { createCensus } from './census.ts';
import { createLanes } from './pens.ts';
import type { PoolState, Readings } from './model.ts';
import { createOrdered } from './ordered.ts';
import { createOwners } from './owners.ts';
import { createTimers } from './timers.ts';

/** An empty pool. */
export const createState = (readings: Readings): PoolState => ({
	jobs: new Map(),
	settled: new Map(),
	nodes: new Map(),
	owners: createOwners(),
	pending: new Map(),
	connNode: new Map(),
	queues: new Map(),
	backlog: 0,
	chores: createOrdered(),
	service: new Set(),
	dependents: new Map(),
	source: null,
	pools: new Map(),
	prefetchedAt: new Map(),
	prefetchLookAt: 0,
	free: new Set(),
	idle: new Set(),
	aside: new Map(),
	lanes: createLanes(),
	census: createCensus(),
	tallies: new Map(),
	answers: new Map(),
	idleLookAt: 0,
	idleTexts: { at: 0, of: new Map() },
	fair: { v: 0, f: new Map() },
	outbox: new Map(),
	watched: new Map(),
	timers: createTimers(),
	flushes: createTimers(),
	saves: createTimers(),
	pokeAt: Number.POSITIVE_INFINITY,
	dispatchMs: [],
	counters: {
		granted: 0,
		completed: 0,
		failed: 0,
		requeued: 0,
		staleResults: 0,
		unknownFrames: 0,
		badFrames: 0,
		handoffs: 0,
		handoffsMet: 0,
		prefetches: 0,
	},
	readings,
});
