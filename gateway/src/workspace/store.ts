/**
 * A Workspace's tables behind typed methods, plus what is kept in memory: the open jobs and the head of the ledger.
 * Everything here is synchronous, so that calls in one turn are one commit. A Store exists only for a workspace that
 * has a key: guessing workspace ids must not make objects that cost storage.
 * @module
 */
import { REQUEST_LIMITS } from '@limner/shared';
import { migrate } from '../lib/migrations.ts';
import type { CountedSql } from '../lib/sql.ts';
import type { AssetRow, JobRow } from '../rpc.ts';
import { objectsOf, type IdemRow, type ObjectsKind, type StoredJob } from './jobs.ts';
import type { KeyRow } from './keys.ts';
import { Meter } from './meter.ts';
import { EMPTY_LEDGER, nextLedgerRow, type LedgerEntry, type LedgerHead } from './ledger.ts';
import {
	assetFromSql,
	JOB_COLUMNS,
	jobFromSql,
	jobValues,
	jsonOrNull,
	keyFromSql,
	ledgerFromSql,
	WORKSPACE_MIGRATIONS,
	type AssetSql,
	type JobSql,
	type KeySql,
	type LedgerSql,
} from './schema.ts';

const IDEM_TTL_MS = REQUEST_LIMITS.idempotencyTtlMs;
/** `job_` and the ten characters that hold the milliseconds: sorts before every id of that time or later. */
const TIME_PREFIX_CHARS = 14;
/** A place for each of the 16 columns. */
const JOB_PLACES = JOB_COLUMNS.replaceAll(/\w+/g, '?');

export const idemBucket = (atMs: number): number => Math.floor(atMs / IDEM_TTL_MS);

export class Store {
	readonly sql: CountedSql;
	readonly ws: string;
	readonly homeShard: number;
	/** Ids of open jobs with their creation times, oldest first. */
	readonly #open = new Map<string, number>();
	readonly meter: Meter;
	#ledger: LedgerHead = EMPTY_LEDGER;
	#lastJobId = '';
	#lastJobAt = 0;
	#deletingSince: number | null = null;

	/** @param identity written the first time, ignored afterwards: a home shard is kept for ever */
	constructor(storage: DurableObjectStorage, sql: CountedSql, nowMs: number, identity?: { ws: string; homeShard: number }) {
		this.sql = sql;
		migrate(storage, WORKSPACE_MIGRATIONS, nowMs);
		const kept = this.#meta('identity');
		if (kept === undefined && identity === undefined) throw new Error('the workspace has tables but no identity');
		if (kept === undefined) this.setMeta('identity', JSON.stringify(identity));
		const { ws, homeShard } = kept === undefined ? (identity as { ws: string; homeShard: number }) : JSON.parse(kept);
		this.ws = ws;
		this.homeShard = homeShard;
		this.meter = new Meter(sql);
		this.reload();
	}

	/** Reads again what memory keeps, after construction or a commit that failed. */
	reload(): void {
		this.#open.clear();
		const deleting = this.#meta('deleting');
		this.#deletingSince = deleting === undefined ? null : Number(deleting);
		const head = this.sql.all<LedgerSql>('SELECT * FROM ledger ORDER BY seq DESC LIMIT 1')[0];
		this.#ledger = head === undefined ? EMPTY_LEDGER : ledgerFromSql(head);
		this.meter.reload(head?.usage ?? null, Date.now());
		const open = this.sql.each<{ id: string; created_at: number; key_id: string; spec: string }>(
			'SELECT id, created_at, key_id, spec FROM jobs WHERE id >= ? AND finished_at IS NULL ORDER BY id',
			head?.open_from ?? '',
		);
		for (const { id, created_at, key_id, spec } of open) {
			this.#open.set(id, created_at);
			this.meter.opened(id, created_at, key_id, JSON.parse(spec));
		}
		const last = this.sql.all<{ id: string; created_at: number }>('SELECT id, created_at FROM jobs ORDER BY id DESC LIMIT 1')[0];
		this.#lastJobId = last?.id ?? '';
		this.#lastJobAt = last?.created_at ?? 0;
	}

	#meta(key: string): string | undefined {
		return this.sql.all<{ v: string }>('SELECT v FROM meta WHERE k = ?', key)[0]?.v;
	}

	setMeta(key: string, value: string): void {
		this.sql.write('meta', 'INSERT INTO meta (k, v) VALUES (?, ?) ON CONFLICT (k) DO UPDATE SET v = excluded.v', key, value);
	}

	getMeta(key: string): string | undefined {
		return this.#meta(key);
	}

	get open(): ReadonlyMap<string, number> {
		return this.#open;
	}

	get ledger(): LedgerHead {
		return this.#ledger;
	}

	/** Time for the next job's id: ids must keep their order when the clock steps back. */
	mintMs(nowMs: number): number {
		return Math.max(nowMs, this.#lastJobAt);
	}

	/** When the deletion of the workspace began; what is deleted answers nobody any more. */
	get deletingSince(): number | null {
		return this.#deletingSince;
	}

	markDeleting(atMs: number): void {
		this.setMeta('deleting', String(atMs));
		this.#deletingSince = atMs;
	}

	/** Empties tables and forgets what memory knows of them. The identity stays: an id is never used again. */
	wipe(tables: readonly string[]): void {
		for (const table of tables) this.sql.write(table, `DELETE FROM ${table}`);
		this.setMeta('profile', JSON.stringify({ name: '', limits: {} }));
		this.setMeta('wiped', '1');
		this.reload();
	}

	/** When the tables were made, milliseconds since the epoch. */
	get createdAt(): number {
		return this.sql.all<{ at: number }>('SELECT at FROM migrations ORDER BY n LIMIT 1')[0]?.at ?? 0;
	}

	key(id: string): KeyRow | undefined {
		const row = this.sql.all<KeySql>('SELECT * FROM keys WHERE id = ?', id)[0];
		return row && keyFromSql(row);
	}

	insertKey(key: KeyRow, nowMs: number): void {
		this.insertKeyRow(key);
		this.appendLedger([{ type: 'key', key: key.id, scopes: key.scopes }], nowMs);
	}

	/** Without a line in the ledger: of a backup, whose ledger has it. */
	insertKeyRow(key: KeyRow): void {
		this.sql.write(
			'keys',
			`INSERT INTO keys (id, hash, scopes, created_at, expires_at, revoked_at, name, created_by, models, limits)
				VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			key.id,
			key.hash,
			JSON.stringify(key.scopes),
			key.createdAt,
			key.expiresAt,
			key.revokedAt,
			key.name ?? '',
			key.createdBy ?? null,
			jsonOrNull(key.models ?? undefined),
			jsonOrNull(key.limits ?? undefined),
		);
	}

	job(id: string): StoredJob | undefined {
		const row = this.sql.all<JobSql>(`SELECT ${JOB_COLUMNS} FROM jobs WHERE id = ?`, id)[0];
		return row && jobFromSql(this.ws, row);
	}

	insertJob(job: StoredJob): void {
		this.sql.write('jobs', `INSERT INTO jobs (${JOB_COLUMNS}) VALUES (${JOB_PLACES})`, ...jobValues(job, 0));
		this.#open.set(job.row.id, job.row.createdAt);
		this.meter.opened(job.row.id, job.row.createdAt, job.keyId, job.row.spec);
		this.#lastJobId = job.row.id;
		this.#lastJobAt = job.row.createdAt;
	}

	/** Writes the end of a job and forgets that it was open. */
	closeJob(row: JobRow): void {
		this.sql.write(
			'jobs',
			'UPDATE jobs SET state = ?, finished_at = ?, objects = ?, started_at = ?, images = ?, usage = ?, error = ?, warnings = ?, hist = ? WHERE id = ?',
			row.state,
			row.finishedAt ?? null,
			objectsOf(row),
			row.startedAt ?? null,
			JSON.stringify(row.images),
			JSON.stringify(row.usage),
			row.error === undefined ? null : JSON.stringify(row.error),
			JSON.stringify(row.warnings),
			JSON.stringify(row.hist),
			row.id,
		);
		this.#open.delete(row.id);
		this.meter.closed(row, Date.now());
	}

	/**
	 * Writes what is left of a job's pictures.
	 * @param purgedMs when pictures were removed; `null` when there was none to remove
	 */
	purgeJob(row: Pick<JobRow, 'id' | 'images'>, objects: ObjectsKind, purgedMs: number | null): void {
		this.meter.removed(row.id, row.images);
		this.sql.write(
			'jobs',
			'UPDATE jobs SET images = ?, objects = ?, purged_at = coalesce(purged_at, ?) WHERE id = ?',
			JSON.stringify(row.images),
			objects,
			purgedMs,
			row.id,
		);
	}

	/** What an Idempotency-Key stands for, unless its time is over or its job has been removed. */
	idem(key: string, nowMs: number): IdemRow | undefined {
		const bucket = idemBucket(nowMs);
		const row = this.sql.all<{ body_hash: string; job_id: string }>(
			'SELECT body_hash, job_id FROM idem WHERE bucket IN (?, ?) AND key = ? AND at > ? ORDER BY bucket DESC LIMIT 1',
			bucket,
			bucket - 1,
			key,
			nowMs - IDEM_TTL_MS,
		)[0];
		const job = row && this.job(row.job_id);
		return row && job && { bodyHash: row.body_hash, job };
	}

	insertIdem(key: string, bodyHash: string, jobId: string, nowMs: number): void {
		this.sql.write(
			'idem',
			'INSERT OR REPLACE INTO idem (bucket, key, at, body_hash, job_id) VALUES (?, ?, ?, ?, ?)',
			idemBucket(nowMs),
			key,
			nowMs,
			bodyHash,
			jobId,
		);
	}

	appendLedger(entries: LedgerEntry[], nowMs: number): void {
		const row = nextLedgerRow(this.#ledger, entries, nowMs);
		const [oldestOpen] = this.#open.keys();
		this.meter.rollOver(nowMs);
		this.sql.write(
			'ledger',
			'INSERT INTO ledger (seq, at, prev, hash, totals, open_from, entries, usage) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
			row.seq,
			row.at,
			row.prev,
			row.hash,
			JSON.stringify(row.totals),
			(oldestOpen ?? this.#lastJobId).slice(0, TIME_PREFIX_CHARS),
			JSON.stringify(row.entries),
			this.meter.text(),
		);
		this.#ledger = { seq: row.seq, hash: row.hash, totals: row.totals };
	}

	asset(id: string): AssetRow | undefined {
		const row = this.sql.all<AssetSql>('SELECT * FROM assets WHERE id = ?', id)[0];
		return row && assetFromSql(row);
	}

	/** Writing the same asset again changes nothing. */
	insertAsset(asset: AssetRow): void {
		this.sql.write(
			'assets',
			'INSERT OR IGNORE INTO assets (id, expires_at, created_at, sha256, bytes, content_type, width, height) VALUES (?, ?, ?, ?, ?, ?, ?, ?)',
			asset.id,
			asset.expiresAt,
			asset.createdAt,
			asset.sha256,
			asset.bytes,
			asset.contentType,
			asset.width,
			asset.height,
		);
	}
}
