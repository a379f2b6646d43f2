/**
 * Jobs and nodes as rows, and back.
 * @module
 */
import type { HistEntry, ImageRecord, JobError, JobSpec, JobState, ModelInfo, NodeMode, SlotInfo, TaskState } from '@limner/shared';
import { jobIsOver } from './ending.ts';
import { createTask } from './jobs.ts';
import type { Dependency, Job, NodeError, PoolNode, Task, TaskFailure } from './model.ts';
import { createNode, createSlot, offerService } from './new-node.ts';

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
	| 'autoPull'
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
	const { taskTypes, autoPull, wantedSlots, movedTo, work, slotStats, canaries } = node;
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
		autoPull,
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
