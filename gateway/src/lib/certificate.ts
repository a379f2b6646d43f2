/**
 * Node certificates: issued at enrolment, verified without a look-up.
 * @module
 */
import { NODE_CERTIFICATE, type NodeCertificate } from '@limner/shared';
import { refuseAuthentication } from './auth.ts';
import type { AppContext } from './context.ts';
import { signClaims, verifyClaims } from './sign.ts';

export interface NodeIdentity {
	nodeId: string;
	ws: string;
	trust: 'own' | 'shared';
	shard: number;
	name: string;
}

/** Signs what the Registry says about a node. */
export const issueCertificate = (
	secret: string,
	identity: NodeIdentity,
	publicKey: string,
	nowMs: number,
): { certificate: string; exp: number } => {
	const exp = nowMs + NODE_CERTIFICATE.ttlMs;
	const { nodeId: node, ws, trust, shard, name } = identity;
	return { certificate: signClaims(secret, { k: 'node', node, key: publicKey, ws, trust, shard, name, exp }), exp };
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
