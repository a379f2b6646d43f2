/**
 * Ways of a picture to the gateway: through it, or straight into its bucket.
 * @module
 */
import { z } from 'zod';
import { callRaw } from '../client/http.ts';
import { messageOf } from '../lib/user-error.ts';
import type { OutboxRecord } from './outbox.ts';

export interface UploadAnswer {
	/** HTTP status; 0 when nothing answered. */
	status: number;
	detail: string;
	retryAfterS?: number;
}

const DirectAnswer = z.looseObject({
	mode: z.string(),
	url: z.url({ protocol: /^https?$/ }).optional(),
	headers: z.record(z.string(), z.string()).optional(),
});

/** After so many tries the bucket counts as out of reach from here, and the gateway gets the picture. */
export const DIRECT_TRIES = 3;

const readAnswer = async (response: Response): Promise<UploadAnswer> => {
	const text = await response.text().catch(() => '');
	const retryAfterS = Number(response.headers.get('retry-after') ?? Number.NaN);
	let detail = `${response.status} ${response.statusText}`.trim();
	try {
		const body: unknown = JSON.parse(text);
		if (typeof body === 'object' && body !== null && 'detail' in body && typeof body.detail === 'string') detail = body.detail;
	} catch {
		// Not JSON: the status says enough.
	}
	return { status: response.status, detail, ...(Number.isFinite(retryAfterS) ? { retryAfterS } : {}) };
};

const pathOf = (record: OutboxRecord): string => `/api/v1/results/${encodeURIComponent(record.ticket)}`;
const traceOf = ({ traceId, sha256 }: OutboxRecord): Record<string, string> =>
	traceId === undefined ? {} : { traceparent: `00-${traceId}-${sha256.slice(0, 16)}-01` };

const throughGateway = async (gateway: string, record: OutboxRecord, bytes: Uint8Array, signal: AbortSignal): Promise<UploadAnswer> => {
	const headers = {
		'content-type': record.contentType,
		'x-content-sha256': record.sha256,
		'x-limner-meta': record.meta,
		...traceOf(record),
	};
	return readAnswer(await callRaw(gateway, '', pathOf(record), { method: 'PUT', headers, body: bytes as Uint8Array<ArrayBuffer>, signal }));
};

const tell = (gateway: string, record: OutboxRecord, what: 'url' | 'done', signal: AbortSignal): Promise<Response> => {
	const { sha256, bytes, contentType, meta } = record;
	const body = JSON.stringify({ sha256, bytes, contentType, ...(what === 'done' ? { meta } : {}) });
	const headers = { 'content-type': 'application/json', ...traceOf(record) };
	return callRaw(gateway, '', `${pathOf(record)}/${what}`, { method: 'POST', headers, body, signal });
};

/** Puts the bytes into the bucket. A repeat finds its own bytes there (412), because the key names them. */
const putDirect = async (url: string, headers: Record<string, string>, bytes: Uint8Array, signal: AbortSignal): Promise<UploadAnswer> => {
	// A redirect would carry the picture to an address that nobody signed.
	const response = await fetch(url, { method: 'PUT', headers, body: bytes as Uint8Array<ArrayBuffer>, redirect: 'error', signal });
	await response.body?.cancel();
	if (response.ok || response.status === 412) return { status: 200, detail: '' };
	// Whatever the bucket says decides nothing: only the gateway knows whether the picture is wanted.
	return { status: 0, detail: `the storage answered ${response.status}` };
};

const direct = async (gateway: string, record: OutboxRecord, bytes: Uint8Array, signal: AbortSignal): Promise<UploadAnswer> => {
	const asked = await tell(gateway, record, 'url', signal);
	if (!asked.ok) return readAnswer(asked);
	const { mode, url, headers = {} } = DirectAnswer.parse(await asked.json());
	if (mode !== 'direct' || url === undefined) return throughGateway(gateway, record, bytes, signal);
	const put = await putDirect(url, headers, bytes, signal);
	return put.status === 200 ? readAnswer(await tell(gateway, record, 'done', signal)) : put;
};

/**
 * Sends a picture once, and answers what the gateway made of it. Never throws.
 * @param attempt 0 at first
 */
export const sendPicture = async (
	gateway: string,
	record: OutboxRecord,
	bytes: Uint8Array,
	options: { signal: AbortSignal; timeoutMs: number; attempt: number },
): Promise<UploadAnswer> => {
	const signal = AbortSignal.any([options.signal, AbortSignal.timeout(options.timeoutMs)]);
	const way = record.upload === 'direct' && options.attempt < DIRECT_TRIES ? direct : throughGateway;
	try {
		return await way(gateway, record, bytes, signal);
	} catch (error) {
		return { status: 0, detail: messageOf(error) };
	}
};
