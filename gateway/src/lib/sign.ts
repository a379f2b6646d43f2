/**
 * Signed texts: `<base64url JSON>.<base64url HMAC-SHA256>`. Each kind of claim has its own key, derived from the
 * gateway's secret and the kind's name, so that no text of one kind can pass for another. node:crypto is used because
 * its HMAC is synchronous: a Durable Object can sign inside its one commit.
 * @module
 */
import { createHmac, timingSafeEqual } from 'node:crypto';
import {
	DashboardTicket,
	NodeCertificate,
	OAuthClientTicket,
	OAuthConsentTicket,
	OAuthRequestTicket,
	ObjectTicket,
	ResultTicket,
	StreamTicket,
	type Claims,
} from '@limner/shared';

const SCHEMAS = {
	result: ResultTicket,
	node: NodeCertificate,
	object: ObjectTicket,
	stream: StreamTicket,
	dashboard: DashboardTicket,
	'oauth-client': OAuthClientTicket,
	'oauth-request': OAuthRequestTicket,
	'oauth-consent': OAuthConsentTicket,
} as const;
type Kind = Claims['k'];
type ClaimsOf<K extends Kind> = Extract<Claims, { k: K }>;

const mac = (secret: string, kind: Kind, payload: string): Buffer => {
	const key = createHmac('sha256', secret).update(`limner/v1/${kind}`).digest();
	return createHmac('sha256', key).update(payload).digest();
};

/** Signs claims. */
export const signClaims = (secret: string, claims: Claims): string => {
	const payload = Buffer.from(JSON.stringify(claims)).toString('base64url');
	return `${payload}.${mac(secret, claims.k, payload).toString('base64url')}`;
};

export type Verified<K extends Kind> = { ok: true; claims: ClaimsOf<K> } | { ok: false; why: 'malformed' | 'signature' | 'expired' };

const readPayload = (payload: string): unknown => {
	try {
		return JSON.parse(Buffer.from(payload, 'base64url').toString());
	} catch {
		return undefined;
	}
};

/**
 * Checks signature, shape and expiry, in that order: nothing of an unsigned text is looked at.
 * @param nowMs milliseconds since the epoch
 */
export const verifyClaims = <K extends Kind>(secret: string, kind: K, text: string, nowMs: number): Verified<K> => {
	const dot = text.indexOf('.');
	if (dot < 1) return { ok: false, why: 'malformed' };
	const payload = text.slice(0, dot);
	const given = Buffer.from(text.slice(dot + 1), 'base64url');
	const expected = mac(secret, kind, payload);
	if (given.length !== expected.length || !timingSafeEqual(given, expected)) return { ok: false, why: 'signature' };
	const parsed = SCHEMAS[kind].safeParse(readPayload(payload));
	if (!parsed.success) return { ok: false, why: 'malformed' };
	const claims = parsed.data as ClaimsOf<K>;
	return claims.exp <= nowMs ? { ok: false, why: 'expired' } : { ok: true, claims };
};
