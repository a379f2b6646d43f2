/**
 * Problem details (RFC 9457): one table of codes, each with its HTTP status and title. Routes answer codes, never
 * ad-hoc statuses, so that clients can rely on `code`.
 * @module
 */
import { z } from 'zod';

export const PROBLEMS = {
	bad_request: [400, 'The request could not be read'],
	invalid_json: [400, 'The body is not valid JSON'],
	unauthorized: [401, 'A valid API key is needed'],
	forbidden: [403, 'The key lacks the needed scope'],
	signup_closed: [403, 'New accounts are not taken here'],
	origin_refused: [403, 'This origin may not call the gateway from a browser'],
	model_forbidden: [403, 'The key may not use this model'],
	not_found: [404, 'There is no such thing'],
	method_not_allowed: [405, 'The path does not take this method'],
	conflict: [409, 'The state does not allow this'],
	stale: [409, 'Another attempt owns this task'],
	in_flight: [409, 'The same request is still being worked on'],
	gone: [410, 'It was here and has expired'],
	length_required: [411, 'A Content-Length header is needed'],
	payload_too_large: [413, 'The body is too large'],
	unsupported_media_type: [415, 'The content type is not supported'],
	validation_failed: [422, 'A field has a value that is not allowed'],
	content_refused: [422, 'The content policy of this gateway refuses it'],
	model_unknown: [422, 'No node has ever offered this model'],
	idempotency_mismatch: [422, 'The Idempotency-Key was used with another body'],
	result_refused: [422, 'The uploaded picture was refused'],
	upgrade_required: [426, 'This path speaks WebSocket only'],
	queue_full: [429, 'Too many open jobs'],
	rate_limited: [429, 'Too many requests'],
	quota_exceeded: [429, 'The quota is used up'],
	taken_down: [451, 'It was taken down'],
	internal: [500, 'Something went wrong on our side'],
	not_ready: [503, 'The gateway is not ready'],
	overloaded: [503, 'The gateway is overloaded'],
	retry_later: [503, 'Try again in a moment'],
} as const satisfies Record<string, readonly [status: number, title: string]>;

export type ProblemCode = keyof typeof PROBLEMS;

export const statusOf = (code: ProblemCode): number => PROBLEMS[code][0];

export const FieldError = z.object({
	/** JSON Pointer (RFC 6901) to the field in the body, or `#/query/<name>`, `#/header/<name>`. */
	pointer: z.string(),
	detail: z.string(),
	code: z.string().optional(),
});
export type FieldError = z.infer<typeof FieldError>;

export const ProblemDetails = z.object({
	type: z.string(),
	title: z.string(),
	status: z.int(),
	detail: z.string().optional(),
	instance: z.string().optional(),
	code: z.string(),
	requestId: z.string().optional(),
	errors: z.array(FieldError).optional(),
	/** Seconds after which trying again makes sense; also in the Retry-After header. */
	retryAfter: z.number().optional(),
});
export type ProblemDetails = z.infer<typeof ProblemDetails>;

/** What is left of a limit: the `RateLimit-*` headers. */
export interface RateLimit {
	limit: number;
	remaining: number;
	/** Seconds until the limit is full again. */
	resetS: number;
}

export interface ProblemOptions {
	detail?: string;
	errors?: FieldError[];
	retryAfterS?: number;
	rateLimit?: RateLimit;
	cause?: unknown;
}

/** An expected refusal. Thrown inside a Worker, turned into problem+json at its edge; never crosses an RPC. */
export class LimnerError extends Error {
	override readonly name = 'LimnerError';
	readonly code: ProblemCode;
	readonly status: number;
	readonly errors: FieldError[] | undefined;
	readonly retryAfterS: number | undefined;
	readonly rateLimit: RateLimit | undefined;
	constructor(code: ProblemCode, options: ProblemOptions = {}) {
		super(options.detail ?? PROBLEMS[code][1], { cause: options.cause });
		this.code = code;
		this.status = PROBLEMS[code][0];
		this.errors = options.errors;
		this.retryAfterS = options.retryAfterS;
		this.rateLimit = options.rateLimit;
	}
}

/** A refusal as plain data: what Durable Objects answer, because error classes do not survive RPC. */
export interface Refusal {
	ok: false;
	code: ProblemCode;
	detail?: string;
	errors?: FieldError[];
	retryAfterS?: number;
	rateLimit?: RateLimit;
}
export type Result<T> = ({ ok: true } & T) | Refusal;

export const refuse = (code: ProblemCode, detail?: string, extra: Pick<Refusal, 'errors' | 'retryAfterS' | 'rateLimit'> = {}): Refusal => ({
	ok: false,
	code,
	...(detail === undefined ? {} : { detail }),
	...extra,
});

/** Turns a refusal back into the error that the edge knows. */
export const toError = (refusal: Refusal): LimnerError =>
	new LimnerError(refusal.code, {
		...(refusal.detail === undefined ? {} : { detail: refusal.detail }),
		...(refusal.errors === undefined ? {} : { errors: refusal.errors }),
		...(refusal.retryAfterS === undefined ? {} : { retryAfterS: refusal.retryAfterS }),
		...(refusal.rateLimit === undefined ? {} : { rateLimit: refusal.rateLimit }),
	});
