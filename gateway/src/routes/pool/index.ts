/**
 * `/api/v1/pool`: the coordination pool. The same slots and tasks as everywhere else, under the names of the source
 * documents.
 * @module
 */
import { createRoute, z } from '@hono/zod-openapi';
import { LimnerError, NODE_ID_PATTERN, shardOfJob, TaskType, toError, type Result } from '@limner/shared';
import { recordAction, whoOf } from '../../lib/audit.ts';
import type { AppContext } from '../../lib/context.ts';
import { jsonRequest, jsonResponse, newApp, pageOf, pageQuery, problems, secured, securedJson } from '../../lib/openapi.ts';
import { idempotent, poolOf, shardsOf, workspaceOf, type PoolStub } from '../../lib/stubs.ts';
import type { IsolationRecord, PoolOverview } from '../../rpc.ts';
import { viewOf } from '../jobs/service.ts';
import { nodesOf } from '../supervisor/nodes.ts';
import { isolationReport } from './isolation.ts';
import {
	Agent,
	agentView,
	FailRequest,
	InitializeRequest,
	Metrics,
	Overview,
	poolAgentId,
	PoolTask,
	Report,
	taskView,
	TimelineSpan,
} from './schema.ts';
import { spansOf } from './timeline.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;
const AgentPath = z.object({
	id: z.string().regex(new RegExp(`${NODE_ID_PATTERN.source.replace('$', '')}[./][\\w-]{1,64}$`), 'looks like <node>.<slot>'),
});
const TaskPath = z.object({ id: z.string().regex(/^job_[0-9a-z]{28}\.(?:0|[1-9]\d?)$/, 'looks like <job>.<index>') });

const must = <T>(answer: Result<T>): T & { ok: true } => {
	if (!answer.ok) throw toError(answer);
	return answer;
};

/** The shard that has all jobs and all own nodes of the workspace. */
const home = async (c: AppContext): Promise<() => PoolStub> => {
	const { ws } = c.get('principal');
	const shard = await idempotent(
		() => workspaceOf(c.env, ws),
		(stub) => stub.homeShard(),
	);
	return () => poolOf(c.env, shard ?? 0);
};

/** The shard knows the default only: how many jobs may be open is the workspace's to say. */
const withDepth = async (c: AppContext, pool: PoolOverview): Promise<PoolOverview> => {
	const { queued } = await idempotent(
		() => workspaceOf(c.env, c.get('principal').ws),
		(stub) => stub.quotas(),
	);
	return { ...pool, limits: { ...pool.limits, maxQueueDepth: queued.limit } };
};

/** What the nodes of all shards reported of their last tasks. */
const recordsOf = async (c: AppContext, ws: string): Promise<IsolationRecord[]> => {
	const lists = await Promise.all(
		shardsOf(c.env).map((shard) =>
			idempotent(
				() => poolOf(c.env, shard),
				(stub) => stub.isolation(ws),
			),
		),
	);
	return lists.flat();
};

export const poolRoutes = newApp();

poolRoutes.openapi(
	createRoute({
		method: 'post',
		path: '/initialize',
		operationId: 'initializePool',
		tags: ['pool'],
		summary: 'Spread slots over the connected nodes, and wake those that a shutdown paused',
		...securedJson('supervisor:write'),
		request: { body: jsonRequest(InitializeRequest) },
		responses: { 200: jsonResponse(Overview, 'The pool'), ...problems(400, 401, 403, 409, 413, 415, 422, 429) },
	}),
	async (c) => {
		const { size } = c.req.valid('json');
		const { ws } = c.get('principal');
		const { pool } = must(await idempotent(await home(c), (stub) => stub.initialize(ws, size, whoOf(c))));
		await recordAction(c, 'pool.initialize', ws, { size });
		return c.json(await withDepth(c, pool), 200);
	},
);

poolRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/',
		operationId: 'getPool',
		tags: ['pool'],
		summary: 'The pool as the workspace sees it',
		...secured('supervisor:read'),
		responses: { 200: jsonResponse(Overview, 'The pool'), ...problems(401, 403, 429) },
	}),
	async (c) => {
		const { ws } = c.get('principal');
		return c.json(await withDepth(c, await idempotent(await home(c), (stub) => stub.overview(ws))), 200);
	},
);

poolRoutes.openapi(
	createRoute({
		method: 'post',
		path: '/shutdown',
		operationId: 'shutdownPool',
		tags: ['pool'],
		summary: 'Pause all nodes of the workspace',
		description: 'What runs is finished; with `now=true` it goes back to the queue.',
		...secured('supervisor:write'),
		request: { query: z.object({ now: z.enum(['true', 'false']).optional() }) },
		responses: { 200: jsonResponse(Overview, 'The pool'), ...problems(401, 403, 409, 422, 429) },
	}),
	async (c) => {
		const now = c.req.valid('query').now === 'true';
		const { ws } = c.get('principal');
		const { pool } = must(await idempotent(await home(c), (stub) => stub.shutdown(ws, now, whoOf(c))));
		await recordAction(c, 'pool.shutdown', ws, { now });
		return c.json(await withDepth(c, pool), 200);
	},
);

poolRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/agents',
		operationId: 'listAgents',
		tags: ['pool'],
		summary: 'Agents: the slots of the nodes',
		...secured('supervisor:read'),
		responses: { 200: jsonResponse(pageOf(Agent), 'Agents'), ...problems(401, 403, 429) },
	}),
	async (c) => c.json({ data: (await nodesOf(c)).flatMap(agentView), nextCursor: null }, 200),
);

poolRoutes.openapi(
	createRoute({
		method: 'post',
		path: '/agents/{id}/fail',
		operationId: 'failAgent',
		tags: ['pool'],
		summary: 'Fail what an agent works on: it is tried elsewhere',
		...securedJson('supervisor:write'),
		request: { params: AgentPath, body: jsonRequest(FailRequest) },
		responses: {
			200: jsonResponse(z.object({ agents: z.array(Agent), task: PoolTask.optional() }).openapi('AgentFailed'), 'The agents of its node'),
			...problems(400, 401, 403, 404, 409, 413, 415, 422, 429),
		},
	}),
	async (c) => {
		const { id } = c.req.valid('param');
		const { reason } = c.req.valid('json');
		const { ws } = c.get('principal');
		for (const shard of shardsOf(c.env)) {
			const answer = await poolOf(c.env, shard).failAgent(ws, poolAgentId(id), reason, whoOf(c));
			if (!answer.ok && answer.code === 'not_found') continue;
			const { node, task } = must(answer);
			await recordAction(c, 'agent.fail', node.id, { agentId: id, reason });
			return c.json({ agents: agentView(node), ...(task === undefined ? {} : { task: taskView(task) }) }, 200);
		}
		throw new LimnerError('not_found', { detail: `there is no agent ${id}` });
	},
);

poolRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/tasks',
		operationId: 'listPoolTasks',
		tags: ['pool'],
		summary: 'Tasks of open jobs, oldest job first',
		description: 'A task is submitted with `POST /api/v1/jobs`; `POST` here does the same, and answers 429 when the queue is full.',
		...secured('jobs:read'),
		request: { query: z.object({ ...pageQuery, taskType: TaskType.optional() }) },
		responses: { 200: jsonResponse(pageOf(PoolTask), 'A page of tasks'), ...problems(401, 403, 422, 429) },
	}),
	async (c) => {
		const { limit, cursor, taskType } = c.req.valid('query');
		const query = { limit, ...(cursor === undefined ? {} : { cursor }), ...(taskType === undefined ? {} : { taskType }) };
		const page = await idempotent(await home(c), (stub) => stub.tasks(c.get('principal').ws, query));
		return c.json({ data: page.data.map(taskView), nextCursor: page.nextCursor }, 200);
	},
);

poolRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/tasks/{id}',
		operationId: 'getPoolTask',
		tags: ['pool'],
		summary: 'Read a task of an open job, or of one that just ended',
		...secured('jobs:read'),
		request: { params: TaskPath },
		responses: { 200: jsonResponse(PoolTask, 'The task'), ...problems(401, 403, 404, 422, 429) },
	}),
	async (c) => {
		const { id } = c.req.valid('param');
		const dot = id.lastIndexOf('.');
		const [jobId, index] = [id.slice(0, dot), Number(id.slice(dot + 1))];
		const { ws } = c.get('principal');
		const job = await viewOf(c, jobId);
		const live = await idempotent(
			() => poolOf(c.env, shardOfJob(jobId) ?? 0),
			(stub) => stub.view(ws, jobId),
		);
		const task = live?.tasks.find((one) => one.index === index);
		if (task === undefined)
			throw new LimnerError('not_found', { detail: `there is no task ${id}; the job itself is at /api/v1/jobs/${jobId}` });
		const { request } = job;
		const createdAt = Date.parse(job.createdAt);
		const taskType = request.taskType ?? 'GENERAL';
		return c.json(taskView({ taskType, model: request.model, priority: request.priority, createdAt, ws, jobId, ...task }), 200);
	},
);

poolRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/metrics',
		operationId: 'coordinationMetrics',
		tags: ['pool'],
		summary: 'Numbers of the pool',
		...secured('supervisor:read'),
		responses: { 200: jsonResponse(Metrics, 'Numbers'), ...problems(401, 403, 429) },
	}),
	async (c) => {
		const { ws } = c.get('principal');
		const overview = await idempotent(await home(c), (stub) => stub.overview(ws));
		const activity = await idempotent(
			() => workspaceOf(c.env, ws),
			(stub) => stub.activity(Date.now() - DAY_MS),
		);
		const { slots, tasks } = overview;
		return c.json(
			{
				tasksPending: tasks.waiting + tasks.queued,
				tasksRunning: tasks.running,
				tasksCompleted: activity.tasksDone,
				tasksFailed: activity.tasksFailed,
				avgAssignmentLatencyMs: activity.assigned === 0 ? null : activity.assignmentMs / activity.assigned,
				utilization: slots.total === 0 ? 0 : slots.running / slots.total,
			},
			200,
		);
	},
);

poolRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/isolation-report',
		operationId: 'isolationReport',
		tags: ['pool'],
		summary: 'Whether tasks kept apart',
		description:
			'From what nodes reported of their last tasks: that no two used one slot, one temporary folder or one engine process at a time, and that each folder was wiped afterwards. Pictures that were made as one batch share slot and process on purpose, and are counted.',
		...secured('supervisor:read'),
		responses: { 200: jsonResponse(Report, 'The report'), ...problems(401, 403, 429) },
	}),
	async (c) => {
		const { ws } = c.get('principal');
		return c.json(isolationReport(await recordsOf(c, ws)), 200);
	},
);

poolRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/timeline',
		operationId: 'poolTimeline',
		tags: ['pool'],
		summary: 'Which slot worked on what, and when',
		description:
			'From what nodes reported of their last tasks, on their own clocks, oldest first. What still runs is in `GET /pool/agents`.',
		...secured('supervisor:read'),
		request: { query: z.object({ sinceMs: z.coerce.number().int().min(1000).max(DAY_MS).default(HOUR_MS) }) },
		responses: {
			200: jsonResponse(pageOf(TimelineSpan), 'Spans of work that ended within the last `sinceMs`'),
			...problems(401, 403, 422, 429),
		},
	}),
	async (c) => {
		const { ws } = c.get('principal');
		const since = Date.now() - c.req.valid('query').sinceMs;
		return c.json({ data: spansOf(await recordsOf(c, ws), ws, since), nextCursor: null }, 200);
	},
);
