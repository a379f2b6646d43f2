/**
 * When a delivery is tried again, and when it is given up. Pure.
 * @module
 */
import { DELIVERY_LIMITS as L } from '@limner/shared';
import type { DeliveryState } from './rpc.ts';

const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
/** Pauses after the first, second … failure; they add up to 23 h 37 min. */
export const PAUSES_MS: readonly number[] = [
	5 * SECOND_MS,
	30 * SECOND_MS,
	90 * SECOND_MS,
	5 * MINUTE_MS,
	30 * MINUTE_MS,
	HOUR_MS,
	2 * HOUR_MS,
	4 * HOUR_MS,
	8 * HOUR_MS,
	8 * HOUR_MS,
];

/** What an attempt came to: an answer with a status, or none. */
export interface Outcome {
	status?: number;
	error?: string;
	/** Pause that the receiver asked for. */
	retryAfterMs?: number;
}

export type Verdict = { state: DeliveryState; nextAt: number | null; disable?: string };

const delivered = ({ status }: Outcome): boolean => status !== undefined && status >= 200 && status < 300;

/**
 * What becomes of a delivery after an attempt.
 * @param tries attempts of this round, with this one
 * @param jitter 0..1, random: spreads the retries of deliveries that failed together
 */
export const decideRetry = (outcome: Outcome, tries: number, roundStartedAt: number, nowMs: number, jitter: number): Verdict => {
	if (delivered(outcome)) return { state: 'delivered', nextAt: null };
	if (outcome.status === 410) return { state: 'dead', nextAt: null, disable: 'the receiver answered 410 Gone' };
	const pause = PAUSES_MS[tries - 1];
	if (pause === undefined) return { state: 'dead', nextAt: null };
	// Up to a tenth later, so that the sum of the pauses keeps within a day.
	const wanted = Math.max(pause * (1 + jitter / 10), Math.min(outcome.retryAfterMs ?? 0, L.retryAfterMaxMs));
	const nextAt = nowMs + Math.round(wanted);
	return nextAt > roundStartedAt + L.giveUpMs ? { state: 'dead', nextAt: null } : { state: 'pending', nextAt };
};

/** Value of a Retry-After header in seconds or as a date; `undefined` when it is neither. */
export const retryAfterMs = (header: string | null, nowMs: number): number | undefined => {
	if (header === null) return undefined;
	if (/^\d{1,9}$/.test(header.trim())) return Number(header) * SECOND_MS;
	const at = Date.parse(header);
	return Number.isNaN(at) ? undefined : Math.max(0, at - nowMs);
};
