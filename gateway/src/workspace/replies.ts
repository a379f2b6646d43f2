/**
 * Answers kept for Idempotency-Keys of routes other than submit.
 * @module
 */
import { IDEMPOTENCY, refuse, REQUEST_LIMITS, type Result } from '@limner/shared';
import type { BegunRequest } from '../rpc.ts';
import { idemBucket, type Store } from './store.ts';

type ReplySql = { bucket: number; at: number; body_hash: string; reply: string | null };

/** Notes that a request has begun, or tells what became of the one before. One turn: of parallel ones, one is new. */
export const beginRequest = (store: Store, name: string, bodyHash: string, nowMs: number): Result<BegunRequest> => {
	const bucket = idemBucket(nowMs);
	const row = store.sql.all<ReplySql>(
		'SELECT bucket, at, body_hash, reply FROM replies WHERE bucket IN (?, ?) AND name = ? AND at > ? ORDER BY bucket DESC LIMIT 1',
		bucket,
		bucket - 1,
		name,
		nowMs - REQUEST_LIMITS.idempotencyTtlMs,
	)[0];
	const diedAt = row === undefined ? 0 : row.at + IDEMPOTENCY.inFlightMs;
	if (row !== undefined && row.body_hash !== bodyHash && (row.reply !== null || diedAt > nowMs)) {
		return refuse('idempotency_mismatch', 'the Idempotency-Key was used for another request; use a new key for a new request');
	}
	if (row?.reply != null) return { ok: true, kind: 'done', reply: row.reply };
	if (row !== undefined && diedAt > nowMs) return { ok: true, kind: 'in_flight', retryAfterS: 1 };
	store.sql.write(
		'replies',
		'INSERT OR REPLACE INTO replies (bucket, name, at, body_hash, reply) VALUES (?, ?, ?, ?, NULL)',
		bucket,
		name,
		nowMs,
		bodyHash,
	);
	return { ok: true, kind: 'new' };
};

/** Keeps the answer; without one the key is free again. */
export const endRequest = (store: Store, name: string, reply: string | null, nowMs: number): void => {
	const bucket = idemBucket(nowMs);
	if (reply === null) {
		store.sql.write('replies', 'DELETE FROM replies WHERE bucket IN (?, ?) AND name = ? AND reply IS NULL', bucket, bucket - 1, name);
	} else {
		store.sql.write('replies', 'UPDATE replies SET reply = ? WHERE bucket IN (?, ?) AND name = ?', reply, bucket, bucket - 1, name);
	}
};
