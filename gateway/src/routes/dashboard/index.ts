/**
 * `GET /api/v1/dashboard`, `GET /api/v1/presence`, and one event stream for both.
 * @module
 */
import { createRoute, z } from '@hono/zod-openapi';
import { TIMING, type BridgeFrame } from '@limner/shared';
import { createMiddleware } from 'hono/factory';
import { refuseAuthentication, requireScope } from '../../lib/auth.ts';
import type { AppContext, AppEnv } from '../../lib/context.ts';
import { describeError } from '../../lib/log.ts';
import { eventStream, jsonResponse, newApp, problems, secured } from '../../lib/openapi.ts';
import { signClaims, verifyClaims } from '../../lib/sign.ts';
import { deliveryOf, idempotent, workspaceOf } from '../../lib/stubs.ts';
import { sseStream } from '../events/stream.ts';
import { viewContext, viewsOf } from '../jobs/service.ts';
import { nodesOf } from '../supervisor/nodes.ts';
import { WORKER_STATUSES } from '../supervisor/workers.ts';
import { dashboardOf, presenceOf, type Dashboard, type Presence } from './summary.ts';

const WINDOW_MS = 24 * 3_600_000;
/** How often a stream looks; what has not changed is not sent. */
const LOOK_MS = 2000;
const TIMELINE = 50;
/** Open jobs that a dashboard looks at, oldest first. */
const OPEN_JOBS = 200;
const ALERTS = 50;
const HEADERS = {
	'Content-Type': 'text/event-stream; charset=utf-8',
	'Cache-Control': 'no-cache, no-transform',
	'X-Accel-Buffering': 'no',
};

const Rate = z.number().min(0).max(1).nullable();
const LINKS = z.enum(['pending', 'online', 'suspect', 'offline']);
const DashboardView = z
	.object({
		at: z.iso.datetime(),
		/** Milliseconds that counts and rates look back. */
		windowMs: z.int(),
		/** Pictures made / pictures asked for; null when none was. */
		overallCompletion: Rate,
		agentStatus: z.array(
			z.object({
				agentId: z.string(),
				nodeId: z.string(),
				name: z.string(),
				link: LINKS,
				status: z.enum(WORKER_STATUSES),
				jobId: z.string().optional(),
				phase: z.string().optional(),
				step: z.int().optional(),
				steps: z.int().optional(),
			}),
		),
		blockers: z.array(z.object({ kind: z.enum(['job', 'alert']), subject: z.string(), since: z.iso.datetime(), reason: z.string() })),
		timeline: z.array(z.object({ at: z.iso.datetime(), action: z.string(), who: z.string(), target: z.string() })),
		metrics: z.object({
			jobsOpen: z.int(),
			jobsWaiting: z.int(),
			jobsRunning: z.int(),
			jobsSucceeded: z.int(),
			jobsFailed: z.int(),
			jobsCanceled: z.int(),
			jobsExpired: z.int(),
			nodes: z.int(),
			nodesOnline: z.int(),
			agents: z.int(),
			agentsBusy: z.int(),
			utilization: z.number(),
			tasksPerMinute: z.number(),
			alertsOpen: z.int(),
		}),
		/** Jobs that succeeded / jobs that ended without being canceled. */
		taskCompletionRate: Rate,
		/** Mean time from an alert to its end, milliseconds. */
		blockerResolutionTime: z.number().nullable(),
		/** Jobs that succeeded after they changed hands / all ended jobs that did. */
		handoffSuccess: Rate,
	})
	.openapi('Dashboard');

const PresenceView = z
	.object({
		at: z.iso.datetime(),
		online: z.int(),
		total: z.int(),
		nodes: z.array(
			z.object({
				id: z.string(),
				name: z.string(),
				link: LINKS,
				mode: z.enum(['active', 'draining', 'paused', 'terminated']),
				status: z.enum(WORKER_STATUSES),
				labels: z.array(z.string()),
				lastSeenAt: z.iso.datetime().nullable(),
				connectedAt: z.iso.datetime().nullable(),
				/** Jobs that it works on. */
				working: z.array(z.string()),
				reason: z.string().optional(),
			}),
		),
	})
	.openapi('Presence');

const dashboard = async (c: AppContext): Promise<Dashboard> => {
	const { ws } = c.get('principal');
	const now = Date.now();
	const workspace = () => workspaceOf(c.env, ws);
	const delivery = () => deliveryOf(c.env, ws);
	const [nodes, rows, activity, audit, openAlerts, resolvedAlerts] = await Promise.all([
		nodesOf(c),
		idempotent(workspace, (stub) => stub.openJobs()),
		idempotent(workspace, (stub) => stub.activity(now - WINDOW_MS)),
		idempotent(workspace, (stub) => stub.audit({ limit: TIMELINE })),
		idempotent(delivery, (stub) => stub.listAlerts(ws, { limit: ALERTS })),
		idempotent(delivery, (stub) => stub.listAlerts(ws, { limit: ALERTS, state: 'resolved' })),
	]);
	const open = await viewsOf(c, rows.slice(0, OPEN_JOBS));
	const sources = { nodes, open, activity, timeline: audit.data, resolvedAlerts: resolvedAlerts.data };
	return dashboardOf({ ...sources, openAlerts: openAlerts.data.filter((alert) => alert.state !== 'resolved') }, WINDOW_MS, now);
};

const presence = async (c: AppContext): Promise<Presence> => presenceOf(await nodesOf(c), Date.now());

/** What would make a stream say something although nothing happened is left out of the comparison. */
const textOf = (value: object): string =>
	JSON.stringify(value, (key, field: unknown) => (key === 'at' || key === 'lastSeenAt' || key === 'tasksPerMinute' ? undefined : field));

const pause = (ms: number, signal: AbortSignal): Promise<void> =>
	new Promise((resolve) => {
		const timer = setTimeout(resolve, ms);
		signal.addEventListener('abort', () => (clearTimeout(timer), resolve()), { once: true });
	});

/** Looks again and again, and emits what has changed since it was last told. */
const follow = async (c: AppContext, emit: (frame: BridgeFrame) => void, signal: AbortSignal): Promise<void> => {
	const told = new Map<string, string>();
	// A stream ends before its key could have been revoked for long; readers come back by themselves.
	const until = Date.now() + TIMING.streamTicketTtlMs;
	while (!signal.aborted && Date.now() < until) {
		for (const [event, value] of [['presence', await presence(c)] as const, ['dashboard', await dashboard(c)] as const]) {
			const text = textOf(value);
			if (told.get(event) === text) continue;
			told.set(event, text);
			// The stream writes any name; its type lists those of jobs.
			emit({ event: event as BridgeFrame['event'], data: value });
		}
		await pause(LOOK_MS, signal);
	}
};

export const dashboardRoutes = newApp();

dashboardRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/dashboard',
		operationId: 'getDashboard',
		tags: ['dashboard'],
		summary: 'How the workspace does: completion, agents, blockers, timeline, rates',
		...secured('supervisor:read'),
		responses: { 200: jsonResponse(DashboardView, 'The last day, and now'), ...problems(401, 403, 429) },
	}),
	async (c) => c.json(await dashboard(c), 200),
);

dashboardRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/presence',
		operationId: 'getPresence',
		tags: ['dashboard'],
		summary: 'Which nodes are there, and what they work on',
		...secured('supervisor:read'),
		responses: { 200: jsonResponse(PresenceView, 'Now'), ...problems(401, 403, 429) },
	}),
	async (c) => c.json(await presence(c), 200),
);

/** A ticket opens this stream only; otherwise a key with `supervisor:read` is needed. */
const streamAccess = createMiddleware<AppEnv>(async (c, next) => {
	const ticket = c.req.query('ticket');
	if (ticket === undefined) return requireScope('supervisor:read')(c, next);
	const verified = verifyClaims(c.env.LIMNER_SECRET, 'dashboard', ticket, Date.now());
	if (!verified.ok) {
		throw await refuseAuthentication(c, verified.why === 'expired' ? 'the stream ticket has expired' : 'the stream ticket is not valid');
	}
	c.set('principal', { ws: verified.claims.ws, keyId: 'stream-ticket', scopes: ['supervisor:read'], weight: 1 });
	await next();
	return undefined;
});

dashboardRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/presence/events',
		operationId: 'followPresence',
		tags: ['dashboard'],
		summary: 'Presence and dashboard as they change (server-sent events)',
		description:
			'Events `presence` and `dashboard`, each whole; both come at once, then whatever has changed. The latest wins; nothing is replayed.',
		security: [{ ApiKey: ['supervisor:read'] }, { StreamTicket: [] }],
		middleware: [streamAccess],
		request: { query: z.object({ ticket: z.string().max(1000).optional() }) },
		responses: {
			200: { description: 'Events', content: eventStream },
			...problems(401, 403, 422, 429),
		},
	}),
	async (c) => {
		// Nobody would read the body of an answer to HEAD, so nothing would end its looks.
		if (c.req.method === 'HEAD') return c.body('', 200, HEADERS);
		const log = c.get('log');
		const body = sseStream({
			run: (emit, signal) => follow(c, emit, signal),
			signal: c.req.raw.signal,
			onError: (error) => log.error('a dashboard stream broke', describeError(error)),
		});
		return c.body(body, 200, HEADERS);
	},
);

dashboardRoutes.openapi(
	createRoute({
		method: 'post',
		path: '/presence/stream-ticket',
		operationId: 'createPresenceTicket',
		tags: ['dashboard'],
		summary: 'A ticket for EventSource, which cannot send headers',
		description: 'Opens only the stream of presence and dashboard of this workspace, for 15 minutes, any number of times.',
		...secured('supervisor:read'),
		responses: {
			201: jsonResponse(z.object({ ticket: z.string(), url: z.string(), expiresAt: z.iso.datetime() }), 'The ticket'),
			...problems(401, 403, 429),
		},
	}),
	(c) => {
		const nowMs = Date.now();
		const exp = nowMs + TIMING.streamTicketTtlMs;
		const ticket = signClaims(c.env.LIMNER_SECRET, { k: 'dashboard', ws: c.get('principal').ws, exp });
		const url = `${viewContext(c, nowMs).base}/api/v1/presence/events?ticket=${ticket}`;
		return c.json({ ticket, url, expiresAt: new Date(exp).toISOString() }, 201);
	},
);
