/**
 * One node in detail: its readings, what it works on, what happened to it, its numbers.
 * @module
 */
import { createRoute, z } from '@hono/zod-openapi';
import { GpuReading, NODE_ID_PATTERN, TaskType } from '@limner/shared';
import { jsonResponse, named, newApp, pageOf, problems, secured } from '../../lib/openapi.ts';
import { idempotent, workspaceOf } from '../../lib/stubs.ts';
import type { NodeView } from '../../rpc.ts';
import { nodeOf } from './nodes.ts';
import { reasonOf, telemetryView } from './workers.ts';

const WorkerPath = z.object({ id: z.string().regex(NODE_ID_PATTERN, 'must be a node id') });
/** Pictures and ledger rows that a detail page looks at. */
const LOOK = 200;

export const Telemetry = z
	.object({
		at: z.iso.datetime(),
		/** Memory of the node and its engine processes. */
		rssBytes: z.number().optional(),
		/** 0..1, of the whole machine. */
		cpuUtil: z.number().optional(),
		diskFreeBytes: z.number().optional(),
		gpus: z.array(named(GpuReading, 'GpuReading')).optional(),
	})
	.openapi('WorkerTelemetry');

const TaskEntry = z
	.object({
		jobId: z.string(),
		index: z.int(),
		epoch: z.int(),
		/** `running`, or `succeeded` for a picture that it delivered. */
		state: z.enum(['running', 'succeeded']),
		slotId: z.string().optional(),
		phase: z.string().optional(),
		step: z.int().optional(),
		steps: z.int().optional(),
		finishedAt: z.iso.datetime().optional(),
	})
	.openapi('WorkerTask');

const HistoryEntry = z
	.object({
		at: z.iso.datetime(),
		type: z.enum(['action', 'error']),
		text: z.string(),
		who: z.string().optional(),
		jobId: z.string().optional(),
	})
	.openapi('WorkerHistoryEntry');

const Numbers = z
	.object({
		completed: z.int(),
		failed: z.int(),
		/** completed / all; absent before the first. */
		successRate: z.number().optional(),
		slots: z.int(),
		slotsBusy: z.int(),
		/** Busy slots / slots. */
		utilization: z.number(),
		/** Seconds since it connected; 0 while it is away. */
		uptimeS: z.number(),
		/** What was seen of each kind of work; averages in which newer ones weigh more. */
		work: z.array(
			z.object({
				taskType: TaskType,
				model: z.string(),
				succeeded: z.int(),
				failed: z.int(),
				/** Times that it vanished with one. */
				lost: z.int(),
				/** Seconds a step at the size that was asked for. */
				sPerStep: z.number().optional(),
				/** Seconds a step and megapixel. */
				sPerMpStep: z.number().optional(),
				/** Milliseconds to load the model. */
				loadMs: z.number().optional(),
				lastAt: z.iso.datetime(),
			}),
		),
		/** What each slot did. */
		slotHistory: z.array(z.object({ slotId: z.string(), succeeded: z.int(), failed: z.int(), lost: z.int() })),
		reason: z.string().optional(),
	})
	.openapi('WorkerMetrics');

export const workerDetailRoutes = newApp();

workerDetailRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/workers/{id}/telemetry',
		operationId: 'getWorkerTelemetry',
		tags: ['supervisor'],
		summary: 'Readings of a node, newest first',
		description: 'Sent at most twice a minute, and only when they changed: an idle machine is silent.',
		...secured('supervisor:read'),
		request: { params: WorkerPath },
		responses: { 200: jsonResponse(pageOf(Telemetry), 'Readings of the last hour'), ...problems(401, 403, 404, 422, 429) },
	}),
	async (c) => {
		const { telemetry } = await nodeOf(c, c.req.valid('param').id);
		return c.json({ data: telemetry.toReversed().map(telemetryView), nextCursor: null }, 200);
	},
);

const runningOf = (node: NodeView): z.infer<typeof TaskEntry>[] =>
	node.slots.flatMap(({ slotId, task }) => (task === undefined ? [] : [{ ...task, state: 'running' as const, slotId }]));

workerDetailRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/workers/{id}/tasks',
		operationId: 'listWorkerTasks',
		tags: ['supervisor'],
		summary: 'What a node works on, and the pictures it delivered lately',
		...secured('supervisor:read'),
		request: { params: WorkerPath },
		responses: { 200: jsonResponse(pageOf(TaskEntry), 'Running ones first'), ...problems(401, 403, 404, 422, 429) },
	}),
	async (c) => {
		const node = await nodeOf(c, c.req.valid('param').id);
		const { data } = await idempotent(
			() => workspaceOf(c.env, c.get('principal').ws),
			(stub) => stub.listImages({ limit: LOOK }),
		);
		const done = data
			.filter(({ image }) => image.nodeId === node.id)
			.map(({ job, image }) => ({
				jobId: job.id,
				index: image.index,
				epoch: image.epoch,
				state: 'succeeded' as const,
				finishedAt: new Date(image.at).toISOString(),
			}));
		return c.json({ data: [...runningOf(node), ...done], nextCursor: null }, 200);
	},
);

workerDetailRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/workers/{id}/history',
		operationId: 'getWorkerHistory',
		tags: ['supervisor'],
		summary: 'What was done to a node, and what failed on it, newest first',
		...secured('supervisor:read'),
		request: { params: WorkerPath },
		responses: { 200: jsonResponse(pageOf(HistoryEntry), 'History'), ...problems(401, 403, 404, 422, 429) },
	}),
	async (c) => {
		const node = await nodeOf(c, c.req.valid('param').id);
		const { data } = await idempotent(
			() => workspaceOf(c.env, c.get('principal').ws),
			(stub) => stub.audit({ target: node.id, limit: LOOK }),
		);
		const actions = data.map(({ at, action, who, detail }) => {
			const reason = typeof detail['reason'] === 'string' ? `: ${detail['reason']}` : '';
			return { ms: at, type: 'action' as const, text: `${action}${reason}`, who };
		});
		const errors = node.recentErrors.map(({ at, message, jobId }) => ({ ms: at, type: 'error' as const, text: message, jobId }));
		const all = [...actions, ...errors]
			.toSorted((a, b) => b.ms - a.ms)
			.map(({ ms, ...entry }) => ({ at: new Date(ms).toISOString(), ...entry }));
		return c.json({ data: all, nextCursor: null }, 200);
	},
);

/** What a node did, for callers: times as text, no inner averages. */
export const historyView = ({ history }: Pick<NodeView, 'history'>): Pick<z.infer<typeof Numbers>, 'work' | 'slotHistory'> => ({
	work: history.work.map(({ taskType, model, succeeded, failed, lost, sPerStep, sPerMpStep, loadMs, lastAt }) => ({
		taskType,
		model,
		succeeded,
		failed,
		lost,
		...(sPerStep === undefined ? {} : { sPerStep }),
		...(sPerMpStep === undefined ? {} : { sPerMpStep }),
		...(loadMs === undefined ? {} : { loadMs }),
		lastAt: new Date(lastAt).toISOString(),
	})),
	slotHistory: history.slots.map(({ slotId, succeeded, failed, lost }) => ({ slotId, succeeded, failed, lost })),
});

workerDetailRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/workers/{id}/metrics',
		operationId: 'getWorkerMetrics',
		tags: ['supervisor'],
		summary: 'Numbers of a node',
		...secured('supervisor:read'),
		request: { params: WorkerPath },
		responses: { 200: jsonResponse(Numbers, 'Numbers'), ...problems(401, 403, 404, 422, 429) },
	}),
	async (c) => {
		const node = await nodeOf(c, c.req.valid('param').id);
		const { completed, failed, slots, connectedAt } = node;
		const slotsBusy = slots.filter((slot) => slot.state === 'RUNNING').length;
		const all = completed + failed;
		const reason = reasonOf(node);
		return c.json(
			{
				completed,
				failed,
				...(all === 0 ? {} : { successRate: completed / all }),
				slots: slots.length,
				slotsBusy,
				utilization: slots.length === 0 ? 0 : slotsBusy / slots.length,
				uptimeS: connectedAt === null ? 0 : Math.max(0, (Date.now() - connectedAt) / 1000),
				...historyView(node),
				...(reason === undefined ? {} : { reason }),
			},
			200,
		);
	},
);
