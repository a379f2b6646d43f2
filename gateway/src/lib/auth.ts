/**
 * API keys: `Authorization: Bearer lk_…` or `X-API-Key: lk_…`. The workspace is read from the key, its SHA-256 is
 * looked up in the Workspace, and the answer is kept for at most `TIMING.keyCacheMs`, so that a revocation holds
 * within one second in every isolate.
 * @module
 */
import { LimnerError, parseApiKey, TIMING, toError } from '@limner/shared';
import { createMiddleware } from 'hono/factory';
import type { Principal } from '../rpc.ts';
import { BoundedCache } from './cache.ts';
import { sha256Hex } from './canonical.ts';
import type { AppContext, AppEnv } from './context.ts';
import { idempotent, workspaceOf } from './stubs.ts';

/** Principals kept per isolate; the oldest goes first. */
const CACHE_ENTRIES = 5000;
const cache = new BoundedCache<Principal>(CACHE_ENTRIES, TIMING.keyCacheMs);

/** Key text of a request, or `undefined`. */
export const readApiKey = (headers: Headers): string | undefined => {
	const bearer = /^Bearer +(\S+)$/i.exec(headers.get('authorization') ?? '')?.[1];
	return bearer ?? headers.get('x-api-key')?.trim() ?? undefined;
};

/** Whether the scopes of a key cover one scope. `admin` covers all; `x:write` does not cover `x:read`. */
export const hasScope = (scopes: readonly string[], needed: string): boolean => scopes.includes('admin') || scopes.includes(needed);

const addressOf = (c: AppContext): string => c.req.header('cf-connecting-ip') ?? 'unknown';

const tooMany = (): LimnerError => new LimnerError('rate_limited', { retryAfterS: 60 });

/** Counts a failed authentication against the caller's address, then answers the error to throw. */
export const refuseAuthentication = async (c: AppContext, detail: string): Promise<LimnerError> => {
	const { success } = await c.env.ADDRESS_LIMIT.limit({ key: addressOf(c) });
	return success ? new LimnerError('unauthorized', { detail }) : tooMany();
};

/** A key as `Workspace.submit` wants it. */
export interface KeyProof {
	ws: string;
	keyId: string;
	keyHash: string;
}

/**
 * Reads the key of a request without checking its secret.
 * @throws {LimnerError} `unauthorized`
 */
export const keyProof = async (c: AppContext): Promise<KeyProof> => {
	const key = readApiKey(c.req.raw.headers);
	if (key === undefined) {
		throw await refuseAuthentication(c, 'send an API key: "Authorization: Bearer lk_…" or "X-API-Key: lk_…"');
	}
	const parts = parseApiKey(key);
	if (parts === undefined) throw await refuseAuthentication(c, 'the API key is malformed; it looks like lk_<workspace>_<id>_<secret>');
	return { ...parts, keyHash: sha256Hex(key) };
};

/**
 * Who is calling.
 * @throws {LimnerError} `unauthorized`, `rate_limited`, or what the Workspace answers
 */
export const authenticate = async (c: AppContext): Promise<Principal> => {
	const proof = await keyProof(c);
	const now = Date.now();
	const known = cache.get(proof.keyHash, now);
	if (known !== undefined) return known;
	const answer = await idempotent(
		() => workspaceOf(c.env, proof.ws),
		(stub) => stub.authenticate(proof.ws, proof.keyId, proof.keyHash),
	);
	if (!answer.ok) {
		if (answer.code !== 'unauthorized') throw toError(answer);
		throw await refuseAuthentication(c, answer.detail ?? 'the API key is not known, or it was revoked');
	}
	const { principal } = answer;
	cache.set(proof.keyHash, principal, now);
	return principal;
};

/** Refuses a principal that lacks a scope. */
export const checkScope = (principal: Principal, scope: string): void => {
	if (!hasScope(principal.scopes, scope)) throw new LimnerError('forbidden', { detail: `the key needs the scope ${scope}` });
};

/** Middleware: authenticates, checks the scope, counts the call against the key, and sets `principal`. */
export const requireScope = (scope: string) =>
	createMiddleware<AppEnv>(async (c, next) => {
		const principal = await authenticate(c);
		checkScope(principal, scope);
		const { success } = await c.env.KEY_LIMIT.limit({ key: `${principal.ws}/${principal.keyId}` });
		if (!success) throw tooMany();
		c.set('principal', principal);
		await next();
	});
