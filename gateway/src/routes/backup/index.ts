/**
 * `/api/v1/backup`: what `limner backup` and `limner restore` need besides the ledger's export. Admins only.
 * @module
 */
import { createRoute, z } from '@hono/zod-openapi';
import { BackupJobLine, BODY_LIMITS, JOB_ID_PATTERN, LimnerError, REQUEST_LIMITS, toError, type Result } from '@limner/shared';
import { recordAction } from '../../lib/audit.ts';
import { sha256Hex } from '../../lib/canonical.ts';
import type { AppContext } from '../../lib/context.ts';
import { jsonRequest, jsonResponse, newApp, pageOf, problems, secured, securedJson, wholeNumber } from '../../lib/openapi.ts';
import { idempotent, workspaceOf } from '../../lib/stubs.ts';
import { storageOf } from '../../storage/index.ts';
import { readBounded } from '../../storage/body.ts';
import type { RestoreBatch } from '../../rpc.ts';
import { refuseTakenDown } from '../images/service.ts';

const PAGE = 100;
const Hash = z.string().regex(/^[0-9a-f]{64}$/);
const Head = z.strictObject({ seq: z.int().min(0), hash: Hash }).openapi('LedgerHead');
const Job = z.object({ keyId: z.string(), row: z.record(z.string(), z.unknown()) }).openapi('BackupJob');
const Row = z
	.looseObject({
		seq: z.int().min(1),
		at: z.int(),
		prev: Hash,
		hash: Hash,
		entries: z.array(z.looseObject({ type: z.string() })),
		totals: z.looseObject({ images: z.number(), megapixelSteps: z.number(), settledJobs: z.int() }),
	})
	.openapi('LedgerRow');
const Batch = z.strictObject({ rows: z.array(Row).max(200), jobs: z.array(BackupJobLine).max(200) }).openapi('RestoreBatch');
const Begun = z.object({ dropped: z.int() }).openapi('RestoreBegun');
const Done = z.object({ ok: z.literal(true) }).openapi('RestoreStep');
const PicturePath = z.object({ id: z.string().regex(JOB_ID_PATTERN, 'must be a job id'), index: wholeNumber(0, REQUEST_LIMITS.nMax - 1) });
const Stored = z.object({ created: z.boolean() }).openapi('RestoredPicture');

const stub = (c: AppContext) => () => workspaceOf(c.env, c.get('principal').ws);
const must = <T>(answer: Result<T>): T & { ok: true } => {
	if (!answer.ok) throw toError(answer);
	return answer;
};

export const backupRoutes = newApp();

backupRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/jobs',
		operationId: 'backupJobs',
		tags: ['backup'],
		summary: 'Ended jobs as the workspace keeps them, oldest first',
		...secured('admin'),
		request: { query: z.object({ cursor: z.string().regex(JOB_ID_PATTERN).optional() }) },
		responses: { 200: jsonResponse(pageOf(Job), 'A page of rows'), ...problems(401, 403, 422, 429) },
	}),
	async (c) => {
		const { cursor = '' } = c.req.valid('query');
		const slice = await idempotent(stub(c), (workspace) => workspace.backupSlice(cursor, PAGE));
		return c.json(
			{
				data: slice.jobs.map(({ keyId, row }) => ({ keyId, row: Object.fromEntries<unknown>(Object.entries(row)) })),
				nextCursor: slice.next,
			},
			200,
		);
	},
);

backupRoutes.openapi(
	createRoute({
		method: 'post',
		path: '/restore',
		operationId: 'beginRestore',
		tags: ['backup'],
		summary: 'Begin a restore',
		description: 'Only into a workspace that has had no jobs, or whose restore broke off. It takes no jobs until the restore is finished.',
		...secured('admin'),
		responses: { 201: jsonResponse(Begun, 'Rows of the ledger that were given up'), ...problems(401, 403, 409, 429) },
	}),
	async (c) => {
		const { dropped } = must(await stub(c)().beginRestore());
		return c.json({ dropped }, 201);
	},
);

backupRoutes.openapi(
	createRoute({
		method: 'post',
		path: '/restore/rows',
		operationId: 'restoreRows',
		tags: ['backup'],
		summary: 'Rows of the ledger, and jobs',
		description: 'The rows must go on where the ledger ends: the chain is checked as it grows.',
		...securedJson('admin'),
		request: { body: jsonRequest(Batch) },
		responses: { 200: jsonResponse(Done, 'Written'), ...problems(400, 401, 403, 409, 413, 415, 422, 429) },
	}),
	async (c) => {
		must(await stub(c)().restoreBatch(c.req.valid('json') as unknown as RestoreBatch));
		return c.json({ ok: true as const }, 200);
	},
);

backupRoutes.openapi(
	createRoute({
		method: 'post',
		path: '/restore/finish',
		operationId: 'finishRestore',
		tags: ['backup'],
		summary: 'Finish a restore',
		...securedJson('admin'),
		request: { body: jsonRequest(Head) },
		responses: { 200: jsonResponse(Done, 'The workspace takes jobs again'), ...problems(400, 401, 403, 409, 413, 415, 422, 429) },
	}),
	async (c) => {
		const head = c.req.valid('json');
		must(await stub(c)().finishRestore(head));
		await recordAction(c, 'workspace.restore', c.get('principal').ws, { seq: head.seq, hash: head.hash });
		return c.json({ ok: true as const }, 200);
	},
);

const EXTENSION_TYPES = new Set(['image/png', 'image/jpeg', 'image/webp']);

backupRoutes.openapi(
	createRoute({
		method: 'put',
		path: '/pictures/{id}/{index}',
		operationId: 'restorePicture',
		tags: ['backup'],
		summary: 'Bring back a picture that a job names',
		description: 'Only the very bytes that the job was settled with are taken.',
		...secured('admin'),
		request: {
			params: PicturePath,
			body: { required: true, content: { 'application/octet-stream': { schema: z.string().openapi({ format: 'binary' }) } } },
		},
		responses: { 200: jsonResponse(Stored, 'It is there'), ...problems(401, 403, 404, 413, 415, 422, 429, 451) },
	}),
	async (c) => {
		const { id, index } = c.req.valid('param');
		const row = await idempotent(stub(c), (workspace) => workspace.getJob(id));
		const image = row?.images.find((record) => record.index === index);
		if (image === undefined) throw new LimnerError('not_found', { detail: `job ${id} names no picture ${index}` });
		// A backup may be older than the takedown.
		await refuseTakenDown(c, id, index);
		const bytes = await readBounded(c.req.raw.body, BODY_LIMITS.resultMaxBytes);
		if (bytes === 'too_large') throw new LimnerError('payload_too_large');
		if (sha256Hex(bytes) !== image.sha256) {
			throw new LimnerError('validation_failed', { detail: 'these are not the bytes that the job was settled with: the SHA-256 differs' });
		}
		// The key may only lie in this workspace's part of the bucket, whatever a backup says.
		if (!image.key.startsWith(`w/${c.get('principal').ws}/${id}/`) || image.key.includes('..') || !EXTENSION_TYPES.has(image.contentType)) {
			throw new LimnerError('validation_failed', { detail: 'the job names a key or a type that no picture has' });
		}
		const options = { createOnly: true, sha256: image.sha256, contentType: image.contentType };
		return c.json({ created: await storageOf(c.env).put(image.key, bytes, options) }, 200);
	},
);
