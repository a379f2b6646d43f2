/**
 * Direct uploads: `POST /api/v1/results/{ticket}/url` and `…/done`. The node puts its picture into the bucket itself; nothing of it
 * counts until the gateway has read it there and found it good. The ticket is the authority, as for an upload.
 * @module
 */
import { createRoute, z } from '@hono/zod-openapi';
import { BODY_LIMITS, LimnerError, type ResultTicket } from '@limner/shared';
import type { AppContext } from '../../lib/context.ts';
import { jsonRequest, jsonResponse, named, problems } from '../../lib/openapi.ts';
import { directUpload, storageOf } from '../../storage/index.ts';
import { verifyStored, type PutOutcome } from '../../storage/put.ts';
import { presignPut } from '../../storage/s3/s3.ts';
import { directSeconds, planUpload, type UploadPlan } from '../../storage/upload.ts';

/** Base64url of 2 KB, with room for padding. */
const META_CHARS = Math.ceil((BODY_LIMITS.resultMetaBytes * 4) / 3) + 4;

export const DirectBody = named(
	z.strictObject({
		/** 64 hex digits. */
		sha256: z.string().max(64),
		bytes: z.int().min(1),
		contentType: z.string().max(100),
		/** As `X-Limner-Meta` of an upload: base64url JSON, at most 2 KB. Read with `done` only. */
		meta: z.string().max(META_CHARS).optional(),
	}),
	'DirectUpload',
);
export type DirectBody = z.infer<typeof DirectBody>;

export const DirectAnswer = named(
	z.object({
		/** `worker`: send the picture to the gateway instead, with PUT. */
		mode: z.enum(['direct', 'worker']),
		/** PUT the bytes there, with the headers as they are. 412 means that they are there already. */
		url: z.string().optional(),
		headers: z.record(z.string(), z.string()).optional(),
		/** Milliseconds from now in which the PUT has to begin. */
		expiresInMs: z.int().optional(),
	}),
	'DirectUploadUrl',
);
export type DirectAnswer = z.infer<typeof DirectAnswer>;

const params = z.object({ ticket: z.string().min(1).max(2048) });

export const urlRoute = createRoute({
	method: 'post',
	path: '/{ticket}/url',
	operationId: 'resultUploadUrl',
	tags: ['nodes'],
	summary: 'Where a node may put the picture of one grant itself',
	description: 'The address takes exactly the bytes that were announced, once. Then tell `…/done`.',
	request: { params, body: jsonRequest(DirectBody) },
	responses: { 200: jsonResponse(DirectAnswer, 'An address, or that there is none'), ...problems(400, 401, 404, 410, 413, 415, 422) },
});

export const planOf = (claims: ResultTicket, body: DirectBody) =>
	planUpload(claims, {
		contentLength: String(body.bytes),
		contentType: body.contentType,
		sha256: body.sha256,
		meta: body.meta ?? null,
	});

/** An address for what was planned. Not offered any more, or too late for it: the picture goes through the gateway. */
export const addressFor = async (c: AppContext, claims: ResultTicket, plan: UploadPlan): Promise<DirectAnswer> => {
	const config = directUpload(c.env);
	const expiresS = directSeconds(claims.exp, Date.now());
	if (config === undefined || expiresS < 1) return { mode: 'worker' };
	const { key, bytes, sha256, contentType } = plan;
	return { mode: 'direct', ...(await presignPut(config, key, { bytes, sha256, contentType, expiresS })), expiresInMs: expiresS * 1000 };
};

/**
 * Reads what the node has put into the bucket, and removes it when it is not what was ordered.
 * @throws {LimnerError} `retry_later` when it is not there
 */
export const checkStored = async (c: AppContext, plan: UploadPlan): Promise<PutOutcome> => {
	const storage = storageOf(c.env);
	const outcome = await verifyStored(storage, plan);
	if (outcome === 'missing') throw new LimnerError('retry_later', { detail: 'the picture is not in the storage; put it there first' });
	if (outcome.kind === 'refused') await storage.delete(plan.key);
	return outcome;
};
