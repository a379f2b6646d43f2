/**
 * `/oauth/token` and `/oauth/revoke`: codes and refresh tokens against short access tokens, which are JWTs for `/mcp` alone.
 * @module
 */
import { ACCOUNT_LIMITS, narrowScopes, parseOneTime, type Result } from '@limner/shared';
import { createHash } from 'node:crypto';
import { addressOf, issuerOf } from '../../lib/auth.ts';
import { sha256Hex } from '../../lib/canonical.ts';
import type { AppContext } from '../../lib/context.ts';
import { looksLikeToken, signToken, verifyToken } from '../../lib/jwt.ts';
import { accountOf } from '../../lib/stubs.ts';
import type { GrantSession } from '../../rpc.ts';
import { readForm } from './form.ts';
import { OPEN, resourceOf } from './metadata.ts';
import { sameResource } from './request.ts';

/** The error body of RFC 6749 §5.2. */
export const oauthError = (c: AppContext, error: string, why: string, status: 400 | 401 | 429 = 400): Response =>
	c.json({ error, error_description: why }, status, {
		...OPEN,
		'Cache-Control': 'no-store',
		...(status === 429 ? { 'Retry-After': '60' } : {}),
	});

const VERIFIER = /^[\w.~-]{43,128}$/;

type Granted = Result<GrantSession> | { ok: false; error: string; why: string };
const no = (error: string, why: string): Granted => ({ ok: false, error, why });

const resourceIn = (form: URLSearchParams, resource: string): { resource?: string } | 'wrong' => {
	const given = form.getAll('resource');
	if (given.length === 0) return {};
	return given.every((each) => sameResource(each, resource)) ? { resource } : 'wrong';
};

const redeem = async (c: AppContext, form: URLSearchParams, clientId: string): Promise<Granted> => {
	const code = form.get('code') ?? '';
	const verifier = form.get('code_verifier') ?? '';
	if (!VERIFIER.test(verifier)) return no('invalid_grant', 'code_verifier is missing or malformed');
	const parts = parseOneTime('lc', code);
	if (parts === undefined) return no('invalid_grant', 'the authorization code is not known, or it has expired');
	const resource = resourceIn(form, resourceOf(issuerOf(c)));
	if (resource === 'wrong') return no('invalid_target', `tokens are made for ${resourceOf(issuerOf(c))} only`);
	return accountOf(c.env, `acct_${parts.owner}`).redeemCode(parts.id, sha256Hex(code), {
		clientId,
		redirectUri: form.get('redirect_uri') ?? '',
		challenge: createHash('sha256').update(verifier).digest('base64url'),
		...resource,
	});
};

const refresh = async (c: AppContext, form: URLSearchParams, clientId: string): Promise<Granted> => {
	const token = form.get('refresh_token') ?? '';
	const parts = parseOneTime('lr', token);
	if (parts === undefined) return no('invalid_grant', 'the refresh token is malformed');
	if (resourceIn(form, resourceOf(issuerOf(c))) === 'wrong') {
		return no('invalid_target', `tokens are made for ${resourceOf(issuerOf(c))} only`);
	}
	return accountOf(c.env, `acct_${parts.owner}`).refreshGrant(parts.id, sha256Hex(token), clientId);
};

/** Scopes of the next access token: those of the grant, or fewer of them. */
const scopesFor = (granted: readonly string[], wanted: string | null): string[] =>
	wanted === null || wanted.trim() === '' ? [...granted] : narrowScopes(granted, wanted.split(' '));

const limited = async (c: AppContext): Promise<boolean> => !(await c.env.ADDRESS_LIMIT.limit({ key: addressOf(c) })).success;

/** `POST /oauth/token`. */
export const tokenEndpoint = async (c: AppContext): Promise<Response> => {
	if (await limited(c)) return oauthError(c, 'temporarily_unavailable', 'too many requests from this address', 429);
	const read = await readForm(c.req.raw);
	if (!read.ok) return oauthError(c, 'invalid_request', read.why);
	const { values: form } = read;
	const clientId = form.get('client_id') ?? '';
	if (clientId === '') return oauthError(c, 'invalid_client', 'client_id is missing; clients here are public and send it in the body', 401);
	const type = form.get('grant_type');
	const grants = { authorization_code: redeem, refresh_token: refresh };
	if (type !== 'authorization_code' && type !== 'refresh_token') {
		return oauthError(c, 'unsupported_grant_type', 'grant_type must be authorization_code or refresh_token');
	}
	const granted = await grants[type](c, form, clientId);
	if (!granted.ok) {
		return 'error' in granted
			? oauthError(c, granted.error, granted.why)
			: oauthError(c, 'invalid_grant', granted.detail ?? 'the grant is not known, or it has ended');
	}
	const { grant, accountId, sessionId, refreshToken } = granted;
	const scopes = scopesFor(grant.scopes, type === 'refresh_token' ? form.get('scope') : null);
	const token = await signToken(
		c.env.LIMNER_SECRET,
		{
			sub: accountId,
			ws: grant.ws,
			scope: scopes.join(' '),
			sid: sessionId,
			issuer: issuerOf(c),
			audience: grant.resource,
			ttlMs: ACCOUNT_LIMITS.accessTokenTtlMs,
		},
		Date.now(),
	);
	return c.json(
		{
			access_token: token,
			token_type: 'Bearer',
			expires_in: ACCOUNT_LIMITS.accessTokenTtlMs / 1000,
			refresh_token: refreshToken,
			scope: scopes.join(' '),
		},
		200,
		{ ...OPEN, 'Cache-Control': 'no-store', Pragma: 'no-cache' },
	);
};

/** Ends what a token stands for. An access token ends its session: it cannot be ended alone. */
const revoke = async (c: AppContext, token: string): Promise<void> => {
	const parts = parseOneTime('lr', token);
	if (parts !== undefined) return accountOf(c.env, `acct_${parts.owner}`).revokeByToken(parts.id, sha256Hex(token));
	if (!looksLikeToken(token)) return;
	const issuer = issuerOf(c);
	const verified = await verifyToken(c.env.LIMNER_SECRET, token, issuer, Date.now(), resourceOf(issuer));
	const sessionId = verified.ok ? verified.claims.sid : undefined;
	if (verified.ok && sessionId !== undefined) await accountOf(c.env, verified.claims.sub).revokeSession(sessionId);
};

/** `POST /oauth/revoke` (RFC 7009): says the same whether or not there was anything to end. */
export const revocationEndpoint = async (c: AppContext): Promise<Response> => {
	if (await limited(c)) return oauthError(c, 'temporarily_unavailable', 'too many requests from this address', 429);
	const read = await readForm(c.req.raw);
	const token = read.ok ? read.values.get('token') : null;
	if (token === null || token === '') return oauthError(c, 'invalid_request', read.ok ? 'token is missing' : read.why);
	await revoke(c, token.slice(0, 4000));
	return new Response(null, { status: 200, headers: OPEN });
};
