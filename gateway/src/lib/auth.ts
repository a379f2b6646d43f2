/**
 * Who calls: an API key (`Authorization: Bearer lk_…` or `X-API-Key: lk_…`), or an access token (`Authorization: Bearer
 * eyJ…`). The workspace is read from the credential, what it may do is looked up in the Workspace, and the answer is kept for at most `TIMING.keyCacheMs`, so that a revocation holds
 * within one second in every isolate.
 * @module
 */
import { hasScope, LimnerError, narrowScopes, parseApiKey, TIMING, toError, type Result } from '@limner/shared';
import { createMiddleware } from 'hono/factory';
import type { Principal, TokenCaller } from '../rpc.ts';
import { BoundedCache } from './cache.ts';
import { sha256Hex } from './canonical.ts';
import { baseUrl, type AppContext, type AppEnv } from './context.ts';
import { AUDIENCE, looksLikeToken, verifyToken, type AccessClaims } from './jwt.ts';
import { accountOf, idempotent, workspaceOf } from './stubs.ts';

export { hasScope } from '@limner/shared';

/** Principals kept per isolate; the oldest goes first. */
const CACHE_ENTRIES = 5000;
const cache = new BoundedCache<Principal>(CACHE_ENTRIES, TIMING.keyCacheMs);

/** The key in `Basic` credentials, for clients that know only user and password: either of the two may be the key. */
const basicKey = (authorization: string): string | undefined => {
	const encoded = /^Basic +([\w+/-]+={0,2})$/i.exec(authorization)?.[1];
	if (encoded === undefined) return undefined;
	const [user = '', ...password] = Buffer.from(encoded, 'base64').toString('utf8').split(':');
	const key = [password.join(':'), user].find((part) => part.startsWith('lk_')) ?? password.join(':');
	// Without a colon, or with nothing after it, there is no password.
	return key === '' ? undefined : key;
};

/** Key text of a request, or `undefined`. */
export const readApiKey = (headers: Headers): string | undefined => {
	const authorization = headers.get('authorization') ?? '';
	const bearer = /^(?:Bearer|Token) +(\S+)$/i.exec(authorization)?.[1];
	return bearer ?? basicKey(authorization) ?? headers.get('x-api-key')?.trim() ?? undefined;
};

export const addressOf = (c: AppContext): string => c.req.header('cf-connecting-ip') ?? 'unknown';

const tooMany = (): LimnerError => new LimnerError('rate_limited', { retryAfterS: 60 });

/** Counts a failed authentication against the caller's address, then answers the error to throw. */
export const refuseAuthentication = async (c: AppContext, detail: string): Promise<LimnerError> => {
	const { success } = await c.env.ADDRESS_LIMIT.limit({ key: addressOf(c) });
	return success ? new LimnerError('unauthorized', { detail }) : tooMany();
};

/** Who issues tokens: the address at which callers reach the gateway. */
export const issuerOf = (c: AppContext): string => baseUrl(c.env.PUBLIC_URL, c.req.url);

/** A credential as `Workspace.submit` wants it: checked there once more, in the turn that writes the job. */
export interface CallerProof {
	ws: string;
	keyId: string;
	keyHash?: string;
	caller?: TokenCaller;
}

interface KeyProof {
	ws: string;
	keyId: string;
	keyHash: string;
}

const parseKey = async (c: AppContext, key: string): Promise<KeyProof> => {
	const parts = parseApiKey(key);
	if (parts === undefined) throw await refuseAuthentication(c, 'the API key is malformed; it looks like lk_<workspace>_<id>_<secret>');
	return { ...parts, keyHash: sha256Hex(key) };
};

/** Whom the verified caller of this request is, for `Workspace.submit`. Reads `principal`: only behind `requireScope`. */
export const callerProof = async (c: AppContext): Promise<CallerProof> => {
	const { ws, keyId, account } = c.get('principal');
	if (account !== undefined) return { ws, keyId, caller: { kind: 'account', accountId: account.id } };
	const key = readApiKey(c.req.raw.headers);
	if (key === undefined || looksLikeToken(key)) return { ws, keyId, caller: { kind: 'key', keyId } };
	return parseKey(c, key);
};

/** Asks once, and remembers a good answer for as long as a revocation may take to hold. */
const remembered = async (c: AppContext, name: string, ask: () => Promise<Result<{ principal: Principal }>>): Promise<Principal> => {
	const now = Date.now();
	const known = cache.get(name, now);
	if (known !== undefined) return known;
	const answer = await ask();
	if (!answer.ok) {
		if (answer.code !== 'unauthorized') throw toError(answer);
		throw await refuseAuthentication(c, answer.detail ?? 'the API key is not known, or it was revoked');
	}
	cache.set(name, answer.principal, now);
	return answer.principal;
};

/**
 * Checks an API key.
 * @throws {LimnerError} `unauthorized`
 */
export const authenticateKey = async (c: AppContext, key: string): Promise<Principal> => {
	const proof = await parseKey(c, key);
	return remembered(c, proof.keyHash, () =>
		idempotent(
			() => workspaceOf(c.env, proof.ws),
			(stub) => stub.authenticate(proof.ws, proof.keyId, proof.keyHash),
		),
	);
};

const KEY_SUBJECT = 'key:';

/** The session behind an account's token, then what the account may do in the workspace. */
const askAccount = async (c: AppContext, claims: AccessClaims, sessionId: string): Promise<Result<{ principal: Principal }>> => {
	const session = await idempotent(
		() => accountOf(c.env, claims.sub),
		(stub) => stub.session(sessionId),
	);
	if (!session.ok) return session;
	const account = { ...session.account, sessionId };
	const alone: Principal = { ws: '', keyId: claims.sub, scopes: ['account'], weight: 1, account };
	if (claims.ws === '') return { ok: true, principal: alone };
	const answer = await idempotent(
		() => workspaceOf(c.env, claims.ws),
		(stub) => stub.principalOf(claims.ws, { kind: 'account', accountId: claims.sub }),
	);
	return answer.ok ? { ok: true, principal: { ...answer.principal, account } } : answer;
};

const askOwner = (c: AppContext, claims: AccessClaims): Promise<Result<{ principal: Principal }>> =>
	claims.sub.startsWith(KEY_SUBJECT)
		? idempotent(
				() => workspaceOf(c.env, claims.ws),
				(stub) => stub.principalOf(claims.ws, { kind: 'key', keyId: claims.sub.slice(KEY_SUBJECT.length) }),
			)
		: askAccount(c, claims, claims.sid ?? '');

/** A token narrows what its key or member may do now; it never widens it. */
const authenticateToken = async (c: AppContext, token: string, audience: string): Promise<Principal> => {
	const verified = await verifyToken(c.env.LIMNER_SECRET, token, issuerOf(c), Date.now(), audience);
	if (!verified.ok) throw await refuseAuthentication(c, verified.why);
	const { claims } = verified;
	const principal = await remembered(c, `${claims.sub}/${claims.sid ?? ''}/${claims.ws}`, () => askOwner(c, claims));
	return { ...principal, scopes: narrowScopes(principal.scopes, claims.scope.split(' ')) };
};

/**
 * Who is calling.
 * @param audience that an access token must be made for
 * @throws {LimnerError} `unauthorized`, `rate_limited`, or what the Workspace answers
 */
export const authenticate = async (c: AppContext, audience: string = AUDIENCE): Promise<Principal> => {
	const key = readApiKey(c.req.raw.headers);
	if (key === undefined) {
		throw await refuseAuthentication(c, 'send an API key: "Authorization: Bearer lk_…" or "X-API-Key: lk_…"');
	}
	return looksLikeToken(key) ? authenticateToken(c, key, audience) : authenticateKey(c, key);
};

/** Name of who acts, for histories and the ledger. */
export const actorOf = (principal: Principal): string => principal.account?.id ?? `key:${principal.keyId}`;

/** Who acts, and with what rights. */
export const byOf = (principal: Principal): { actor: string; scopes: string[] } => ({
	actor: actorOf(principal),
	scopes: principal.scopes,
});

/** Refuses a principal that lacks a scope. */
export const checkScope = (principal: Principal, scope: string): void => {
	if (!hasScope(principal.scopes, scope)) throw new LimnerError('forbidden', { detail: `this needs the scope ${scope}` });
};

/**
 * Middleware: authenticates, checks the scope, counts the call against the key, and sets `principal`.
 * @param scope absent = any good credential will do
 */
export const requireScope = (scope?: string) =>
	createMiddleware<AppEnv>(async (c, next) => {
		const principal = await authenticate(c);
		if (scope !== undefined) checkScope(principal, scope);
		const { success } = await c.env.KEY_LIMIT.limit({ key: `${principal.ws}/${principal.keyId}` });
		if (!success) throw tooMany();
		c.set('principal', principal);
		await next();
	});
