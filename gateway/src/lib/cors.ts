/**
 * Which pages may call the API from a browser: those of the gateway itself, those of CORS_ORIGINS, and, under
 * `npm start`, any page of this machine. Credentials are headers, never cookies, so an origin that is not allowed can
 * do nothing with a user's rights; it just cannot read answers.
 * @module
 */
import { LimnerError } from '@limner/shared';
import { createMiddleware } from 'hono/factory';
import { baseUrl, type AppContext, type AppEnv } from './context.ts';
import { problemResponse } from './problem.ts';

const METHODS = 'GET, POST, PUT, PATCH, DELETE, OPTIONS';
const REQUEST_HEADERS =
	'Authorization, Content-Type, Idempotency-Key, X-API-Key, X-Request-Id, Last-Event-ID, Limner-Allocation, Traceparent, Mcp-Session-Id, Mcp-Protocol-Version';
const EXPOSED =
	'X-Request-Id, Location, Retry-After, Idempotency-Replayed, Limner-Queue, RateLimit-Limit, RateLimit-Remaining, RateLimit-Reset, ETag, Content-Disposition, Mcp-Session-Id';
const MAX_AGE_S = 600;

const OWN_RULES = /^\/(?:mcp$|oauth\/|\.well-known\/oauth-)/;

const LOOPBACK = /^https?:\/\/(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d{1,5})?$/;

export interface CorsSettings {
	/** The variable CORS_ORIGINS. */
	origins: string;
	/** Whether pages of this machine may call. */
	loopback: boolean;
	/** The gateway's own origin. */
	own: string;
}

/** Whether pages of an origin may call. */
export const isAllowedOrigin = (origin: string, { origins, loopback, own }: CorsSettings): boolean => {
	if (origin === own || (loopback && LOOPBACK.test(origin))) return true;
	const list = origins.split(/[\s,]+/).filter((each) => each !== '');
	return list.includes('*') || list.some((each) => each.replace(/\/+$/, '') === origin);
};

const isTrue = (text: string): boolean => text === 'true';

const settingsOf = (c: AppContext): CorsSettings => ({
	origins: c.env.CORS_ORIGINS,
	loopback: isTrue(c.env.ALLOW_LOOPBACK_ORIGINS),
	own: new URL(baseUrl(c.env.PUBLIC_URL, c.req.url)).origin,
});

const refused = (c: AppContext, origin: string): Response => {
	const shown = origin.slice(0, 200).replaceAll(/[^\x21-\x7e]/g, '?');
	const detail = `pages of ${shown} may not call this gateway; an operator can add the origin to CORS_ORIGINS`;
	return problemResponse(c, new LimnerError('origin_refused', { detail }));
};

const preflight = (origin: string): Response =>
	new Response(null, {
		status: 204,
		headers: {
			'Access-Control-Allow-Origin': origin,
			'Access-Control-Allow-Methods': METHODS,
			'Access-Control-Allow-Headers': REQUEST_HEADERS,
			'Access-Control-Max-Age': String(MAX_AGE_S),
			Vary: 'Origin',
		},
	});

/** Answers preflights, and lets allowed origins read answers. */
export const cors = createMiddleware<AppEnv>(async (c, next) => {
	const origin = c.req.header('origin');
	// MCP lets pages of this machine in always, and OAuth any page, so their own rules answer for their paths.
	if (origin === undefined || OWN_RULES.test(c.req.path)) return next();
	const allowed = isAllowedOrigin(origin, settingsOf(c));
	if (c.req.method === 'OPTIONS' && c.req.header('access-control-request-method') !== undefined) {
		return allowed ? preflight(origin) : refused(c, origin);
	}
	await next();
	if (!allowed || c.res.status === 101) return undefined;
	c.res.headers.set('Access-Control-Allow-Origin', origin);
	c.res.headers.set('Access-Control-Expose-Headers', EXPOSED);
	c.res.headers.append('Vary', 'Origin');
	c.res.headers.set('Cross-Origin-Resource-Policy', 'cross-origin');
	return undefined;
});
