/**
 * Limits of a workspace and of a key: what may be used in a minute, a day, a month (UTC), and what may exist at once.
 * A limit that is absent does not bound.
 * @module
 */
import { z } from 'zod';
import { QUOTA_LIMITS as L } from './limits.ts';

export const WINDOWS = ['minute', 'day', 'month'] as const;
export type WindowName = (typeof WINDOWS)[number];
export const METRICS = ['jobs', 'images', 'megapixelSteps'] as const;
export type Metric = (typeof METRICS)[number];

export const WindowLimits = z.strictObject({
	jobs: z.int().min(0).max(L.amountMax).optional(),
	images: z.int().min(0).max(L.amountMax).optional(),
	megapixelSteps: z.number().min(0).max(L.amountMax).optional(),
});
export type WindowLimits = z.infer<typeof WindowLimits>;

/** Limits of a key. */
export const KeyLimits = z.strictObject({
	minute: WindowLimits.optional(),
	day: WindowLimits.optional(),
	month: WindowLimits.optional(),
	/** Open jobs at a time. */
	queued: z.int().min(0).max(L.amountMax).optional(),
});
export type KeyLimits = z.infer<typeof KeyLimits>;

/** Limits of a workspace. */
export const WorkspaceLimits = KeyLimits.extend({
	/** Pictures that are made at the same time. */
	concurrent: z.int().min(1).max(L.amountMax).optional(),
	/** Stored pictures and inputs. */
	storageBytes: z.int().min(0).max(L.storageMaxBytes).optional(),
	/** Pictures are removed this long after their job ended; never longer than the gateway keeps them. */
	retentionMs: z.int().min(L.retentionMinMs).optional(),
});
export type WorkspaceLimits = z.infer<typeof WorkspaceLimits>;

/** Begin of the window that holds a time, both in milliseconds since the epoch (UTC). */
export const windowStart = (window: WindowName, atMs: number): number => {
	const date = new Date(atMs);
	if (window === 'minute') return Math.floor(atMs / 60_000) * 60_000;
	return window === 'day'
		? Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), date.getUTCDate())
		: Date.UTC(date.getUTCFullYear(), date.getUTCMonth(), 1);
};

/** End of the window that holds a time: the begin of the next one. */
export const windowEnd = (window: WindowName, atMs: number): number => {
	const start = windowStart(window, atMs);
	if (window === 'minute') return start + 60_000;
	const date = new Date(start);
	return window === 'day' ? start + 86_400_000 : Date.UTC(date.getUTCFullYear(), date.getUTCMonth() + 1, 1);
};
