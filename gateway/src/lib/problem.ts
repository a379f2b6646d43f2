/**
 * Problem details (RFC 9457): the one place where errors become answers.
 * @module
 */
import { LimnerError, PROBLEMS, type FieldError, type ProblemCode, type ProblemDetails, type RateLimit } from '@limner/shared';
import { HTTPException } from 'hono/http-exception';
import type { ZodError } from 'zod';
import type { AppContext } from './context.ts';
import { describeError } from './log.ts';
import { StorageError } from '../storage/port.ts';
import { isOverloaded, isRetryable } from './stubs.ts';

export const PROBLEM_TYPE = 'application/problem+json';
const TYPE_BASE = 'https://limner.dev/problems/';
/** Seconds that a caller is asked to wait when nothing better is known. */
const RETRY_AFTER_S = 1;

type Target = 'json' | 'query' | 'param' | 'header' | 'form' | 'cookie';
type Issue = ZodError['issues'][number];

const escapePointer = (part: PropertyKey): string => String(part).replaceAll('~', '~0').replaceAll('/', '~1');

/** JSON Pointer into the body, or `#/query/<name>` and the like for the other parts of a request. */
const pointerOf = (target: Target, path: readonly PropertyKey[]): string => {
	const tail = path.map((part) => `/${escapePointer(part)}`).join('');
	return target === 'json' ? tail : `#/${target}${tail}`;
};

/** Of a union's branches, the one that the caller most likely meant: fewest unknown and missing keys. */
const bestBranch = (branches: readonly Issue[][]): Issue[] => {
	const cost = (issues: Issue[]): number =>
		issues.reduce((sum, issue) => sum + (issue.code === 'unrecognized_keys' ? 10 : 1) + (issue.path.length === 0 ? 1 : 0), 0);
	return branches.toSorted((a, b) => cost(a) - cost(b))[0] ?? [];
};

const flatten = (issue: Issue, target: Target, prefix: readonly PropertyKey[]): FieldError[] => {
	const path = [...prefix, ...issue.path];
	if (issue.code === 'unrecognized_keys') {
		return issue.keys.map((key) => ({ pointer: pointerOf(target, [...path, key]), detail: 'is not a known field', code: 'unknown_field' }));
	}
	if (issue.code === 'invalid_union' && issue.errors.length > 0) {
		return bestBranch(issue.errors as Issue[][]).flatMap((inner) => flatten(inner, target, path));
	}
	return [{ pointer: pointerOf(target, path), detail: issue.message, code: issue.code }];
};

/** The first issue of each field of a failed validation, with a pointer to the field. */
export const fieldErrors = (error: Pick<ZodError, 'issues'>, target: Target = 'json'): FieldError[] => {
	const all = error.issues.flatMap((issue) => flatten(issue, target, []));
	return all.filter((one, index) => all.findIndex((other) => other.pointer === one.pointer) === index);
};

/** A refusal for values that are not allowed. */
export const validationError = (errors: FieldError[]): LimnerError => {
	const first = errors[0];
	const detail = first === undefined ? undefined : `${first.pointer === '' ? 'the body' : first.pointer}: ${first.detail}`;
	return new LimnerError('validation_failed', { errors, ...(detail === undefined ? {} : { detail }) });
};

/** Default hook of every sub-app: a failed validation becomes a problem; an id that cannot exist does not exist. */
export const validationHook = (result: { success: boolean; target?: string; error?: unknown }): undefined => {
	if (result.success) return;
	const errors = fieldErrors(result.error as ZodError, result.target as Target);
	if (result.target !== 'param') throw validationError(errors);
	const [first] = errors;
	throw new LimnerError('not_found', first === undefined ? {} : { detail: `there is no such thing: the id ${first.detail}` });
};

const HTTP_CODES: Partial<Record<number, ProblemCode>> = {
	400: 'bad_request',
	401: 'unauthorized',
	403: 'forbidden',
	404: 'not_found',
	405: 'method_not_allowed',
	413: 'payload_too_large',
	415: 'unsupported_media_type',
	429: 'rate_limited',
};

/** What the store refuses is nobody's mistake but the operator's, who reads why in the log. */
const storageProblem = (error: StorageError): LimnerError => {
	if (error.retryable)
		return new LimnerError('retry_later', { detail: 'the storage does not answer', retryAfterS: RETRY_AFTER_S, cause: error });
	const broken = error.kind === 'denied' || error.kind === 'misconfigured';
	return broken
		? new LimnerError('not_ready', { detail: 'the storage of this gateway is not set up rightly', cause: error })
		: new LimnerError('internal', { cause: error });
};

/** Any thrown thing as the refusal that a caller sees. Unknown errors show nothing of themselves. */
export const normalise = (error: unknown): LimnerError => {
	if (error instanceof LimnerError) return error;
	if (error instanceof HTTPException) return new LimnerError(HTTP_CODES[error.status] ?? 'internal', { cause: error });
	if (isOverloaded(error)) return new LimnerError('overloaded', { retryAfterS: RETRY_AFTER_S, cause: error });
	if (isRetryable(error)) return new LimnerError('retry_later', { retryAfterS: RETRY_AFTER_S, cause: error });
	if (error instanceof StorageError) return storageProblem(error);
	return new LimnerError('internal', { cause: error });
};

const DEFAULT_RETRY: ReadonlySet<ProblemCode> = new Set([
	'queue_full',
	'rate_limited',
	'overloaded',
	'retry_later',
	'not_ready',
	'in_flight',
]);

/** Body of a problem. */
export const problemBody = (error: LimnerError, instance: string, requestId: string): ProblemDetails => {
	const retryAfter = error.retryAfterS ?? (DEFAULT_RETRY.has(error.code) ? RETRY_AFTER_S : undefined);
	const [, title] = PROBLEMS[error.code];
	return {
		type: `${TYPE_BASE}${error.code}`,
		title,
		status: error.status,
		...(error.message === title ? {} : { detail: error.message }),
		instance,
		code: error.code,
		requestId,
		...(error.errors === undefined ? {} : { errors: error.errors }),
		...(retryAfter === undefined ? {} : { retryAfter }),
	};
};

/** `RateLimit-*` headers (draft-ietf-httpapi-ratelimit-headers-07). */
export const rateLimitHeaders = ({ limit, remaining, resetS }: RateLimit): [name: string, value: string][] => [
	['RateLimit-Limit', String(limit)],
	['RateLimit-Remaining', String(remaining)],
	['RateLimit-Reset', String(Math.max(0, Math.ceil(resetS)))],
];

/** Answers a problem. Paths that hold tickets are not repeated in `instance`. */
export const problemResponse = (c: AppContext, error: LimnerError): Response => {
	const body = problemBody(error, `urn:limner:request:${c.get('requestId')}`, c.get('requestId'));
	const headers = new Headers({ 'content-type': PROBLEM_TYPE, 'cache-control': 'no-store' });
	if (body.retryAfter !== undefined) headers.set('retry-after', String(Math.ceil(body.retryAfter)));
	if (error.rateLimit !== undefined) for (const [name, value] of rateLimitHeaders(error.rateLimit)) headers.set(name, value);
	if (error.code === 'unauthorized') headers.set('www-authenticate', 'Bearer realm="limner"');
	return new Response(JSON.stringify(body), { status: error.status, headers });
};

/** `app.onError`: logs what is our fault, answers the problem. */
export const onError = (thrown: unknown, c: AppContext): Response => {
	const error = normalise(thrown);
	if (error.status >= 500) c.get('log').error('request failed', { code: error.code, ...describeError(error.cause ?? error) });
	return problemResponse(c, error);
};
