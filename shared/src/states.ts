/**
 * Edge tables of the four state machines (design §4). `transition()` refuses everything that is not listed.
 * @module
 */

export const TASK_EDGES = {
	queued: ['leased', 'failed', 'canceled', 'expired'],
	leased: ['leased', 'queued', 'succeeded', 'failed', 'canceled', 'expired'],
	succeeded: [],
	failed: [],
	canceled: [],
	expired: [],
} as const satisfies EdgeTable;

export const JOB_EDGES = {
	waiting: ['queued', 'failed', 'canceled', 'expired'],
	queued: ['running', 'failed', 'canceled', 'expired'],
	running: ['succeeded', 'failed', 'canceled', 'expired'],
	succeeded: [],
	failed: [],
	canceled: [],
	expired: [],
} as const satisfies EdgeTable;

export const SLOT_EDGES = {
	IDLE: ['RUNNING', 'PAUSED', 'TERMINATED'],
	RUNNING: ['COMPLETED', 'FAILED', 'PAUSED', 'TERMINATED'],
	PAUSED: ['IDLE', 'RUNNING', 'TERMINATED'],
	COMPLETED: ['IDLE', 'TERMINATED'],
	FAILED: ['IDLE', 'TERMINATED'],
	TERMINATED: [],
} as const satisfies EdgeTable;

/** Persisted intent of a node; a reconnect never changes it. */
export const NODE_MODE_EDGES = {
	active: ['draining', 'paused', 'terminated'],
	draining: ['active', 'paused', 'terminated'],
	paused: ['active', 'draining', 'terminated'],
	terminated: [],
} as const satisfies EdgeTable;

/** Derived from the socket. */
export const NODE_LINK_EDGES = {
	pending: ['online', 'offline'],
	online: ['suspect', 'offline'],
	suspect: ['online', 'offline'],
	offline: ['pending', 'online'],
} as const satisfies EdgeTable;

type EdgeTable = Readonly<Record<string, readonly string[]>>;
type Machines = {
	task: typeof TASK_EDGES;
	job: typeof JOB_EDGES;
	slot: typeof SLOT_EDGES;
	nodeMode: typeof NODE_MODE_EDGES;
	nodeLink: typeof NODE_LINK_EDGES;
};

export const MACHINES: Machines = {
	task: TASK_EDGES,
	job: JOB_EDGES,
	slot: SLOT_EDGES,
	nodeMode: NODE_MODE_EDGES,
	nodeLink: NODE_LINK_EDGES,
};

export type MachineName = keyof Machines;
export type StateOf<M extends MachineName> = keyof Machines[M] & string;
export type TaskState = StateOf<'task'>;
export type JobState = StateOf<'job'>;
export type SlotState = StateOf<'slot'>;
export type NodeMode = StateOf<'nodeMode'>;
export type NodeLink = StateOf<'nodeLink'>;

/** Thrown for an edge that is in no table: always a bug, never a caller's fault. */
export class TransitionError extends Error {
	override readonly name = 'TransitionError';
	readonly machine: MachineName;
	readonly from: string;
	readonly to: string;
	constructor(machine: MachineName, from: string, to: string) {
		super(`${machine} cannot go from ${from} to ${to}`);
		this.machine = machine;
		this.from = from;
		this.to = to;
	}
}

/** Whether the edge is in the machine's table. */
export const canTransition = (machine: MachineName, from: string, to: string): boolean => {
	const table: EdgeTable = MACHINES[machine];
	return Object.hasOwn(table, from) && (table[from] ?? []).includes(to);
};

/**
 * Answers the new state.
 * @throws {TransitionError} when the edge is not in the table.
 */
export const transition = <M extends MachineName>(machine: M, from: StateOf<M>, to: StateOf<M>): StateOf<M> => {
	if (!canTransition(machine, from, to)) throw new TransitionError(machine, from, to);
	return to;
};

/** A state without outgoing edges. */
export const isTerminal = (machine: MachineName, state: string): boolean => {
	const table: EdgeTable = MACHINES[machine];
	return Object.hasOwn(table, state) && (table[state] ?? []).length === 0;
};
