/**
 * What every part of a Workspace stands on: its store, one commit a turn, its alarm, and the work that the alarm does.
 * @module
 */
import { DurableObject } from 'cloudflare:workers';
import { isTerminal, shardOfJob, TIMING } from '@limner/shared';
import { createLogger, describeError } from '../lib/log.ts';
import { isMigrated } from '../lib/migrations.ts';
import { rendezvous } from '../lib/rendezvous.ts';
import { CountedSql } from '../lib/sql.ts';
import { deliveryOf, poolOf } from '../lib/stubs.ts';
import { withTimeout } from '../lib/timeout.ts';
import { storageOf } from '../storage/index.ts';
import { workspaceConfig, type WorkspaceConfig } from './config.ts';
import { deleteStep } from './deletion.ts';
import { knownDependencies } from './graph.ts';
import { toPoolJob } from './jobs.ts';
import { KeyRing, WEIGHT } from './key-ring.ts';
import { Membership } from './membership.ts';
import { Profiles } from './profile.ts';
import { Resources } from './resources.ts';
import { retain, retentionDueAt } from './retention.ts';
import { Store } from './store.ts';
import type { TenancyHost } from './tenancy.ts';
import { backOffMs, chunks, SWEEP_LIMITS, toEnqueueAgain, toReconcile, wakeAt } from './sweep.ts';

/** An alarm may fire a minute late; one that is later than that is taken for lost. */
const ALARM_LATE_MAX_MS = 60_000;

export abstract class WorkspaceObject extends DurableObject<Cloudflare.Env> {
	protected readonly sql: CountedSql;
	protected readonly config: WorkspaceConfig;
	/** `undefined` until the workspace has its first key. */
	protected store: Store | undefined;
	/** When the alarm stands; `null` when none is armed. Each `setAlarm` is one row written, so it is kept here. */
	#armedAt: number | null = null;
	/** When open jobs are asked about next; `null` without open jobs. */
	protected sweepAt: number | null = null;
	#sweepFailures = 0;
	#retainFailures = 0;
	#moreToRetain = false;
	protected readonly profiles: Profiles;
	protected readonly keyRing: KeyRing;
	protected readonly membership: Membership;
	protected readonly resources: Resources;

	constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
		super(ctx, env);
		this.config = workspaceConfig(env);
		this.sql = new CountedSql(ctx.storage.sql);
		const host: TenancyHost = {
			store: () => this.store,
			commit: (turn) => this.commit(turn),
			defaultLimits: this.config.defaultLimits,
		};
		this.profiles = new Profiles(host);
		this.keyRing = new KeyRing(host);
		this.membership = new Membership(host, () => this.profiles.workspace());
		this.resources = new Resources({
			store: () => this.store,
			commit: (turn) => this.commit(turn),
			limits: () => this.profiles.limits(),
			log: (action, actor, target) => this.profiles.note(action, actor, target),
		});
		if (!isMigrated(ctx.storage)) return;
		const store = new Store(ctx.storage, this.sql, Date.now());
		this.store = store;
		// By age, not from now: an idle workspace meets each alarm in a fresh instance and would put it off for ever.
		const [oldest] = store.open.values();
		this.sweepAt = oldest === undefined ? null : oldest + TIMING.reconcileOpenMs;
		void ctx.blockConcurrencyWhile(async () => {
			this.#armedAt = await ctx.storage.getAlarm();
			// An alarm in the past may have been used up by an instance that died: work that is due needs a new one.
			if (this.#armedAt === null || this.#armedAt <= Date.now()) await this.rearm(store);
		});
	}

	protected makeStore(ws: string): Store {
		this.store ??= new Store(this.ctx.storage, this.sql, Date.now(), { ws, homeShard: rendezvous(ws, this.config.shards) });
		return this.store;
	}

	/** Nobody waits for the answer, and a call that is lost is made up for: Delivery looks at the ledger by itself too. */
	protected tellDelivery(store: Store): void {
		if (store.getMeta('delivery') === undefined) return;
		const told = deliveryOf(this.env, store.ws).notify();
		this.ctx.waitUntil(told.catch((error: unknown) => this.warn('the webhooks could not be told; they will look themselves', error)));
	}

	override async alarm(): Promise<void> {
		const store = this.store;
		if (store === undefined) return;
		// The alarm that runs is used up; one that was set since it fired stands.
		this.#armedAt = await this.ctx.storage.getAlarm();
		if (store.deletingSince !== null) return this.#delete(store);
		try {
			this.keyRing.flushUses();
			await this.#sweep(store);
			await this.#retain(store);
		} finally {
			// Last, so that a failure above cannot leave the object asleep, nor replace a pending retry.
			await this.rearm(store);
		}
	}

	/** Goes on with the deletion; a step that fails is made again. */
	async #delete(store: Store): Promise<void> {
		let next: number | null = Date.now() + TIMING.reconcileOpenMs;
		try {
			next = await deleteStep(store, storageOf(this.env), (shard) => poolOf(this.env, shard), TIMING.ticketTtlMs, Date.now());
		} catch (error) {
			this.warn('deleting the workspace was cut off; it will go on', error);
		}
		this.sweepAt = null;
		if (next !== null) await this.arm(next);
	}

	/** Asks the shards about open jobs and hands over again what they do not know. */
	async #sweep(store: Store): Promise<void> {
		const now = Date.now();
		if (this.sweepAt === null || this.sweepAt > now) return;
		try {
			await this.#reconcile(store, toReconcile(store.open, now));
			this.#sweepFailures = 0;
		} catch (error) {
			this.#sweepFailures++;
			this.warn('asking the pool about open jobs failed; it will be tried again', error);
		}
		this.sweepAt = store.open.size > 0 ? Date.now() + backOffMs(TIMING.reconcileOpenMs, this.#sweepFailures) : null;
	}

	async #reconcile(store: Store, jobIds: string[]): Promise<void> {
		const byShard = Map.groupBy(jobIds, (id) => shardOfJob(id) ?? store.homeShard);
		for (const [shard, ids] of byShard) {
			for (const asked of chunks(ids, SWEEP_LIMITS.knownIds)) {
				const known = await withTimeout(poolOf(this.env, shard).known(asked), SWEEP_LIMITS.callMs, `shard ${shard}`);
				for (const id of toEnqueueAgain(asked, known, (open) => store.open.has(open))) await this.#enqueueAgain(store, shard, id);
			}
		}
	}

	async #enqueueAgain(store: Store, shard: number, id: string): Promise<void> {
		const job = store.job(id);
		// Earlier calls of this loop opened the gate: the job may have been settled since.
		if (job === undefined || isTerminal('job', job.row.state)) return;
		// As they stand now: what ended long ago may be forgotten there.
		const deps = knownDependencies(job.row.spec, (dep) => store.job(dep)?.row);
		const handOver = poolOf(this.env, shard).enqueue(toPoolJob(job, WEIGHT, deps), Date.now() + TIMING.enqueueNotAfterMs);
		const answer = await withTimeout(handOver, SWEEP_LIMITS.callMs, `shard ${shard}`);
		if (!answer.ok) throw new Error(`the pool refused job ${id}: ${answer.code} ${answer.detail ?? ''}`);
	}

	async #retain(store: Store): Promise<void> {
		const dueAt = retentionDueAt(store, this.ttlMs(), Date.now());
		if (dueAt === null || dueAt > Date.now()) return;
		try {
			this.#moreToRetain = await retain(store, storageOf(this.env), this.ttlMs(), Date.now());
			this.#retainFailures = 0;
		} catch (error) {
			this.#retainFailures++;
			this.warn('removing expired objects failed; it will be tried again', error);
		}
	}

	protected async rearm(store: Store): Promise<void> {
		const now = Date.now();
		if (store.deletingSince !== null) return this.arm(now + 1);
		const wake = wakeAt({
			sweepAt: this.sweepAt,
			retentionDueAt: retentionDueAt(store, this.ttlMs(), now),
			more: this.#moreToRetain,
			failures: this.#retainFailures,
			ttlMs: this.ttlMs(),
			nowMs: now,
		});
		if (wake !== null) await this.arm(wake);
	}

	protected alarmIsLost(): boolean {
		return this.#armedAt !== null && this.#armedAt <= Date.now() - ALARM_LATE_MAX_MS;
	}

	/** How long pictures are kept: as the gateway says, or shorter. */
	protected ttlMs(): number {
		return Math.min(this.config.resultTtlMs, this.profiles.limits().retentionMs ?? Number.POSITIVE_INFINITY);
	}

	/** Sets the alarm only when none stands or an earlier one is needed. */
	protected async arm(at: number): Promise<void> {
		if (this.#armedAt !== null && !this.alarmIsLost() && this.#armedAt <= at) return;
		this.#armedAt = at;
		this.sql.note('alarm', 1);
		await this.ctx.storage.setAlarm(at);
	}

	/** One commit. When it fails, memory is rebuilt from what the storage still holds. */
	protected commit<T>(turn: () => T): T {
		try {
			return this.ctx.storage.transactionSync(turn);
		} catch (error) {
			if (isMigrated(this.ctx.storage)) this.store?.reload();
			else this.store = undefined;
			throw error;
		}
	}

	protected mustStore(): Store {
		if (this.store === undefined) throw new Error('the workspace does not exist: authenticate first');
		return this.store;
	}

	protected warn(message: string, error: unknown): void {
		const log = createLogger(this.env.LOG_LEVEL, { ws: this.store?.ws, traceId: 'alarm' }, (line) => console.warn(line));
		log.warn(message, describeError(error));
	}
}
