/**
 * When a Workspace wakes up and what it does then: asks the shard about open jobs, and removes what is past its time.
 * Pure.
 * @module
 */
import { TIMING } from '@limner/shared';

/** Bounds of one alarm run. What is left over is done by the next one. */
export const SWEEP_LIMITS = {
	/** Job ids in one `Pool.known`. */
	knownIds: 500,
	/** A shard that has not answered a call for this long counts as failed: it must not hold up the rest of the alarm. */
	callMs: 10_000,
	/** Jobs, assets or idempotency rows removed in one run. */
	rows: 200,
	/** R2 deletes at most this many keys in one call. */
	deleteKeys: 1000,
	/** Back-off after failing calls ends here. */
	backOffMaxMs: 10 * 60_000,
	/** Next run while more is due. */
	continueMs: 1000,
	/** Retention may be late by this much, so that a busy workspace is not woken for each picture. */
	retentionLateMaxMs: 60 * 60_000,
} as const;

/** Open jobs old enough to be asked about. Younger ones may still be on their way to the shard. */
export const toReconcile = (open: Iterable<readonly [id: string, createdAt: number]>, nowMs: number): string[] =>
	[...open].filter(([, createdAt]) => createdAt <= nowMs - TIMING.reconcileOpenMs).map(([id]) => id);

/** Of the jobs that were asked about: those which the shard does not know and which are still open. */
export const toEnqueueAgain = (asked: readonly string[], known: readonly string[], isOpen: (id: string) => boolean): string[] => {
	const knows = new Set(known);
	return asked.filter((id) => !knows.has(id) && isOpen(id));
};

/**
 * Pause until something is tried again.
 * @param failures in a row, 0 after a success
 */
export const backOffMs = (baseMs: number, failures: number): number =>
	Math.min(SWEEP_LIMITS.backOffMaxMs, baseMs * 2 ** Math.min(failures, 16));

/** Retention that is due is done at most this late: 1/24 of the time to live, and at most an hour. */
export const retentionGapMs = (ttlMs: number): number =>
	Math.min(SWEEP_LIMITS.retentionLateMaxMs, Math.max(SWEEP_LIMITS.continueMs, Math.floor(ttlMs / 24)));

export interface WakeInput {
	/** When the open jobs are to be asked about; `null` without open jobs. */
	sweepAt: number | null;
	/** When the oldest thing falls due for removal; `null` when nothing is stored. */
	retentionDueAt: number | null;
	/** The last run stopped at its bound. */
	more: boolean;
	/** Failed retention runs in a row. */
	failures: number;
	ttlMs: number;
	nowMs: number;
}

/** When the one alarm must stand, or `null` when there is nothing to wake up for. */
export const wakeAt = (input: WakeInput): number | null => {
	const gap = input.more ? SWEEP_LIMITS.continueMs : retentionGapMs(input.ttlMs);
	const pause = input.failures > 0 ? backOffMs(TIMING.reconcileOpenMs, input.failures) : gap;
	const retention = input.retentionDueAt === null ? null : Math.max(input.retentionDueAt, input.nowMs + pause);
	const times = [input.sweepAt, retention].filter((time) => time !== null);
	return times.length === 0 ? null : Math.max(input.nowMs + 1, Math.min(...times));
};

/** Splits a list into parts of at most `size`. */
export const chunks = <T>(items: readonly T[], size: number): T[][] =>
	Array.from({ length: Math.ceil(items.length / size) }, (_, part) => items.slice(part * size, (part + 1) * size));
