/**
 * The meter of a workspace: what is used, open and reserved, in memory, beside the rows that it is rebuilt from.
 * @module
 */
import { megapixelSteps, QUOTA_LIMITS, windowStart, type ImageRecord, type JobSpec } from '@limner/shared';
import type { CountedSql } from '../lib/sql.ts';
import type { JobRow } from '../rpc.ts';
import type { Allocation, OpenJob, QuotaView } from './quota.ts';
import { add, amountOf, charge, emptyUsage, NOTHING, rollOver, sumPairs, type Amount, type ByPair, type UsageState } from './usage.ts';

type AllocationSql = {
	id: string;
	created_at: number;
	created_by: string;
	note: string;
	starts_at: number;
	ends_at: number;
	images: number;
	milli_steps: number;
	used_images: number;
	used_milli_steps: number;
	released_at: number | null;
};
const allocationFromSql = (sql: AllocationSql): Allocation => ({
	id: sql.id,
	createdAt: sql.created_at,
	createdBy: sql.created_by,
	note: sql.note,
	startsAt: sql.starts_at,
	endsAt: sql.ends_at,
	images: sql.images,
	milliSteps: sql.milli_steps,
	usedImages: sql.used_images,
	usedMilliSteps: sql.used_milli_steps,
	releasedAt: sql.released_at,
});

/** What a job may use at most. */
export const costOf = (spec: Pick<JobSpec, 'n' | 'width' | 'height' | 'steps'>): Amount => [
	1,
	spec.n,
	Math.round(megapixelSteps(spec.width, spec.height, spec.steps, spec.n) * 1000),
	0,
];

const bytesOf = (images: readonly Pick<ImageRecord, 'bytes'>[]): number => images.reduce((sum, image) => sum + image.bytes, 0);

/** Reservations are listed for this long after their end. */
const ALLOCATIONS_KEPT_MS = 30 * 86_400_000;

export class Meter {
	readonly #sql: CountedSql;
	readonly #open = new Map<string, OpenJob>();
	#usage: UsageState = emptyUsage(0);
	#allocations: Allocation[] = [];
	/** Days of the month that have ended, for the day that it was read on. */
	#before: { dayAt: number; pairs: ByPair[] } | undefined;

	constructor(sql: CountedSql) {
		this.#sql = sql;
	}

	/**
	 * Reads what is stored; open jobs are added by `opened`.
	 * @param text of the last ledger row; `null` for a workspace of an earlier version, whose bytes are counted once
	 */
	reload(text: string | null, nowMs: number): void {
		this.#open.clear();
		this.#before = undefined;
		this.#usage = text === null ? emptyUsage(nowMs, this.#countBytes()) : (JSON.parse(text) as UsageState);
		this.#allocations = this.#sql.all<AllocationSql>('SELECT * FROM allocations ORDER BY created_at DESC, id').map(allocationFromSql);
	}

	#countBytes(): number {
		const row = this.#sql.all<{ bytes: number | null }>(
			"SELECT sum(json_extract(image.value, '$.bytes')) AS bytes FROM jobs, json_each(jobs.images) AS image",
		)[0];
		return row?.bytes ?? 0;
	}

	get state(): UsageState {
		return this.#usage;
	}

	text(): string {
		return JSON.stringify(this.#usage);
	}

	opened(id: string, createdAt: number, keyId: string, spec: JobSpec): void {
		const allocationId = typeof spec['allocationId'] === 'string' ? spec['allocationId'] : undefined;
		this.#open.set(id, { createdAt, keyId, amount: costOf(spec), ...(allocationId === undefined ? {} : { allocationId }) });
	}

	/** Replaces what a job had reserved by what it has used. */
	closed(row: JobRow, nowMs: number): void {
		const job = this.#open.get(row.id);
		this.#open.delete(row.id);
		this.rollOver(nowMs);
		const usage = row.usage ?? { images: 0, megapixelSteps: 0 };
		const done = { keyId: job?.keyId ?? '', model: row.spec.model, failed: row.state === 'failed', usage, bytes: bytesOf(row.images) };
		this.#usage = charge(this.#usage, done);
		if (job?.allocationId !== undefined) this.#draw(job.allocationId, amountOf(done));
	}

	#draw(id: string, amount: Amount): void {
		this.#allocations = this.#allocations.map((each) =>
			each.id === id ? { ...each, usedImages: each.usedImages + amount[1], usedMilliSteps: each.usedMilliSteps + amount[2] } : each,
		);
		this.#sql.write(
			'allocations',
			'UPDATE allocations SET used_images = used_images + ?, used_milli_steps = used_milli_steps + ? WHERE id = ?',
			amount[1],
			amount[2],
			id,
		);
	}

	/** Pictures of a job are about to be removed, except those that are left. */
	removed(jobId: string, left: readonly Pick<ImageRecord, 'bytes'>[]): void {
		const row = this.#sql.all<{ images: string }>('SELECT images FROM jobs WHERE id = ?', jobId)[0];
		if (row === undefined) return;
		const gone = bytesOf(JSON.parse(row.images) as ImageRecord[]) - bytesOf(left);
		this.#usage = { ...this.#usage, storedBytes: Math.max(0, this.#usage.storedBytes - gone) };
	}

	/** Writes the day that has ended; one row a day. */
	rollOver(nowMs: number): void {
		const { state, ended } = rollOver(this.#usage, nowMs);
		this.#usage = state;
		if (ended === undefined) return;
		this.#before = undefined;
		this.#sql.write(
			'usage_days',
			'INSERT INTO usage_days (day_at, pairs) VALUES (?, ?) ON CONFLICT (day_at) DO UPDATE SET pairs = excluded.pairs',
			ended.dayAt,
			JSON.stringify(ended.day),
		);
	}

	/** Bytes of pictures and inputs. */
	storedBytes(): number {
		const assets = this.#sql.all<{ bytes: number | null }>('SELECT sum(bytes) AS bytes FROM assets')[0]?.bytes ?? 0;
		return this.#usage.storedBytes + assets;
	}

	/** Days from one to another (begins, both included), with today as it stands. */
	days(fromMs: number, toMs: number, nowMs: number): { dayAt: number; pairs: ByPair }[] {
		const rows = this.#sql
			.all<{ day_at: number; pairs: string }>(
				'SELECT day_at, pairs FROM usage_days WHERE day_at >= ? AND day_at <= ? ORDER BY day_at LIMIT ?',
				fromMs,
				toMs,
				QUOTA_LIMITS.seriesDaysMax,
			)
			.map((row) => ({ dayAt: row.day_at, pairs: JSON.parse(row.pairs) as ByPair }));
		const { state, ended } = rollOver(this.#usage, nowMs);
		const unwritten = [
			...(ended === undefined ? [] : [{ dayAt: ended.dayAt, pairs: ended.day }]),
			{ dayAt: state.dayAt, pairs: state.day },
		];
		return [...rows, ...unwritten.filter((day) => day.dayAt >= fromMs && day.dayAt <= toMs && Object.keys(day.pairs).length > 0)];
	}

	/** All that bears on a quota at a time. Writes nothing. */
	view(nowMs: number): QuotaView {
		const { state } = rollOver(this.#usage, nowMs);
		const monthBefore = (keyId?: string): Amount =>
			this.#monthBefore(state.dayAt, nowMs).reduce((sum, pairs) => add(sum, sumPairs(pairs, keyId)), NOTHING);
		return { usage: state, monthBefore, open: this.openJobs, allocations: this.#allocations, nowMs };
	}

	#monthBefore(dayAt: number, nowMs: number): ByPair[] {
		if (this.#before?.dayAt !== dayAt) {
			const days = this.days(windowStart('month', dayAt), dayAt - 1, nowMs);
			this.#before = { dayAt, pairs: days.map(({ pairs }) => pairs) };
		}
		return this.#before?.pairs ?? [];
	}

	get openJobs(): readonly OpenJob[] {
		return [...this.#open.values()];
	}

	get allocations(): readonly Allocation[] {
		return this.#allocations;
	}

	putAllocation(allocation: Allocation): void {
		this.#sql.write('allocations', 'DELETE FROM allocations WHERE ends_at < ?', allocation.createdAt - ALLOCATIONS_KEPT_MS);
		this.#sql.write(
			'allocations',
			`INSERT INTO allocations (id, created_at, created_by, note, starts_at, ends_at, images, milli_steps, used_images, used_milli_steps,
				released_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, 0, NULL)`,
			allocation.id,
			allocation.createdAt,
			allocation.createdBy,
			allocation.note,
			allocation.startsAt,
			allocation.endsAt,
			allocation.images,
			allocation.milliSteps,
		);
		this.#allocations = [allocation, ...this.#allocations];
	}

	/** Of a backup: as it was, with what was drawn from it. One that is there stays. */
	restoreAllocation(allocation: Allocation): void {
		this.#sql.write(
			'allocations',
			`INSERT OR IGNORE INTO allocations (id, created_at, created_by, note, starts_at, ends_at, images, milli_steps, used_images,
				used_milli_steps, released_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			allocation.id,
			allocation.createdAt,
			allocation.createdBy,
			allocation.note,
			allocation.startsAt,
			allocation.endsAt,
			allocation.images,
			allocation.milliSteps,
			allocation.usedImages,
			allocation.usedMilliSteps,
			allocation.releasedAt,
		);
	}

	releaseAllocation(id: string, atMs: number): void {
		this.#sql.write('allocations', 'UPDATE allocations SET released_at = coalesce(released_at, ?) WHERE id = ?', atMs, id);
		this.#allocations = this.#allocations.map((each) => (each.id === id ? { ...each, releasedAt: each.releasedAt ?? atMs } : each));
	}
}
