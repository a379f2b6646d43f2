/**
 * Building blocks of routes: sub-apps that turn failed validations into problems, shared response schemas, and the
 * JSON body reader.
 * @module
 */
import { OpenAPIHono, z } from '@hono/zod-openapi';
import { BODY_LIMITS, LimnerError, ProblemDetails } from '@limner/shared';
import { createMiddleware } from 'hono/factory';
import { requireScope } from './auth.ts';
import type { AppEnv } from './context.ts';
import { readJsonText } from './json-body.ts';
import { PROBLEM_TYPE, validationHook } from './problem.ts';
import { replayed } from './replay.ts';

/** An empty app with the context of this gateway. One per feature, mounted by `app.ts`. */
export const newApp = (): OpenAPIHono<AppEnv> => new OpenAPIHono<AppEnv>({ defaultHook: validationHook });

/**
 * Gives a schema its name in the OpenAPI document. The copy matters: only schemas made after zod was extended can carry
 * a name, and the shared ones may be older.
 */
export const named = <T extends z.ZodType>(schema: T, name: string): T => {
	const copy = schema.clone() as T & { openapi(refId: string): T };
	return copy.openapi(name);
};

const Problem = named(ProblemDetails, 'Problem');

const DESCRIPTIONS: Record<number, string> = {
	400: 'The request could not be read',
	401: 'A valid API key is needed',
	403: 'The key lacks the needed scope',
	404: 'There is no such thing',
	409: 'The state does not allow this',
	410: 'It was here and has expired',
	413: 'The body is too large',
	415: 'The content type is not supported',
	422: 'A field has a value that is not allowed',
	426: 'This path speaks WebSocket only',
	429: 'Too many requests or too many open jobs',
	451: 'It was taken down',
	500: 'Something went wrong on our side',
	503: 'The gateway is not ready or overloaded',
};

type ProblemResponse = { description: string; content: { 'application/problem+json': { schema: typeof Problem } } };

/** Responses of refusals, for the given statuses and for those that every route can answer. */
export const problems = <S extends number>(...statuses: S[]): Record<S | 500 | 503, ProblemResponse> =>
	Object.fromEntries(
		[...statuses, 500, 503].map((status) => [
			status,
			{ description: DESCRIPTIONS[status] ?? 'Refused', content: { [PROBLEM_TYPE]: { schema: Problem } } },
		]),
	) as Record<S | 500 | 503, ProblemResponse>;

/** A JSON response. */
export const jsonResponse = <T extends z.ZodType>(schema: T, description: string) => ({
	description,
	content: { 'application/json': { schema } },
});

const ServerSentEvent = z
	.object({
		event: z.string().optional().openapi({ description: 'Name of the event', example: 'progress' }),
		id: z.string().optional().openapi({ description: 'Of durable events: what `Last-Event-ID` names', example: '3' }),
		data: z.string().optional().openapi({ description: 'JSON' }),
		retry: z.int().optional().openapi({ description: 'Milliseconds to wait before a stream is opened again' }),
	})
	.openapi('ServerSentEvent');

/** The content of a stream of events; the schema is that of one event. */
export const eventStream = { 'text/event-stream': { schema: ServerSentEvent } };

/** A JSON request body; always required, because an optional one would not be validated without a Content-Type. */
export const jsonRequest = <T extends z.ZodType>(schema: T) => ({
	required: true as const,
	content: { 'application/json': { schema } },
});

/** One page of a list. */
export const pageOf = <T extends z.ZodType>(schema: T) => z.object({ data: z.array(schema), nextCursor: z.string().nullable() });

/** A whole number in a path or a query. Digits only: `Number` alone would take an empty text, `0x10` and `1e3` as well. */
export const wholeNumber = (min: number, max: number) =>
	z
		.string()
		.regex(/^\d{1,16}$/, `must be a whole number from ${min} to ${max}`)
		.transform(Number)
		.pipe(z.int().min(min).max(max))
		.openapi({ type: 'integer', minimum: min, maximum: max });

/** A number of seconds in a query. */
export const secondsUpTo = (max: number) =>
	z
		.string()
		.regex(/^\d{1,9}(?:\.\d{1,20})?(?:e-\d{1,3})?$/, `must be a number of seconds up to ${max}`)
		.transform(Number)
		.pipe(z.number().min(0).max(max))
		.openapi({ type: 'number', minimum: 0, maximum: max });

/** `?limit&cursor` of every list. */
export const pageQuery = {
	limit: wholeNumber(1, BODY_LIMITS.pageMax).default(BODY_LIMITS.pageDefault),
	cursor: z.string().min(1).max(200).optional(),
};

/** Security requirement and middleware of a route that needs a scope. */
export const secured = (scope: string, options: SecuredOptions = {}) => ({
	security: [{ ApiKey: [scope] }],
	middleware: [requireScope(scope), ...replayOf(options)],
});

/** Security requirement and middleware of a route that any good credential may read, whatever its scopes. */
export const securedByAny = () => ({ security: [{ ApiKey: [] as string[] }], middleware: [requireScope()] });

export interface SecuredOptions {
	/** `own`: the route treats Idempotency-Key itself. Otherwise the first answer is kept and given again. */
	replay?: 'own';
}

const replayOf = ({ replay }: SecuredOptions) => (replay === 'own' ? [] : [replayed]);

/**
 * Middleware that reads a JSON body within the limits of size and depth, and leaves its text for the validator. It
 * refuses what is not declared as JSON: a validator would take such a body for an empty one.
 */
export const jsonBodyUpTo = (maxBytes: number) =>
	createMiddleware<AppEnv>(async (c, next) => {
		const type = c.req.header('content-type');
		if (type === undefined || !/^application\/(?:[\w.-]+\+)?json\s*(?:;|$)/i.test(type)) {
			throw new LimnerError('unsupported_media_type', { detail: 'send JSON with the header "Content-Type: application/json"' });
		}
		const text = await readJsonText(c.req.raw, maxBytes);
		// The validator reads the body through this cache; its declared type is that of the methods, not of what they answer.
		Object.assign(c.req.bodyCache, { text: Promise.resolve(text) });
		await next();
	});
export const jsonBody = jsonBodyUpTo(BODY_LIMITS.jsonBytes);

/** `secured` for a route that takes a JSON body: the key is checked before a byte of the body is read. */
export const securedJson = (scope: string, options: SecuredOptions = {}) => ({
	security: [{ ApiKey: [scope] }],
	middleware: [requireScope(scope), jsonBody, ...replayOf(options)],
});
