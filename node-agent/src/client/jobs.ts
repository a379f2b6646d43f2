/**
 * Client of the job API: submit, read, cancel, download.
 * @module
 */
import { createHash } from 'node:crypto';
import { JobView, type ImageView, type JobRequest } from '@limner/shared';
import { sleep } from '../lib/backoff.ts';
import { UserError } from '../lib/user-error.ts';
import { call, GatewayError, UnreachableError, type CallOptions } from './http.ts';

const RETRY_STATUS = new Set([429, 502, 503, 504]);
const MAX_TRIES = 5;
const MAX_WAIT_MS = 10_000;

const readJob = async (response: Response): Promise<JobView> => {
	const parsed = JobView.safeParse(await response.json());
	if (parsed.success) return parsed.data;
	const issue = parsed.error.issues[0];
	throw new UserError(
		`The gateway's answer is not a job (${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'unreadable'}); update limner to the gateway's version.`,
	);
};

/** Whether trying the very same call again can help. */
const retryable = (error: unknown): boolean =>
	error instanceof UnreachableError || (error instanceof GatewayError && RETRY_STATUS.has(error.status) && error.code !== 'quota_exceeded');

/** Repeats a safe call a few times; the gateway's Retry-After is kept to. */
const withRetry = async <T>(work: () => Promise<T>, signal: AbortSignal | undefined, tries = MAX_TRIES): Promise<T> => {
	for (let attempt = 0; ; attempt++) {
		try {
			return await work();
		} catch (error) {
			if (attempt + 1 >= tries || !retryable(error) || signal?.aborted === true) throw error;
			const asked = error instanceof GatewayError ? (error.retryAfterS ?? 0) * 1000 : 0;
			await sleep(Math.min(MAX_WAIT_MS, Math.max(asked, Math.random() * 500 * 2 ** attempt)), signal);
		}
	}
};

export interface SubmitOptions {
	/** Makes a repeat of the same body answer the same job. With it, a lost answer is asked for again. */
	idempotencyKey?: string;
	signal?: AbortSignal;
}

/**
 * Submits a job (`POST /api/v1/jobs`).
 * @throws {GatewayError} when the gateway refuses it
 */
export const submitJob = async (base: string, key: string, body: JobRequest, options: SubmitOptions = {}): Promise<JobView> => {
	const request: CallOptions = {
		method: 'POST',
		headers: {
			'content-type': 'application/json',
			...(options.idempotencyKey === undefined ? {} : { 'idempotency-key': options.idempotencyKey }),
		},
		body: JSON.stringify(body),
		signal: options.signal,
	};
	const once = async (): Promise<JobView> => readJob(await call(base, key, '/api/v1/jobs', request));
	// Without an idempotency key a repeat could make a second job.
	return options.idempotencyKey === undefined ? once() : withRetry(once, options.signal);
};

/** Reads a job. */
export const getJob = async (base: string, key: string, id: string, signal?: AbortSignal): Promise<JobView> =>
	withRetry(async () => readJob(await call(base, key, `/api/v1/jobs/${encodeURIComponent(id)}`, { signal })), signal);

/** Cancels a job; answers its state afterwards. */
export const cancelJob = async (base: string, key: string, id: string): Promise<void> => {
	await withRetry(async () => call(base, key, `/api/v1/jobs/${encodeURIComponent(id)}/cancel`, { method: 'POST' }), undefined);
};

/**
 * Uploads an input picture (`POST /api/v1/assets`).
 * @returns the asset's id, for `initImage` or `maskImage`
 */
export const uploadAsset = async (base: string, key: string, bytes: Uint8Array<ArrayBuffer>, contentType: string): Promise<string> => {
	const response = await call(base, key, '/api/v1/assets', { method: 'POST', headers: { 'content-type': contentType }, body: bytes });
	const body: unknown = await response.json();
	if (typeof body === 'object' && body !== null && 'id' in body && typeof body.id === 'string') return body.id;
	throw new UserError("The gateway's answer to the upload has no id; update limner to the gateway's version.");
};

/**
 * Downloads a picture of a finished job and checks its hash.
 * @param target a job id with an index, or the picture's view (its signed address needs no key)
 */
export const downloadImage = async (
	base: string,
	key: string,
	target: { jobId: string; index: number; sha256?: string } | ImageView,
	signal?: AbortSignal,
): Promise<Uint8Array<ArrayBuffer>> => {
	const path = 'jobId' in target ? `/api/v1/jobs/${encodeURIComponent(target.jobId)}/images/${target.index}` : target.url;
	const auth = 'jobId' in target ? key : '';
	return withRetry(async () => {
		const response = await call(base, auth, path, { signal });
		const bytes = new Uint8Array(await response.arrayBuffer());
		const sha256 = createHash('sha256').update(bytes).digest('hex');
		if (target.sha256 !== undefined && target.sha256 !== sha256) {
			throw new UnreachableError(`The picture ${target.index} arrived damaged; try the download again.`);
		}
		return bytes;
	}, signal);
};
