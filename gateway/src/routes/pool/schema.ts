/**
 * The coordination pool as callers see it: agents are slots, tasks are pictures and chores.
 * @module
 */
import { z } from '@hono/zod-openapi';
import { FailureClass, POOL_LIMITS, TaskType } from '@limner/shared';
import type { NodeView, PoolTaskView } from '../../rpc.ts';
import { WORKER_STATUSES } from '../supervisor/workers.ts';

export const Overview = z
	.object({
		/** `ready` after initialise, `shut` after shutdown, `open` when nobody has said either. */
		state: z.enum(['open', 'ready', 'shut']),
		size: z.int().nullable(),
		limits: z.object({ defaultPoolSize: z.int(), maxPoolSize: z.int(), maxQueueDepth: z.int(), maxRetries: z.int() }),
		nodes: z.int(),
		slots: z.object({ total: z.int(), idle: z.int(), running: z.int(), paused: z.int(), terminated: z.int() }),
		tasks: z.object({ waiting: z.int(), queued: z.int(), running: z.int() }),
		modelSource: z.object({ reason: z.string(), since: z.number(), retryAt: z.number() }).optional(),
	})
	.openapi('Pool');

export const InitializeRequest = z
	.strictObject({ size: z.int().min(1).max(POOL_LIMITS.maxPoolSize).default(POOL_LIMITS.defaultPoolSize) })
	.openapi('PoolInitializeRequest', { example: { size: 4 } });
export const FailRequest = z
	.strictObject({ reason: z.string().min(1).max(200).default('failed by an operator') })
	.openapi('AgentFailRequest');

export const Agent = z
	.object({
		/** `<node>.<slot>` */
		agentId: z.string(),
		nodeId: z.string(),
		slotId: z.string(),
		name: z.string(),
		status: z.enum(WORKER_STATUSES),
		link: z.enum(['pending', 'online', 'suspect', 'offline']),
		device: z.string(),
		engine: z.string(),
		loadedModel: z.string().optional(),
		task: z.object({ taskId: z.string(), phase: z.string(), step: z.int(), steps: z.int() }).optional(),
	})
	.openapi('PoolAgent');

export const PoolTask = z
	.object({
		/** `<job>.<index>` */
		taskId: z.string(),
		jobId: z.string(),
		index: z.int(),
		taskType: TaskType,
		state: z.enum(['queued', 'leased', 'succeeded', 'failed', 'canceled', 'expired']),
		model: z.string(),
		priority: z.int(),
		createdAt: z.iso.datetime(),
		/** The slot that has it, `<node>.<slot>`. */
		agentId: z.string().optional(),
		attemptCount: z.int(),
		failedAgentIds: z.array(z.string()),
		/** From being ready to being granted, the latest time; milliseconds. */
		assignmentLatencyMs: z.int().optional(),
		failures: z.array(z.object({ class: FailureClass, message: z.string(), nodeId: z.string().optional() })),
	})
	.openapi('PoolTask');

export const Metrics = z
	.object({
		tasksPending: z.int(),
		tasksRunning: z.int(),
		/** Pictures made in the last day. */
		tasksCompleted: z.int(),
		/** Pictures that failed or expired jobs of the last day did not get. */
		tasksFailed: z.int(),
		/** Mean wait for the first grant, jobs of the last day; null before the first. */
		avgAssignmentLatencyMs: z.number().nullable(),
		/** Busy slots / slots. */
		utilization: z.number(),
	})
	.openapi('CoordinationMetrics');

export const Report = z
	.object({
		ok: z.boolean(),
		tasks: z.int(),
		nodes: z.int(),
		batched: z.int(),
		violations: z.array(
			z.object({
				kind: z.enum(['slot', 'folder', 'process', 'leftover']),
				nodeId: z.string(),
				tasks: z.array(z.string()),
				detail: z.string(),
			}),
		),
	})
	.openapi('IsolationReport');

/** `<node>/<slot>` of the pool as one path segment. */
export const publicAgentId = (id: string): string => id.replace('/', '.');
/** Node ids have no dot, so the first one divides. */
export const poolAgentId = (id: string): string => id.replace('.', '/');

export const agentView = (node: NodeView): z.infer<typeof Agent>[] =>
	node.slots.map((slot) => ({
		agentId: publicAgentId(slot.id),
		nodeId: node.id,
		slotId: slot.slotId,
		name: node.name,
		status: slot.state,
		link: node.link,
		device: slot.device,
		engine: slot.engine,
		...(slot.loadedModel === undefined ? {} : { loadedModel: slot.loadedModel }),
		...(slot.task === undefined
			? {}
			: {
					task: { taskId: `${slot.task.jobId}.${slot.task.index}`, phase: slot.task.phase, step: slot.task.step, steps: slot.task.steps },
				}),
	}));

export const taskView = (task: PoolTaskView): z.infer<typeof PoolTask> => ({
	taskId: `${task.jobId}.${task.index}`,
	jobId: task.jobId,
	index: task.index,
	taskType: task.taskType,
	state: task.state,
	model: task.model,
	priority: task.priority,
	createdAt: new Date(task.createdAt).toISOString(),
	...(task.nodeId === undefined || task.slotId === undefined ? {} : { agentId: `${task.nodeId}.${task.slotId}` }),
	attemptCount: task.attempts,
	failedAgentIds: (task.failedSlotIds ?? []).map(publicAgentId),
	...(task.assignmentLatencyMs === undefined ? {} : { assignmentLatencyMs: task.assignmentLatencyMs }),
	failures: task.failures,
});

export const TimelineSpan = z
	.object({
		/** `<node>.<slot>` */
		agentId: z.string(),
		nodeId: z.string(),
		slotId: z.string(),
		jobId: z.string(),
		index: z.int(),
		epoch: z.int(),
		/** On the node's own clock. */
		startedAt: z.iso.datetime(),
		endedAt: z.iso.datetime(),
	})
	.openapi('TimelineSpan');
