/**
 * Durable Object of one workspace (key: the workspace id): keys, jobs, idempotency, ledger, inputs. A shell: each
 * method is one synchronous turn over `Store`, decided by the pure functions beside it.
 * @module
 */
import { DurableObject } from 'cloudflare:workers';
import { randomBytes } from 'node:crypto';
import {
	hasScope,
	isTerminal,
	refuse,
	REQUEST_LIMITS,
	shardOfJob,
	TIMING,
	type JobState,
	type Refusal,
	type Result,
	type Role,
	type WorkspaceLimits,
} from '@limner/shared';
import { createLogger, describeError } from '../lib/log.ts';
import { isMigrated } from '../lib/migrations.ts';
import { rendezvous } from '../lib/rendezvous.ts';
import { CountedSql } from '../lib/sql.ts';
import { deliveryOf, poolOf } from '../lib/stubs.ts';
import { withTimeout } from '../lib/timeout.ts';
import { storageOf } from '../storage/index.ts';
import type {
	AssetRow,
	AuditEvent,
	AuditFilter,
	AuditPage,
	BackupSlice,
	JobRow,
	LedgerSlice,
	Actor,
	AllocationInput,
	By,
	KeyInput,
	Principal,
	RestoreBatch,
	Settlement,
	SubmitInput,
	SubmitOutput,
	Takedown,
	TokenCaller,
	WorkspaceActivity,
	WorkspaceHealth,
	WorkspaceRpc,
	WorkflowSubmitInput,
	WorkflowSubmitOutput,
} from '../rpc.ts';
import { ledgerSlice, listAudit, settledHistory } from './audit.ts';
import { workspaceConfig, type WorkspaceConfig } from './config.ts';
import { decideWorkflow, knownDependencies, placeJob } from './graph.ts';
import { decidePurge, decideSettle, decideSubmit, objectsOf, toPoolJob } from './jobs.ts';
import { activityOf, healthOf } from './health.ts';
import { decideKey, UNKNOWN_KEY } from './keys.ts';
import { settleEntry, type LedgerAction, type LedgerEntry } from './ledger.ts';
import { listImages, listJobs } from './listing.ts';
import { Resources } from './resources.ts';
import { backupSlice, beginRestore, finishRestore, isRestoring, restoreBatch } from './restore.ts';
import { beginRequest, endRequest } from './replies.ts';
import { retain, retentionDueAt } from './retention.ts';
import { Store } from './store.ts';
import { deleteStep } from './deletion.ts';
import { planTakedown, removeObjects, takeDown, takedownOf } from './takedown.ts';
import { principalOfKey, Tenancy, WEIGHT } from './tenancy.ts';
import { backOffMs, chunks, retentionGapMs, SWEEP_LIMITS, toEnqueueAgain, toReconcile, wakeAt } from './sweep.ts';

/** An alarm may fire a minute late; one that is later than that is taken for lost. */
const ALARM_LATE_MAX_MS = 60_000;

/** Rows in which a repeated action is looked for. */
const REPEAT_LOOK_ROWS = 20;

type SettleOutcome = { jobId: string; outcome: 'settled' | 'already' | 'unknown' };

export class Workspace extends DurableObject<Cloudflare.Env> implements WorkspaceRpc {
	readonly #sql: CountedSql;
	readonly #config: WorkspaceConfig;
	/** `undefined` until the workspace has its first key. */
	#store: Store | undefined;
	/** When the alarm stands; `null` when none is armed. Each `setAlarm` is one row written, so it is kept here. */
	#armedAt: number | null = null;
	/** When open jobs are asked about next; `null` without open jobs. */
	#sweepAt: number | null = null;
	#sweepFailures = 0;
	#retainFailures = 0;
	#moreToRetain = false;
	readonly #tenancy: Tenancy;
	readonly #resources: Resources;

	constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
		super(ctx, env);
		this.#config = workspaceConfig(env);
		this.#sql = new CountedSql(ctx.storage.sql);
		this.#tenancy = new Tenancy({
			store: () => this.#store,
			commit: (turn) => this.#commit(turn),
			defaultLimits: this.#config.defaultLimits,
		});
		this.#resources = new Resources({
			store: () => this.#store,
			commit: (turn) => this.#commit(turn),
			limits: () => this.#tenancy.limits(),
			log: (action, actor, target) => this.#tenancy.note(action, actor, target),
		});
		if (!isMigrated(ctx.storage)) return;
		const store = new Store(ctx.storage, this.#sql, Date.now());
		this.#store = store;
		// By age, not from now: an idle workspace meets each alarm in a fresh instance and would put it off for ever.
		const [oldest] = store.open.values();
		this.#sweepAt = oldest === undefined ? null : oldest + TIMING.reconcileOpenMs;
		void ctx.blockConcurrencyWhile(async () => {
			this.#armedAt = await ctx.storage.getAlarm();
			// An alarm in the past may have been used up by an instance that died: work that is due needs a new one.
			if (this.#armedAt === null || this.#armedAt <= Date.now()) await this.#rearm(store);
		});
	}

	async authenticate(ws: string, keyId: string, keyHash: string): Promise<Result<{ principal: Principal }>> {
		const answer = this.#authenticate(ws, keyId, keyHash);
		// Not in `submit`, whose rows are counted.
		if (answer.ok) this.#tenancy.flushUses();
		return answer;
	}

	#authenticate(ws: string, keyId: string, keyHash: string): Result<{ principal: Principal }> {
		const other = this.#store !== undefined && this.#store.ws !== ws;
		if (other || (this.#store?.deletingSince ?? null) !== null) return refuse('unauthorized', UNKNOWN_KEY);
		const decision = decideKey(this.#store?.key(keyId), { keyId, keyHash }, this.#config.bootstrapHash, Date.now());
		if (decision.kind === 'refused') return decision.refusal;
		const { key } = decision;
		if (decision.kind === 'bootstrap') {
			this.#commit(() => {
				this.#makeStore(ws).insertKey(key, Date.now());
			});
		}
		this.#tenancy.touch(key, Date.now());
		return { ok: true, principal: principalOfKey(ws, key) };
	}

	#makeStore(ws: string): Store {
		this.#store ??= new Store(this.ctx.storage, this.#sql, Date.now(), { ws, homeShard: rendezvous(ws, this.#config.shards) });
		return this.#store;
	}

	/** The shard that gets all jobs of this workspace, for ever; `null` for a workspace that does not exist. */
	async homeShard(): Promise<number | null> {
		return this.#store?.homeShard ?? null;
	}

	async submit(ws: string, input: SubmitInput): Promise<Result<SubmitOutput>> {
		const answer =
			input.caller === undefined ? this.#authenticate(ws, input.keyId, input.keyHash ?? '') : this.#tenancy.principal(ws, input.caller);
		if (!answer.ok) return answer;
		const { models } = answer.principal;
		if (models !== undefined && !models.includes(input.spec.model)) {
			return refuse('model_forbidden', `the key may not use ${input.spec.model}; it may use: ${models.join(', ')}`);
		}
		if (!hasScope(answer.principal.scopes, 'jobs:write')) return refuse('forbidden', 'the key needs the scope jobs:write');
		if (isRestoring(this.#mustStore())) return refuse('retry_later', 'the workspace is being restored', { retryAfterS: 30 });
		const submitted = this.#submit(this.#mustStore(), this.#withLimits(input));
		if ('ok' in submitted) return submitted;
		if (!submitted.replayed) await this.#arm(this.#sweepAt ?? Date.now() + TIMING.reconcileOpenMs);
		return { ok: true, ...submitted, principal: answer.principal };
	}

	/** What the shard and a restart must know of a job's limits stands in its spec. */
	#withLimits(input: SubmitInput): SubmitInput {
		const { concurrent } = this.#tenancy.limits();
		const { allocationId } = input;
		if (concurrent === undefined && allocationId === undefined) return input;
		const extra = {
			...(concurrent === undefined ? {} : { maxConcurrent: concurrent }),
			...(allocationId === undefined ? {} : { allocationId }),
		};
		return { ...input, spec: { ...input.spec, ...extra } };
	}

	/** One synchronous turn: parallel submits with one Idempotency-Key find each other's row. */
	#submit(store: Store, input: SubmitInput): Refusal | Omit<SubmitOutput, 'principal'> {
		const now = Date.now();
		const { idempotency } = input;
		const find = (id: string): JobRow | undefined => store.job(id)?.row;
		const placed = placeJob(input.spec, find);
		if (!placed.ok) return placed;
		const decision = decideSubmit(
			{ ...input, spec: placed.spec },
			{
				ws: store.ws,
				shard: store.homeShard,
				openJobs: store.open.size,
				maxQueueDepth: this.#tenancy.limits().queued ?? this.#config.maxQueueDepth,
				idem: idempotency && store.idem(idempotency.key, now),
				nowMs: store.mintMs(now),
				random: randomBytes(10),
			},
		);
		if (decision.kind === 'refused') return decision.refusal;
		const { row } = decision.job;
		const room = this.#room(store, input, decision.kind === 'replay');
		if (!room.ok) return room;
		if (decision.kind === 'insert') {
			this.#commit(() => {
				store.insertJob(decision.job);
				if (idempotency !== undefined) store.insertIdem(idempotency.key, idempotency.bodyHash, row.id, now);
			});
			this.#sweepAt ??= now + TIMING.reconcileOpenMs;
		}
		return {
			row,
			...(room.rateLimit === undefined ? {} : { rateLimit: room.rateLimit }),
			replayed: decision.kind === 'replay',
			shard: shardOfJob(row.id) ?? store.homeShard,
			...(placed.deps.length === 0 ? {} : { deps: placed.deps }),
		};
	}

	/** A replay opens nothing, so it needs no room, and was judged when it was new. */
	#room(store: Store, input: SubmitInput, isReplay: boolean): ReturnType<Resources['check']> {
		return isReplay ? { ok: true } : (input.refusal ?? this.#resources.check(store, input));
	}

	async submitWorkflow(ws: string, input: WorkflowSubmitInput): Promise<Result<WorkflowSubmitOutput>> {
		const answer =
			input.caller === undefined ? this.#authenticate(ws, input.keyId, input.keyHash ?? '') : this.#tenancy.principal(ws, input.caller);
		if (!answer.ok) return answer;
		const { models } = answer.principal;
		const forbidden = input.jobs.find((job) => models?.includes(job.spec.model) === false)?.spec.model;
		if (forbidden !== undefined)
			return refuse('model_forbidden', `the key may not use ${forbidden}; it may use: ${models?.join(', ') ?? ''}`);
		if (!hasScope(answer.principal.scopes, 'jobs:write')) return refuse('forbidden', 'the key needs the scope jobs:write');
		const submitted = this.#submitWorkflow(this.#mustStore(), input, answer.principal.weight);
		if ('ok' in submitted) return submitted;
		if (!submitted.replayed) await this.#arm(this.#sweepAt ?? Date.now() + TIMING.reconcileOpenMs);
		return { ok: true, ...submitted, principal: answer.principal };
	}

	/** One synchronous turn and one commit: all jobs of the graph exist, or none. */
	#submitWorkflow(store: Store, input: WorkflowSubmitInput, weight: number): Refusal | Omit<WorkflowSubmitOutput, 'principal'> {
		const now = Date.now();
		const { idempotency, keyId } = input;
		const find = (id: string): JobRow | undefined => store.job(id)?.row;
		const { concurrent, queued } = this.#tenancy.limits();
		const limited =
			concurrent === undefined ? input.jobs : input.jobs.map((job) => ({ ...job, spec: { ...job.spec, maxConcurrent: concurrent } }));
		const decision = decideWorkflow(
			{ ...input, jobs: limited },
			{
				ws: store.ws,
				shard: store.homeShard,
				openJobs: store.open.size,
				maxQueueDepth: queued ?? this.#config.maxQueueDepth,
				idem: idempotency && store.idem(idempotency.key, now),
				nowMs: store.mintMs(now),
				random: () => randomBytes(10),
				find,
			},
			(id) => store.job(id),
		);
		if (decision.kind === 'refused') return decision.refusal;
		if (decision.kind === 'insert') {
			if (input.refusal !== undefined) return input.refusal;
			const room = this.#resources.checkAll(
				store,
				keyId,
				decision.jobs.map(({ row }) => row.spec),
			);
			if (!room.ok) return room;
			this.#commit(() => {
				for (const job of decision.jobs) store.insertJob(job);
				const [first] = decision.jobs;
				if (idempotency !== undefined && first !== undefined) store.insertIdem(idempotency.key, idempotency.bodyHash, first.row.id, now);
			});
			this.#sweepAt ??= now + TIMING.reconcileOpenMs;
		}
		return {
			jobs: decision.jobs.map((job) => toPoolJob(job, weight, knownDependencies(job.row.spec, find))),
			rows: decision.jobs.map(({ row }) => row),
			replayed: decision.kind === 'replay',
			shard: store.homeShard,
		};
	}

	async getJobs(jobIds: string[]): Promise<JobRow[]> {
		return jobIds.flatMap((id) => this.#store?.job(id)?.row ?? []);
	}

	async getJob(jobId: string): Promise<JobRow | null> {
		const store = this.#store;
		if (store === undefined) return null;
		// A caller who polls keeps this instance alive, so that no constructor would find the loss.
		if (this.#alarmIsLost()) await this.#rearm(store);
		return store.job(jobId)?.row ?? null;
	}

	async listJobs(query: { limit: number; cursor?: string; state?: JobState }) {
		return this.#store === undefined ? { data: [], nextCursor: null } : listJobs(this.#store, query);
	}

	async listImages(query: { limit: number; cursor?: string }) {
		return this.#store === undefined ? { data: [], nextCursor: null } : listImages(this.#store, query);
	}

	async settleBatch(batch: Settlement[]): Promise<SettleOutcome[]> {
		const store = this.#store;
		if (store === undefined) return batch.map(({ jobId }) => ({ jobId, outcome: 'unknown' }));
		const outcomes = chunks(batch, TIMING.settleBatchJobs).flatMap((part) => this.#settle(store, part));
		if (store.open.size === 0) this.#sweepAt = null;
		if (outcomes.some(({ outcome }) => outcome === 'settled')) {
			this.#tellDelivery(store);
			// Pictures must be removed in time even when this workspace never gets another job.
			await this.#arm(Date.now() + this.#ttlMs() + retentionGapMs(this.#ttlMs()));
		}
		return outcomes;
	}

	/** One ledger row for all that it settles. */
	#settle(store: Store, batch: Settlement[]): SettleOutcome[] {
		return this.#commit(() => {
			const entries: LedgerEntry[] = [];
			const outcomes = batch.map((settlement): SettleOutcome => {
				// Reads what this very loop wrote: a job that is in the batch twice is `already` the second time.
				const decision = decideSettle(store.job(settlement.jobId)?.row, settlement);
				if (decision.outcome === 'settled') {
					store.closeJob(decision.row);
					entries.push(settleEntry(settlement));
				}
				return { jobId: settlement.jobId, outcome: decision.outcome };
			});
			if (entries.length > 0) store.appendLedger(entries, Date.now());
			return outcomes;
		});
	}

	async resultKey(jobId: string, index: number): Promise<{ state: JobState | 'unknown'; key?: string }> {
		const row = this.#store?.job(jobId)?.row;
		if (row === undefined) return { state: 'unknown' };
		const image = row.images.find((picture) => picture.index === index);
		const report = row.hist.find((entry) => entry.type === 'result' && entry.index === index)?.['key'];
		const key = image?.key ?? (typeof report === 'string' ? report : undefined);
		return { state: row.state, ...(key === undefined ? {} : { key }) };
	}

	/** Deletes the objects too, before the row forgets their keys; deleting them again does no harm. */
	async purgeImages(jobId: string, index?: number): Promise<Result<{ keys: string[] }>> {
		const store = this.#store;
		const planned = decidePurge(store?.job(jobId)?.row, index, Date.now());
		if (store === undefined || planned.kind === 'refused') return planned.kind === 'refused' ? planned.refusal : refuse('not_found');
		if (planned.keys.length === 0) return { ok: true, keys: [] };
		await storageOf(this.env).delete(planned.keys);
		// R2 opened the gate: another purge may have come first. An ended job only loses pictures, so decide again.
		const decision = decidePurge(store.job(jobId)?.row, index, Date.now());
		if (decision.kind === 'purge' && decision.keys.length > 0) {
			this.#commit(() => {
				store.purgeJob(decision.row, objectsOf(decision.row), Date.now());
				store.appendLedger([{ type: 'purge', job: jobId, indexes: decision.indexes }], Date.now());
			});
			this.#tellDelivery(store);
		}
		return { ok: true, keys: planned.keys };
	}

	async takeDown(jobId: string, index: number, by: { who: string; reason: string; traceId: string }): Promise<Result<{ removed: number }>> {
		const store = this.#store;
		const planned = planTakedown(store?.job(jobId)?.row, index);
		if (store === undefined || planned !== undefined) return planned ?? refuse('not_found');
		// Objects go first, all attempts of the picture: a failure in between leaves rows that name them, and the caller repeats.
		const removed = await removeObjects(storageOf(this.env), store.ws, jobId, index);
		this.#commit(() => takeDown(store, { jobId, index, at: Date.now(), ...by }));
		this.#tellDelivery(store);
		return { ok: true, removed };
	}

	async takedownOf(jobId: string, index: number): Promise<Takedown | null> {
		return (this.#store && takedownOf(this.#store, jobId, index)) ?? null;
	}

	async createAsset(asset: AssetRow): Promise<void> {
		const store = this.#mustStore();
		store.insertAsset(asset);
		await this.#arm(asset.expiresAt + retentionGapMs(this.#ttlMs()));
	}

	async getAsset(assetId: string): Promise<AssetRow | null> {
		const asset = this.#store?.asset(assetId);
		return asset !== undefined && asset.expiresAt > Date.now() ? asset : null;
	}

	async audit(query: AuditFilter & { limit: number; cursor?: string }): Promise<AuditPage> {
		return this.#store === undefined ? { data: [], nextCursor: null } : listAudit(this.#store, query);
	}

	async settledHistory(jobId: string): Promise<AuditEvent[]> {
		return this.#store === undefined ? [] : settledHistory(this.#store, jobId);
	}

	async ledgerSlice(after: number, limit: number): Promise<LedgerSlice> {
		return ledgerSlice(this.#mustStore(), after, limit);
	}

	async recordAction(action: Omit<LedgerAction, 'type'>): Promise<void> {
		const store = this.#mustStore();
		// A call that was repeated because its answer was lost comes again at once, if at all.
		const recent = ledgerSlice(store, store.ledger.seq - REPEAT_LOOK_ROWS, REPEAT_LOOK_ROWS).rows;
		if (recent.some(({ row }) => row.entries.some((entry) => entry.type === 'action' && entry.id === action.id))) return;
		this.#commit(() => store.appendLedger([{ type: 'action', ...action }], Date.now()));
		this.#tellDelivery(store);
	}

	async watchLedger(): Promise<number> {
		const store = this.#mustStore();
		if (store.getMeta('delivery') === undefined) store.setMeta('delivery', '1');
		return store.ledger.seq;
	}

	async activity(sinceMs: number): Promise<WorkspaceActivity> {
		return activityOf(this.#mustStore(), sinceMs);
	}

	async backupSlice(after: string, limit: number): Promise<BackupSlice> {
		return backupSlice(this.#mustStore(), after, limit);
	}

	async beginRestore(): Promise<Result<{ dropped: number }>> {
		const store = this.#mustStore();
		return this.#commit(() => beginRestore(store));
	}

	async restoreBatch(batch: RestoreBatch): Promise<Result<object>> {
		const store = this.#mustStore();
		return this.#commit(() => restoreBatch(store, batch));
	}

	async finishRestore(head: { seq: number; hash: string }): Promise<Result<object>> {
		const store = this.#mustStore();
		const answer = this.#commit(() => finishRestore(store, head));
		await this.#rearm(store);
		return answer;
	}

	async health(sinceMs: number): Promise<WorkspaceHealth> {
		const health = healthOf(this.#mustStore(), sinceMs, this.#tenancy.limits().queued ?? this.#config.maxQueueDepth);
		const { windows, storage } = this.#resources.quotas(undefined, 0);
		const used = windows.map(({ window, metric, used: ended, reserved, limit }) => ({
			name: `${metric} a ${window}`,
			used: ended + reserved,
			limit,
		}));
		const stored = storage.limitBytes === null ? [] : [{ name: 'storage', used: storage.usedBytes, limit: storage.limitBytes }];
		return { ...health, quotas: [...health.quotas, ...used, ...stored] };
	}

	/** Nobody waits for the answer, and a call that is lost is made up for: Delivery looks at the ledger by itself too. */
	#tellDelivery(store: Store): void {
		if (store.getMeta('delivery') === undefined) return;
		const told = deliveryOf(this.env, store.ws).notify();
		this.ctx.waitUntil(told.catch((error: unknown) => this.#warn('the webhooks could not be told; they will look themselves', error)));
	}

	async openJobs(): Promise<JobRow[]> {
		const store = this.#store;
		return store === undefined ? [] : [...store.open.keys()].flatMap((id) => store.job(id)?.row ?? []);
	}

	async usage(): Promise<{ images: number; megapixelSteps: number; openJobs: number; settledJobs: number }> {
		const totals = this.#store?.ledger.totals ?? { images: 0, megapixelSteps: 0, settledJobs: 0 };
		return { ...totals, openJobs: this.#store?.open.size ?? 0 };
	}

	async rowsWritten(): Promise<Record<string, number>> {
		return this.#sql.written();
	}

	override async alarm(): Promise<void> {
		const store = this.#store;
		if (store === undefined) return;
		// The alarm that runs is used up; one that was set since it fired stands.
		this.#armedAt = await this.ctx.storage.getAlarm();
		if (store.deletingSince !== null) return this.#delete(store);
		try {
			this.#tenancy.flushUses();
			await this.#sweep(store);
			await this.#retain(store);
		} finally {
			// Last, so that a failure above cannot leave the object asleep, nor replace a pending retry.
			await this.#rearm(store);
		}
	}

	/** Goes on with the deletion; a step that fails is made again. */
	async #delete(store: Store): Promise<void> {
		let next: number | null = Date.now() + TIMING.reconcileOpenMs;
		try {
			next = await deleteStep(store, storageOf(this.env), (shard) => poolOf(this.env, shard), TIMING.ticketTtlMs, Date.now());
		} catch (error) {
			this.#warn('deleting the workspace was cut off; it will go on', error);
		}
		this.#sweepAt = null;
		if (next !== null) await this.#arm(next);
	}

	/** Asks the shards about open jobs and hands over again what they do not know. */
	async #sweep(store: Store): Promise<void> {
		const now = Date.now();
		if (this.#sweepAt === null || this.#sweepAt > now) return;
		try {
			await this.#reconcile(store, toReconcile(store.open, now));
			this.#sweepFailures = 0;
		} catch (error) {
			this.#sweepFailures++;
			this.#warn('asking the pool about open jobs failed; it will be tried again', error);
		}
		this.#sweepAt = store.open.size > 0 ? Date.now() + backOffMs(TIMING.reconcileOpenMs, this.#sweepFailures) : null;
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
		const dueAt = retentionDueAt(store, this.#ttlMs(), Date.now());
		if (dueAt === null || dueAt > Date.now()) return;
		try {
			this.#moreToRetain = await retain(store, storageOf(this.env), this.#ttlMs(), Date.now());
			this.#retainFailures = 0;
		} catch (error) {
			this.#retainFailures++;
			this.#warn('removing expired objects failed; it will be tried again', error);
		}
	}

	async #rearm(store: Store): Promise<void> {
		const now = Date.now();
		if (store.deletingSince !== null) return this.#arm(now + 1);
		const wake = wakeAt({
			sweepAt: this.#sweepAt,
			retentionDueAt: retentionDueAt(store, this.#ttlMs(), now),
			more: this.#moreToRetain,
			failures: this.#retainFailures,
			ttlMs: this.#ttlMs(),
			nowMs: now,
		});
		if (wake !== null) await this.#arm(wake);
	}

	#alarmIsLost(): boolean {
		return this.#armedAt !== null && this.#armedAt <= Date.now() - ALARM_LATE_MAX_MS;
	}

	async beginRequest(name: string, bodyHash: string) {
		const begun = this.#commit(() => beginRequest(this.#mustStore(), name, bodyHash, Date.now()));
		// The row must go in time even when nothing else happens here.
		if (begun.ok && begun.kind === 'new') await this.#arm(Date.now() + 2 * REQUEST_LIMITS.idempotencyTtlMs);
		return begun;
	}

	async endRequest(name: string, reply: string | null): Promise<void> {
		this.#commit(() => endRequest(this.#mustStore(), name, reply, Date.now()));
	}

	async quotas(keyId?: string) {
		return this.#resources.quotas(keyId, this.#config.maxQueueDepth);
	}

	async usageSeries(fromMs: number, toMs: number) {
		return this.#resources.series(fromMs, toMs);
	}

	async allocate(input: AllocationInput, actor: Actor) {
		return this.#resources.allocate(input, actor);
	}

	async release(id: string, actor: Actor) {
		return this.#resources.release(id, actor);
	}

	async storageLeft() {
		return this.#resources.storageLeft();
	}

	/** How long pictures are kept: as the gateway says, or shorter. */
	#ttlMs(): number {
		return Math.min(this.#config.resultTtlMs, this.#tenancy.limits().retentionMs ?? Number.POSITIVE_INFINITY);
	}

	async createWorkspace(ws: string, name: string) {
		if (this.#store !== undefined) return refuse('conflict', 'this workspace id is taken');
		this.#commit(() => this.#makeStore(ws));
		this.#tenancy.created(name);
		const workspace = this.#tenancy.workspace();
		return workspace === null ? refuse('internal') : { ok: true as const, workspace };
	}

	async workspace() {
		return this.#tenancy.workspace();
	}

	async renameWorkspace(name: string, actor: Actor) {
		return this.#tenancy.rename(name, actor);
	}

	async setLimits(limits: WorkspaceLimits, actor: Actor) {
		return this.#tenancy.setLimits(limits, actor);
	}

	async deleteWorkspace(): Promise<Result<{ members: string[] }>> {
		const store = this.#store;
		if (store === undefined) return refuse('not_found', 'there is no such workspace');
		const members = this.#tenancy.listMembers().map(({ accountId }) => accountId);
		if (store.deletingSince === null) this.#commit(() => store.markDeleting(Date.now()));
		await this.#arm(Date.now() + 1);
		return { ok: true, members };
	}

	async principalOf(ws: string, caller: TokenCaller) {
		return this.#tenancy.principal(ws, caller);
	}

	async listKeys() {
		return this.#tenancy.listKeys();
	}

	async getKey(id: string) {
		return this.#tenancy.getKey(id);
	}

	async createKey(input: KeyInput, by: By) {
		return this.#tenancy.createKey(input, by);
	}

	async updateKey(id: string, change: Partial<KeyInput>, by: By) {
		return this.#tenancy.updateKey(id, change, by);
	}

	async rotateKey(id: string, graceMs: number, by: By) {
		return this.#tenancy.rotateKey(id, graceMs, by);
	}

	async revokeKey(id: string, actor: Actor) {
		return this.#tenancy.revokeKey(id, actor);
	}

	async listMembers() {
		return this.#tenancy.listMembers();
	}

	async setRole(accountId: string, role: Role, by: By) {
		return this.#tenancy.setRole(accountId, role, by);
	}

	async removeMember(accountId: string, by: By) {
		return this.#tenancy.removeMember(accountId, by);
	}

	async transferOwnership(accountId: string, actor: Actor) {
		return this.#tenancy.transferOwnership(accountId, actor);
	}

	async invite(input: { role: Role; email: string | null }, by: By) {
		return this.#tenancy.invite(input, by);
	}

	async ownerLink(actor: Actor) {
		return this.#tenancy.ownerLink(actor);
	}

	async listInvitations() {
		return this.#tenancy.listInvitations();
	}

	async revokeInvitation(id: string, actor: Actor) {
		return this.#tenancy.revokeInvitation(id, actor);
	}

	async peekInvitation(id: string, tokenHash: string) {
		return this.#tenancy.peekInvitation(id, tokenHash);
	}

	async acceptInvitation(id: string, tokenHash: string, account: { id: string; email: string; name: string }) {
		return this.#tenancy.acceptInvitation(id, tokenHash, account);
	}

	/** Sets the alarm only when none stands or an earlier one is needed. */
	async #arm(at: number): Promise<void> {
		if (this.#armedAt !== null && !this.#alarmIsLost() && this.#armedAt <= at) return;
		this.#armedAt = at;
		this.#sql.note('alarm', 1);
		await this.ctx.storage.setAlarm(at);
	}

	/** One commit. When it fails, memory is rebuilt from what the storage still holds. */
	#commit<T>(turn: () => T): T {
		try {
			return this.ctx.storage.transactionSync(turn);
		} catch (error) {
			if (isMigrated(this.ctx.storage)) this.#store?.reload();
			else this.#store = undefined;
			throw error;
		}
	}

	#mustStore(): Store {
		if (this.#store === undefined) throw new Error('the workspace does not exist: authenticate first');
		return this.#store;
	}

	#warn(message: string, error: unknown): void {
		const log = createLogger(this.env.LOG_LEVEL, { ws: this.#store?.ws, traceId: 'alarm' }, (line) => console.warn(line));
		log.warn(message, describeError(error));
	}
}
