/**
 * Durable Object of one workspace (key: the workspace id): keys, jobs, idempotency, ledger, inputs. A shell: each
 * method is one synchronous turn over `Store`, decided by the pure functions beside it.
 * @module
 */
import { refuse, TIMING, type BackupPart, type JobState, type Result } from '@limner/shared';
import { storageOf } from '../storage/index.ts';
import type {
	AssetRow,
	BackupSlice,
	JobRow,
	RestoreBatch,
	Settlement,
	Takedown,
	WorkspaceHealth,
	WorkspacePart,
	WorkspaceRpc,
} from '../rpc.ts';
import { ledgerSlice } from './audit.ts';
import { decidePurge, decideSettle, objectsOf } from './jobs.ts';
import { healthOf, holdsOperatorKey } from './health.ts';
import { settleEntry, type LedgerAction, type LedgerEntry } from './ledger.ts';
import { restoreParts, workspaceParts } from './parts.ts';
import { backupSlice, beginRestore, finishRestore, isRestoring, restoreBatch } from './restore.ts';
import { Store } from './store.ts';
import { planTakedown, removeObjects, takeDown, takedownOf } from './takedown.ts';
import { SubmitObject } from './submit-rpc.ts';
import { chunks, retentionGapMs } from './sweep.ts';

/** Rows in which a repeated action is looked for. */
const REPEAT_LOOK_ROWS = 20;

type SettleOutcome = { jobId: string; outcome: 'settled' | 'already' | 'unknown' };

export class Workspace extends SubmitObject implements WorkspaceRpc {
	async getJob(jobId: string): Promise<JobRow | null> {
		const store = this.store;
		if (store === undefined) return null;
		// A caller who polls keeps this instance alive, so that no constructor would find the loss.
		if (this.alarmIsLost()) await this.rearm(store);
		return store.job(jobId)?.row ?? null;
	}

	async settleBatch(batch: Settlement[]): Promise<SettleOutcome[]> {
		const store = this.store;
		if (store === undefined) return batch.map(({ jobId }) => ({ jobId, outcome: 'unknown' }));
		const outcomes = chunks(batch, TIMING.settleBatchJobs).flatMap((part) => this.#settle(store, part));
		if (store.open.size === 0) this.sweepAt = null;
		if (outcomes.some(({ outcome }) => outcome === 'settled')) {
			this.tellDelivery(store);
			// Pictures must be removed in time even when this workspace never gets another job.
			await this.arm(Date.now() + this.ttlMs() + retentionGapMs(this.ttlMs()));
		}
		return outcomes;
	}

	/** One ledger row for all that it settles. */
	#settle(store: Store, batch: Settlement[]): SettleOutcome[] {
		return this.commit(() => {
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
		const row = this.store?.job(jobId)?.row;
		if (row === undefined) return { state: 'unknown' };
		const image = row.images.find((picture) => picture.index === index);
		const report = row.hist.find((entry) => entry.type === 'result' && entry.index === index)?.['key'];
		const key = image?.key ?? (typeof report === 'string' ? report : undefined);
		return { state: row.state, ...(key === undefined ? {} : { key }) };
	}

	/** Deletes the objects too, before the row forgets their keys; deleting them again does no harm. */
	async purgeImages(jobId: string, index?: number): Promise<Result<{ keys: string[] }>> {
		const store = this.store;
		const planned = decidePurge(store?.job(jobId)?.row, index, Date.now());
		if (store === undefined || planned.kind === 'refused') return planned.kind === 'refused' ? planned.refusal : refuse('not_found');
		if (planned.keys.length === 0) return { ok: true, keys: [] };
		await storageOf(this.env).delete(planned.keys);
		// R2 opened the gate: another purge may have come first. An ended job only loses pictures, so decide again.
		const decision = decidePurge(store.job(jobId)?.row, index, Date.now());
		if (decision.kind === 'purge' && decision.keys.length > 0) {
			this.commit(() => {
				store.purgeJob(decision.row, objectsOf(decision.row), Date.now());
				store.appendLedger([{ type: 'purge', job: jobId, indexes: decision.indexes }], Date.now());
			});
			this.tellDelivery(store);
		}
		return { ok: true, keys: planned.keys };
	}

	async takeDown(jobId: string, index: number, by: { who: string; reason: string; traceId: string }): Promise<Result<{ removed: number }>> {
		const store = this.store;
		const planned = planTakedown(store?.job(jobId)?.row, index);
		if (store === undefined || planned !== undefined) return planned ?? refuse('not_found');
		// Objects go first, all attempts of the picture: a failure in between leaves rows that name them, and the caller repeats.
		const removed = await removeObjects(storageOf(this.env), store.ws, jobId, index);
		this.commit(() => takeDown(store, { jobId, index, at: Date.now(), ...by }));
		this.tellDelivery(store);
		return { ok: true, removed };
	}

	async takedownOf(jobId: string, index: number): Promise<Takedown | null> {
		return (this.store && takedownOf(this.store, jobId, index)) ?? null;
	}

	async createAsset(asset: AssetRow): Promise<void> {
		const store = this.mustStore();
		store.insertAsset(asset);
		await this.arm(asset.expiresAt + retentionGapMs(this.ttlMs()));
	}

	async getAsset(assetId: string): Promise<AssetRow | null> {
		const asset = this.store?.asset(assetId);
		return asset !== undefined && asset.expiresAt > Date.now() ? asset : null;
	}

	async recordAction(action: Omit<LedgerAction, 'type'>): Promise<void> {
		const store = this.mustStore();
		// A call that was repeated because its answer was lost comes again at once, if at all.
		const recent = ledgerSlice(store, store.ledger.seq - REPEAT_LOOK_ROWS, REPEAT_LOOK_ROWS).rows;
		if (recent.some(({ row }) => row.entries.some((entry) => entry.type === 'action' && entry.id === action.id))) return;
		this.commit(() => store.appendLedger([{ type: 'action', ...action }], Date.now()));
		this.tellDelivery(store);
	}

	async watchLedger(): Promise<number> {
		const store = this.mustStore();
		if (store.getMeta('delivery') === undefined) store.setMeta('delivery', '1');
		return store.ledger.seq;
	}

	async backupSlice(after: string, limit: number): Promise<BackupSlice> {
		return backupSlice(this.mustStore(), after, limit);
	}

	async beginRestore(): Promise<Result<{ dropped: number }>> {
		const store = this.mustStore();
		return this.commit(() => beginRestore(store));
	}

	async restoreBatch(batch: RestoreBatch): Promise<Result<object>> {
		const store = this.mustStore();
		return this.commit(() => restoreBatch(store, batch));
	}

	async isRestoring(): Promise<boolean> {
		return isRestoring(this.mustStore());
	}

	async backupParts(secretId: string): Promise<BackupPart[]> {
		return workspaceParts(this.mustStore(), secretId);
	}

	async restoreParts(parts: WorkspacePart[], trusted: boolean): Promise<Result<{ left: string[] }>> {
		const store = this.mustStore();
		return this.commit(() => restoreParts(store, parts, trusted));
	}

	async finishRestore(head: { seq: number; hash: string }): Promise<Result<object>> {
		const store = this.mustStore();
		const answer = this.commit(() => finishRestore(store, head));
		// Jobs that had not ended are handed to their shard, which does not know them.
		if (answer.ok && store.open.size > 0) this.sweepAt = Date.now();
		await this.rearm(store);
		return answer;
	}

	async runsGateway(): Promise<boolean> {
		return holdsOperatorKey(this.mustStore(), this.config.bootstrapHash ?? '');
	}

	async health(sinceMs: number): Promise<WorkspaceHealth> {
		const health = healthOf(this.mustStore(), sinceMs, {
			maxQueueDepth: this.profiles.limits().queued ?? this.config.maxQueueDepth,
			bootstrapHash: this.config.bootstrapHash,
		});
		const { windows, storage } = this.resources.quotas(undefined, 0);
		const used = windows.map(({ window, metric, used: ended, reserved, limit }) => ({
			name: `${metric} a ${window}`,
			used: ended + reserved,
			limit,
		}));
		const stored = storage.limitBytes === null ? [] : [{ name: 'storage', used: storage.usedBytes, limit: storage.limitBytes }];
		return { ...health, quotas: [...health.quotas, ...used, ...stored] };
	}
}
