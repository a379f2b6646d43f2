/**
 * The content policy and results: a picture is judged when it is stored, and before it becomes the result.
 * @module
 */
import { LimnerError, shardOfJob, type ResultTicket } from '@limner/shared';
import { baseUrl, type AppContext } from '../../lib/context.ts';
import { idempotent, poolOf, workspaceOf } from '../../lib/stubs.ts';
import { objectUrl } from '../../lib/views.ts';
import { judgePicture, judgesPictures } from '../../policy/judge.ts';
import { storageOf } from '../../storage/index.ts';
import type { UploadPlan } from '../../storage/upload.ts';

/** Whether an earlier request has made this very object the result: it was judged then. */
const isResult = async (c: AppContext, claims: ResultTicket, key: string): Promise<boolean> => {
	const live = await idempotent(
		() => poolOf(c.env, shardOfJob(claims.job) ?? 0),
		(stub) => stub.view(claims.ws, claims.job),
	);
	if (live?.images.some((image) => image.key === key) === true) return true;
	return (await workspaceOf(c.env, claims.ws).resultKey(claims.job, claims.i)).key === key;
};

/**
 * Asks the content policy about a stored picture. A refused one is deleted, and its task ends: another attempt would draw
 * the same.
 * @param created false when the object was there before this request
 * @param refuse tells the Pool that the task has failed for good
 * @returns what was remarked on it
 * @throws {LimnerError} `content_refused`; `retry_later` while a closed policy cannot be asked
 */
export const judgeResult = async (
	c: AppContext,
	claims: ResultTicket,
	{ key, contentType, sha256 }: Pick<UploadPlan, 'key' | 'contentType' | 'sha256'>,
	created: boolean,
	refuse: (detail: string) => Promise<unknown>,
): Promise<{ flagged?: string }> => {
	if (!judgesPictures(c.env.CONTENT_POLICY)) return {};
	if (!created && (await isResult(c, claims, key))) return {};
	const row = await workspaceOf(c.env, claims.ws).getJob(claims.job);
	const context = { secret: c.env.LIMNER_SECRET, base: baseUrl(c.env.PUBLIC_URL, c.req.url), nowMs: Date.now() };
	const verdict = await judgePicture(c, {
		ws: claims.ws,
		jobId: claims.job,
		index: claims.i,
		prompt: row?.spec.prompt ?? '',
		url: objectUrl(context, claims.ws, key, contentType).url,
		sha256,
		contentType,
		width: claims.w,
		height: claims.h,
	});
	if (verdict.action === 'allow') return {};
	if (verdict.action === 'flag') return { flagged: verdict.reason };
	await storageOf(c.env).delete(key);
	const detail = `The content policy refused the picture: ${verdict.reason}`;
	await refuse(detail);
	throw new LimnerError('content_refused', { detail });
};
