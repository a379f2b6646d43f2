/**
 * Rows of the pool and what is rebuilt from them after an eviction or a crash.
 * @module
 */
import { TIMING } from '@limner/shared';
import type { HistEntry, ImageRecord, JobError, JobSpec, JobState, ModelInfo, NodeMode, SlotInfo, TaskState } from '@limner/shared';
import { jobIsOver, queueSettlement } from './ending.ts';
import { addFree, occupy } from './free.ts';
import { freshRun, taskDueAt } from './grants.ts';
import { createTask } from './jobs.ts';
import { createLanes } from './lanes.ts';
import { indexDependents } from './dependencies.ts';
import {
	slotNamed,
	taskKey,
	type Dependency,
	type Job,
	type NodeError,
	type PoolConfig,
	type PoolNode,
	type PoolState,
	type Readings,
	type Task,
	type TaskFailure,
} from './model.ts';
import { createNode, createSlot, offerService } from './nodes.ts';
import { enqueueTask, rebuildFair } from './queue.ts';
import { arm, createTimers } from './timers.ts';
import { addWatcher } from './watching.ts';

export interface JobRowData {
	id: string;
	ws: string;
	rev: number;
	/** `done` = finished: the row is the outbox of its settlement. */
	state: 'open' | 'done';
	spec: string;
	tasks: string;
	hist: string;
	meta: string;
	ftag: number;
	/** JSON of the jobs that it waits for; null for most. */
	deps?: string | null;
}

export interface PoolRowData {
	ws: string;
	data: string;
}

export interface NodeRowData {
	id: string;
	ws: string;
	mode: NodeMode;
	data: string;
}

interface TaskData {
	s: TaskState;
	e: number;
	n?: string;
	sl?: string;
	at?: number;
	le?: number;
	lo?: number;
	f?: TaskFailure[];
	im?: ImageRecord;
	re?: string;
}

interface JobMeta {
	state: JobState;
	weight: number;
	keyId: string;
	createdAt: number;
	startedAt?: number;
	finishedAt?: number;
	warnings?: string[];
	error?: JobError;
	traceId?: string;
	retryOf?: string;
	inputs?: Job['inputs'];
}

const packTask = (task: Task): TaskData => ({
	s: task.state,
	e: task.epoch,
	...(task.nodeId === null ? {} : { n: task.nodeId }),
	...(task.slotId === null ? {} : { sl: task.slotId }),
	...(task.grantedAt === 0 ? {} : { at: task.grantedAt, le: task.leaseMs }),
	...(task.losses === 0 ? {} : { lo: task.losses }),
	...(task.fails.length === 0 ? {} : { f: task.fails }),
	...(task.image === null ? {} : { im: task.image }),
	...(task.report === null ? {} : { re: task.report }),
});

const unpackTask = (data: TaskData, index: number): Task => ({
	...createTask(index),
	state: data.s,
	epoch: data.e,
	nodeId: data.n ?? null,
	slotId: data.sl ?? null,
	grantedAt: data.at ?? 0,
	leaseMs: data.le ?? 0,
	losses: data.lo ?? 0,
	fails: data.f ?? [],
	image: data.im ?? null,
	report: data.re ?? null,
});

/** A job as its row. */
export const packJob = (job: Job): JobRowData => {
	const meta: JobMeta = {
		state: job.state,
		weight: job.weight,
		keyId: job.keyId,
		createdAt: job.createdAt,
		...(job.startedAt === null ? {} : { startedAt: job.startedAt }),
		...(job.finishedAt === null ? {} : { finishedAt: job.finishedAt }),
		...(job.warnings.length === 0 ? {} : { warnings: job.warnings }),
		...(job.error === null ? {} : { error: job.error }),
		...(job.traceId === null ? {} : { traceId: job.traceId }),
		...(job.retryOf === null ? {} : { retryOf: job.retryOf }),
		...(Object.keys(job.inputs).length === 0 ? {} : { inputs: job.inputs }),
	};
	return {
		id: job.id,
		ws: job.ws,
		rev: job.rev,
		state: jobIsOver(job) ? 'done' : 'open',
		spec: JSON.stringify(job.spec),
		tasks: JSON.stringify(job.tasks.map(packTask)),
		hist: JSON.stringify(job.hist),
		meta: JSON.stringify(meta),
		ftag: job.ftag,
		deps: job.deps.length === 0 ? null : JSON.stringify(job.deps),
	};
};

/** A job from its row; what was volatile is gone. */
export const unpackJob = (row: JobRowData): Job => {
	const meta = JSON.parse(row.meta) as JobMeta;
	return {
		id: row.id,
		ws: row.ws,
		weight: meta.weight,
		keyId: meta.keyId,
		spec: JSON.parse(row.spec) as JobSpec,
		createdAt: meta.createdAt,
		startedAt: meta.startedAt ?? null,
		finishedAt: meta.finishedAt ?? null,
		state: meta.state,
		rev: row.rev,
		tasks: (JSON.parse(row.tasks) as TaskData[]).map(unpackTask),
		hist: JSON.parse(row.hist) as HistEntry[],
		warnings: meta.warnings ?? [],
		error: meta.error ?? null,
		traceId: meta.traceId ?? null,
		retryOf: meta.retryOf ?? null,
		ftag: row.ftag,
		deps: row.deps == null ? [] : (JSON.parse(row.deps) as Dependency[]),
		inputs: meta.inputs ?? {},
	};
};

type NodeData = Pick<
	PoolNode,
	| 'name'
	| 'labels'
	| 'keyVersion'
	| 'telemetry'
	| 'isolation'
	| 'trust'
	| 'modeReason'
	| 'agentVersion'
	| 'platform'
	| 'diskFreeBytes'
	| 'memoryBytes'
	| 'completed'
	| 'failed'
	| 'speed'
	| 'lastSeenAt'
	| 'taskTypes'
	| 'wantedSlots'
	| 'movedTo'
	| 'work'
	| 'slotStats'
	| 'canaries'
> & {
	models: ModelInfo[];
	slots: SlotInfo[];
	recentErrors: NodeError[];
	/** Not in rows of older versions. */
	historyAt?: number;
};

/** Readings that outlive the object's memory. */
const TELEMETRY_KEPT = 10;
const ISOLATION_KEPT = 20;

/** A node as its row: what it offers, what was measured, what its owner wants. Nothing of its connection. */
export const packNode = (node: PoolNode): NodeRowData => {
	const { name, trust, modeReason, agentVersion, platform, diskFreeBytes, memoryBytes, completed, failed, speed, lastSeenAt } = node;
	const { taskTypes, wantedSlots, movedTo, work, slotStats, canaries } = node;
	const data: NodeData = {
		name,
		labels: node.labels,
		keyVersion: node.keyVersion,
		telemetry: node.telemetry.slice(-TELEMETRY_KEPT),
		isolation: node.isolation.slice(-ISOLATION_KEPT),
		trust,
		modeReason,
		agentVersion,
		platform,
		diskFreeBytes,
		memoryBytes,
		completed,
		failed,
		speed,
		lastSeenAt,
		taskTypes,
		wantedSlots,
		movedTo,
		work,
		slotStats,
		canaries,
		models: node.models,
		slots: [...node.slots.values()].map((slot) => slot.info),
		recentErrors: node.recentErrors,
		historyAt: node.historyAt,
	};
	return { id: node.id, ws: node.ws, mode: node.mode, data: JSON.stringify(data) };
};

/** A node from its row, not connected. */
export const unpackNode = (row: NodeRowData): PoolNode => {
	const { slots, ...data } = JSON.parse(row.data) as NodeData;
	const node: PoolNode = { ...createNode({ nodeId: row.id, ws: row.ws, trust: data.trust, name: data.name }), ...data, mode: row.mode };
	for (const info of slots) node.slots.set(info.id, createSlot(node, info));
	offerService(node);
	// Written before, so an unchanged hello writes nothing.
	node.savedAt = 1;
	node.historyAt = data.historyAt ?? 0;
	return node;
};

/** Connections that outlived the pool's memory. */
export interface Survivors {
	/** Nodes that had said hello. */
	nodes: { connId: string; nodeId: string; bootId: string; at: number }[];
	/** Sockets that had not. */
	pending: { connId: string; until: number }[];
	/** Watched jobs, once for each watcher. */
	watched: string[];
}

/** An empty pool. */
export const createState = (readings: Readings): PoolState => ({
	jobs: new Map(),
	settled: new Map(),
	nodes: new Map(),
	pending: new Map(),
	connNode: new Map(),
	queues: new Map(),
	backlog: 0,
	chores: new Map(),
	service: new Set(),
	dependents: new Map(),
	source: null,
	pools: new Map(),
	prefetchedAt: new Map(),
	prefetchLookAt: 0,
	free: new Set(),
	aside: new Set(),
	lanes: createLanes(),
	tallies: new Map(),
	idleLookAt: 0,
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

const restoreConns = (state: PoolState, survivors: Survivors, now: number): void => {
	for (const { connId, nodeId, bootId, at } of survivors.nodes) {
		const node = state.nodes.get(nodeId);
		if (node === undefined || node.mode === 'terminated') continue;
		node.conn = { id: connId, bootId, at, lastFrameAt: at };
		state.connNode.set(connId, nodeId);
		arm(state.timers, 'sweep', now + TIMING.sweepMs);
	}
	for (const { connId, until } of survivors.pending) {
		state.pending.set(connId, until);
		arm(state.timers, `c:${connId}`, until);
	}
};

/**
 * Takes up a grant again. With its socket alive the holder goes on as if nothing had happened; without, it has ten
 * seconds to come back before somebody else gets the task.
 */
const restoreGrant = (state: PoolState, job: Job, task: Task, now: number): void => {
	const node = state.nodes.get(task.nodeId ?? '');
	const key = taskKey(job.id, task.index);
	const run = freshRun(now, Math.max(task.leaseMs, TIMING.leaseMinMs), job.spec.steps);
	task.run = run;
	run.acked = true;
	run.ackBy = null;
	node?.grants.add(key);
	if (node?.conn != null) {
		const slot = slotNamed(node, task.slotId ?? '');
		// Never more than fit: grants of one millisecond may also have followed each other.
		const fits = slot !== undefined && slot.batch.size < slot.info.maxBatch;
		if (fits && (slot.grant === null || grantedTogether(state, slot.grant, task))) occupy(state, slot, key, job.ws);
		// Two grants of one slot: the older one's picture was made and is being uploaded.
		else run.generated = true;
		arm(state.timers, `n:${node.id}`, now + TIMING.suspectMs);
	} else {
		run.orphanAt = now + TIMING.graceRebuildMs;
		run.lossCounts = true;
	}
	const at = taskDueAt(task);
	if (at !== undefined) arm(state.timers, `t:${key}`, at);
};

/** Whether a task was granted in one batch with the task of a key. */
const grantedTogether = (state: PoolState, key: string, task: Task): boolean => {
	const slash = key.lastIndexOf('/');
	const other = state.jobs.get(key.slice(0, slash))?.tasks[Number(key.slice(slash + 1))];
	return other !== undefined && other.grantedAt === task.grantedAt && other.slotId === task.slotId;
};

const restoreJobs = (state: PoolState, now: number): void => {
	const leased: { job: Job; task: Task }[] = [];
	for (const job of state.jobs.values()) {
		if (jobIsOver(job)) {
			queueSettlement(state, job, now);
			continue;
		}
		arm(state.timers, `j:${job.id}`, job.spec.deadlineAt);
		indexDependents(state, job);
		if (job.state === 'waiting') continue;
		for (const task of job.tasks) {
			if (task.state === 'queued') enqueueTask(state, job, task, task.epoch === 0 ? job.createdAt : now);
			else if (task.state === 'leased') leased.push({ job, task });
		}
	}
	leased.sort((a, b) => b.task.grantedAt - a.task.grantedAt);
	for (const { job, task } of leased) restoreGrant(state, job, task, now);
};

const listFree = (state: PoolState, node: PoolNode): void => {
	if (node.conn === null || node.mode !== 'active') return;
	for (const slot of [...node.slots.values(), ...(node.service === null ? [] : [node.service])])
		if (slot.grant === null) addFree(state, slot);
};

/** Everything the pool knew that matters, from rows and surviving sockets. */
export const rebuild = (
	rows: { jobs: JobRowData[]; nodes: NodeRowData[]; pools?: PoolRowData[] },
	survivors: Survivors,
	now: number,
	readings: Readings,
): PoolState => {
	const state = createState(readings);
	for (const row of rows.nodes) state.nodes.set(row.id, unpackNode(row));
	for (const row of rows.jobs) state.jobs.set(row.id, unpackJob(row));
	for (const row of rows.pools ?? []) state.pools.set(row.ws, JSON.parse(row.data) as PoolConfig);
	restoreConns(state, survivors, now);
	restoreJobs(state, now);
	rebuildFair(state);
	for (const jobId of survivors.watched) {
		const job = state.jobs.get(jobId);
		if (job !== undefined && !jobIsOver(job)) addWatcher(state, jobId);
	}
	for (const node of state.nodes.values()) listFree(state, node);
	if (state.backlog > 0 || state.chores.size > 0) arm(state.timers, 'recheck', now);
	return state;
};
