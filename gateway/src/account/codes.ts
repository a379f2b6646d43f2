/**
 * Authorization codes: good once, for one client, one address, one verifier. A code that comes a second time has been
 * seen by somebody else, so what it gave is taken back (RFC 6749 §4.1.2). Pure.
 * @module
 */
import { refuse, type Refusal } from '@limner/shared';
import type { CodeInput, CodeProof, OAuthGrant } from '../rpc.ts';

export type CodeSql = { id: string; hash: string; body: string; expires_at: number; session: string | null };

/** A code as its row keeps it. `session`: what it gave; empty when it was spoilt; `null` while unused. */
export interface CodeRow extends CodeInput {
	hash: string;
	expiresAt: number;
	session: string | null;
}

export const codeFromSql = ({ hash, body, expires_at, session }: CodeSql): CodeRow => ({
	...(JSON.parse(body) as CodeInput),
	hash,
	expiresAt: expires_at,
	session,
});

export type CodeDecision =
	| { kind: 'good'; grant: OAuthGrant }
	/** Whoever sent it does not have the code: nothing changes. */
	| { kind: 'unknown'; refusal: Refusal }
	/** The right code with a wrong proof: it is used up. */
	| { kind: 'spoilt'; refusal: Refusal }
	| { kind: 'replayed'; session: string; refusal: Refusal };

const mismatch = ({ grant, redirectUri, challenge }: CodeInput, proof: CodeProof): string | undefined => {
	if (grant.clientId !== proof.clientId) return 'the code was given to another client';
	if (redirectUri !== proof.redirectUri) return 'redirect_uri is not the one of the authorization request';
	if (challenge !== proof.challenge) return 'code_verifier does not match the code_challenge';
	if (proof.resource !== undefined && proof.resource !== grant.resource) return 'resource is not the one of the authorization request';
	return undefined;
};

/**
 * Decides a redemption.
 * @param same compares two hashes in constant time
 */
export const decideCode = (
	row: CodeRow | undefined,
	hash: string,
	proof: CodeProof,
	same: (a: string, b: string) => boolean,
	nowMs: number,
): CodeDecision => {
	if (row === undefined || !same(row.hash, hash)) {
		return { kind: 'unknown', refusal: refuse('unauthorized', 'the authorization code is not known, or it has expired') };
	}
	if (row.session !== null) {
		return { kind: 'replayed', session: row.session, refusal: refuse('unauthorized', 'the authorization code was used before') };
	}
	if (row.expiresAt <= nowMs) return { kind: 'spoilt', refusal: refuse('unauthorized', 'the authorization code has expired') };
	const wrong = mismatch(row, proof);
	return wrong === undefined ? { kind: 'good', grant: row.grant } : { kind: 'spoilt', refusal: refuse('unauthorized', wrong) };
};
