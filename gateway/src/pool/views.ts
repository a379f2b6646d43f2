/**
 * What the pool shows: live jobs, nodes, models, metrics. Reads only.
 * @module
 */
import { TIMING, taskSeed, type ModelInfo, type TaskView } from '@limner/shared';
import type { LiveJob, NodeView, PoolMetrics, SlotView } from '../rpc.ts';
import { idleReason, queueView } from './explain.ts';
import { imagesOf } from './history.ts';
import type { Job, PoolNode, PoolState, Slot, Task } from './model.ts';
import { lastSeen, worksFor } from './placement.ts';

const taskView = (job: Job, task: Task): TaskView => {
	const { run } = task;
	const base = {
		index: task.index,
		state: task.state,
		epoch: task.epoch,
		seed: taskSeed(job.spec.seed, task.index),
		attempts: task.epoch,
		failures: task.fails.map(({ class: cls, message, nodeId }) => ({ class: cls, message, ...(nodeId === undefined ? {} : { nodeId }) })),
		...(task.nodeId === null ? {} : { nodeId: task.nodeId }),
		...(task.slotId === null ? {} : { slotId: task.slotId }),
	};
	if (run === null) return base;
	return { ...base, phase: run.orphanAt === null ? run.phase : 'orphaned', step: run.step, steps: run.steps };
};

/** A job as its caller may see it. */
export const liveJob = (state: PoolState, now: number, job: Job): LiveJob => {
	const queue = queueView(state, now, job);
	return {
		id: job.id,
		state: job.state,
		tasks: job.tasks.map((task) => taskView(job, task)),
		images: imagesOf(job),
		hist: job.hist,
		warnings: job.warnings,
		...(queue === undefined ? {} : { queue }),
		...(job.error === null ? {} : { error: job.error }),
		...(job.startedAt === null ? {} : { startedAt: job.startedAt }),
		...(job.finishedAt === null ? {} : { finishedAt: job.finishedAt }),
	};
};

const slotState = (slot: Slot): SlotView['state'] => {
	if (slot.node.mode === 'terminated') return 'TERMINATED';
	if (slot.grant !== null) return 'RUNNING';
	return slot.node.mode === 'active' ? 'IDLE' : 'PAUSED';
};

const slotTask = (state: PoolState, slot: Slot): Pick<SlotView, 'task'> => {
	if (slot.grant === null) return {};
	const slash = slot.grant.lastIndexOf('/');
	const jobId = slot.grant.slice(0, slash);
	const task = state.jobs.get(jobId)?.tasks[Number(slot.grant.slice(slash + 1))];
	if (!task?.run) return {};
	const { phase, step, steps } = task.run;
	return { task: { jobId, index: task.index, epoch: task.epoch, phase, step, steps } };
};

const slotView = (state: PoolState, slot: Slot): SlotView => ({
	id: `${slot.node.id}/${slot.info.id}`,
	nodeId: slot.node.id,
	slotId: slot.info.id,
	state: slotState(slot),
	device: slot.info.device.name,
	engine: slot.info.engine,
	...(slot.info.loaded === undefined ? {} : { loadedModel: slot.info.loaded }),
	...slotTask(state, slot),
});

/** Link of a node, from when it was last heard of. */
export const linkOf = (state: PoolState, now: number, node: PoolNode): NodeView['link'] => {
	if (node.conn === null) return node.lastSeenAt === null ? 'pending' : 'offline';
	const silent = now - lastSeen(state, node);
	if (silent >= TIMING.offlineMs) return 'offline';
	return silent > TIMING.candidateSeenMs ? 'suspect' : 'online';
};

/** A node as its owner sees it. */
export const nodeView = (state: PoolState, now: number, node: PoolNode): NodeView => {
	const idle = idleReason(state, now, node);
	return {
		id: node.id,
		name: node.name,
		ws: node.ws,
		labels: node.labels,
		telemetry: node.telemetry,
		trust: node.trust,
		mode: node.mode,
		link: linkOf(state, now, node),
		lastSeenAt: node.conn === null ? node.lastSeenAt : lastSeen(state, node),
		connectedAt: node.conn?.at ?? null,
		agentVersion: node.agentVersion,
		platform: node.platform,
		models: node.models,
		slots: [...node.slots.values()].map((slot) => slotView(state, slot)),
		completed: node.completed,
		failed: node.failed,
		recentErrors: node.recentErrors,
		...(node.modeReason === null ? {} : { modeReason: node.modeReason }),
		...(idle === undefined ? {} : { idleReason: idle }),
	};
};

/**
 * What the pool can make for a workspace, with the number of nodes that offer it now: a job may wait for a node that is
 * away, so the models of such nodes count with zero.
 */
export const modelsFor = (state: PoolState, ws: string): (ModelInfo & { nodes: number })[] => {
	const found = new Map<string, ModelInfo & { nodes: number }>();
	for (const node of state.nodes.values()) {
		if (node.mode === 'terminated' || !worksFor(node, ws)) continue;
		const here = node.conn !== null && node.mode === 'active';
		for (const model of node.models) {
			const known = found.get(model.name);
			const warm = here && (model.warm === true || [...node.slots.values()].some((slot) => slot.info.loaded === model.name));
			if (known === undefined) found.set(model.name, { ...model, warm, nodes: here ? 1 : 0 });
			else {
				if (here) known.nodes++;
				known.warm = known.warm === true || warm;
				known.operations = [...new Set([...known.operations, ...model.operations])];
			}
		}
	}
	return [...found.values()].toSorted((a, b) => (a.name < b.name ? -1 : 1));
};

const percentile = (sorted: number[], share: number): number => sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;

/** Counts for dashboards; the shell adds wake-ups and rows. */
export const metricsOf = (state: PoolState, now: number): Omit<PoolMetrics, 'wakeups' | 'rowsWritten'> => {
	let running = 0;
	let nodesOnline = 0;
	let slots = 0;
	let slotsBusy = 0;
	let watchers = 0;
	for (const node of state.nodes.values()) {
		running += node.grants.size;
		if (linkOf(state, now, node) === 'online') nodesOnline++;
		if (node.conn === null) continue;
		slots += node.slots.size;
		for (const slot of node.slots.values()) if (slot.grant !== null) slotsBusy++;
	}
	for (const watched of state.watched.values()) watchers += watched.count;
	const sorted = state.dispatchMs.toSorted((a, b) => a - b);
	const dispatchMs = { p50: percentile(sorted, 0.5), p95: percentile(sorted, 0.95), count: sorted.length };
	return { queued: state.backlog, running, nodesOnline, slots, slotsBusy, watchers, ...state.counters, dispatchMs };
};
