/**
 * `POST /api/v1/auth/token|revoke|reset`, `GET|DELETE /api/v1/auth/sessions`, and the keys that verify tokens.
 * @module
 */
import { createRoute, z } from '@hono/zod-openapi';
import { LimnerError } from '@limner/shared';
import { refreshSession, resetPassword, signIn, tokenForKey, tokenForSession } from '../../account/service.ts';
import { authenticateKey, refuseAuthentication } from '../../lib/auth.ts';
import { sha256Hex } from '../../lib/canonical.ts';
import type { AppContext } from '../../lib/context.ts';
import type { Principal } from '../../rpc.ts';
import { jwks } from '../../lib/jwt.ts';
import { jsonBody, jsonRequest, jsonResponse, newApp, pageOf, problems, secured, securedByAny } from '../../lib/openapi.ts';
import { accountOf } from '../../lib/stubs.ts';
import { parseOneTime } from '@limner/shared';
import { CallerSchema, NewPassword, SessionSchema, TokenAnswer, TokenRequest } from './schema.ts';

export const authRoutes = newApp();

const grantToken = async (c: AppContext, request: z.output<typeof TokenRequest>): Promise<z.infer<typeof TokenAnswer>> => {
	if (request.grant === 'key') return tokenForKey(c, await authenticateKey(c, request.key), request.scopes, request.ttlS);
	const session =
		request.grant === 'password' ? await signIn(c, request.email, request.password) : await refreshSession(c, request.refreshToken);
	return tokenForSession(c, session, request.workspaceId, request.scopes);
};

authRoutes.openapi(
	createRoute({
		method: 'post',
		path: '/token',
		operationId: 'createToken',
		tags: ['accounts'],
		summary: 'Sign in, or make a short token from an API key',
		description:
			'A token lasts 10 minutes; `grant: "refresh"` makes the next one. Each refresh token is good once: one that comes back later ends its session. Not repeated by an Idempotency-Key: a second call makes another session.',
		security: [],
		middleware: [jsonBody],
		request: { body: jsonRequest(TokenRequest) },
		responses: { 200: jsonResponse(TokenAnswer, 'The token'), ...problems(400, 401, 403, 404, 413, 415, 422, 429) },
	}),
	async (c) => c.json(await grantToken(c, c.req.valid('json')), 200),
);

authRoutes.openapi(
	createRoute({
		method: 'post',
		path: '/revoke',
		operationId: 'revokeToken',
		tags: ['accounts'],
		summary: 'End the session of a refresh token',
		description: 'Its access tokens end within a second. Ending it again changes nothing.',
		security: [],
		middleware: [jsonBody],
		request: { body: jsonRequest(z.strictObject({ refreshToken: z.string().min(1).max(300) }).openapi('RevokeRequest')) },
		responses: { 204: { description: 'The session has ended' }, ...problems(400, 401, 413, 415, 422, 429) },
	}),
	async (c) => {
		const { refreshToken } = c.req.valid('json');
		const parts = parseOneTime('lr', refreshToken);
		if (parts === undefined) throw await refuseAuthentication(c, 'the refresh token is malformed');
		await accountOf(c.env, `acct_${parts.owner}`).revokeByToken(parts.id, sha256Hex(refreshToken));
		return c.body(null, 204);
	},
);

authRoutes.openapi(
	createRoute({
		method: 'post',
		path: '/reset',
		operationId: 'resetPassword',
		tags: ['accounts'],
		summary: 'Set a new password with a reset link',
		description: 'The link comes from an operator (`limner accounts reset-link`). All sessions of the account end.',
		security: [],
		middleware: [jsonBody],
		request: { body: jsonRequest(z.strictObject({ token: z.string().min(1).max(300), password: NewPassword }).openapi('ResetRequest')) },
		responses: { 204: { description: 'The password has been set' }, ...problems(400, 401, 413, 415, 422, 429) },
	}),
	async (c) => {
		const { token, password } = c.req.valid('json');
		await resetPassword(c, token, password);
		return c.body(null, 204);
	},
);

const iso = (ms: number): string => new Date(ms).toISOString();

const mustAccount = (c: AppContext) => {
	const { account } = c.get('principal');
	if (account === undefined) throw new LimnerError('forbidden', { detail: 'sign in: an API key has no account' });
	return account;
};

authRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/sessions',
		operationId: 'listSessions',
		tags: ['accounts'],
		summary: 'Where you are signed in',
		...secured('account'),
		responses: { 200: jsonResponse(pageOf(SessionSchema), 'All sessions'), ...problems(401, 403, 429) },
	}),
	async (c) => {
		const account = mustAccount(c);
		const sessions = await accountOf(c.env, account.id).sessions();
		const data = sessions.map((session) => ({
			id: session.id,
			createdAt: iso(session.createdAt),
			usedAt: iso(session.usedAt),
			expiresAt: iso(session.expiresAt),
			agent: session.agent,
			current: session.id === account.sessionId,
		}));
		return c.json({ data, nextCursor: null }, 200);
	},
);

authRoutes.openapi(
	createRoute({
		method: 'delete',
		path: '/sessions/{id}',
		operationId: 'endSession',
		tags: ['accounts'],
		summary: 'End one of your sessions',
		...secured('account'),
		request: { params: z.object({ id: z.string().min(1).max(100) }) },
		responses: { 204: { description: 'The session has ended' }, ...problems(401, 403, 404, 429) },
	}),
	async (c) => {
		const ended = await accountOf(c.env, mustAccount(c).id).revokeSession(c.req.valid('param').id);
		if (!ended) throw new LimnerError('not_found', { detail: 'there is no such session' });
		return c.body(null, 204);
	},
);

/** A principal as its owner may know it. */
export const callerView = ({ ws, keyId, scopes, models, expiresAt, account, role }: Principal): z.infer<typeof CallerSchema> => ({
	workspaceId: ws,
	scopes,
	...(account === undefined ? { keyId } : { account: { id: account.id, email: account.email, name: account.name } }),
	...(role === undefined ? {} : { role }),
	...(models === undefined ? {} : { models }),
	...(expiresAt === undefined ? {} : { expiresAt: iso(expiresAt) }),
});

authRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/me',
		operationId: 'getCaller',
		tags: ['accounts'],
		summary: 'Who you are to the gateway, and what you may do',
		description: 'For any good key or token, whatever its scopes.',
		...securedByAny(),
		responses: { 200: jsonResponse(CallerSchema, 'The caller'), ...problems(401, 429) },
	}),
	(c) => c.json(callerView(c.get('principal')), 200),
);

const Jwk = z.object({ kty: z.string(), crv: z.string(), x: z.string(), kid: z.string(), alg: z.string(), use: z.string() });

export const jwksRoutes = newApp();
jwksRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/.well-known/jwks.json',
		operationId: 'jwks',
		tags: ['accounts'],
		summary: 'Public keys that verify access tokens',
		security: [],
		responses: { 200: jsonResponse(z.object({ keys: z.array(Jwk) }).openapi('JsonWebKeySet'), 'The keys (RFC 7517)'), ...problems() },
	}),
	(c) => {
		c.header('Cache-Control', 'public, max-age=3600');
		return c.json({ keys: jwks(c.env.LIMNER_SECRET, Date.now()).keys as z.infer<typeof Jwk>[] }, 200);
	},
);
