/**
 * What every route finds in its context. Set by the middleware of `app.ts`; `principal` only behind `requireScope`.
 * @module
 */
import type { Context } from 'hono';
import type { RateLimit } from '@limner/shared';
import type { Principal } from '../rpc.ts';
import type { Logger } from './log.ts';

export interface Variables {
	/** Echoed as `X-Request-Id` on every answer. */
	requestId: string;
	/** 32 hex characters, from `traceparent` or made up. */
	traceId: string;
	/** Who is calling. Reading it on a route without `requireScope` is a bug. */
	principal: Principal;
	/** The nearest limit, where the answer of a Durable Object told it: becomes `RateLimit-*` headers. */
	rateLimit?: RateLimit;
	log: Logger;
}

export interface AppEnv {
	Bindings: Cloudflare.Env;
	Variables: Variables;
}

export type AppContext = Context<AppEnv>;

/**
 * Where callers reach this gateway, without a trailing slash: `PUBLIC_URL`, else the origin of the request.
 * @param publicUrl the variable `PUBLIC_URL`, may be empty
 * @param requestUrl absolute URL of the request
 */
export const baseUrl = (publicUrl: string, requestUrl: string): string =>
	publicUrl === '' ? new URL(requestUrl).origin : publicUrl.replace(/\/+$/, '');
