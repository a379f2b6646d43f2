/**
 * `GET /api/v1/jobs/{id}/events` (SSE) and `POST /api/v1/jobs/{id}/stream-ticket`.
 * @module
 */
import { createRoute, z } from '@hono/zod-openapi';
import { JOB_ID_PATTERN, LimnerError, TIMING, type BridgeFrame } from '@limner/shared';
import { createMiddleware } from 'hono/factory';
import { refuseAuthentication, requireScope } from '../../lib/auth.ts';
import { hasReadAll, startAfter } from '../../lib/bridge-core.ts';
import { followJob } from '../../lib/bridge.ts';
import type { AppContext, AppEnv } from '../../lib/context.ts';
import { describeError } from '../../lib/log.ts';
import { eventStream, jsonResponse, newApp, problems, secured, wholeNumber } from '../../lib/openapi.ts';
import { signClaims, verifyClaims } from '../../lib/sign.ts';
import { rowOf, viewContext } from '../jobs/service.ts';
import { clientFrame } from './frames.ts';
import { sseStream } from './stream.ts';

const JobPath = z.object({ id: z.string().regex(JOB_ID_PATTERN, 'must be a job id') });
const HEADERS = {
	'Content-Type': 'text/event-stream; charset=utf-8',
	'Cache-Control': 'no-cache, no-transform',
	'X-Accel-Buffering': 'no',
};
const AFTER_MAX = 999_999_999;

/** A stream ticket opens the events of its job; otherwise a key with `jobs:read` is needed. */
const streamAccess = createMiddleware<AppEnv>(async (c, next) => {
	const ticket = c.req.query('ticket');
	if (ticket === undefined) return requireScope('jobs:read')(c, next);
	const verified = verifyClaims(c.env.LIMNER_SECRET, 'stream', ticket, Date.now());
	if (!verified.ok) {
		throw await refuseAuthentication(c, verified.why === 'expired' ? 'the stream ticket has expired' : 'the stream ticket is not valid');
	}
	if (verified.claims.job !== c.req.param('id')) throw new LimnerError('forbidden', { detail: 'the stream ticket is for another job' });
	c.set('principal', { ws: verified.claims.ws, keyId: 'stream-ticket', scopes: ['jobs:read'], weight: 1 });
	await next();
	return undefined;
});

/** Follows the job and emits what callers see. */
const follow = async (
	c: AppContext,
	jobId: string,
	after: number,
	emit: (frame: BridgeFrame) => void,
	signal: AbortSignal,
): Promise<void> => {
	const { ws } = c.get('principal');
	const onFrame = (frame: BridgeFrame): void => emit(clientFrame(viewContext(c, Date.now()), ws, jobId, frame));
	const end = await followJob({ env: c.env, ws, jobId, after, signal, row: () => rowOf(c, jobId), onFrame });
	if (end === 'lost') c.get('log').warn('the pool could not be followed; the stream ends and may be opened again', { jobId });
};

export const eventsRoutes = newApp();

eventsRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/{id}/events',
		operationId: 'followJob',
		tags: ['jobs'],
		summary: 'Follow a job (server-sent events)',
		description:
			'Durable events carry an id and are replayed after `Last-Event-ID`: queued, assigned, requeued, image, succeeded, failed, canceled, expired. The others are latest-wins: position, waiting, loading, progress, preview. A terminal event carries the pictures and ends the stream.',
		security: [{ ApiKey: ['jobs:read'] }, { StreamTicket: [] }],
		middleware: [streamAccess],
		request: {
			params: JobPath,
			query: z.object({ after: wholeNumber(0, AFTER_MAX).optional(), ticket: z.string().max(1000).optional() }),
		},
		responses: {
			200: { description: 'Events', content: eventStream },
			204: { description: 'The job has ended and every event has been read' },
			...problems(401, 403, 404, 422, 429),
		},
	}),
	async (c) => {
		const { id } = c.req.valid('param');
		const row = await rowOf(c, id);
		// Nobody would read the body of an answer to HEAD, so nothing would end its bridge.
		if (c.req.method === 'HEAD') return c.body('', 200, HEADERS);
		const after = startAfter(c.req.header('last-event-id'), c.req.valid('query').after);
		// A browser opens a stream again that has ended, until it is told that there is no more.
		if (hasReadAll(row, after)) return c.body(null, 204);
		const log = c.get('log');
		const body = sseStream({
			run: (emit, signal) => follow(c, id, after, emit, signal),
			signal: c.req.raw.signal,
			onError: (error) => log.error('an event stream broke', { jobId: id, ...describeError(error) }),
		});
		return c.body(body, 200, HEADERS);
	},
);

eventsRoutes.openapi(
	createRoute({
		method: 'post',
		path: '/{id}/stream-ticket',
		operationId: 'createStreamTicket',
		tags: ['jobs'],
		summary: 'A ticket for EventSource, which cannot send headers',
		description: 'Opens only this job’s events, for 15 minutes, any number of times.',
		...secured('jobs:read'),
		request: { params: JobPath },
		responses: {
			201: jsonResponse(z.object({ ticket: z.string(), url: z.string(), expiresAt: z.iso.datetime() }), 'The ticket'),
			...problems(401, 403, 404, 422, 429),
		},
	}),
	async (c) => {
		const { id } = c.req.valid('param');
		const { ws } = await rowOf(c, id);
		const nowMs = Date.now();
		const exp = nowMs + TIMING.streamTicketTtlMs;
		const ticket = signClaims(c.env.LIMNER_SECRET, { k: 'stream', ws, job: id, exp });
		const url = `${viewContext(c, nowMs).base}/api/v1/jobs/${id}/events?ticket=${ticket}`;
		return c.json({ ticket, url, expiresAt: new Date(exp).toISOString() }, 201);
	},
);
