/**
 * `GET /api/v1/audit`: what happened in the workspace; `GET /api/v1/audit/export`: the ledger itself, for a check.
 * @module
 */
import { createRoute, z } from '@hono/zod-openapi';
import { AUDIT_FORMAT_VERSION, isJobId, shardOfJob } from '@limner/shared';
import type { AppContext } from '../../lib/context.ts';
import { describeError } from '../../lib/log.ts';
import { jsonResponse, newApp, pageOf, pageQuery, problems, secured } from '../../lib/openapi.ts';
import { idempotent, poolOf, workspaceOf } from '../../lib/stubs.ts';
import type { AuditEvent, AuditFilter, JobRow, LedgerSlice } from '../../rpc.ts';
import { auditMatches, histEvent } from '../../workspace/audit.ts';

const TYPES = ['settle', 'purge', 'expire', 'key', 'action', 'history'] as const;
/** Rows of the ledger that one call of an export reads. */
const EXPORT_ROWS = 200;
/** A shard is asked about this many jobs at a time. */
const VIEWS = 200;
/** As a plain text to the type checker, which would take a name with `json` in it for one JSON value. */
const JSONL_TYPE: string = 'application/jsonl';
const JSONL = `${JSONL_TYPE}; charset=utf-8`;

const AuditEventView = z
	.object({
		id: z.string(),
		at: z.iso.datetime(),
		type: z.enum(TYPES),
		/** `key:<id>`, `node:<id>`, `pool`, `owner` or `system`. */
		who: z.string(),
		action: z.string(),
		target: z.string(),
		detail: z.record(z.string(), z.unknown()),
		/** true = of a job that is still open: the ledger does not vouch for it yet. */
		unsealed: z.boolean(),
		seq: z.int().optional(),
		hash: z.string().optional(),
		traceId: z.string().optional(),
	})
	.openapi('AuditEvent', {
		example: {
			id: '17.0',
			at: '2026-11-21T12:00:00.000Z',
			type: 'action',
			who: 'key:k7m2p9qa',
			action: 'node.pause',
			target: 'node_01jd9x7b4v8k2m5n6p7q8r9s0t',
			detail: { mode: 'paused' },
			unsealed: false,
			seq: 17,
			hash: '9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08',
		},
	});

const Filters = {
	type: z.enum(TYPES).optional(),
	who: z.string().min(1).max(100).optional(),
	action: z
		.string()
		.regex(/^[a-z]+(?:\.[a-z_-]+|\.\*)$/, 'looks like "node.pause" or "node.*"')
		.max(60)
		.optional()
		.openapi({ example: 'node.*' }),
	target: z.string().min(1).max(100).optional(),
	from: z.iso.datetime().optional(),
	to: z.iso.datetime().optional(),
};

type Query = { [K in keyof typeof Filters]?: z.infer<(typeof Filters)[K]> };

const filterOf = (query: Query): AuditFilter => {
	const { type, who, action, target, from, to } = query;
	return {
		...(type === undefined ? {} : { type }),
		...(who === undefined ? {} : { who }),
		...(action === undefined ? {} : { action }),
		...(target === undefined ? {} : { target }),
		...(from === undefined ? {} : { from: Date.parse(from) }),
		...(to === undefined ? {} : { to: Date.parse(to) }),
	};
};

const view = ({ at, ...event }: AuditEvent): z.infer<typeof AuditEventView> => ({ ...event, at: new Date(at).toISOString() });

const ask = (c: AppContext) => () => workspaceOf(c.env, c.get('principal').ws);

/** Histories of the open jobs: the shard is ahead of the row. */
const openHistories = async (c: AppContext, only?: string): Promise<Pick<JobRow, 'id' | 'hist'>[]> => {
	const rows = (await idempotent(ask(c), (stub) => stub.openJobs())).filter((row) => only === undefined || row.id === only);
	const byShard = Map.groupBy(rows, (row) => shardOfJob(row.id) ?? 0);
	const { ws } = c.get('principal');
	const live = new Map<string, JobRow['hist']>();
	for (const [shard, open] of byShard) {
		for (let i = 0; i < open.length; i += VIEWS) {
			const ids = open.slice(i, i + VIEWS).map((row) => row.id);
			const views = await idempotent(
				() => poolOf(c.env, shard),
				(stub) => stub.views(ws, ids),
			);
			for (const job of views) live.set(job.id, job.hist);
		}
	}
	return rows.map((row) => ({ id: row.id, hist: live.get(row.id) ?? row.hist }));
};

/** Lines of histories that the filter selects, newest first. */
const histories = async (c: AppContext, filter: AuditFilter): Promise<AuditEvent[]> => {
	if (filter.type !== undefined && filter.type !== 'history') return [];
	const job = filter.target !== undefined && isJobId(filter.target) ? filter.target : undefined;
	if (filter.target !== undefined && job === undefined) return [];
	const open = (await openHistories(c, job)).flatMap(({ id, hist }) => hist.map((entry) => histEvent(id, entry, true)));
	const settled = job === undefined ? [] : await idempotent(ask(c), (stub) => stub.settledHistory(job));
	return [...open, ...settled].filter((event) => auditMatches(event, filter)).toSorted((a, b) => b.at - a.at);
};

export const auditRoutes = newApp();

auditRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/',
		operationId: 'listAudit',
		tags: ['audit'],
		summary: 'What happened, newest first',
		description:
			'Entries of the ledger, and on the first page the histories of open jobs too, marked `unsealed`; these come on top of `limit`. With `target=<job id>` the whole history of that job.',
		...secured('audit:read'),
		request: { query: z.object({ ...pageQuery, ...Filters }) },
		responses: { 200: jsonResponse(pageOf(AuditEventView), 'A page of events'), ...problems(401, 403, 422, 429) },
	}),
	async (c) => {
		const { limit, cursor, ...query } = c.req.valid('query');
		const filter = filterOf(query);
		const page = await idempotent(ask(c), (stub) => stub.audit({ ...filter, limit, ...(cursor === undefined ? {} : { cursor }) }));
		const live = cursor === undefined ? await histories(c, filter) : [];
		// Stable: events of one millisecond keep the order of the ledger.
		const data = [...live, ...page.data].toSorted((a, b) => b.at - a.at);
		return c.json({ data: data.map(view), nextCursor: page.nextCursor }, 200);
	},
);

/** A line as `AuditLine` in shared/ describes it. */
type Line = { kind: 'ledger' | 'row' | 'history' | 'unsealed' } & Record<string, unknown>;

const linesOf = (slice: LedgerSlice): Line[] =>
	slice.rows.flatMap(({ row, histories: sealed }) => [
		{ kind: 'row' as const, ...row },
		...sealed.map(({ job, hist }) => ({ kind: 'history' as const, job, hist })),
	]);

/** All lines of an export: what was written while it runs is left for the next one. */
async function* exportLines(c: AppContext, first: LedgerSlice): AsyncGenerator<Line> {
	const { head } = first;
	const workspace = c.get('principal').ws;
	yield { kind: 'ledger', version: AUDIT_FORMAT_VERSION, workspace, exportedAt: new Date().toISOString(), head };
	let slice = first;
	for (let after = 0; after < head.seq;) {
		const rows = slice.rows.filter(({ row }) => row.seq <= head.seq);
		yield* linesOf({ head, rows });
		after = rows.at(-1)?.row.seq ?? head.seq;
		if (after < head.seq) {
			const next = after;
			slice = await idempotent(ask(c), (stub) => stub.ledgerSlice(next, EXPORT_ROWS));
		}
	}
	for (const { id, hist } of await openHistories(c)) yield { kind: 'unsealed', job: id, hist };
}

const jsonl = (c: AppContext, lines: AsyncGenerator<Line>): ReadableStream<Uint8Array> => {
	const encoder = new TextEncoder();
	return new ReadableStream<Uint8Array>({
		pull: async (controller) => {
			try {
				const next = await lines.next();
				if (next.done === true) controller.close();
				else controller.enqueue(encoder.encode(`${JSON.stringify(next.value)}\n`));
			} catch (error) {
				c.get('log').error('an export of the ledger broke off', describeError(error));
				controller.error(error);
			}
		},
		cancel: async () => void (await lines.return(undefined)),
	});
};

auditRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/export',
		operationId: 'exportAudit',
		tags: ['audit'],
		summary: 'The ledger as JSON Lines',
		description:
			'One object a line, told apart by `kind`: first `ledger` (workspace and head of the chain), then each `row` with the `history` of the jobs that it settled, last the `unsealed` histories of open jobs. `limner audit verify` checks such a file.',
		...secured('audit:read'),
		responses: {
			200: { description: 'JSON Lines', content: { [JSONL_TYPE]: { schema: z.string() } } },
			...problems(401, 403, 429),
		},
	}),
	async (c) => {
		const first = await idempotent(ask(c), (stub) => stub.ledgerSlice(0, EXPORT_ROWS));
		const name = `limner-ledger-${c.get('principal').ws}.jsonl`;
		const headers = { 'Content-Type': JSONL, 'Content-Disposition': `attachment; filename="${name}"` };
		return new Response(jsonl(c, exportLines(c, first)), { headers });
	},
);
