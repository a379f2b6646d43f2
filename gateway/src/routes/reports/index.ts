/**
 * Reports of pictures and takedowns: `POST /api/v1/images/{id}/report|takedown`, `GET /api/v1/reports`,
 * `POST /api/v1/reports/{id}/dismiss`. An admin decides for their workspace, the operator for all.
 * @module
 */
import { createRoute, z } from '@hono/zod-openapi';
import { imageId, IMAGE_ID_PATTERN, isTerminal, LimnerError, REPORT_LIMITS, toError } from '@limner/shared';
import { recordAction, whoOf } from '../../lib/audit.ts';
import type { AppContext } from '../../lib/context.ts';
import { jsonRequest, jsonResponse, newApp, pageOf, pageQuery, problems, secured, securedJson } from '../../lib/openapi.ts';
import { idempotent, registryOf, workspaceOf } from '../../lib/stubs.ts';
import { objectUrl } from '../../lib/views.ts';
import { REPORT_REASONS, REPORT_STATES, type ReportView } from '../../rpc.ts';
import { WorkspaceId } from '../auth/schema.ts';
import { findImage, partsOf } from '../images/service.ts';
import { settlingRow, viewContext } from '../jobs/service.ts';

const ImagePath = z.object({ id: z.string().regex(IMAGE_ID_PATTERN, 'must be an image id') });
const ReportPath = z.object({ id: z.string().regex(/^rep_[0-9a-hjkmnp-tv-z]{26}$/, 'must be a report id') });
const Text = z.string().trim().max(REPORT_LIMITS.detailChars);

const ReportRequest = z.strictObject({ reason: z.enum(REPORT_REASONS), detail: Text.optional() }).openapi('ReportRequest', {
	example: { reason: 'person', detail: 'It shows my neighbour, who was not asked.' },
});
const TakedownRequest = z
	.strictObject({
		/** Told to whoever asks for the picture afterwards. */
		reason: Text.min(1),
		/** Of the picture, when the operator takes it down. */
		workspaceId: WorkspaceId.optional(),
	})
	.openapi('TakedownRequest', { example: { reason: 'It shows a person who was not asked.' } });
const DismissRequest = z.strictObject({ note: Text.optional() }).openapi('DismissRequest');
const Report = z
	.object({
		id: z.string(),
		workspaceId: z.string(),
		imageId: z.string(),
		/** Signed; works for an hour. Absent when the picture is gone. */
		imageUrl: z.string().optional(),
		reason: z.enum(REPORT_REASONS),
		detail: z.string(),
		reportedBy: z.string(),
		createdAt: z.iso.datetime(),
		state: z.enum(REPORT_STATES),
		decidedAt: z.iso.datetime().optional(),
		decidedBy: z.string().optional(),
		note: z.string(),
	})
	.openapi('Report', {
		example: {
			id: 'rep_01jd9x7b4v8k2m5n6p7q8r9s0t',
			workspaceId: 'main',
			imageId: 'img_job_01jd9x7b4v8k2m5n6p7q8r9s0t00_0',
			reason: 'person',
			detail: 'It shows my neighbour, who was not asked.',
			reportedBy: 'key:k1',
			createdAt: '2026-11-21T12:00:00.000Z',
			state: 'open',
			note: '',
		},
	});
const Takedown = z
	.object({ imageId: z.string(), workspaceId: z.string(), removedObjects: z.int(), closedReports: z.int() })
	.openapi('Takedown');

const iso = (ms: number): string => new Date(ms).toISOString();

const bodyOf = (report: ReportView, imageUrl?: string): z.infer<typeof Report> => ({
	id: report.id,
	workspaceId: report.ws,
	imageId: report.imageId,
	...(imageUrl === undefined ? {} : { imageUrl }),
	reason: report.reason,
	detail: report.detail,
	reportedBy: report.who,
	createdAt: iso(report.createdAt),
	state: report.state,
	...(report.decidedAt === null ? {} : { decidedAt: iso(report.decidedAt) }),
	...(report.decidedBy === null ? {} : { decidedBy: report.decidedBy }),
	note: report.note,
});

/** Addresses of the reported pictures that are still there, by report. */
const urlsOf = async (c: AppContext, reports: readonly ReportView[]): Promise<Map<string, string>> => {
	const urls = new Map<string, string>();
	const context = viewContext(c, Date.now());
	for (const [ws, own] of Map.groupBy(reports, (report) => report.ws)) {
		const ids = [...new Set(own.map((report) => partsOf(report.imageId).jobId))];
		const rows = await idempotent(
			() => workspaceOf(c.env, ws),
			(stub) => stub.getJobs(ids),
		);
		for (const row of rows) {
			for (const image of row.images) {
				for (const report of own.filter((each) => each.imageId === imageId(row.id, image.index)))
					urls.set(report.id, objectUrl(context, ws, image.key, image.contentType).url);
			}
		}
	}
	return urls;
};

const isOperator = (c: AppContext): boolean => c.get('principal').scopes.includes('operator');

/** Mounted at `/api/v1/images`. */
export const imageReportsRoutes = newApp();
/** Mounted at `/api/v1/reports`. */
export const reportsRoutes = newApp();

imageReportsRoutes.openapi(
	createRoute({
		method: 'post',
		path: '/{id}/report',
		operationId: 'reportImage',
		tags: ['reports'],
		summary: 'Report a picture that should not be there',
		description:
			'Whoever decides sees it in the list of reports, and as an alert. The same caller’s second report of a picture is the first.',
		...securedJson('images:read'),
		request: { params: ImagePath, body: jsonRequest(ReportRequest) },
		responses: { 201: jsonResponse(Report, 'The report'), ...problems(400, 401, 403, 404, 409, 410, 413, 415, 422, 429, 451) },
	}),
	async (c) => {
		const { id } = c.req.valid('param');
		const { reason, detail = '' } = c.req.valid('json');
		const { jobId, index } = partsOf(id);
		await findImage(c, jobId, index);
		const { ws } = c.get('principal');
		const answer = await idempotent(
			() => registryOf(c.env),
			(stub) => stub.addReport({ ws, imageId: id, reason, detail, who: whoOf(c) }),
		);
		if (!answer.ok) throw toError(answer);
		await recordAction(c, 'image.report', id, { report: answer.report.id, reason });
		return c.json(bodyOf(answer.report), 201);
	},
);

imageReportsRoutes.openapi(
	createRoute({
		method: 'post',
		path: '/{id}/takedown',
		operationId: 'takeDownImage',
		tags: ['reports'],
		summary: 'Take a picture down for good',
		description:
			'Removes its bytes and its place in the job, closes its reports, and is written into the ledger. Afterwards the picture is answered with 451 and the reason. The operator may name the workspace of the picture.',
		...securedJson('admin'),
		request: { params: ImagePath, body: jsonRequest(TakedownRequest) },
		responses: { 200: jsonResponse(Takedown, 'It is gone'), ...problems(400, 401, 403, 404, 409, 413, 415, 422, 429) },
	}),
	async (c) => {
		const { id } = c.req.valid('param');
		const { reason, workspaceId = c.get('principal').ws } = c.req.valid('json');
		const { jobId, index } = partsOf(id);
		const missing = new LimnerError('not_found', { detail: `there is no picture ${id}` });
		if (workspaceId !== c.get('principal').ws && !isOperator(c)) throw missing;
		const stub = () => workspaceOf(c.env, workspaceId);
		const row = await settlingRow(stub, jobId);
		if (row === null) throw missing;
		if (!isTerminal('job', row.state)) throw new LimnerError('conflict', { detail: `the job is still ${row.state}; cancel it first` });
		const who = whoOf(c);
		const answer = await idempotent(stub, (workspace) => workspace.takeDown(jobId, index, { who, reason, traceId: c.get('traceId') }));
		if (!answer.ok) throw toError(answer);
		const closedReports = await idempotent(
			() => registryOf(c.env),
			(registry) => registry.closeReports(workspaceId, id, { who, note: reason }),
		);
		return c.json({ imageId: id, workspaceId, removedObjects: answer.removed, closedReports }, 200);
	},
);

reportsRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/',
		operationId: 'listReports',
		tags: ['reports'],
		summary: 'List reports, newest first',
		description: 'Those of your workspace; the operator gets those of all, or of the workspace that `workspaceId` names.',
		...secured('admin'),
		request: { query: z.object({ ...pageQuery, state: z.enum(REPORT_STATES).optional(), workspaceId: WorkspaceId.optional() }) },
		responses: { 200: jsonResponse(pageOf(Report), 'A page of reports'), ...problems(401, 403, 422, 429) },
	}),
	async (c) => {
		const { limit, cursor, state, workspaceId } = c.req.valid('query');
		const own = c.get('principal').ws;
		// Somebody else's reports do not exist for an admin of a workspace.
		if (workspaceId !== undefined && workspaceId !== own && !isOperator(c)) return c.json({ data: [], nextCursor: null }, 200);
		const ws = isOperator(c) ? workspaceId : own;
		const page = await idempotent(
			() => registryOf(c.env),
			(stub) =>
				stub.listReports({
					limit,
					...(cursor === undefined ? {} : { cursor }),
					...(state === undefined ? {} : { state }),
					...(ws === undefined ? {} : { ws }),
				}),
		);
		const urls = await urlsOf(c, page.data);
		return c.json({ data: page.data.map((report) => bodyOf(report, urls.get(report.id))), nextCursor: page.nextCursor }, 200);
	},
);

reportsRoutes.openapi(
	createRoute({
		method: 'post',
		path: '/{id}/dismiss',
		operationId: 'dismissReport',
		tags: ['reports'],
		summary: 'Say that the picture may stay',
		...securedJson('admin'),
		request: { params: ReportPath, body: jsonRequest(DismissRequest) },
		responses: { 200: jsonResponse(Report, 'The report'), ...problems(400, 401, 403, 404, 409, 413, 415, 422, 429) },
	}),
	async (c) => {
		const { id } = c.req.valid('param');
		const { note = '' } = c.req.valid('json');
		const ws = isOperator(c) ? null : c.get('principal').ws;
		const answer = await idempotent(
			() => registryOf(c.env),
			(stub) => stub.dismissReport(id, ws, { who: whoOf(c), note }),
		);
		if (!answer.ok) throw toError(answer);
		await recordAction(c, 'report.dismiss', id, { image: answer.report.imageId });
		return c.json(bodyOf(answer.report), 200);
	},
);
