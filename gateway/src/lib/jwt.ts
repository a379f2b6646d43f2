/**
 * Access tokens: short JWTs, signed with Ed25519 (EdDSA). The signing keys are derived from the gateway's secret and the
 * number of the period, so that every isolate has the same keys without storage, and they change by themselves. The key
 * of the period before still verifies; the next one is published early, so that a cached JWKS is never behind.
 * @module
 */
import { createHash, createHmac, createPrivateKey, createPublicKey, type JsonWebKey } from 'node:crypto';
import { ACCOUNT_LIMITS } from '@limner/shared';
import { errors, importJWK, jwtVerify, SignJWT } from 'jose';
import { z } from 'zod';
import { BoundedCache } from './cache.ts';

const ALG = 'EdDSA';
/** Audience of tokens for the API itself. Those of OAuth clients name the address of `/mcp` (RFC 8707). */
export const AUDIENCE = 'limner-api';
/** Clocks of isolates differ by less than this. */
const TOLERANCE_S = 5;
/** DER of a PKCS #8 private key of Ed25519 up to its 32 bytes (RFC 8410). */
const PKCS8_PREFIX = Buffer.from('302e020100300506032b657004220420', 'hex');

const periodOf = (atMs: number): number => Math.floor(atMs / ACCOUNT_LIMITS.signingKeyMs);

interface SigningKey {
	kid: string;
	privateJwk: JsonWebKey;
	publicJwk: JsonWebKey;
}

const derive = (secret: string, period: number): SigningKey => {
	const seed = createHmac('sha256', secret).update(`limner/v1/jwt/${period}`).digest();
	const key = createPrivateKey({ key: Buffer.concat([PKCS8_PREFIX, seed]), format: 'der', type: 'pkcs8' });
	const publicJwk = createPublicKey(key).export({ format: 'jwk' });
	const thumb = createHash('sha256').update(String(publicJwk.x)).digest('hex').slice(0, 8);
	return { kid: `${period}-${thumb}`, publicJwk, privateJwk: { ...publicJwk, d: seed.toString('base64url') } };
};

/** A few periods at most; keyed by a hash, so that the secret is nowhere kept twice. */
const keys = new BoundedCache<SigningKey>(16, Number.POSITIVE_INFINITY);

/** Signing key of a period. */
export const signingKey = (secret: string, period: number): SigningKey => {
	const name = createHash('sha256').update(`${period}/${secret}`).digest('hex');
	const known = keys.peek(name);
	if (known !== undefined) return known;
	const made = derive(secret, period);
	keys.set(name, made, 0);
	return made;
};

/** Public keys that verify tokens now or soon. */
export const jwks = (secret: string, nowMs: number): { keys: Record<string, string>[] } => ({
	keys: [-1, 0, 1].map((offset) => {
		const { kid, publicJwk } = signingKey(secret, periodOf(nowMs) + offset);
		return { kty: 'OKP', crv: 'Ed25519', x: String(publicJwk.x), kid, alg: ALG, use: 'sig' };
	}),
});

/** What a token says. `sub` is an account id, or `key:<id>` for a token made from an API key. */
export const AccessClaims = z.object({
	sub: z.string().min(1),
	/** Workspace; empty for an account that is in none. */
	ws: z.string(),
	/** Scopes, separated by spaces. */
	scope: z.string(),
	/** Session; absent for a token made from an API key. */
	sid: z.string().optional(),
	exp: z.number(),
});
export type AccessClaims = z.infer<typeof AccessClaims>;

export interface TokenInput extends Omit<AccessClaims, 'exp'> {
	issuer: string;
	/** {@link AUDIENCE} when absent. */
	audience?: string;
	ttlMs: number;
}

/** Makes a token. */
export const signToken = async (
	secret: string,
	{ issuer, audience = AUDIENCE, ttlMs, sub, ...claims }: TokenInput,
	nowMs: number,
): Promise<string> => {
	const { kid, privateJwk } = signingKey(secret, periodOf(nowMs));
	const seconds = Math.floor(nowMs / 1000);
	return new SignJWT(claims)
		.setProtectedHeader({ alg: ALG, kid, typ: 'JWT' })
		.setSubject(sub)
		.setIssuer(issuer)
		.setAudience(audience)
		.setIssuedAt(seconds)
		.setJti(crypto.randomUUID())
		.setExpirationTime(seconds + Math.floor(ttlMs / 1000))
		.sign(await importJWK(privateJwk as Parameters<typeof importJWK>[0], ALG));
};

/** Whether a credential looks like a token, as opposed to an API key. */
export const looksLikeToken = (text: string): boolean => text.startsWith('eyJ');

export type TokenCheck = { ok: true; claims: AccessClaims } | { ok: false; why: string };

/** Why a token is refused, without telling more than its holder can see himself. */
const reasonOf = (error: unknown): string => {
	if (error instanceof errors.JWTExpired) return 'the access token has expired; refresh it';
	if (error instanceof errors.JWTClaimValidationFailed) return `the access token is not for this gateway (${error.claim})`;
	return 'the access token is not valid';
};

/** Checks algorithm, key, signature, issuer, audience and expiry, in that order of jose; only EdDSA is taken. */
export const verifyToken = async (
	secret: string,
	token: string,
	issuer: string,
	nowMs: number,
	audience: string = AUDIENCE,
): Promise<TokenCheck> => {
	try {
		const { payload } = await jwtVerify(
			token,
			async ({ kid }) => {
				const period = periodOf(nowMs);
				const found = [period, period - 1, period + 1].map((each) => signingKey(secret, each)).find((key) => key.kid === kid);
				if (found === undefined) throw new errors.JWKSNoMatchingKey();
				return importJWK(found.publicJwk as Parameters<typeof importJWK>[0], ALG);
			},
			{ algorithms: [ALG], issuer, audience, clockTolerance: TOLERANCE_S, currentDate: new Date(nowMs), typ: 'JWT' },
		);
		const parsed = AccessClaims.safeParse(payload);
		return parsed.success ? { ok: true, claims: parsed.data } : { ok: false, why: 'the access token is not valid' };
	} catch (error) {
		return { ok: false, why: reasonOf(error) };
	}
};
