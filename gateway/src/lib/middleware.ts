/**
 * What every request goes through: ids, logger, one log line, safe headers.
 * @module
 */
import { createMiddleware } from 'hono/factory';
import { drain } from '../storage/body.ts';
import type { AppContext, AppEnv } from './context.ts';
import { createLogger, redact } from './log.ts';
import { rateLimitHeaders } from './problem.ts';

const REQUEST_ID = /^[\w.:-]{1,128}$/;
const TRACEPARENT = /^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(?:-.*)?$/;
const ZEROS = /^0+$/;

/** The caller's request id when it is harmless, else a new one. It stands in every log line, so it must hold no secret. */
export const requestIdOf = (given: string | undefined, make: () => string): string =>
	given !== undefined && REQUEST_ID.test(given) && redact(given) === given ? given : make();

/** Trace id of a W3C `traceparent`, else a new one. */
export const traceIdOf = (traceparent: string | undefined, make: () => string): string => {
	const match = TRACEPARENT.exec(traceparent ?? '');
	const [, traceId = '', parent = ''] = match ?? [];
	return match === null || ZEROS.test(traceId) || ZEROS.test(parent) || traceparent?.startsWith('ff') === true ? make() : traceId;
};

const randomTraceId = (): string => crypto.randomUUID().replaceAll('-', '');

/** Nothing of the API is a page; the documentation page sets its own policy. */
const SAFE_HEADERS: Record<string, string> = {
	'X-Content-Type-Options': 'nosniff',
	'Referrer-Policy': 'no-referrer',
	'X-Frame-Options': 'DENY',
	'Strict-Transport-Security': 'max-age=31536000',
	'Content-Security-Policy': "default-src 'none'; frame-ancestors 'none'; sandbox",
	'Cross-Origin-Resource-Policy': 'same-origin',
	// Answers hold signed URLs.
	'Cache-Control': 'no-store',
};

/** Adds headers that the route has not set. An upgrade must stay as the Durable Object made it. */
const addHeaders = (c: AppContext, requestId: string): void => {
	if (c.res.status === 101) return;
	for (const [name, value] of Object.entries(SAFE_HEADERS)) {
		if (!c.res.headers.has(name)) c.res.headers.set(name, value);
	}
	const rateLimit = c.get('rateLimit');
	for (const [name, value] of rateLimit === undefined ? [] : rateLimitHeaders(rateLimit)) {
		if (!c.res.headers.has(name)) c.res.headers.set(name, value);
	}
	c.res.headers.set('X-Request-Id', requestId);
};

const logRequest = (c: AppContext, startedAt: number): void => {
	const { status } = c.res;
	const fields = {
		method: c.req.method,
		path: redact(c.req.path),
		status,
		ms: Date.now() - startedAt,
		...(c.get('principal') === undefined ? {} : { ws: c.get('principal').ws, keyId: c.get('principal').keyId }),
	};
	if (status >= 500) c.get('log').error('request', fields);
	else c.get('log').info('request', fields);
};

/** Outermost middleware. */
export const perRequest = createMiddleware<AppEnv>(async (c, next) => {
	const startedAt = Date.now();
	const requestId = requestIdOf(c.req.header('x-request-id'), () => crypto.randomUUID());
	const traceId = traceIdOf(c.req.header('traceparent'), randomTraceId);
	c.set('requestId', requestId);
	c.set('traceId', traceId);
	c.set('log', createLogger(c.env.LOG_LEVEL, { traceId, requestId }));
	await next();
	const { body } = c.req.raw;
	if (c.res.status >= 400 && body !== null && !c.req.raw.bodyUsed) await drain(body);
	addHeaders(c, requestId);
	logRequest(c, startedAt);
});
