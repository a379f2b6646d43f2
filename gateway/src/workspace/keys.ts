/**
 * API keys of a workspace. A key is high in entropy, so its plain SHA-256 is kept; hashes are compared in constant time.
 * @module
 */
import { timingSafeEqual } from 'node:crypto';
import { refuse, type KeyLimits, type Refusal } from '@limner/shared';
import type { KeyView } from '../rpc.ts';

/** A key as its row keeps it. Times are milliseconds since the epoch. */
export interface KeyRow {
	id: string;
	/** SHA-256 (hex) over the whole key text. */
	hash: string;
	scopes: string[];
	createdAt: number;
	expiresAt: number | null;
	revokedAt: number | null;
	name?: string;
	createdBy?: string | null;
	lastUsedAt?: number | null;
	models?: string[] | null;
	limits?: KeyLimits | null;
	/** Hash of the key text before the last rotation, and until when it is still good. */
	prevHash?: string | null;
	prevUntil?: number | null;
}

/** Scopes of the bootstrap key: `admin` covers the workspace, `operator` the gateway. */
export const BOOTSTRAP_SCOPES: readonly string[] = ['admin', 'operator'];

/** A key without anything secret. */
export const keyView = (row: KeyRow, lastUsedAt: number | null): KeyView => ({
	id: row.id,
	name: row.name ?? '',
	scopes: row.scopes,
	createdAt: row.createdAt,
	createdBy: row.createdBy ?? null,
	expiresAt: row.expiresAt,
	revokedAt: row.revokedAt,
	lastUsedAt,
	models: row.models ?? null,
	limits: row.limits ?? null,
	previousUntil: row.prevUntil ?? null,
});

const SHA256_HEX = /^[0-9a-f]{64}$/;

/** Compares two SHA-256 in hex without telling by its time where they differ. */
export const sameHash = (a: string, b: string): boolean => {
	if (!SHA256_HEX.test(a) || !SHA256_HEX.test(b)) return false;
	return timingSafeEqual(Buffer.from(a, 'hex'), Buffer.from(b, 'hex'));
};

/** Valid key; or the first use of the bootstrap key, whose row must be written; or a refusal. */
export type KeyDecision = { kind: 'known'; key: KeyRow } | { kind: 'bootstrap'; key: KeyRow } | { kind: 'refused'; refusal: Refusal };

const refused = (detail: string): KeyDecision => ({ kind: 'refused', refusal: refuse('unauthorized', detail) });
/** One text for an unknown workspace, an unknown key and a wrong secret: which of them it was is nobody's business. */
export const UNKNOWN_KEY = 'the API key is not known';

/** Whether a hash is that of the key's text, or of the one before the last rotation while that is still good. */
const isText = (row: KeyRow, keyHash: string, nowMs: number): boolean =>
	sameHash(row.hash, keyHash) || ((row.prevUntil ?? 0) > nowMs && sameHash(row.prevHash ?? '', keyHash));

/**
 * Decides whether a presented key is good.
 * @param row of the key id, `undefined` when there is none
 * @param bootstrapHash SHA-256 (hex) of the configured first key
 * @param nowMs milliseconds since the epoch
 */
export const decideKey = (
	row: KeyRow | undefined,
	presented: { keyId: string; keyHash: string },
	bootstrapHash: string | null,
	nowMs: number,
): KeyDecision => {
	if (row === undefined) {
		if (bootstrapHash === null || !sameHash(bootstrapHash, presented.keyHash)) return refused(UNKNOWN_KEY);
		const key = {
			id: presented.keyId,
			hash: bootstrapHash,
			scopes: [...BOOTSTRAP_SCOPES],
			createdAt: nowMs,
			expiresAt: null,
			revokedAt: null,
		};
		return { kind: 'bootstrap', key };
	}
	if (!isText(row, presented.keyHash, nowMs)) return refused(UNKNOWN_KEY);
	const dead = deadReason(row, nowMs);
	if (dead !== undefined) return refused(dead);
	// Rows of earlier versions do not say so: the key that the gateway was started with is the operator's.
	const isOperator = bootstrapHash !== null && sameHash(row.hash, bootstrapHash);
	return { kind: 'known', key: isOperator ? { ...row, scopes: [...new Set([...row.scopes, 'operator'])] } : row };
};

/** Why a key that exists is not good any more. */
export const deadReason = (row: KeyRow, nowMs: number): string | undefined => {
	if (row.revokedAt !== null) return `the API key was revoked on ${new Date(row.revokedAt).toISOString()}`;
	if (row.expiresAt !== null && row.expiresAt <= nowMs) {
		return `the API key expired on ${new Date(row.expiresAt).toISOString()}`;
	}
	return undefined;
};
