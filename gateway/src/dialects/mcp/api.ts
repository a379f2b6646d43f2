/**
 * How tools reach the gateway: through its own HTTP routes, in this process, with the caller's credentials. So scopes,
 * validation, limits and idempotency are those of the API, and each is decided in one place.
 * @module
 */
import { LimnerError, ProblemDetails, type FieldError, type ProblemCode, PROBLEMS } from '@limner/shared';
import { issuerOf, readApiKey } from '../../lib/auth.ts';
import type { AppContext, AppEnv } from '../../lib/context.ts';
import { looksLikeToken, signToken } from '../../lib/jwt.ts';
import type { Hono } from 'hono';

export type FetchApp = () => Pick<Hono<AppEnv>, 'fetch'>;

export interface ApiRequest {
	method?: string;
	json?: unknown;
	body?: Uint8Array<ArrayBuffer>;
	headers?: Record<string, string>;
}

/** Calls of one MCP request. */
export interface Api {
	/** The answer's JSON. @throws {LimnerError} what the route refused */
	json<T>(path: string, request?: ApiRequest): Promise<T>;
	/** The answer's bytes. @throws {LimnerError} what the route refused */
	bytes(path: string): Promise<Uint8Array<ArrayBuffer>>;
}

const INNER_TOKEN_MS = 60_000;

/** Headers that say who is calling. */
const PASSED = ['authorization', 'x-api-key', 'cf-connecting-ip', 'traceparent'];

const isCode = (code: string): code is ProblemCode => Object.hasOwn(PROBLEMS, code);

/** The refusal in an answer, as the error that the route threw. */
const refusalOf = async (response: Response): Promise<LimnerError> => {
	const parsed = ProblemDetails.safeParse(await response.json().catch(() => undefined));
	if (!parsed.success) return new LimnerError('internal');
	const { code, detail, title, retryAfter } = parsed.data;
	const errors: FieldError[] | undefined = parsed.data.errors;
	return new LimnerError(isCode(code) ? code : 'internal', {
		detail: detail ?? title,
		...(errors === undefined ? {} : { errors }),
		...(retryAfter === undefined ? {} : { retryAfterS: retryAfter }),
	});
};

/**
 * A token of the MCP server is good there alone, so it is not passed on: the API gets one of its own, with the same rights,
 * for the time of a call.
 */
const ownToken = async (c: AppContext): Promise<string | undefined> => {
	const credential = readApiKey(c.req.raw.headers);
	if (credential === undefined || !looksLikeToken(credential)) return undefined;
	const { account, ws, scopes } = c.get('principal');
	if (account === undefined) return undefined;
	const claims = { sub: account.id, sid: account.sessionId, ws, scope: scopes.join(' ') };
	return signToken(c.env.LIMNER_SECRET, { ...claims, issuer: issuerOf(c), ttlMs: INNER_TOKEN_MS }, Date.now());
};

/** Calls on behalf of the caller of `c`. */
export const createApi = (c: AppContext, app: FetchApp): Api => {
	const send = async (path: string, { method, json, body, headers: extra }: ApiRequest): Promise<Response> => {
		const headers = new Headers(extra);
		for (const name of PASSED) {
			const value = c.req.header(name);
			if (value !== undefined) headers.set(name, value);
		}
		const token = await ownToken(c);
		if (token !== undefined) headers.set('authorization', `Bearer ${token}`);
		headers.set('x-request-id', c.get('requestId'));
		if (json !== undefined) headers.set('content-type', 'application/json');
		const payload = json === undefined ? body : JSON.stringify(json);
		const url = new URL(path, c.req.url);
		const request = new Request(url, {
			method: method ?? (payload === undefined ? 'GET' : 'POST'),
			headers,
			...(payload === undefined ? {} : { body: payload }),
		});
		const response = await app().fetch(request, c.env, c.executionCtx);
		if (response.ok) return response;
		throw await refusalOf(response);
	};
	return {
		json: async <T>(path: string, request: ApiRequest = {}): Promise<T> => (await send(path, request)).json<T>(),
		bytes: async (path) => new Uint8Array(await (await send(path, {})).arrayBuffer()),
	};
};
