/**
 * Quotas, usage and reservations of one workspace, over its Store. Synchronous turns.
 * @module
 */
import { randomBytes } from 'node:crypto';
import {
	base32,
	QUOTA_LIMITS,
	refuse,
	windowStart,
	type JobSpec,
	type KeyLimits,
	type RateLimit,
	type Refusal,
	type Result,
	type WorkspaceLimits,
} from '@limner/shared';
import type { Actor, Allocated, AllocationInput, AllocationView, QuotaReport, SubmitInput, UsagePoint } from '../rpc.ts';
import { costOf } from './meter.ts';
import {
	allocationState,
	checkQuota,
	checkReservation,
	gauges,
	leftOf,
	rateLimitOf,
	tightest,
	type Allocation,
	type QuotaView,
} from './quota.ts';
import type { Store } from './store.ts';
import { metricOf, type Amount } from './usage.ts';

export interface ResourcesHost {
	store: () => Store | undefined;
	commit: <T>(turn: () => T) => T;
	limits: () => WorkspaceLimits;
	log: (action: string, actor: Actor, target: string) => void;
}

const viewOf = (view: QuotaView, allocation: Allocation): AllocationView => {
	const left = leftOf(view, allocation);
	return {
		id: allocation.id,
		createdAt: allocation.createdAt,
		createdBy: allocation.createdBy,
		note: allocation.note,
		startsAt: allocation.startsAt,
		endsAt: allocation.endsAt,
		images: allocation.images,
		megapixelSteps: allocation.milliSteps / 1000,
		leftImages: left[1],
		leftMegapixelSteps: left[2] / 1000,
		state: allocationState(allocation, view.nowMs),
	};
};

const newAllocationId = (): string => `alloc_${base32(randomBytes(10))}`;

export class Resources {
	readonly #host: ResourcesHost;

	constructor(host: ResourcesHost) {
		this.#host = host;
	}

	#must(): Store {
		const store = this.#host.store();
		if (store === undefined) throw new Error('the workspace does not exist: authenticate first');
		return store;
	}

	/** Decides whether a submit fits into what is left. */
	check(store: Store, input: Pick<SubmitInput, 'keyId' | 'spec' | 'allocationId'>): ReturnType<typeof checkQuota> {
		return this.#checkCost(store, input, costOf(input.spec));
	}

	/** The same for jobs that come together: for the sum of them. */
	checkAll(store: Store, keyId: string, specs: readonly JobSpec[]): ReturnType<typeof checkQuota> {
		const zero: Amount = [0, 0, 0, 0];
		const cost = specs.map(costOf).reduce<Amount>((a, b) => [a[0] + b[0], a[1] + b[1], a[2] + b[2], a[3] + b[3]], zero);
		return this.#checkCost(store, { keyId }, cost);
	}

	#checkCost(store: Store, input: Pick<SubmitInput, 'keyId' | 'allocationId'>, cost: Amount): ReturnType<typeof checkQuota> {
		const limits = this.#host.limits();
		const keyLimits = store.key(input.keyId)?.limits ?? undefined;
		return checkQuota(store.meter.view(Date.now()), {
			keyId: input.keyId,
			cost,
			// The depth of the queue has been decided before, with the gateway's own bound.
			limits: { ...limits, queued: undefined },
			storedBytes: limits.storageBytes === undefined ? 0 : store.meter.storedBytes(),
			...(keyLimits === undefined ? {} : { keyLimits }),
			...(input.allocationId === undefined ? {} : { allocationId: input.allocationId }),
		});
	}

	/** Bytes that may still be stored; `null` = no limit. */
	storageLeft(): number | null {
		const store = this.#host.store();
		const { storageBytes } = this.#host.limits();
		return store === undefined || storageBytes === undefined ? null : Math.max(0, storageBytes - store.meter.storedBytes());
	}

	quotas(keyId: string | undefined, maxQueueDepth: number): QuotaReport {
		const store = this.#must();
		const limits = this.#host.limits();
		const now = Date.now();
		const keyLimits: KeyLimits = keyId === undefined ? {} : (store.key(keyId)?.limits ?? {});
		const view = store.meter.view(now);
		const open = store.meter.openJobs;
		return {
			workspaceId: store.ws,
			windows: gauges(view, limits),
			queued: { used: store.open.size, limit: limits.queued ?? maxQueueDepth },
			concurrent: { limit: limits.concurrent ?? null },
			storage: { usedBytes: store.meter.storedBytes(), limitBytes: limits.storageBytes ?? null, retentionMs: limits.retentionMs ?? null },
			key:
				keyId === undefined
					? null
					: {
							id: keyId,
							windows: gauges(view, keyLimits, keyId),
							queued: { used: open.filter((job) => job.keyId === keyId).length, limit: keyLimits.queued ?? null },
						},
			allocations: store.meter.allocations.map((each) => viewOf(view, each)),
		};
	}

	/** One point for each day, key and model; the route sums them up as asked. */
	series(fromMs: number, toMs: number): UsagePoint[] {
		const store = this.#must();
		return store.meter.days(windowStart('day', fromMs), toMs, Date.now()).flatMap(({ dayAt, pairs }) =>
			Object.entries(pairs).map(([pair, amount]: [string, Amount]) => ({
				dayAt,
				keyId: pair.slice(0, pair.indexOf(' ')),
				model: pair.slice(pair.indexOf(' ') + 1),
				jobs: amount[0],
				images: amount[1],
				megapixelSteps: metricOf(amount, 'megapixelSteps'),
				failed: amount[3],
			})),
		);
	}

	#checkInput(store: Store, input: AllocationInput, now: number): Refusal | undefined {
		const live = store.meter.allocations.filter((each) => each.releasedAt === null && each.endsAt > now);
		if (live.length >= QUOTA_LIMITS.allocationsMax) {
			return refuse('conflict', `a workspace has at most ${QUOTA_LIMITS.allocationsMax} reservations; release some`);
		}
		if (input.startsAt > now + QUOTA_LIMITS.allocationAheadMaxMs) return refuse('validation_failed', 'startsAt: at most 31 days ahead');
		return input.endsAt - input.startsAt > QUOTA_LIMITS.allocationTtlMaxMs || input.endsAt <= Math.max(now, input.startsAt)
			? refuse('validation_failed', 'the reservation must end in the future, after it starts and within 31 days of that')
			: undefined;
	}

	/** The limit of the workspace that is nearest to its end. */
	#nearest(store: Store, now: number): { rateLimit?: RateLimit } {
		const tight = tightest(gauges(store.meter.view(now), this.#host.limits()));
		return tight === undefined ? {} : { rateLimit: rateLimitOf(tight, now) };
	}

	allocate(input: AllocationInput, actor: Actor): Result<Allocated> {
		const store = this.#must();
		const now = Date.now();
		const allocation: Allocation = {
			id: newAllocationId(),
			createdAt: now,
			createdBy: actor,
			note: input.note,
			startsAt: Math.max(now, input.startsAt),
			endsAt: input.endsAt,
			images: input.images,
			milliSteps: Math.round(input.megapixelSteps * 1000),
			usedImages: 0,
			usedMilliSteps: 0,
			releasedAt: null,
		};
		const refused = this.#checkInput(store, input, now) ?? checkReservation(store.meter.view(now), this.#host.limits(), allocation);
		if (refused !== undefined) return refused;
		this.#host.commit(() => {
			store.meter.putAllocation(allocation);
			this.#host.log('resources.allocate', actor, allocation.id);
		});
		return { ok: true, allocation: viewOf(store.meter.view(now), allocation), ...this.#nearest(store, now) };
	}

	/** Gives back what is left; jobs that draw from it go on. Releasing again changes nothing. */
	release(id: string, actor: Actor): Result<Allocated> {
		const store = this.#must();
		const found = store.meter.allocations.find((each) => each.id === id);
		if (found === undefined) return refuse('not_found', `there is no reservation ${id}`);
		if (found.releasedAt === null) {
			this.#host.commit(() => {
				store.meter.releaseAllocation(id, Date.now());
				this.#host.log('resources.release', actor, id);
			});
		}
		const after = store.meter.allocations.find((each) => each.id === id) ?? found;
		const now = Date.now();
		return { ok: true, allocation: viewOf(store.meter.view(now), after), ...this.#nearest(store, now) };
	}
}
