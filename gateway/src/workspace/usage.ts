/**
 * What a workspace has used in the current minute, day and month, by key and model, and how many bytes it stores. It is
 * carried from ledger row to ledger row like the totals, so that counting costs no row of its own: only a day that has
 * ended is written to `usage_days`. Pure. All amounts are whole numbers (megapixel-steps in thousandths), so that sums
 * do not drift.
 *
 * A job counts in the windows in which it ends; until then all of it is reserved. So a window holds what ended in it
 * plus what is open, and nothing is ever counted twice or lost between two windows.
 * @module
 */
import { QUOTA_LIMITS, windowStart, type Metric, type Usage } from '@limner/shared';

/** Jobs, pictures, megapixel-steps × 1000, failed jobs. */
export type Amount = [jobs: number, images: number, milliSteps: number, failed: number];
export const NOTHING: Amount = [0, 0, 0, 0];

export const add = (a: Amount, b: Amount): Amount => [a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]];

/** One metric of an amount, in the unit of callers. */
export const metricOf = (amount: Amount, metric: Metric): number => {
	if (metric === 'jobs') return amount[0];
	return metric === 'images' ? amount[1] : amount[2] / 1000;
};

/** A day's amounts by `<key id> <model>`. */
export type ByPair = Record<string, Amount>;

export interface UsageState {
	/** Begin of the minute and of the day that are counted, milliseconds since the epoch. */
	minuteAt: number;
	/** By key id. */
	minute: Record<string, Amount>;
	dayAt: number;
	day: ByPair;
	/** Bytes of stored pictures. */
	storedBytes: number;
}

export const emptyUsage = (nowMs: number, storedBytes = 0): UsageState => ({
	minuteAt: windowStart('minute', nowMs),
	minute: {},
	dayAt: windowStart('day', nowMs),
	day: {},
	storedBytes,
});

/**
 * Moves to the windows that hold a time; a clock that steps back stays where it was.
 * @returns the day that has ended, when there is something in it
 */
export const rollOver = (state: UsageState, nowMs: number): { state: UsageState; ended?: { dayAt: number; day: ByPair } } => {
	const minuteAt = Math.max(state.minuteAt, windowStart('minute', nowMs));
	const dayAt = Math.max(state.dayAt, windowStart('day', nowMs));
	if (minuteAt === state.minuteAt) return { state };
	const next = { ...state, minuteAt, minute: {} };
	if (dayAt === state.dayAt) return { state: next };
	return {
		state: { ...next, dayAt, day: {} },
		...(Object.keys(state.day).length > 0 ? { ended: { dayAt: state.dayAt, day: state.day } } : {}),
	};
};

/** What a settled job adds. */
export interface Charge {
	keyId: string;
	model: string;
	failed: boolean;
	usage: Usage;
	/** Of its pictures. */
	bytes: number;
}

export const amountOf = ({ failed, usage }: Pick<Charge, 'failed' | 'usage'>): Amount => [
	1,
	usage.images,
	Math.round(usage.megapixelSteps * 1000),
	failed ? 1 : 0,
];

/** Model under which pairs are counted once a day has too many of them. */
export const OTHER = '(other)';

const pairOf = (day: ByPair, keyId: string, model: string): string => {
	const pair = `${keyId} ${model}`;
	return pair in day || Object.keys(day).length < QUOTA_LIMITS.seriesPairs ? pair : `${keyId} ${OTHER}`;
};

/** Adds a settled job to the windows of a state that has been rolled over. */
export const charge = (state: UsageState, job: Charge): UsageState => {
	const amount = amountOf(job);
	const pair = pairOf(state.day, job.keyId, job.model);
	return {
		...state,
		minute: { ...state.minute, [job.keyId]: add(state.minute[job.keyId] ?? NOTHING, amount) },
		day: { ...state.day, [pair]: add(state.day[pair] ?? NOTHING, amount) },
		storedBytes: state.storedBytes + job.bytes,
	};
};

/** Sum of a day, of all keys or of one. */
export const sumPairs = (day: ByPair, keyId?: string): Amount =>
	Object.entries(day)
		.filter(([pair]) => keyId === undefined || pair.slice(0, pair.indexOf(' ')) === keyId)
		.reduce((sum, [, amount]) => add(sum, amount), NOTHING);

export const sumMinute = (state: UsageState, keyId?: string): Amount =>
	keyId === undefined ? Object.values(state.minute).reduce(add, NOTHING) : (state.minute[keyId] ?? NOTHING);
