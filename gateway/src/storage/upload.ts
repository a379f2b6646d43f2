/**
 * Decisions about the upload of a result. Pure: headers and claims in, plans and answers out.
 * @module
 */
import { BODY_LIMITS, resultKey, resultMaxBytes, TIMING, type ImageRecord, type JobState, type ResultTicket } from '@limner/shared';
import type { CompleteInput, CompleteOutcome } from '../rpc.ts';
import { CONTENT_TYPES, EXTENSIONS, kindsOf, type BodyRules, type Picture, type PictureKind } from './verify/index.ts';

const WARNINGS_MAX = 16;
const WARNING_CHARS = 300;
const META_UNREADABLE = 'the metadata of the node could not be read';

export interface UploadHeaders {
	contentLength: string | null;
	contentType: string | null;
	/** `X-Content-SHA256` */
	sha256: string | null;
	/** `X-Limner-Meta`: base64url JSON */
	meta: string | null;
}

export interface UploadPlan {
	ok: true;
	key: string;
	bytes: number;
	sha256: string;
	contentType: string;
	rules: BodyRules;
	meta: Record<string, unknown>;
}
export type UploadRefusal = { ok: false; code: 'length_required' | 'result_refused'; detail: string };

const refused = (detail: string): UploadRefusal => ({ ok: false, code: 'result_refused', detail });

const decodeMeta = (text: string): unknown => {
	try {
		const bytes = Uint8Array.from(atob(text.replaceAll('-', '+').replaceAll('_', '/')), (char) => char.charCodeAt(0));
		return bytes.length > BODY_LIMITS.resultMetaBytes
			? undefined
			: JSON.parse(new TextDecoder('utf-8', { fatal: true, ignoreBOM: false }).decode(bytes));
	} catch {
		return undefined;
	}
};

const cleanWarnings = (value: unknown): string[] =>
	(Array.isArray(value) ? value : [])
		.filter((item): item is string => typeof item === 'string')
		.slice(0, WARNINGS_MAX)
		.map((item) => item.slice(0, WARNING_CHARS));

/**
 * Reads the metadata header. A picture is worth more than its metadata, so that unreadable metadata becomes a warning
 * in the record instead of a refusal.
 */
export const readMeta = (header: string | null): Record<string, unknown> => {
	if (header === null || header === '') return {};
	const value = decodeMeta(header);
	if (typeof value !== 'object' || value === null || Array.isArray(value)) return { warnings: [META_UNREADABLE] };
	const { warnings, ...rest } = value as Record<string, unknown>;
	const kept = cleanWarnings(warnings);
	return kept.length === 0 ? rest : { ...rest, warnings: kept };
};

/** The one kind that the header names and the ticket allows. */
const kindOf = (claims: ResultTicket, contentType: string | null): PictureKind | undefined => {
	const [kind, ...others] = kindsOf(contentType ?? '');
	const allowed = claims.ct.split(',').flatMap(kindsOf);
	return kind !== undefined && others.length === 0 && allowed.includes(kind) ? kind : undefined;
};

const rulesOf = (claims: ResultTicket, kind: PictureKind, maxBytes: number, sha256: string): BodyRules => ({
	kinds: [kind],
	size: { width: claims.w, height: claims.h },
	maxPx: Math.max(claims.w, claims.h),
	profile: 'result',
	maxBytes,
	sha256,
});

/** What a ticket and the headers of a PUT allow: where the bytes go and what they have to be. */
export const planUpload = (claims: ResultTicket, headers: UploadHeaders): UploadPlan | UploadRefusal => {
	if (headers.contentLength === null)
		return { ok: false, code: 'length_required', detail: 'send the picture with a Content-Length header' };
	const bytes = Number(headers.contentLength);
	const maxBytes = resultMaxBytes(claims.w, claims.h);
	if (!Number.isSafeInteger(bytes) || bytes < 1) return refused('The body is empty, or its Content-Length is no number.');
	if (bytes > maxBytes)
		return refused(`The body has ${bytes} bytes; a picture of ${claims.w}×${claims.h} pixels may have at most ${maxBytes}.`);
	const sha256 = headers.sha256?.toLowerCase() ?? '';
	if (!/^[0-9a-f]{64}$/.test(sha256)) return refused('The header X-Content-SHA256 must hold the SHA-256 of the body as 64 hex digits.');
	const kind = kindOf(claims, headers.contentType);
	if (kind === undefined) return refused(`The Content-Type is ${headers.contentType ?? 'missing'}; ordered was ${claims.ct}.`);
	return {
		ok: true,
		key: resultKey(claims.ws, claims.job, claims.i, claims.e, sha256, EXTENSIONS[kind]),
		bytes,
		sha256,
		contentType: CONTENT_TYPES[kind],
		rules: rulesOf(claims, kind, maxBytes, sha256),
		meta: readMeta(headers.meta),
	};
};

/**
 * Seconds for which an address of a direct upload is good. It ends long enough before the ticket for a PUT that began in time to
 * end before anybody looks for leftovers. Zero or less: too late for a direct upload.
 */
export const directSeconds = (ticketEndsMs: number, nowMs: number): number =>
	Math.floor(Math.min(TIMING.directUploadMs, ticketEndsMs - TIMING.directUploadMs - nowMs) / 1000);

/**
 * The record that the Pool gets: size and seed are the ticket's, the rest is what was verified.
 * @param way how the picture came into the store
 */
export const completeInput = (
	claims: ResultTicket,
	plan: UploadPlan,
	picture: Picture,
	nowMs: number,
	way: 'worker' | 'direct' = 'worker',
): CompleteInput => {
	const image: ImageRecord = {
		index: claims.i,
		key: plan.key,
		epoch: claims.e,
		nodeId: claims.node,
		contentType: picture.contentType,
		bytes: picture.bytes,
		sha256: picture.sha256,
		width: claims.w,
		height: claims.h,
		seed: claims.s,
		at: nowMs,
		...(Object.keys(plan.meta).length === 0 ? {} : { meta: plan.meta }),
		...(way === 'direct' ? { direct: true } : {}),
	};
	return { ws: claims.ws, jobId: claims.job, index: claims.i, epoch: claims.e, nodeId: claims.node, image };
};

/**
 * What becomes of the object after the Pool's answer. `confirm` = ask the Workspace first: the object was there before
 * this request, so that an earlier request may have made it the result.
 */
export const leftover = (outcome: CompleteOutcome, created: boolean): 'keep' | 'delete' | 'confirm' => {
	if (outcome === 'accepted' || outcome === 'retry') return 'keep';
	return created ? 'delete' : 'confirm';
};

/** Whether an object that nobody accepted in this request is nobody's result either. An open job may still want it. */
export const isUnwanted = (
	known: { state: JobState | 'unknown'; key?: string },
	key: string,
	isTerminal: (state: JobState) => boolean,
): boolean => known.key !== key && (known.state === 'unknown' || isTerminal(known.state));

/** Refusals in words, by outcome. */
export const OUTCOME_PROBLEMS = {
	stale: ['stale', 'another attempt owns this task, or it has ended; throw this picture away'],
	gone: ['gone', 'the job of this picture is not known any more; throw this picture away'],
	retry: ['retry_later', 'the job cannot take its picture at this moment; send it again'],
} as const satisfies Record<Exclude<CompleteOutcome, 'accepted'>, readonly [code: string, detail: string]>;
