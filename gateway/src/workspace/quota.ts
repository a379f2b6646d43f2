/**
 * Whether a submit fits into the limits. Pure. Used = what ended in the window + what open jobs may still use + what is
 * held by reservations; a job that is open, or reserved, is never refused the room that it already has.
 * @module
 */
import {
	METRICS,
	refuse,
	windowEnd,
	WINDOWS,
	windowStart,
	type KeyLimits,
	type Metric,
	type RateLimit,
	type Refusal,
	type WindowName,
	type WorkspaceLimits,
} from '@limner/shared';
import { add, metricOf, NOTHING, sumMinute, sumPairs, type Amount, type UsageState } from './usage.ts';

/** What an open job may use at most. */
export interface OpenJob {
	createdAt: number;
	keyId: string;
	/** Jobs, pictures, megapixel-steps × 1000. */
	amount: Amount;
	allocationId?: string;
}

/** Capacity that is held for later, or for one caller. */
export interface Allocation {
	id: string;
	createdAt: number;
	createdBy: string;
	note: string;
	/** The time in which it is held and may be drawn from. */
	startsAt: number;
	endsAt: number;
	/** Pictures and megapixel-steps × 1000 that are held. */
	images: number;
	milliSteps: number;
	/** Of ended jobs that drew from it. */
	usedImages: number;
	usedMilliSteps: number;
	releasedAt: number | null;
}

export type AllocationState = 'planned' | 'active' | 'ended' | 'released';

export const allocationState = (allocation: Allocation, nowMs: number): AllocationState => {
	if (allocation.releasedAt !== null) return 'released';
	if (nowMs < allocation.startsAt) return 'planned';
	return nowMs < allocation.endsAt ? 'active' : 'ended';
};

/** All that bears on a decision. */
export interface QuotaView {
	usage: UsageState;
	/** What ended this month before today. */
	monthBefore: (keyId?: string) => Amount;
	open: Iterable<OpenJob>;
	allocations: readonly Allocation[];
	nowMs: number;
}

const openOf = (view: QuotaView, keyId?: string): OpenJob[] => [...view.open].filter((job) => keyId === undefined || job.keyId === keyId);

const settledIn = (view: QuotaView, window: WindowName, keyId?: string): Amount => {
	if (window === 'minute') return sumMinute(view.usage, keyId);
	const today = sumPairs(view.usage.day, keyId);
	return window === 'day' ? today : add(today, view.monthBefore(keyId));
};

/** What open jobs have drawn from a reservation. */
const drawn = (view: QuotaView, id: string): Amount =>
	openOf(view)
		.filter((job) => job.allocationId === id)
		.reduce((sum, job) => add(sum, job.amount), NOTHING);

/** What is left of a reservation: pictures and megapixel-steps × 1000. */
export const leftOf = (view: QuotaView, allocation: Allocation): Amount => {
	const open = drawn(view, allocation.id);
	return [
		0,
		Math.max(0, allocation.images - allocation.usedImages - open[1]),
		Math.max(0, allocation.milliSteps - allocation.usedMilliSteps - open[2]),
		0,
	];
};

/** What reservations hold in the window: those whose time touches it. */
const heldIn = (view: QuotaView, window: WindowName): Amount => {
	const [from, to] = [windowStart(window, view.nowMs), windowEnd(window, view.nowMs)];
	return view.allocations
		.filter((each) => each.releasedAt === null && each.endsAt > view.nowMs && each.startsAt < to && each.endsAt > from)
		.reduce((sum, each) => add(sum, leftOf(view, each)), NOTHING);
};

/** One limit with what is used of it. */
export interface Gauge {
	window: WindowName;
	metric: Metric;
	limit: number;
	used: number;
	reserved: number;
	remaining: number;
	resetsAt: number;
}

/** All limits that a workspace, or a key, has. */
export const gauges = (view: QuotaView, limits: KeyLimits, keyId?: string): Gauge[] => {
	const reserved = openOf(view, keyId).reduce((sum, job) => add(sum, job.amount), NOTHING);
	return WINDOWS.flatMap((window) =>
		METRICS.flatMap((metric): Gauge[] => {
			const limit = limits[window]?.[metric];
			if (limit === undefined) return [];
			const used = metricOf(settledIn(view, window, keyId), metric);
			// A key has no reservations of its own.
			const held = metricOf(keyId === undefined ? add(reserved, heldIn(view, window)) : reserved, metric);
			const remaining = Math.max(0, Math.round((limit - used - held) * 1000) / 1000);
			return [{ window, metric, limit, used, reserved: held, remaining, resetsAt: windowEnd(window, view.nowMs) }];
		}),
	);
};

/** The `RateLimit-*` headers of a gauge. */
export const rateLimitOf = (gauge: Gauge, nowMs: number): RateLimit => ({
	limit: Math.floor(gauge.limit),
	remaining: Math.floor(gauge.remaining),
	resetS: Math.ceil((gauge.resetsAt - nowMs) / 1000),
});

/** The gauge of which the smallest part is left. */
export const tightest = (all: readonly Gauge[]): Gauge | undefined =>
	all.toSorted((a, b) => a.remaining / Math.max(a.limit, 1) - b.remaining / Math.max(b.limit, 1))[0];

const refuseGauge = (gauge: Gauge, whose: string, need: number, nowMs: number): Refusal => {
	const rateLimit = rateLimitOf(gauge, nowMs);
	const rest = `${gauge.used} used and ${gauge.reserved} reserved`;
	const detail = `${whose} may use ${gauge.limit} ${gauge.metric} a ${gauge.window}: ${rest}, and this needs ${need}; the ${gauge.window} ends in ${rateLimit.resetS} s`;
	return refuse('quota_exceeded', detail, { retryAfterS: Math.max(1, rateLimit.resetS), rateLimit });
};

const checkGauges = (all: readonly Gauge[], whose: string, cost: Amount, nowMs: number): Refusal | undefined => {
	const short = all.find((gauge) => metricOf(cost, gauge.metric) > gauge.remaining);
	return short && refuseGauge(short, whose, metricOf(cost, short.metric), nowMs);
};

/** A rough hint for a full queue: it moves when a job finishes, which takes seconds. */
const QUEUE_FULL_RETRY_S = 5;

const checkQueue = (used: number, limit: number | undefined, whose: string): Refusal | undefined =>
	limit === undefined || used < limit
		? undefined
		: refuse('queue_full', `${whose} has ${used} open jobs and may have ${limit}; wait until one finishes, or cancel one`, {
				retryAfterS: QUEUE_FULL_RETRY_S,
				rateLimit: { limit, remaining: 0, resetS: QUEUE_FULL_RETRY_S },
			});

const checkAllocation = (view: QuotaView, id: string, cost: Amount): Refusal | undefined => {
	const allocation = view.allocations.find((each) => each.id === id);
	if (allocation === undefined) return refuse('not_found', `there is no reservation ${id}`);
	const state = allocationState(allocation, view.nowMs);
	if (state !== 'active') return refuse('conflict', `the reservation ${id} is ${state}`);
	const left = leftOf(view, allocation);
	if (cost[1] <= left[1] && cost[2] <= left[2]) return undefined;
	const detail = `the reservation ${id} has ${left[1]} pictures and ${left[2] / 1000} megapixel-steps left; this needs ${cost[1]} and ${cost[2] / 1000}`;
	return refuse('quota_exceeded', detail, { retryAfterS: Math.max(1, Math.ceil((allocation.endsAt - view.nowMs) / 1000)) });
};

export interface QuotaRequest {
	keyId: string;
	cost: Amount;
	allocationId?: string;
	limits: WorkspaceLimits;
	keyLimits?: KeyLimits;
	storedBytes: number;
}

/** Refuses a submit that does not fit, or says what is the tightest limit afterwards. */
export const checkQuota = (view: QuotaView, request: QuotaRequest): Refusal | { ok: true; rateLimit?: RateLimit } => {
	const { limits, keyLimits = {}, keyId, cost, allocationId, storedBytes } = request;
	const { storageBytes } = limits;
	if (storageBytes !== undefined && storedBytes >= storageBytes) {
		const detail = `this workspace stores ${storedBytes} bytes and may store ${storageBytes}; delete pictures, or wait until old ones expire`;
		return refuse('quota_exceeded', detail, { retryAfterS: 60, rateLimit: { limit: storageBytes, remaining: 0, resetS: 60 } });
	}
	const own = gauges(view, keyLimits, keyId);
	const all = gauges(view, limits);
	const refused =
		checkQueue(openOf(view).length, limits.queued, 'this workspace') ??
		checkQueue(openOf(view, keyId).length, keyLimits.queued, 'this key') ??
		checkGauges(own, 'this key', cost, view.nowMs) ??
		// What is reserved has been counted when it was reserved, except the number of jobs.
		(allocationId === undefined
			? checkGauges(all, 'this workspace', cost, view.nowMs)
			: (checkAllocation(view, allocationId, cost) ?? checkGauges(all, 'this workspace', [cost[0], 0, 0, 0], view.nowMs)));
	if (refused !== undefined) return refused;
	const tight = tightest([...own, ...all]);
	if (tight === undefined) return { ok: true };
	const remaining = Math.max(0, tight.remaining - (allocationId === undefined ? metricOf(cost, tight.metric) : 0));
	return { ok: true, rateLimit: rateLimitOf({ ...tight, remaining }, view.nowMs) };
};

/** Refuses a reservation that does not fit into what is left now, in the windows that its time touches. */
export const checkReservation = (view: QuotaView, limits: WorkspaceLimits, wanted: Allocation): Refusal | undefined => {
	const cost: Amount = [0, wanted.images, wanted.milliSteps, 0];
	// In a later window nothing has been used yet, but other reservations hold there too.
	const at: QuotaView =
		wanted.startsAt <= view.nowMs
			? view
			: { ...view, nowMs: wanted.startsAt, usage: futureUsage(view, wanted.startsAt), monthBefore: futureMonth(view, wanted.startsAt) };
	return checkGauges(gauges(at, limits), 'this workspace', cost, at.nowMs);
};

const sameWindow = (window: WindowName, a: number, b: number): boolean => windowStart(window, a) === windowStart(window, b);

const futureUsage = (view: QuotaView, atMs: number): UsageState => ({
	...view.usage,
	...(sameWindow('minute', view.nowMs, atMs) ? {} : { minute: {} }),
	...(sameWindow('day', view.nowMs, atMs) ? {} : { day: {} }),
});

const futureMonth = (view: QuotaView, atMs: number): QuotaView['monthBefore'] => {
	if (!sameWindow('month', view.nowMs, atMs)) return () => NOTHING;
	if (sameWindow('day', view.nowMs, atMs)) return view.monthBefore;
	// Today has ended by then, so it counts as a day before.
	return (keyId) => add(view.monthBefore(keyId), sumPairs(view.usage.day, keyId));
};
