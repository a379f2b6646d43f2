/**
 * `PUT /api/v1/results/{ticket}`: the upload is the result. The ticket is the authority; no API key is read.
 * @module
 */
import { createRoute, z } from '@hono/zod-openapi';
import { isTerminal, LimnerError, shardOfJob, TASK_LIMITS, type ResultTicket } from '@limner/shared';
import type { AppContext } from '../../lib/context.ts';
import { describeError } from '../../lib/log.ts';
import { jsonRequest, jsonResponse, named, newApp, problems } from '../../lib/openapi.ts';
import { verifyClaims } from '../../lib/sign.ts';
import { idempotent, poolOf, workspaceOf, type PoolStub } from '../../lib/stubs.ts';
import { storageOf } from '../../storage/index.ts';
import { putVerified, type PutOutcome } from '../../storage/put.ts';
import { completeInput, isUnwanted, leftover, OUTCOME_PROBLEMS, planUpload, type UploadPlan } from '../../storage/upload.ts';
import type { CompleteOutcome } from '../../rpc.ts';
import { judgeResult } from './judge.ts';
import { addressFor, checkStored, DirectBody, planOf, urlRoute } from './direct.ts';
import { readReport, REPORT_TYPE } from './report.ts';

export const resultsRoutes = newApp();

const Outcome = named(z.object({ outcome: z.literal('accepted') }), 'UploadOutcome');

const readTicket = (c: AppContext, text: string): ResultTicket => {
	const verified = verifyClaims(c.env.LIMNER_SECRET, 'result', text, Date.now());
	if (verified.ok) return verified.claims;
	if (verified.why === 'expired') throw new LimnerError('gone', { detail: 'the ticket has expired; the task was given to somebody else' });
	throw new LimnerError('unauthorized', { detail: 'the ticket in the path is damaged or was not issued by this gateway' });
};

const pool = (c: AppContext, claims: ResultTicket): (() => PoolStub) => {
	const shard = shardOfJob(claims.job);
	if (shard === undefined) throw new LimnerError('unauthorized', { detail: 'the ticket names no job' });
	return () => poolOf(c.env, shard);
};

/** Tells the Pool that the attempt failed, so that the task is retried unless this is final, and answers the refusal to throw. */
const refuseContent = async (c: AppContext, claims: ResultTicket, detail: string, final = false): Promise<LimnerError> => {
	c.get('log').warn('an uploaded picture was refused', { jobId: claims.job, index: claims.i, nodeId: claims.node, detail });
	await idempotent(pool(c, claims), (stub) =>
		stub.uploadRefused({
			ws: claims.ws,
			jobId: claims.job,
			index: claims.i,
			epoch: claims.e,
			nodeId: claims.node,
			reason: detail,
			...(final ? { final } : {}),
		}),
	);
	return new LimnerError('result_refused', { detail });
};

/** Stores the body. */
const store = async (c: AppContext, plan: UploadPlan): Promise<PutOutcome> => {
	const { key, bytes, sha256, contentType, rules } = plan;
	try {
		return await putVerified(storageOf(c.env), { key, bytes, sha256, contentType, rules }, c.req.raw.body);
	} catch (cause) {
		throw new LimnerError('retry_later', { detail: 'the picture could not be stored; send it again', cause });
	}
};

/** Removes the object of an upload that nobody wants. A failure costs storage until the sweep, never a result. */
const clean = async (c: AppContext, claims: ResultTicket, key: string, outcome: CompleteOutcome, created: boolean): Promise<void> => {
	const what = leftover(outcome, created);
	if (what === 'keep') return;
	try {
		if (what === 'confirm') {
			const known = await workspaceOf(c.env, claims.ws).resultKey(claims.job, claims.i);
			if (!isUnwanted(known, key, (state) => isTerminal('job', state))) return;
		}
		await storageOf(c.env).delete(key);
	} catch (error) {
		c.get('log').warn('a stale picture could not be removed', { key, ...describeError(error) });
	}
};

/** Bytes of a body, up to a bound; undefined when it is longer. */
const readBounded = async (body: ReadableStream<Uint8Array> | null, max: number): Promise<Uint8Array | undefined> => {
	const parts: Uint8Array[] = [];
	let length = 0;
	for await (const part of body ?? []) {
		length += part.length;
		if (length > max) return undefined;
		parts.push(part);
	}
	return Buffer.concat(parts);
};

/** A report is checked and kept by the Pool at once; no object is stored. */
const takeReport = async (c: AppContext, claims: ResultTicket): Promise<CompleteOutcome> => {
	if (c.req.header('content-length') === undefined)
		throw new LimnerError('length_required', { detail: 'send the report with a Content-Length header' });
	const bytes = await readBounded(c.req.raw.body, TASK_LIMITS.reportBytes);
	if (bytes === undefined) throw await refuseContent(c, claims, `The report has more than ${TASK_LIMITS.reportBytes} bytes.`);
	const read = readReport(claims, c.req.header('x-content-sha256') ?? null, bytes, Date.now());
	if (!read.ok) throw await refuseContent(c, claims, read.detail);
	return idempotent(pool(c, claims), (stub) => stub.report(read.input));
};

/** Documented here, and judged by `planUpload`: a wrong one is a result that is refused, of which the Pool has to hear. */
const UploadHeaders = z.object({
	'x-content-sha256': z
		.string()
		.optional()
		.openapi({ description: 'SHA-256 of the body as 64 hex digits; a picture is refused without it' }),
	'x-limner-meta': z.string().optional().openapi({ description: 'base64url JSON of at most 2 KB: seed, timings, device' }),
});
const pictureBytes = z.any().openapi({ type: 'string', format: 'binary' });
/** Makes a stored picture the result, or says why it is not. */
const complete = async (
	c: AppContext,
	claims: ResultTicket,
	plan: UploadPlan,
	put: PutOutcome,
	way: 'worker' | 'direct',
): Promise<{ outcome: 'accepted' }> => {
	if (put.kind === 'broken') throw new LimnerError('retry_later', { detail: 'the upload broke off; send it again', cause: put.cause });
	if (put.kind === 'refused') throw await refuseContent(c, claims, put.flaw.detail);
	const { flagged } = await judgeResult(c, claims, plan, put.created, (detail) => refuseContent(c, claims, detail, true));
	const made = completeInput(claims, plan, put.picture, Date.now(), way);
	const input = flagged === undefined ? made : { ...made, image: { ...made.image, flagged } };
	const outcome = await idempotent(pool(c, claims), (stub) => stub.complete(input));
	if (outcome === 'accepted') return { outcome };
	await clean(c, claims, plan.key, outcome, put.created);
	const [code, detail] = OUTCOME_PROBLEMS[outcome];
	throw new LimnerError(code, { detail });
};

/** What a node announces of a direct upload, checked as the headers of an upload are. */
const directPlan = async (
	c: AppContext,
	ticket: string,
	body: DirectBody,
): Promise<{ claims: ResultTicket; plan: UploadPlan | 'report' }> => {
	const claims = readTicket(c, ticket);
	if (claims.ct === REPORT_TYPE) return { claims, plan: 'report' };
	const plan = planOf(claims, body);
	if (!plan.ok) throw await refuseContent(c, claims, plan.detail);
	return { claims, plan };
};

resultsRoutes.openapi(
	createRoute({
		method: 'put',
		path: '/{ticket}',
		operationId: 'uploadResult',
		tags: ['nodes'],
		summary: 'Uploads the picture of one grant; the ticket in the path is the authority',
		description:
			'Repeat the same request until it answers 200, 409, 410 or 422. Headers: Content-Length, Content-Type, ' +
			'X-Content-SHA256 (64 hex digits) and X-Limner-Meta (base64url JSON, at most 2 KB). Where the ticket is for a report the body is ' +
			'a JSON object of at most 64 KiB.',
		request: {
			params: z.object({ ticket: z.string().min(1).max(2048) }),
			headers: UploadHeaders,
			body: {
				required: true,
				content: {
					'image/png': { schema: pictureBytes },
					'image/jpeg': { schema: pictureBytes },
					'image/webp': { schema: pictureBytes },
				},
			},
		},
		responses: { 200: jsonResponse(Outcome, 'The picture is the result'), ...problems(401, 404, 409, 410, 411, 422) },
	}),
	async (c) => {
		const claims = readTicket(c, c.req.valid('param').ticket);
		if (claims.ct === REPORT_TYPE) {
			const outcome = await takeReport(c, claims);
			if (outcome === 'accepted') return c.json({ outcome }, 200);
			const [code, detail] = OUTCOME_PROBLEMS[outcome];
			throw new LimnerError(code, { detail });
		}
		const header = (name: string) => c.req.header(name) ?? null;
		const plan = planUpload(claims, {
			contentLength: header('content-length'),
			contentType: header('content-type'),
			sha256: header('x-content-sha256'),
			meta: header('x-limner-meta'),
		});
		if (!plan.ok) {
			if (plan.code === 'length_required') throw new LimnerError(plan.code, { detail: plan.detail });
			throw await refuseContent(c, claims, plan.detail);
		}
		return c.json(await complete(c, claims, plan, await store(c, plan), 'worker'), 200);
	},
);

resultsRoutes.openapi(urlRoute, async (c) => {
	const { claims, plan } = await directPlan(c, c.req.valid('param').ticket, c.req.valid('json'));
	return c.json(plan === 'report' ? { mode: 'worker' as const } : await addressFor(c, claims, plan), 200);
});

resultsRoutes.openapi(
	createRoute({
		method: 'post',
		path: '/{ticket}/done',
		operationId: 'resultUploadDone',
		tags: ['nodes'],
		summary: 'The picture of one grant lies in the bucket; makes it the result when it is good',
		description: 'Repeat `…/url`, the PUT and this until it answers 200, 409, 410 or 422.',
		request: { params: z.object({ ticket: z.string().min(1).max(2048) }), body: jsonRequest(DirectBody) },
		responses: { 200: jsonResponse(Outcome, 'The picture is the result'), ...problems(400, 401, 404, 409, 410, 413, 415, 422) },
	}),
	async (c) => {
		const { claims, plan } = await directPlan(c, c.req.valid('param').ticket, c.req.valid('json'));
		if (plan === 'report') throw new LimnerError('conflict', { detail: 'a report is sent to the gateway, with PUT' });
		return c.json(await complete(c, claims, plan, await checkStored(c, plan), 'direct'), 200);
	},
);
