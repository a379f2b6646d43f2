/**
 * Node certificates: issued at enrolment, verified without a look-up.
 * @module
 */
import { createPublicKey, verify } from 'node:crypto';
import { NODE_CERTIFICATE, type NodeCertificate } from '@limner/shared';
import { refuseAuthentication } from './auth.ts';
import { createMiddleware } from 'hono/factory';
import type { AppContext, AppEnv } from './context.ts';
import type { NodeIdentity } from '../rpc.ts';
import { signClaims, verifyClaims } from './sign.ts';

export type { NodeIdentity } from '../rpc.ts';

/** Whether an Ed25519 key (raw, base64url) signed a text. */
export const signedBy = (publicKey: string, text: string, signature: string): boolean => {
	try {
		const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: publicKey }, format: 'jwk' });
		return verify(null, Buffer.from(text), key, Buffer.from(signature, 'base64url'));
	} catch {
		return false;
	}
};

/** Signs what the Registry says about a node. */
export const issueCertificate = (
	secret: string,
	identity: NodeIdentity,
	publicKey: string,
	nowMs: number,
): { certificate: string; exp: number } => {
	const exp = nowMs + NODE_CERTIFICATE.ttlMs;
	const { nodeId: node, ws, trust, shard, name, labels, pending, keyVersion: kv } = identity;
	const claims = { k: 'node', node, key: publicKey, ws, trust, shard, name, labels, pending, kv, exp } as const;
	return { certificate: signClaims(secret, claims), exp };
};

const WORDS = {
	expired: 'the certificate has expired; enrol again',
	signature: 'the certificate is not valid',
	malformed: 'the certificate is not valid',
};

/**
 * The certificate in `Authorization: Bearer`.
 * @throws {LimnerError} `unauthorized`
 */
export const certificateOf = async (c: AppContext): Promise<NodeCertificate> => {
	const text = /^Bearer +(\S+)$/i.exec(c.req.header('authorization') ?? '')?.[1];
	if (text === undefined) throw await refuseAuthentication(c, 'send the certificate: "Authorization: Bearer <certificate>"');
	const verified = verifyClaims(c.env.LIMNER_SECRET, 'node', text, Date.now());
	if (!verified.ok) throw await refuseAuthentication(c, WORDS[verified.why]);
	return verified.claims;
};

/** Middleware: refuses what has no certificate before a byte of the body is read. */
export const certified = createMiddleware<AppEnv>(async (c, next) => {
	await certificateOf(c);
	await next();
});
