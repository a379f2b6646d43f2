/**
 * What the pool shows: live jobs, nodes, models, metrics. Reads only.
 * @module
 */
import { POOL_LIMITS, TIMING, isTerminal, taskSeed, type ModelInfo, type TaskView } from '@limner/shared';
import { attemptsOf } from '../lib/attempts.ts';
import type { LiveJob, NodeView, PoolMetrics, PoolOverview, PoolTaskView, SlotView } from '../rpc.ts';
import { waitingReason } from './dependencies.ts';
import { queueView } from './explain.ts';
import { imagesOf } from './history.ts';
import { idleReason } from './idle.ts';
import { typeOf, type Job, type PoolNode, type PoolState, type Slot, type Task } from './model.ts';
import { sizeOf } from './ordered.ts';
import { nodesFor, nodesOf } from './owners.ts';
import { lastSeen } from './placement.ts';
import { nodeHistory } from './workstats.ts';

const taskView = (job: Job, task: Task): TaskView => {
	const { run } = task;
	const base = {
		index: task.index,
		state: task.state,
		epoch: task.epoch,
		seed: taskSeed(job.spec.seed, task.index),
		attempts: task.epoch,
		...attemptsOf(job.hist, task.index),
		failures: task.fails.map(({ class: cls, message, nodeId }) => ({ class: cls, message, ...(nodeId === undefined ? {} : { nodeId }) })),
		...(task.nodeId === null ? {} : { nodeId: task.nodeId }),
		...(task.slotId === null ? {} : { slotId: task.slotId }),
	};
	if (run === null) return base;
	return { ...base, phase: run.orphanAt === null ? run.phase : 'orphaned', step: run.step, steps: run.steps };
};

/** A job as its caller may see it. */
export const liveJob = (state: PoolState, now: number, job: Job): LiveJob => {
	const queue = job.state === 'waiting' ? { feasible: true, reason: waitingReason(job) } : queueView(state, now, job);
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

/** Whether a slot of the node has the model loaded: as the node said when it came, or as the pool has seen since. */
const isWarm = (node: PoolNode, model: PoolNode['models'][number]): boolean =>
	model.warm === true || [...node.slots.values()].some((slot) => slot.info.loaded === model.name);

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
		models: node.models.map((model) => ({ ...model, warm: isWarm(node, model) })),
		slots: [...node.slots.values()].map((slot) => slotView(state, slot)),
		completed: node.completed,
		failed: node.failed,
		recentErrors: node.recentErrors,
		taskTypes: node.taskTypes,
		history: nodeHistory(node),
		...(node.wantedSlots === null ? {} : { wantedSlots: node.wantedSlots }),
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
	for (const node of nodesFor(state, ws)) {
		if (node.mode === 'terminated') continue;
		const here = node.conn !== null && node.mode === 'active';
		for (const model of node.models) {
			const known = found.get(model.name);
			const warm = here && isWarm(node, model);
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
	let waiting = 0;
	for (const job of state.jobs.values()) if (job.state === 'waiting') waiting++;
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
	return {
		queued: state.backlog + sizeOf(state.chores),
		waiting,
		running,
		nodesOnline,
		slots,
		slotsBusy,
		watchers,
		...state.counters,
		dispatchMs,
	};
};

/** One task for lists of the coordination pool. */
export const poolTaskView = (job: Job, task: Task): PoolTaskView => ({
	...taskView(job, task),
	jobId: job.id,
	ws: job.ws,
	taskType: typeOf(job),
	model: job.spec.model,
	priority: job.spec.priority,
	createdAt: job.createdAt,
});

/** Tasks of a workspace's open jobs, oldest job first. Job ids sort by time. */
export const poolTasks = (
	state: PoolState,
	ws: string,
	query: { limit: number; cursor?: string; taskType?: PoolTaskView['taskType'] },
): { data: PoolTaskView[]; nextCursor: string | null } => {
	const jobs = [...state.jobs.values()]
		.filter((job) => job.ws === ws && !isTerminal('job', job.state) && (query.taskType === undefined || typeOf(job) === query.taskType))
		.toSorted((a, b) => (a.id < b.id ? -1 : 1));
	const data: PoolTaskView[] = [];
	const [afterJob = '', afterIndex = ''] = (query.cursor ?? '').split('/');
	for (const job of jobs) {
		if (job.id < afterJob) continue;
		for (const task of job.tasks) {
			if (job.id === afterJob && task.index <= Number(afterIndex)) continue;
			if (data.length === query.limit) return { data, nextCursor: `${data.at(-1)?.jobId}/${data.at(-1)?.index}` };
			data.push(poolTaskView(job, task));
		}
	}
	return { data, nextCursor: null };
};

const countSlots = (state: PoolState, ws: string): { nodes: number; slots: PoolOverview['slots'] } => {
	const slots = { total: 0, idle: 0, running: 0, paused: 0, terminated: 0 };
	let nodes = 0;
	for (const node of nodesOf(state, ws)) {
		if (node.movedTo !== null || (node.conn === null && node.mode !== 'terminated')) continue;
		nodes++;
		for (const slot of node.slots.values()) {
			slots.total++;
			const what = slotState(slot);
			if (what === 'IDLE') slots.idle++;
			else if (what === 'RUNNING') slots.running++;
			else if (what === 'PAUSED') slots.paused++;
			else slots.terminated++;
		}
	}
	return { nodes, slots };
};

const countTasks = (state: PoolState, ws: string): PoolOverview['tasks'] => {
	const tasks = { waiting: 0, queued: 0, running: 0 };
	for (const job of state.jobs.values()) {
		if (job.ws !== ws || isTerminal('job', job.state)) continue;
		for (const task of job.tasks) {
			if (job.state === 'waiting') tasks.waiting++;
			else if (task.queued) tasks.queued++;
			else if (task.state === 'leased') tasks.running++;
		}
	}
	return tasks;
};

/** The pool as one workspace sees it. */
export const overviewOf = (state: PoolState, now: number, ws: string): PoolOverview => {
	const config = state.pools.get(ws);
	const { source } = state;
	const limits = {
		defaultPoolSize: POOL_LIMITS.defaultPoolSize,
		maxPoolSize: POOL_LIMITS.maxPoolSize,
		maxQueueDepth: POOL_LIMITS.maxQueueDepth,
		maxRetries: POOL_LIMITS.maxRetries,
	};
	const trouble =
		source === null || now < source.since ? {} : { modelSource: { reason: source.reason, since: source.since, retryAt: source.retryAt } };
	return {
		state: config?.state ?? 'open',
		size: config?.size ?? null,
		limits,
		...countSlots(state, ws),
		tasks: countTasks(state, ws),
		...trouble,
	};
};
