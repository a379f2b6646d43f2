/**
 * `/api/v1/resources`: limits, what is left of them, what was used, and reservations.
 * @module
 */
import { createRoute, z } from '@hono/zod-openapi';
import { ALLOCATION_ID_PATTERN, METRICS, QUOTA_LIMITS as L, toError, WINDOWS } from '@limner/shared';
import { actorOf } from '../../lib/auth.ts';
import { jsonRequest, jsonResponse, newApp, problems, secured, securedJson } from '../../lib/openapi.ts';
import { validationError } from '../../lib/problem.ts';
import { idempotent, workspaceOf } from '../../lib/stubs.ts';
import type { AllocationView, GaugeView, UsagePoint } from '../../rpc.ts';
import { rateLimitOf, tightest } from '../../workspace/quota.ts';
import { groupSeries } from './series.ts';

export const resourcesRoutes = newApp();

const time = z.iso.datetime();
const iso = (ms: number): string => new Date(ms).toISOString();
const day = (ms: number): string => iso(ms).slice(0, 10);

const Gauge = z
	.object({
		window: z.enum(WINDOWS),
		metric: z.enum(METRICS),
		limit: z.number(),
		used: z.number(),
		reserved: z.number(),
		remaining: z.number(),
		resetsAt: time,
	})
	.openapi('Quota');
const Allocation = z
	.object({
		id: z.string(),
		state: z.enum(['planned', 'active', 'ended', 'released']),
		images: z.int(),
		megapixelSteps: z.number(),
		leftImages: z.number(),
		leftMegapixelSteps: z.number(),
		startsAt: time,
		endsAt: time,
		createdAt: time,
		createdBy: z.string(),
		note: z.string(),
	})
	.openapi('Reservation');
const Quotas = z
	.object({
		workspaceId: z.string(),
		windows: z.array(Gauge),
		queued: z.object({ used: z.int(), limit: z.int() }),
		concurrent: z.object({ limit: z.int().nullable() }),
		storage: z.object({ usedBytes: z.int(), limitBytes: z.int().nullable(), retentionMs: z.int().nullable() }),
		key: z.object({ id: z.string(), windows: z.array(Gauge), queued: z.object({ used: z.int(), limit: z.int().nullable() }) }).nullable(),
		allocations: z.array(Allocation),
	})
	.openapi('Quotas');

const gaugeBody = (gauge: GaugeView) => ({ ...gauge, resetsAt: iso(gauge.resetsAt) });
const allocationBody = (view: AllocationView): z.infer<typeof Allocation> => ({
	...view,
	startsAt: iso(view.startsAt),
	endsAt: iso(view.endsAt),
	createdAt: iso(view.createdAt),
});

resourcesRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/quotas',
		operationId: 'resourceQuotas',
		tags: ['resources'],
		summary: 'Limits of the workspace and of the calling key, and what is left',
		description: 'Windows are minutes, days and months of UTC. Open jobs and reservations count as reserved until they end.',
		...secured('resources:read'),
		responses: { 200: jsonResponse(Quotas, 'Quotas'), ...problems(401, 403, 429) },
	}),
	async (c) => {
		const { ws, keyId, account } = c.get('principal');
		const report = await idempotent(
			() => workspaceOf(c.env, ws),
			(stub) => stub.quotas(account === undefined ? keyId : undefined),
		);
		const tight = tightest([...report.windows, ...(report.key?.windows ?? [])]);
		if (tight !== undefined) c.set('rateLimit', rateLimitOf(tight, Date.now()));
		const key = report.key === null ? null : { ...report.key, windows: report.key.windows.map(gaugeBody) };
		return c.json({ ...report, windows: report.windows.map(gaugeBody), key, allocations: report.allocations.map(allocationBody) }, 200);
	},
);

const GROUPS = ['day', 'model', 'key'] as const;
const DAY_MS = 86_400_000;
const UsageQuery = z.object({
	from: z.iso.date().optional().openapi({ example: '2026-11-01' }),
	to: z.iso.date().optional().openapi({ example: '2026-11-30' }),
	groupBy: z.enum(GROUPS).default('day'),
});
const Point = z
	.object({
		day: z.iso.date().optional(),
		model: z.string().optional(),
		keyId: z.string().optional(),
		jobs: z.int(),
		failed: z.int(),
		images: z.int(),
		megapixelSteps: z.number(),
	})
	.openapi('UsagePoint');
const UsageView = z
	.object({
		workspaceId: z.string(),
		images: z.int(),
		megapixelSteps: z.number(),
		openJobs: z.int(),
		settledJobs: z.int(),
		groupBy: z.enum(GROUPS),
		from: z.iso.date(),
		to: z.iso.date(),
		series: z.array(Point),
	})
	.openapi('ResourceUsage');

resourcesRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/usage',
		operationId: 'resourceUsage',
		tags: ['resources'],
		summary: 'What the workspace has used: ever, and by day, model or key',
		description: 'The last 30 days when `from` and `to` (UTC, both included) are absent. A job counts on the day on which it ends.',
		...secured('resources:read'),
		request: { query: UsageQuery },
		responses: { 200: jsonResponse(UsageView, 'Usage'), ...problems(401, 403, 422, 429) },
	}),
	async (c) => {
		const { ws } = c.get('principal');
		const { groupBy, from, to } = c.req.valid('query');
		const toMs = to === undefined ? Date.now() : Date.parse(to);
		const fromMs = from === undefined ? toMs - 29 * DAY_MS : Date.parse(from);
		if (fromMs > toMs || toMs - fromMs > L.seriesDaysMax * DAY_MS) {
			throw validationError([{ pointer: '#/query/from', detail: `must be at most ${L.seriesDaysMax} days before "to"`, code: 'custom' }]);
		}
		const [usage, points] = await Promise.all([
			idempotent(
				() => workspaceOf(c.env, ws),
				(stub) => stub.usage(),
			),
			idempotent(
				() => workspaceOf(c.env, ws),
				(stub): Promise<UsagePoint[]> => stub.usageSeries(fromMs, toMs),
			),
		]);
		return c.json({ workspaceId: ws, ...usage, groupBy, from: day(fromMs), to: day(toMs), series: groupSeries(points, groupBy) }, 200);
	},
);

const AllocationRequest = z
	.strictObject({
		images: z.int().min(0).max(L.amountMax).default(0),
		megapixelSteps: z.number().min(0).max(L.amountMax).default(0),
		startsAt: time.optional(),
		/** Default: an hour after the start. */
		endsAt: time.optional(),
		note: z.string().max(L.noteChars).default(''),
	})
	.refine((request) => request.images > 0 || request.megapixelSteps > 0, { error: 'name images or megapixelSteps', path: ['images'] })
	.openapi('ReservationRequest', {
		anyOf: ['images', 'megapixelSteps'].map((name) => ({
			required: [name],
			properties: { [name]: { type: 'number', exclusiveMinimum: 0 } },
		})) as never,
		example: { images: 100, megapixelSteps: 500, note: 'batch for Monday' },
	});

resourcesRoutes.openapi(
	createRoute({
		method: 'post',
		path: '/allocate',
		operationId: 'allocateResources',
		tags: ['resources'],
		summary: 'Reserve a part of the quota for a job or a time',
		description:
			'Others of the workspace cannot use what is reserved. Jobs draw from it with the header `Limner-Allocation: <id>`; what is left comes back when it ends or is released.',
		...securedJson('resources:write'),
		request: { body: jsonRequest(AllocationRequest) },
		responses: { 201: jsonResponse(Allocation, 'The reservation'), ...problems(400, 401, 403, 409, 413, 415, 422, 429) },
	}),
	async (c) => {
		const { images, megapixelSteps, note, startsAt, endsAt } = c.req.valid('json');
		const start = startsAt === undefined ? Date.now() : Date.parse(startsAt);
		const end = endsAt === undefined ? start + L.allocationTtlDefaultMs : Date.parse(endsAt);
		const { ws } = c.get('principal');
		const made = await workspaceOf(c.env, ws).allocate(
			{ images, megapixelSteps, note, startsAt: start, endsAt: end },
			actorOf(c.get('principal')),
		);
		if (!made.ok) throw toError(made);
		if (made.rateLimit !== undefined) c.set('rateLimit', made.rateLimit);
		return c.json(allocationBody(made.allocation), 201);
	},
);

resourcesRoutes.openapi(
	createRoute({
		method: 'post',
		path: '/release',
		operationId: 'releaseResources',
		tags: ['resources'],
		summary: 'Give back what is left of a reservation',
		description: 'Jobs that draw from it go on. Releasing again changes nothing.',
		...securedJson('resources:write'),
		request: {
			body: jsonRequest(
				z.strictObject({ id: z.string().regex(ALLOCATION_ID_PATTERN, 'must be the id of a reservation') }).openapi('ReleaseRequest'),
			),
		},
		responses: { 200: jsonResponse(Allocation, 'The reservation'), ...problems(400, 401, 403, 404, 413, 415, 422, 429) },
	}),
	async (c) => {
		const { ws } = c.get('principal');
		const answer = await workspaceOf(c.env, ws).release(c.req.valid('json').id, actorOf(c.get('principal')));
		if (!answer.ok) throw toError(answer);
		if (answer.rateLimit !== undefined) c.set('rateLimit', answer.rateLimit);
		return c.json(allocationBody(answer.allocation), 200);
	},
);
