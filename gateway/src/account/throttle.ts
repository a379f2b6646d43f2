/**
 * Throttling of sign-ins, per account. An attempt is counted as failed when it begins, so that guesses in parallel count
 * too; a good one sets the count to zero. Pure.
 * @module
 */
import { ACCOUNT_LIMITS as L } from '@limner/shared';

export interface Attempts {
	failures: number;
	/** Of the last one, milliseconds since the epoch. */
	lastAt: number;
}

export const NO_ATTEMPTS: Attempts = { failures: 0, lastAt: 0 };

/** How long the next attempt must wait after the last one. */
export const pauseMs = (failures: number): number =>
	failures < L.freeFailures ? 0 : Math.min(L.throttleMaxMs, L.throttleFirstMs * 2 ** Math.min(20, failures - L.freeFailures));

/** Failures are forgotten one day after the last. */
const FORGET_MS = 86_400_000;

/** Decides an attempt: what to remember, or how long to wait. */
export const beginAttempt = (attempts: Attempts, nowMs: number): { ok: true; attempts: Attempts } | { ok: false; waitMs: number } => {
	const known = nowMs - attempts.lastAt > FORGET_MS ? NO_ATTEMPTS : attempts;
	const waitMs = known.lastAt + pauseMs(known.failures) - nowMs;
	return known.failures > 0 && waitMs > 0 ? { ok: false, waitMs } : { ok: true, attempts: { failures: known.failures + 1, lastAt: nowMs } };
};
