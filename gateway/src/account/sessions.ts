/**
 * Sessions of an account: one refresh token at a time, replaced at each use. A token that was replaced and comes again
 * has been stolen from somebody, so its session ends. Pure.
 * @module
 */
import { ACCOUNT_LIMITS as L, refuse, type Refusal } from '@limner/shared';
import type { OAuthGrant } from '../rpc.ts';

/** A session as its row keeps it. Times are milliseconds since the epoch; hashes are SHA-256 in hex. */
export interface SessionRow {
	id: string;
	hash: string;
	/** Hash of the token before, and when it was replaced. */
	prevHash: string | null;
	rotatedAt: number | null;
	createdAt: number;
	usedAt: number;
	expiresAt: number;
	revokedAt: number | null;
	/** What the caller said it was, for the list of sessions. */
	agent: string;
	/** What a client of OAuth was allowed; `null` for a person's own session. */
	oauth: OAuthGrant | null;
}

export const isAlive = (session: SessionRow | undefined, nowMs: number): session is SessionRow =>
	session !== undefined && session.revokedAt === null && session.expiresAt > nowMs;

export type RefreshDecision =
	| { kind: 'rotated'; session: SessionRow }
	| { kind: 'reused'; session: SessionRow }
	| { kind: 'refused'; refusal: Refusal };

const ENDED = refuse('unauthorized', 'the session has ended; sign in again');

/**
 * Decides a refresh.
 * @param same compares two hashes in constant time
 */
export const decideRefresh = (
	session: SessionRow | undefined,
	hash: string,
	nextHash: string,
	same: (a: string, b: string) => boolean,
	nowMs: number,
): RefreshDecision => {
	if (!isAlive(session, nowMs)) return { kind: 'refused', refusal: ENDED };
	const next = {
		...session,
		hash: nextHash,
		prevHash: session.hash,
		rotatedAt: nowMs,
		usedAt: nowMs,
		expiresAt: nowMs + L.refreshTokenTtlMs,
	};
	if (same(session.hash, hash)) return { kind: 'rotated', session: next };
	if (session.prevHash === null || !same(session.prevHash, hash)) return { kind: 'refused', refusal: ENDED };
	// The answer to the first use may have been lost on its way: for a moment the old token is still good.
	if (nowMs - (session.rotatedAt ?? 0) <= L.refreshGraceMs) return { kind: 'rotated', session: { ...next, prevHash: session.prevHash } };
	return { kind: 'reused', session: { ...session, revokedAt: nowMs } };
};
