/**
 * The supervisor API: nodes, their modes, and the numbers of the pool.
 * @module
 */
import { createRoute, z } from '@hono/zod-openapi';
import { BODY_LIMITS, FailureClass, NODE_ID_PATTERN, toError, type NodeMode } from '@limner/shared';
import { recordAction } from '../../lib/audit.ts';
import type { AppContext } from '../../lib/context.ts';
import { jsonResponse, newApp, pageOf, problems, secured, wholeNumber } from '../../lib/openapi.ts';
import { COUNTERS, GAUGES, mustRunGateway, OF_ALL, poolMetrics, type MetricName } from '../../lib/pool-metrics.ts';
import { idempotent, poolOf, shardsOf } from '../../lib/stubs.ts';
import { Telemetry, workerDetailRoutes } from './detail.ts';
import { nodeOf, nodesOf, noNode } from './nodes.ts';
import { matches, WORKER_STATUSES, workerView, type WorkerView } from './workers.ts';

const Slot = z.object({
	id: z.string(),
	nodeId: z.string(),
	slotId: z.string(),
	state: z.enum(WORKER_STATUSES),
	device: z.string(),
	engine: z.string(),
	loadedModel: z.string().optional(),
	task: z.object({ jobId: z.string(), index: z.int(), epoch: z.int(), phase: z.string(), step: z.int(), steps: z.int() }).optional(),
});
const Worker = z
	.object({
		id: z.string(),
		name: z.string(),
		ws: z.string(),
		labels: z.array(z.string()),
		trust: z.enum(['own', 'shared']),
		status: z.enum(WORKER_STATUSES),
		mode: z.enum(['active', 'draining', 'paused', 'terminated']),
		modeReason: z.string().optional(),
		link: z.enum(['pending', 'online', 'suspect', 'offline']),
		lastSeenAt: z.iso.datetime().nullable(),
		connectedAt: z.iso.datetime().nullable(),
		agentVersion: z.string(),
		platform: z.string(),
		models: z.array(z.object({ name: z.string(), sha256: z.string(), warm: z.boolean() })),
		slots: z.array(Slot),
		completed: z.int(),
		failed: z.int(),
		idleReason: z.string().optional(),
		/** Why it is not working now, in words. */
		reason: z.string().optional(),
		/** Its last readings. */
		telemetry: Telemetry.optional(),
		recentErrors: z.array(z.object({ at: z.iso.datetime(), class: FailureClass, message: z.string(), jobId: z.string() })),
	})
	.openapi('Worker');
const count = z.int().min(0);
const Metrics = z
	.object({
		...(Object.fromEntries([...GAUGES, ...COUNTERS].map((name) => [name, count])) as Record<MetricName, typeof count>),
		wakeups: z.object({ frame: count, call: count, alarm: count, construct: count }),
		rowsWritten: z.record(z.string(), count).openapi({ description: 'Rows written since the object started, by table' }),
		dispatchMs: z.object({ p50: z.number(), p95: z.number(), count }),
	})
	.openapi('PoolMetrics');
const WorkerPath = z.object({ id: z.string().regex(NODE_ID_PATTERN, 'must be a node id') });

export const supervisorRoutes = newApp();
supervisorRoutes.route('/', workerDetailRoutes);

supervisorRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/workers',
		operationId: 'listWorkers',
		tags: ['supervisor'],
		summary: 'List nodes with their slots',
		...secured('supervisor:read'),
		request: {
			query: z.object({
				status: z
					.string()
					.toUpperCase()
					.pipe(z.enum(WORKER_STATUSES))
					.optional()
					.openapi({ type: 'string', enum: [...WORKER_STATUSES] }),
				model: z.string().max(200).optional(),
				workspaceId: z.string().max(40).optional(),
				label: z.string().max(64).optional(),
				/** Absent = all of them. */
				limit: wholeNumber(1, BODY_LIMITS.pageMax).optional(),
				cursor: z.string().min(1).max(200).optional(),
			}),
		},
		responses: { 200: jsonResponse(pageOf(Worker), 'Nodes'), ...problems(401, 403, 422, 429) },
	}),
	async (c) => {
		const { limit = Infinity, cursor = '', ...filter } = c.req.valid('query');
		// Ids are in order of enrolment.
		const nodes = (await nodesOf(c)).filter((node) => node.id > cursor && matches(node, filter)).toSorted((a, b) => (a.id < b.id ? -1 : 1));
		const page = nodes.slice(0, limit);
		return c.json({ data: page.map(workerView), nextCursor: nodes.length > page.length ? (page.at(-1)?.id ?? null) : null }, 200);
	},
);

supervisorRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/workers/{id}',
		operationId: 'getWorker',
		tags: ['supervisor'],
		summary: 'Read a node',
		...secured('supervisor:read'),
		request: { params: WorkerPath },
		responses: { 200: jsonResponse(Worker, 'The node'), ...problems(401, 403, 404, 422, 429) },
	}),
	async (c) => {
		const { id } = c.req.valid('param');
		return c.json(workerView(await nodeOf(c, id)), 200);
	},
);

/** Sets the mode on the shard that has the node. */
const setMode = async (c: AppContext, id: string, mode: NodeMode, now: boolean): Promise<WorkerView> => {
	const { ws, keyId } = c.get('principal');
	for (const shard of shardsOf(c.env)) {
		const answer = await idempotent(
			() => poolOf(c.env, shard),
			(stub) => stub.setMode(ws, id, mode, `set by key:${keyId}`, now),
		);
		if (answer.ok) return workerView(answer.node);
		if (answer.code !== 'not_found') throw toError(answer);
	}
	throw noNode(id);
};

/** A running task is finished, unless `now` gives it back to the queue. */
const PauseQuery = z.object({ now: z.enum(['true', 'false']).optional() });

const ACTIONS: readonly { verb: string; mode: NodeMode; summary: string }[] = [
	{ verb: 'pause', mode: 'paused', summary: 'Give a node no new work; what runs is finished, or with `now` given to others' },
	{ verb: 'resume', mode: 'active', summary: 'Give a paused or draining node work again' },
	{ verb: 'drain', mode: 'draining', summary: 'Let a node finish what it has, before maintenance' },
	{ verb: 'terminate', mode: 'terminated', summary: 'Ban a node for good' },
];

for (const { verb, mode, summary } of ACTIONS) {
	supervisorRoutes.openapi(
		createRoute({
			method: 'post',
			path: `/workers/{id}/${verb}`,
			operationId: `${verb}Worker`,
			tags: ['supervisor'],
			summary,
			...secured('supervisor:write'),
			request: { params: WorkerPath, ...(verb === 'pause' ? { query: PauseQuery } : {}) },
			responses: { 200: jsonResponse(Worker, 'The node afterwards'), ...problems(401, 403, 404, 409, 422, 429) },
		}),
		async (c) => {
			const now = verb === 'pause' && c.req.query('now') === 'true';
			const worker = await setMode(c, c.req.valid('param').id, mode, now);
			await recordAction(c, `node.${verb}`, worker.id, { mode });
			return c.json(worker, 200);
		},
	);
}

supervisorRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/metrics',
		operationId: 'poolMetrics',
		tags: ['supervisor'],
		summary: 'Numbers of the pool, summed over its shards',
		description: OF_ALL,
		...secured('supervisor:read'),
		responses: {
			200: jsonResponse(z.object({ total: Metrics, shards: z.array(Metrics) }), 'Metrics'),
			...problems(401, 403, 429),
		},
	}),
	async (c) => {
		await mustRunGateway(c);
		const { total, shards } = await poolMetrics(c);
		return c.json({ total: { ...total }, shards: shards.map((shard) => ({ ...shard })) }, 200);
	},
);
