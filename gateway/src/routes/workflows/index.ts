/**
 * `POST /api/v1/workflows`, `GET /api/v1/workflows/{id}`, `POST …/cancel`, `GET …/events`.
 * @module
 */
import { createRoute, z } from '@hono/zod-openapi';
import { isTerminal, REQUEST_LIMITS, WORKFLOW_ID_PATTERN, WorkflowRequest, WorkflowView } from '@limner/shared';
import { describeError } from '../../lib/log.ts';
import { eventStream, jsonRequest, jsonResponse, named, newApp, problems, secured, securedJson } from '../../lib/openapi.ts';
import { sseStream } from '../events/stream.ts';
import { cancelWorkflow, followWorkflow, parsePlace, rowsOf, submitWorkflow, workflowView } from './service.ts';

const View = named(WorkflowView, 'Workflow');
const Path = z.object({ id: z.string().regex(WORKFLOW_ID_PATTERN, 'must be a workflow id') });
const IdempotencyHeader = z.object({
	'idempotency-key': z
		.string()
		.min(1)
		.max(REQUEST_LIMITS.idempotencyKeyChars)
		.regex(/^[\x20-\x7e]+$/, 'printable ASCII characters only')
		.optional(),
});
const SSE_HEADERS = {
	'Content-Type': 'text/event-stream; charset=utf-8',
	'Cache-Control': 'no-cache, no-transform',
	'X-Accel-Buffering': 'no',
};

export const workflowsRoutes = newApp();

workflowsRoutes.openapi(
	createRoute({
		method: 'post',
		path: '/',
		operationId: 'submitWorkflow',
		tags: ['workflows'],
		summary: 'Submit jobs that wait for each other, all or none',
		description:
			'Jobs name each other by `key`: in `dependsOn`, and in `initImage` or `maskImage` as `{"job": "<key>", "index": 0}`. At most 32 jobs and 8 in a row; a cycle is refused.',
		...securedJson('jobs:write', { replay: 'own' }),
		request: { body: jsonRequest(named(WorkflowRequest, 'WorkflowRequest')), headers: IdempotencyHeader },
		responses: { 202: jsonResponse(View, 'The workflow as it was accepted'), ...problems(400, 401, 403, 409, 413, 415, 422, 429) },
	}),
	async (c) => {
		const { rows, replayed } = await submitWorkflow(c, c.req.valid('json'), c.req.valid('header')['idempotency-key'], Date.now());
		const view = await workflowView(c, rows);
		c.header('Location', `/api/v1/workflows/${view.id}`);
		if (replayed) c.header('Idempotency-Replayed', 'true');
		return c.json(view, 202);
	},
);

workflowsRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/{id}',
		operationId: 'getWorkflow',
		tags: ['workflows'],
		summary: 'Read a workflow with all its jobs',
		...secured('jobs:read'),
		request: { params: Path },
		responses: { 200: jsonResponse(View, 'The workflow'), ...problems(401, 403, 404, 422, 429) },
	}),
	async (c) => c.json(await workflowView(c, await rowsOf(c, c.req.valid('param').id)), 200),
);

workflowsRoutes.openapi(
	createRoute({
		method: 'post',
		path: '/{id}/cancel',
		operationId: 'cancelWorkflow',
		tags: ['workflows'],
		summary: 'Cancel what is open of a workflow',
		...secured('jobs:write'),
		request: { params: Path },
		responses: { 200: jsonResponse(View, 'The workflow afterwards'), ...problems(401, 403, 404, 422, 429) },
	}),
	async (c) => {
		const rows = await rowsOf(c, c.req.valid('param').id);
		await cancelWorkflow(c, rows);
		return c.json(await workflowView(c, rows), 200);
	},
);

workflowsRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/{id}/events',
		operationId: 'followWorkflow',
		tags: ['workflows'],
		summary: 'Follow all jobs of a workflow in one stream (server-sent events)',
		description:
			'The events of its jobs, each with `job` and `key`. Ids are places in all of them; `Last-Event-ID` goes on from there. The stream ends when every job has ended.',
		...secured('jobs:read'),
		request: { params: Path, query: z.object({ after: z.string().max(400).optional() }) },
		responses: {
			200: { description: 'Events', content: eventStream },
			204: { description: 'Every job has ended and every event has been read' },
			...problems(401, 403, 404, 422, 429),
		},
	}),
	async (c) => {
		const { id } = c.req.valid('param');
		const rows = await rowsOf(c, id);
		if (c.req.method === 'HEAD') return c.body('', 200, SSE_HEADERS);
		const after = parsePlace(c.req.header('last-event-id') ?? c.req.valid('query').after, rows.length);
		const allRead = rows.every((row, i) => isTerminal('job', row.state) && row.hist.every((entry) => entry.rev <= (after[i] ?? 0)));
		if (allRead) return c.body(null, 204);
		const log = c.get('log');
		const body = sseStream({
			run: (emit, signal) => followWorkflow(c, rows, after, emit, signal),
			signal: c.req.raw.signal,
			onError: (error) => log.error('a workflow stream broke', { workflowId: id, ...describeError(error) }),
		});
		return c.body(body, 200, SSE_HEADERS);
	},
);
