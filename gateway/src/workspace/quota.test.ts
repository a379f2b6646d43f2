import { windowEnd } from '@limner/shared';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { checkQuota, checkReservation, gauges, leftOf, type Allocation, type OpenJob, type QuotaView } from './quota.ts';
import { amountOf, charge, emptyUsage, NOTHING, OTHER, rollOver, sumMinute, sumPairs, type Amount } from './usage.ts';

const NOW = Date.UTC(2026, 10, 21, 12, 30, 10);
const DAY = 86_400_000;
const job = (images: number, keyId = 'k', allocationId?: string): OpenJob => ({
	createdAt: NOW,
	keyId,
	amount: [1, images, images * 1000, 0],
	...(allocationId === undefined ? {} : { allocationId }),
});
const done = (images: number, keyId = 'k', model = 'm', failed = false) => ({
	keyId,
	model,
	failed,
	usage: { images, megapixelSteps: images },
	bytes: images * 10,
});
const view = (over: Partial<QuotaView> = {}): QuotaView => ({
	usage: emptyUsage(NOW),
	monthBefore: () => NOTHING,
	open: [],
	allocations: [],
	nowMs: NOW,
	...over,
});
const allocation = (over: Partial<Allocation> = {}): Allocation => ({
	id: 'a',
	createdAt: NOW,
	createdBy: 'key:k',
	note: '',
	startsAt: NOW,
	endsAt: NOW + 3_600_000,
	images: 5,
	milliSteps: 5000,
	usedImages: 0,
	usedMilliSteps: 0,
	releasedAt: null,
	...over,
});
const ask = (images: number, over: object = {}) => ({
	keyId: 'k',
	cost: [1, images, images * 1000, 0] as Amount,
	limits: { day: { images: 10 } },
	storedBytes: 0,
	...over,
});

describe('windows', () => {
	it('end at the minute, the day and the month of UTC, leap days and the turn of the year too', () => {
		expect(windowEnd('minute', NOW)).toBe(Date.UTC(2026, 10, 21, 12, 31));
		expect(windowEnd('day', NOW)).toBe(Date.UTC(2026, 10, 22));
		expect(windowEnd('month', NOW)).toBe(Date.UTC(2026, 11, 1));
		expect(windowEnd('month', Date.UTC(2026, 11, 31, 23, 59, 59, 999))).toBe(Date.UTC(2027, 0, 1));
		expect(windowEnd('month', Date.UTC(2028, 1, 29))).toBe(Date.UTC(2028, 2, 1));
	});

	it('start empty, hand over the day that has ended, and never go back', () => {
		const first = charge(emptyUsage(NOW), done(3));
		const minute = rollOver(first, NOW + 60_000).state;
		expect([sumMinute(minute), sumPairs(minute.day)[1]]).toEqual([NOTHING, 3]);
		const { state, ended } = rollOver(first, NOW + DAY);
		expect(ended).toMatchObject({ dayAt: Date.UTC(2026, 10, 21), day: { 'k m': [1, 3, 3000, 0] } });
		expect([state.day, state.storedBytes]).toEqual([{}, 30]);
		expect(rollOver(state, NOW)).toEqual({ state });
	});

	it('count by key and model, and fold what is too much', () => {
		let state = emptyUsage(NOW);
		for (let i = 0; i < 300; i++) state = charge(state, done(1, 'k', `m${i}`, i === 0));
		expect(Object.keys(state.day)).toHaveLength(257);
		expect(state.day[`k ${OTHER}`]?.[1]).toBe(44);
		expect(sumPairs(state.day, 'k')).toEqual([300, 300, 300_000, 1]);
		expect([sumPairs(state.day, 'other'), sumMinute(state, 'other')]).toEqual([NOTHING, NOTHING]);
		expect(amountOf(done(2, 'k', 'm', true))).toEqual([1, 2, 2000, 1]);
	});
});

describe('quotas', () => {
	it('take a submit at the bound and refuse one past it, with the time of the next window', () => {
		const usage = charge(emptyUsage(NOW), done(4));
		const at = view({ usage, open: [job(3)] });
		expect(checkQuota(at, ask(3))).toMatchObject({ ok: true, rateLimit: { limit: 10, remaining: 0 } });
		const refused = checkQuota(at, ask(4));
		expect(refused).toMatchObject({ ok: false, code: 'quota_exceeded', rateLimit: { limit: 10, remaining: 3 } });
		expect((refused as { retryAfterS: number }).retryAfterS).toBe((Date.UTC(2026, 10, 22) - NOW) / 1000);
		expect(checkQuota(view({ usage, open: [job(3)], nowMs: NOW }), ask(3, { limits: {} }))).toEqual({ ok: true });
	});

	it('bound the minute, the month with the days before, megapixel-steps and the number of jobs', () => {
		const usage = charge(emptyUsage(NOW), done(1));
		const month = { monthBefore: () => [0, 8, 8000, 0] as Amount };
		expect(checkQuota(view({ usage, ...month }), ask(1, { limits: { month: { images: 10 } } })).ok).toBe(true);
		expect(checkQuota(view({ usage, ...month }), ask(2, { limits: { month: { images: 10 } } })).ok).toBe(false);
		expect(checkQuota(view({ usage }), ask(1, { limits: { minute: { jobs: 1 } } })).ok).toBe(false);
		expect(checkQuota(view({ usage }), ask(1, { limits: { minute: { megapixelSteps: 2 } } })).ok).toBe(true);
		expect(checkQuota(view({ usage }), ask(1, { limits: { minute: { megapixelSteps: 1.999 } } })).ok).toBe(false);
	});

	it('bound a key by its own use only', () => {
		const usage = charge(charge(emptyUsage(NOW), done(9, 'other')), done(1));
		const keyLimits = { day: { images: 3 }, queued: 2 };
		expect(checkQuota(view({ usage }), ask(2, { limits: {}, keyLimits })).ok).toBe(true);
		expect(checkQuota(view({ usage, open: [job(1)] }), ask(2, { limits: {}, keyLimits })).ok).toBe(false);
		expect(checkQuota(view({ open: [job(0), job(0)] }), ask(0, { limits: {}, keyLimits }))).toMatchObject({ code: 'queue_full' });
		expect(checkQuota(view({ open: [job(0), job(0, 'other')] }), ask(0, { limits: {}, keyLimits })).ok).toBe(true);
	});

	it('refuse while the storage is full', () => {
		expect(checkQuota(view(), ask(1, { limits: { storageBytes: 100 }, storedBytes: 99 })).ok).toBe(true);
		expect(checkQuota(view(), ask(1, { limits: { storageBytes: 100 }, storedBytes: 100 }))).toMatchObject({ code: 'quota_exceeded' });
	});
});

describe('reservations', () => {
	it('are kept from others, drawn from by their id, and given back when they end', () => {
		const held = view({ allocations: [allocation()] });
		expect(checkQuota(held, ask(6))).toMatchObject({ code: 'quota_exceeded' });
		expect(checkQuota(held, ask(5)).ok).toBe(true);
		expect(checkQuota(held, ask(5, { allocationId: 'a' })).ok).toBe(true);
		expect(checkQuota(held, ask(6, { allocationId: 'a' })).ok).toBe(false);
		expect(checkQuota(held, ask(1, { allocationId: 'b' }))).toMatchObject({ code: 'not_found' });
		expect(checkQuota({ ...held, nowMs: NOW + 3_600_000 }, ask(10)).ok).toBe(true);
		expect(checkQuota(view({ allocations: [allocation({ releasedAt: NOW })] }), ask(1, { allocationId: 'a' }))).toMatchObject({
			code: 'conflict',
		});
	});

	it('are not counted twice while jobs draw from them', () => {
		const drawing = view({ allocations: [allocation({ usedImages: 1, usedMilliSteps: 1000 })], open: [job(2, 'k', 'a')] });
		expect(leftOf(drawing, allocation({ usedImages: 1, usedMilliSteps: 1000 }))).toEqual([0, 2, 2000, 0]);
		expect(gauges(drawing, { day: { images: 10 } })[0]).toMatchObject({ reserved: 4, remaining: 6 });
	});

	it('for later hold nothing now, and fit into the later window', () => {
		const tomorrow = allocation({ startsAt: NOW + DAY, endsAt: NOW + DAY + 1000, images: 10, milliSteps: 0 });
		const usage = charge(emptyUsage(NOW), done(10));
		const today = view({ usage, allocations: [tomorrow] });
		expect(gauges(view({ allocations: [tomorrow] }), { day: { images: 10 } })[0]).toMatchObject({ reserved: 0 });
		expect(checkReservation(view({ usage }), { day: { images: 10 } }, tomorrow)).toBeUndefined();
		expect(checkReservation(today, { day: { images: 10 } }, { ...tomorrow, id: 'b', images: 1 })).toMatchObject({ code: 'quota_exceeded' });
		expect(checkReservation(view({ usage }), { month: { images: 19 } }, tomorrow)).toMatchObject({ code: 'quota_exceeded' });
		expect(checkReservation(view({ usage }), { month: { images: 20 } }, tomorrow)).toBeUndefined();
	});
});

type Step = { op: 'submit'; images: number; draws: boolean } | { op: 'end'; pick: number; made: number } | { op: 'pass'; ms: number };
const step: fc.Arbitrary<Step> = fc.oneof(
	{ weight: 5, arbitrary: fc.record({ op: fc.constant('submit' as const), images: fc.integer({ min: 1, max: 4 }), draws: fc.boolean() }) },
	// Fewer pictures than asked for: a cancel or a failure.
	{ weight: 5, arbitrary: fc.record({ op: fc.constant('end' as const), pick: fc.nat(), made: fc.nat({ max: 4 }) }) },
	{ weight: 1, arbitrary: fc.record({ op: fc.constant('pass' as const), ms: fc.constantFrom(1000, 60_000, 3_600_000, DAY) }) },
);

const mustBe = (taken: boolean, fits: boolean, images: number): void => {
	if (taken !== fits) throw new Error(`a submit of ${images} was ${taken ? 'taken' : 'refused'}`);
};
const drawFrom = (held: Allocation, { allocationId }: OpenJob, images: number): Allocation =>
	allocationId === undefined
		? held
		: { ...held, usedImages: held.usedImages + images, usedMilliSteps: held.usedMilliSteps + images * 1000 };

it('neither over- nor undercharges, whatever the order of 1,000 submits, cancels, failures and midnights', () => {
	const limits = { minute: { images: 60 }, day: { images: 400 } };
	fc.assert(
		fc.property(fc.array(step, { minLength: 1000, maxLength: 1000 }), (steps) => {
			let now = NOW;
			let usage = emptyUsage(now);
			let grant = allocation({ images: 30, milliSteps: 30_000, endsAt: NOW + 40 * DAY });
			const open: (OpenJob & { images: number })[] = [];
			const ended: { at: number; images: number }[] = [];
			const written = new Map<number, number>();
			const roll = (): void => {
				const rolled = rollOver(usage, now);
				usage = rolled.state;
				if (rolled.ended !== undefined) written.set(rolled.ended.dayAt, sumPairs(rolled.ended.day)[1]);
			};
			for (const each of steps) {
				if (each.op === 'pass') now += each.ms;
				roll();
				const at: QuotaView = { usage, monthBefore: () => NOTHING, open, allocations: [grant], nowMs: now };
				if (each.op === 'submit') {
					const draws = each.draws ? { allocationId: 'a' } : {};
					const before = gauges(at, limits).map(({ remaining }) => remaining);
					const answer = checkQuota(at, ask(each.images, { limits, ...draws }));
					const fits = each.draws ? leftOf(at, grant)[1] >= each.images : before.every((remaining) => remaining >= each.images);
					mustBe(answer.ok, fits, each.images);
					if (answer.ok) open.push({ ...job(each.images, 'k', each.draws ? 'a' : undefined), images: each.images });
				} else if (each.op === 'end' && open.length > 0) {
					const [job_] = open.splice(each.pick % open.length, 1);
					const images = Math.min(each.made, job_!.images);
					usage = charge(usage, done(images));
					grant = drawFrom(grant, job_!, images);
					ended.push({ at: now, images });
				}
				// Of one minute and one day: exactly what ended in them, and never more than the limit with what is still open.
				const sumSince = (from: number): number => ended.filter((one) => one.at >= from).reduce((sum, one) => sum + one.images, 0);
				expect(sumMinute(usage)[1]).toBe(sumSince(usage.minuteAt));
				expect(sumPairs(usage.day)[1]).toBe(sumSince(usage.dayAt));
			}
			const total = [...written.values()].reduce((sum, images) => sum + images, sumPairs(usage.day)[1]);
			expect(total).toBe(ended.reduce((sum, one) => sum + one.images, 0));
		}),
		{ numRuns: 20 },
	);
}, 120_000);
