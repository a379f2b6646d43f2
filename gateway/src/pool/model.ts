/**
 * State, events and effects of the pool's pure core. `step()` in core.ts turns an event into effects; nothing in this
 * folder but pool.ts, store.ts and sockets.ts touches a clock, storage or a socket.
 * @module
 */
import { CHORE_SLOT } from '@limner/shared';
import type { TaskType } from '@limner/shared';
import type {
	Job,
	Slot,
	PoolNode,
	Settled,
	PoolConfig,
	SourceTrouble,
	Outbox,
	QueueItem,
	Answer,
	Tally,
	Watched,
	Counters,
	Readings,
} from './entities.ts';
import type { Census } from './census.ts';
import type { Texts } from './idle.ts';
import type { Send, Writes } from './events.ts';
import type { Lanes } from './pens.ts';
import type { Ordered } from './ordered.ts';
import type { Owners } from './owners.ts';
import type { Timers } from './timers.ts';

export type * from './entities.ts';
export type * from './events.ts';

export interface PoolState {
	jobs: Map<string, Job>;
	settled: Map<string, Settled>;
	nodes: Map<string, PoolNode>;
	owners: Owners;
	/** Accepted sockets that have not said hello: connection id → when to give up. */
	pending: Map<string, number>;
	connNode: Map<string, string>;
	/** Waiting tasks by workspace. */
	queues: Map<string, Ordered<QueueItem>>;
	/** Number of queued tasks in `queues`. */
	backlog: number;
	/** Tasks that wait for a node, not for a device. */
	chores: Ordered<QueueItem>;
	/** Free service slots. */
	service: Set<Slot>;
	/** Live jobs by a job that they depend on. */
	dependents: Map<string, Set<string>>;
	source: SourceTrouble | null;
	pools: Map<string, PoolConfig>;
	/** When a node was last asked to fetch a model, by model. */
	prefetchedAt: Map<string, number>;
	prefetchLookAt: number;
	free: Set<Slot>;
	/** Nodes with free devices, the one that was told longest ago why it idles first; some may have become busy since. */
	idle: Set<PoolNode>;
	/** Free slots that no decision looks at for a moment, and why: their node is silent or did not answer. */
	aside: Map<Slot, string>;
	/** Waiting tasks and free slots, arranged so that the next grant is found at once. */
	lanes: Lanes;
	census: Census;
	/** Refusals by need, for a moment: of pools with very many kinds of nodes, and of shared nodes where many ask. */
	tallies: Map<string, { at: number; shape: number; tally: Tally }>;
	/** What was told of waiting tasks a moment ago. */
	answers: Map<string, Answer>;
	/** Where very many nodes are idle, the next ones of them are not looked at before this time. */
	idleLookAt: number;
	/** What nodes that stand idle were told a moment ago. */
	idleTexts: Texts;
	fair: { v: number; f: Map<string, number> };
	outbox: Map<string, Outbox>;
	watched: Map<string, Watched>;
	timers: Timers;
	/** Settle batches by workspace, and rows of nodes by id: when they are due. Not worth an alarm. */
	flushes: Timers;
	saves: Timers;
	/** When volatile frames are due; not worth an alarm either. */
	pokeAt: number;
	dispatchMs: number[];
	counters: Counters;
	readings: Readings;
}

/** What handlers work on. */
export interface Ctx {
	state: PoolState;
	now: number;
	writes: Writes;
	sends: Send[];
	/** Queue or free slots changed: match them at the end of the step. */
	match: boolean;
}

/** What the job asks of a node. */
export const typeOf = (job: Pick<Job, 'spec'>): TaskType => job.spec.taskType ?? 'GENERAL';

/** Slot of a node by its name; the one for tasks that need no device has a name of its own. */
export const slotNamed = (node: PoolNode, id: string): Slot | undefined =>
	id === CHORE_SLOT ? (node.service ?? undefined) : node.slots.get(id);

/** Memory that a slot's device has, in bytes; 0 = unknown. */
export const memoryOf = (slot: Slot): number => slot.info.device.memoryBytes ?? slot.node.memoryBytes ?? 0;

export const taskKey = (jobId: string, index: number): string => `${jobId}/${index}`;
