/**
 * `POST|GET /api/v1/jobs`, `GET|PATCH|DELETE /api/v1/jobs/{id}`, `POST …/cancel`, `POST …/retry`.
 * @module
 */
import { createRoute, z } from '@hono/zod-openapi';
import {
	ALLOCATION_ID_PATTERN,
	isTerminal,
	JOB_ID_PATTERN,
	JobChange,
	JobRequest,
	JobView,
	JOB_EDGES,
	LimnerError,
	REQUEST_LIMITS,
	type JobState,
	ResearchRequest,
	IngestRequest,
	DiscoveryRequest,
	MigrationRequest,
	HeartbeatRequest,
} from '@limner/shared';
import { followJob } from '../../lib/bridge.ts';
import type { AppContext } from '../../lib/context.ts';
import { describeError } from '../../lib/log.ts';
import {
	jsonRequest,
	jsonResponse,
	named,
	newApp,
	pageOf,
	pageQuery,
	problems,
	secondsUpTo,
	secured,
	securedJson,
} from '../../lib/openapi.ts';
import { idempotent, workspaceOf } from '../../lib/stubs.ts';
import { jobView } from '../../lib/views.ts';
import { queueHeader } from './queue-header.ts';
import {
	anySpecOf,
	cancel,
	currentRow,
	prioritize,
	purge,
	submit,
	viewContext,
	viewOf,
	viewsOf,
	type Submission,
	type Submitted,
} from './service.ts';

/** The parts have names of their own, for clients that are made from the document. */
const AnyJobSchema = z
	.discriminatedUnion('taskType', [
		named(JobRequest, 'JobRequest'),
		named(ResearchRequest, 'ResearchRequest'),
		named(IngestRequest, 'IngestRequest'),
		named(DiscoveryRequest, 'DiscoveryRequest'),
		named(MigrationRequest, 'MigrationRequest'),
		named(HeartbeatRequest, 'HeartbeatRequest'),
	])
	.openapi('AnyJobRequest');
const JobChangeSchema = named(JobChange, 'JobChange');
const JobViewSchema = named(JobView, 'Job');
const JobPath = z.object({ id: z.string().regex(JOB_ID_PATTERN, 'must be a job id') });
const IdempotencyHeader = z.object({
	'idempotency-key': z
		.string()
		.min(1)
		.max(REQUEST_LIMITS.idempotencyKeyChars)
		.regex(/^[\x20-\x7e]+$/, 'printable ASCII characters only')
		.optional(),
});
/** `Limner-Allocation`: the reservation that a job draws from. */
const SubmitHeaders = IdempotencyHeader.extend({
	'limner-allocation': z.string().regex(ALLOCATION_ID_PATTERN, 'must be the id of a reservation').optional(),
});
const WaitQuery = z.object({ wait: secondsUpTo(REQUEST_LIMITS.waitMaxS).optional() });
const STATES = Object.keys(JOB_EDGES) as [JobState, ...JobState[]];

export const jobsRoutes = newApp();

/** Waits for the end of a job through the bridge; the caller's going away ends the wait. */
const waitForEnd = async (c: AppContext, row: Submitted['row'], seconds: number): Promise<void> => {
	const signal = AbortSignal.any([c.req.raw.signal, AbortSignal.timeout(seconds * 1000)]);
	await followJob({
		env: c.env,
		ws: row.ws,
		jobId: row.id,
		after: row.hist.at(-1)?.rev ?? 0,
		signal,
		row: () =>
			idempotent(
				() => workspaceOf(c.env, row.ws),
				(stub) => stub.getJob(row.id),
			),
		onFrame: () => {},
	});
};

/** Submits and answers: 202 with the row as it was written, or 200 with the finished job when the caller waits for it. */
const accept = async (
	c: AppContext,
	submission: Submission,
	wait: number,
	nowMs: number,
): Promise<{ view: JobView; status: 200 | 202 }> => {
	const { row, replayed, queue } = await submit(c, submission, nowMs);
	c.header('Location', `/api/v1/jobs/${row.id}`);
	if (replayed) c.header('Idempotency-Replayed', 'true');
	if (queue !== undefined) c.header('Limner-Queue', queueHeader(queue));
	const asAccepted = { view: jobView(viewContext(c, nowMs), row), status: 202 } as const;
	if (wait === 0) return asAccepted;
	try {
		if (!isTerminal('job', row.state)) await waitForEnd(c, row, wait);
		const view = await viewOf(c, row.id);
		return { view, status: isTerminal('job', view.state) ? 200 : 202 };
	} catch (error) {
		// The job exists: an error would make the caller send it again.
		c.get('log').error('an accepted job could not be waited for', { jobId: row.id, ...describeError(error) });
		return asAccepted;
	}
};

const accepted = {
	200: jsonResponse(JobViewSchema, 'The job, ended within `wait`'),
	202: jsonResponse(JobViewSchema, 'The job as it was accepted; `Limner-Queue` tells its place'),
};

jobsRoutes.openapi(
	createRoute({
		method: 'post',
		path: '/',
		operationId: 'submitJob',
		tags: ['jobs'],
		summary: 'Make pictures from a prompt, or look after the pool',
		description:
			'Without `taskType` it makes pictures. RESEARCH (benchmark), INGEST (model pull), DISCOVERY (capability probe), MIGRATION (move a model) and HEARTBEAT (canary picture) also need the scope supervisor:write, and run on nodes of the workspace only. `dependsOn` names jobs that must end first.',
		...securedJson('jobs:write', { replay: 'own' }),
		request: { body: jsonRequest(AnyJobSchema), headers: SubmitHeaders, query: WaitQuery },
		responses: { ...accepted, ...problems(400, 401, 403, 409, 413, 415, 422, 429) },
	}),
	async (c) => {
		const nowMs = Date.now();
		const request = c.req.valid('json');
		const { spec, warnings } = await anySpecOf(c, request, nowMs);
		const allocationId = c.req.valid('header')['limner-allocation'];
		const submission = {
			spec,
			warnings,
			body: request,
			...(allocationId === undefined ? {} : { allocationId }),
			idempotencyKey: c.req.valid('header')['idempotency-key'],
		};
		const { view, status } = await accept(c, submission, c.req.valid('query').wait ?? 0, nowMs);
		return c.json(view, status);
	},
);

jobsRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/',
		operationId: 'listJobs',
		tags: ['jobs'],
		summary: 'List jobs, newest first',
		description: 'The state `open` selects all that have not ended.',
		...secured('jobs:read'),
		request: { query: z.object({ ...pageQuery, state: z.enum([...STATES, 'open']).optional() }) },
		responses: { 200: jsonResponse(pageOf(JobViewSchema), 'A page of jobs'), ...problems(401, 403, 422, 429) },
	}),
	async (c) => {
		const { limit, cursor, state } = c.req.valid('query');
		const query = { limit, ...(cursor === undefined ? {} : { cursor }), ...(state === undefined ? {} : { state }) };
		const page = await idempotent(
			() => workspaceOf(c.env, c.get('principal').ws),
			(stub) => stub.listJobs(query),
		);
		// Rows do not tell the open states apart, the shards do. So a page may come back short.
		const fits = (view: JobView): boolean =>
			state === 'open' ? !isTerminal('job', view.state) : state === undefined || view.state === state;
		const data = (await viewsOf(c, page.data)).filter(fits);
		return c.json({ data, nextCursor: page.nextCursor }, 200);
	},
);

jobsRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/{id}',
		operationId: 'getJob',
		tags: ['jobs'],
		summary: 'Read a job',
		...secured('jobs:read'),
		request: { params: JobPath },
		responses: { 200: jsonResponse(JobViewSchema, 'The job'), ...problems(401, 403, 404, 422, 429) },
	}),
	async (c) => c.json(await viewOf(c, c.req.valid('param').id), 200),
);

jobsRoutes.openapi(
	createRoute({
		method: 'patch',
		path: '/{id}',
		operationId: 'updateJob',
		tags: ['jobs'],
		summary: 'Change the priority of a job that waits',
		description:
			'Moves what still waits of the job within the queue of its workspace; pictures that are being made go on. Answers 409 when nothing of it waits. The change stands in the history of the job and in the audit log.',
		...securedJson('jobs:write'),
		request: { params: JobPath, body: jsonRequest(JobChangeSchema) },
		responses: { 200: jsonResponse(JobViewSchema, 'The job, at its new place'), ...problems(400, 401, 403, 404, 409, 413, 415, 422, 429) },
	}),
	async (c) => {
		const { id } = c.req.valid('param');
		await prioritize(c, await currentRow(c, id), c.req.valid('json').priority);
		return c.json(await viewOf(c, id), 200);
	},
);

jobsRoutes.openapi(
	createRoute({
		method: 'post',
		path: '/{id}/cancel',
		operationId: 'cancelJob',
		tags: ['jobs'],
		summary: 'Cancel an open job',
		description: 'Pictures made before the cancel are kept and charged. With `subtree` everything that depends on the job is canceled too.',
		...secured('jobs:write'),
		request: { params: JobPath, query: z.object({ subtree: z.enum(['true', 'false']).optional() }) },
		responses: { 200: jsonResponse(JobViewSchema, 'The job, canceled'), ...problems(401, 403, 404, 409, 422, 429) },
	}),
	async (c) => {
		const { id } = c.req.valid('param');
		await cancel(c, await currentRow(c, id), c.req.valid('query').subtree === 'true');
		return c.json(await viewOf(c, id), 200);
	},
);

jobsRoutes.openapi(
	createRoute({
		method: 'delete',
		path: '/{id}',
		operationId: 'deleteJob',
		tags: ['jobs'],
		summary: 'Cancel an open job, or remove the pictures of a finished one',
		...secured('jobs:write'),
		request: { params: JobPath },
		responses: { 200: jsonResponse(JobViewSchema, 'The job afterwards'), ...problems(401, 403, 404, 409, 422, 429) },
	}),
	async (c) => {
		const { id } = c.req.valid('param');
		const row = await currentRow(c, id);
		await (isTerminal('job', row.state) ? purge(c, id) : cancel(c, row));
		return c.json(await viewOf(c, id), 200);
	},
);

jobsRoutes.openapi(
	createRoute({
		method: 'post',
		path: '/{id}/retry',
		operationId: 'retryJob',
		tags: ['jobs'],
		summary: 'Submit a finished job again, as a new job',
		...secured('jobs:write', { replay: 'own' }),
		request: { params: JobPath, headers: IdempotencyHeader, query: WaitQuery },
		responses: { ...accepted, ...problems(401, 403, 404, 409, 422, 429) },
	}),
	async (c) => {
		const nowMs = Date.now();
		const row = await currentRow(c, c.req.valid('param').id);
		if (!isTerminal('job', row.state)) throw new LimnerError('conflict', { detail: `the job is still ${row.state}` });
		const { inputKeys: _old, maxConcurrent: _limit, allocationId: _drawn, ...rest } = row.spec;
		const spec = { ...rest, deadlineAt: nowMs + (row.spec.deadlineAt - row.createdAt) } as typeof row.spec;
		const submission = {
			spec,
			warnings: row.warnings,
			body: { retryOf: row.id },
			idempotencyKey: c.req.valid('header')['idempotency-key'],
			retryOf: row.id,
		};
		const { view, status } = await accept(c, submission, c.req.valid('query').wait ?? 0, nowMs);
		return c.json(view, status);
	},
);
