/**
 * Join tokens `jt_<8 characters id>_<52 characters secret>`: who has one may add nodes to its workspace. Only the
 * SHA-256 of the whole text is kept.
 * @module
 */
import { timingSafeEqual } from 'node:crypto';
import { base32, refuse, type Refusal } from '@limner/shared';
import { sha256Hex } from '../lib/canonical.ts';
import type { JoinTokenView } from '../rpc.ts';

/** A token as its row keeps it. */
export interface JoinTokenRow extends JoinTokenView {
	/** SHA-256 (hex) over the whole token text. */
	hash: string;
}

export interface TokenInput {
	ws: string;
	trust: 'own' | 'shared';
	/** Life time in milliseconds. */
	ttlMs: number;
	maxUses: number;
	labels?: string[];
	approval?: boolean;
}

/** Bounds of a join token. */
export const JOIN_TOKEN_LIMITS = { ttlMaxMs: 365 * 24 * 3_600_000, usesMax: 10_000 } as const;

const TOKEN = /^jt_([0-9a-hjkmnp-tv-z]{8})_[0-9a-hjkmnp-tv-z]{52}$/;

/** Id in a token's text, or `undefined` when it is no join token. */
export const tokenId = (token: string): string | undefined => TOKEN.exec(token)?.[1];

/**
 * Makes a token.
 * @param random at least 37 random bytes: 5 for the id, 32 for the secret
 * @throws {RangeError} when a bound is broken: the route validates, so this is a bug
 */
export const makeToken = (input: TokenInput, nowMs: number, random: Uint8Array): { token: string; row: JoinTokenRow } => {
	if (random.length < 37) throw new RangeError('makeToken needs 37 random bytes');
	if (!(input.ttlMs > 0 && input.ttlMs <= JOIN_TOKEN_LIMITS.ttlMaxMs)) throw new RangeError('a join token lives 1 ms to 365 days');
	if (!Number.isInteger(input.maxUses) || input.maxUses < 1 || input.maxUses > JOIN_TOKEN_LIMITS.usesMax) {
		throw new RangeError(`a join token has 1 to ${JOIN_TOKEN_LIMITS.usesMax} uses`);
	}
	const id = base32(random.subarray(0, 5));
	const token = `jt_${id}_${base32(random.subarray(5, 37))}`;
	const row = {
		id,
		ws: input.ws,
		trust: input.trust,
		createdAt: nowMs,
		expiresAt: nowMs + Math.ceil(input.ttlMs),
		maxUses: input.maxUses,
		labels: input.labels ?? [],
		approval: input.approval ?? false,
		uses: 0,
		revoked: false,
		hash: sha256Hex(token),
	};
	return { token, row };
};

const sameToken = (row: JoinTokenRow, token: string): boolean => {
	const a = Buffer.from(row.hash, 'hex');
	const b = Buffer.from(sha256Hex(token), 'hex');
	return a.length === b.length && timingSafeEqual(a, b);
};

/**
 * Whether a token may still be presented. Its uses are not looked at: a node that repeats its enrolment, because the
 * answer was lost, needs none.
 */
export const checkToken = (row: JoinTokenRow | undefined, token: string, nowMs: number): Refusal | undefined => {
	if (row === undefined || !sameToken(row, token)) {
		return refuse('unauthorized', 'the join token is not known; make one with POST /api/v1/join-tokens');
	}
	if (row.revoked) return refuse('unauthorized', 'the join token was revoked; make a new one');
	if (row.expiresAt <= nowMs) {
		return refuse('unauthorized', `the join token expired on ${new Date(row.expiresAt).toISOString()}; make a new one`);
	}
	return undefined;
};

/** What callers may see of a token: never its hash. */
export const tokenView = ({ hash: _hash, ...view }: JoinTokenRow): JoinTokenView => view;
