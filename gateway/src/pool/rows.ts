/**
 * What is rebuilt from rows after an eviction or a crash.
 * @module
 */
import { TIMING } from '@limner/shared';
import { indexDependents } from './dependencies.ts';
import { jobIsOver, queueSettlement } from './ending.ts';
import { addFree, occupy, slotsOf } from './free.ts';
import { freshRun, taskDueAt } from './grants.ts';
import { slotNamed, taskKey, type Job, type PoolConfig, type PoolNode, type PoolState, type Readings, type Task } from './model.ts';
import { unpackJob, unpackNode, type JobRowData, type NodeRowData, type PoolRowData } from './pack.ts';
import { sizeOf } from './ordered.ts';
import { enlist } from './owners.ts';
import { enqueueTask, rebuildFair } from './queue.ts';
import { createState } from './state.ts';
import { arm } from './timers.ts';
import { addWatcher } from './watching.ts';

/** Connections that outlived the pool's memory. */
export interface Survivors {
	/** Nodes that had said hello. */
	nodes: { connId: string; nodeId: string; bootId: string; at: number }[];
	/** Sockets that had not. */
	pending: { connId: string; until: number }[];
	/** Watched jobs, once for each watcher. */
	watched: string[];
}

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
	for (const slot of slotsOf(node)) if (slot.grant === null) addFree(state, slot);
};

/** Everything the pool knew that matters, from rows and surviving sockets. */
export const rebuild = (
	rows: { jobs: JobRowData[]; nodes: NodeRowData[]; pools?: PoolRowData[] },
	survivors: Survivors,
	now: number,
	readings: Readings,
): PoolState => {
	const state = createState(readings);
	for (const row of rows.nodes) {
		const node = unpackNode(row);
		state.nodes.set(node.id, node);
		enlist(state, node);
	}
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
	if (state.backlog > 0 || sizeOf(state.chores) > 0) arm(state.timers, 'recheck', now);
	return state;
};
