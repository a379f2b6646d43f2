import { TIMING, type JobState } from '@limner/shared';
import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { sha256Hex } from '../lib/canonical.ts';
import type { JobRow, Settlement } from '../rpc.ts';
import { decidePurge, decideSettle, decideSubmit, OBJECTS, objectsOf, toPoolJob, type SubmitContext } from './jobs.ts';
import { decideKey, sameHash, type KeyRow } from './keys.ts';
import { EMPTY_LEDGER, nextLedgerRow, verifyLedger, type LedgerRow } from './ledger.ts';
import { parseImageCursor } from './listing.ts';
import { backOffMs, chunks, retentionGapMs, toEnqueueAgain, toReconcile, wakeAt, type WakeInput } from './sweep.ts';

const spec = { n: 1 } as JobRow['spec'];
const row = (over: Partial<JobRow> = {}): JobRow => ({
	id: 'job_1',
	ws: 'w',
	state: 'queued',
	spec,
	createdAt: 1,
	images: [],
	hist: [],
	warnings: [],
	...over,
});
const image = (index: number) => ({ index, key: `k${index}`, epoch: 1, sha256: 'a'.repeat(64) }) as JobRow['images'][number];
const settlement = (over: Partial<Settlement> = {}): Settlement => ({
	ws: 'w',
	jobId: 'job_1',
	state: 'succeeded',
	images: [image(0)],
	hist: [],
	usage: { images: 1, megapixelSteps: 1 },
	finishedAt: 9,
	warnings: [],
	...over,
});

describe('decideSettle', () => {
	it.each(['waiting', 'queued', 'running'] as const)('lets an open row in %s fail, be canceled and expire', (state) => {
		for (const to of ['failed', 'canceled', 'expired'] as const) {
			expect(decideSettle(row({ state }), settlement({ state: to }))).toMatchObject({
				outcome: 'settled',
				row: { state: to, finishedAt: 9 },
			});
		}
	});

	it('goes through running to succeed, also from waiting: a row does not follow a live job', () => {
		expect(decideSettle(row(), settlement())).toMatchObject({ outcome: 'settled', row: { state: 'succeeded', images: [{ index: 0 }] } });
		expect(decideSettle(row({ state: 'waiting' }), settlement())).toMatchObject({ outcome: 'settled', row: { state: 'succeeded' } });
	});

	it('takes no settlement that does not end the job', () => {
		for (const state of ['waiting', 'queued', 'running'] as const)
			expect(() => decideSettle(row(), settlement({ state }))).toThrow('job cannot go');
	});

	it('never reopens a job, and knows no job of somebody else', () => {
		const ended: JobState[] = ['succeeded', 'failed', 'canceled', 'expired'];
		for (const state of ended) expect(decideSettle(row({ state }), settlement())).toEqual({ outcome: 'already' });
		expect(decideSettle(row(), settlement({ ws: 'x' }))).toEqual({ outcome: 'unknown' });
		expect(decideSettle(undefined, settlement())).toEqual({ outcome: 'unknown' });
	});
});

const context = (over: Partial<SubmitContext> = {}): SubmitContext => ({
	ws: 'w',
	shard: 5,
	openJobs: 0,
	maxQueueDepth: 2,
	idem: undefined,
	nowMs: 1000,
	random: new Uint8Array(10),
	...over,
});

describe('decideSubmit', () => {
	const input = { keyHash: '', keyId: 'k', spec, warnings: ['w1'], traceId: 't', idempotency: { key: 'i', bodyHash: 'b' } };
	const idem = { bodyHash: 'b', job: { row: row(), keyId: 'k' } };

	it('opens a job at the bound and refuses one past it', () => {
		expect(decideSubmit(input, context({ openJobs: 1 }))).toMatchObject({
			kind: 'insert',
			job: { keyId: 'k', row: { state: 'queued', hist: [] } },
		});
		expect(decideSubmit(input, context({ openJobs: 2 }))).toMatchObject({
			kind: 'refused',
			refusal: { code: 'queue_full', retryAfterS: 5 },
		});
	});

	it('replays the same body even when full, and refuses another', () => {
		expect(decideSubmit(input, context({ openJobs: 2, idem }))).toEqual({ kind: 'replay', job: idem.job });
		expect(decideSubmit(input, context({ idem: { ...idem, bodyHash: 'c' } }))).toMatchObject({ refusal: { code: 'idempotency_mismatch' } });
	});

	it('hands over what the row holds', () => {
		const decision = decideSubmit({ ...input, retryOf: 'job_0' }, context());
		if (decision.kind !== 'insert') throw new Error(decision.kind);
		const { id } = decision.job.row;
		expect(toPoolJob(decision.job, 1)).toEqual({
			id,
			ws: 'w',
			weight: 1,
			spec,
			createdAt: 1000,
			warnings: ['w1'],
			keyId: 'k',
			traceId: 't',
			retryOf: 'job_0',
		});
		expect(id.endsWith('05')).toBe(true);
	});
});

const hist = (epoch: number) => [{ rev: 1, at: 1, type: 'assigned' as const, who: 'pool', epoch }];

describe('pictures', () => {
	it('needs a listing once a task was granted twice', () => {
		expect(objectsOf(row())).toBe(OBJECTS.none);
		const made = { rev: 2, at: 2, type: 'image' as const, who: 'node:1', index: 0, epoch: 1 };
		expect(objectsOf(row({ images: [image(0)], hist: [...hist(1), made] }))).toBe(OBJECTS.named);
		expect(objectsOf(row({ hist: hist(2) }))).toBe(OBJECTS.prefix);
		// Put there by a node: it may have put more.
		expect(objectsOf(row({ images: [{ ...image(0), direct: true }], hist: [...hist(1), made] }))).toBe(OBJECTS.prefix);
		// Granted and not made: an upload may have been cut off between the bucket and the pool.
		expect(objectsOf(row({ hist: hist(1) }))).toBe(OBJECTS.prefix);
		expect(objectsOf(row({ hist: [...hist(1), ...hist(1), made] }))).toBe(OBJECTS.prefix);
	});

	it('purges one or all of an ended job', () => {
		const ended = row({ state: 'succeeded', images: [image(0), image(1)] });
		expect(decidePurge(ended, 1, 7)).toMatchObject({ kind: 'purge', keys: ['k1'], row: { images: [{ index: 0 }], purgedAt: 7 } });
		expect(decidePurge(ended, undefined, 7)).toMatchObject({ keys: ['k0', 'k1'], row: { images: [] } });
		expect(decidePurge(ended, 3, 7)).toMatchObject({ refusal: { code: 'not_found' } });
		expect(decidePurge(row(), undefined, 7)).toMatchObject({ refusal: { code: 'conflict' } });
		expect(decidePurge(row({ state: 'failed', purgedAt: 3 }), 0, 7)).toMatchObject({ kind: 'purge', keys: [], row: { purgedAt: 3 } });
	});

	it('reads only cursors that it wrote', () => {
		const id = `job_${'0'.repeat(28)}`;
		expect(parseImageCursor(`${id}:15`)).toEqual({ jobId: id, index: 15 });
		for (const bad of ['', id, `${id}:`, `${id}:100`, `x${id}:1`, `job_${'u'.repeat(28)}:1`]) expect(parseImageCursor(bad)).toBeUndefined();
	});
});

describe('keys', () => {
	const hash = sha256Hex('key');
	const key: KeyRow = { id: 'k', hash, scopes: ['jobs:read'], createdAt: 0, expiresAt: 100, revokedAt: null };

	it('compares hashes only of the right form', () => {
		expect(sameHash(hash, hash)).toBe(true);
		expect(sameHash(hash, sha256Hex('other'))).toBe(false);
		for (const bad of ['', 'x', hash.slice(2), hash.toUpperCase(), `${hash}00`]) expect(sameHash(bad, bad)).toBe(false);
	});

	it('expires on the millisecond', () => {
		const kinds = [99, 100].map((now) => decideKey(key, { keyId: 'k', keyHash: hash }, null, now).kind);
		expect(kinds).toEqual(['known', 'refused']);
	});

	it('takes the bootstrap key only where there is no row, and never brings a revoked one back', () => {
		const presented = { keyId: 'k', keyHash: hash };
		expect(decideKey(undefined, presented, hash, 1)).toMatchObject({
			kind: 'bootstrap',
			key: { scopes: ['admin', 'operator'], expiresAt: null },
		});
		expect(decideKey(undefined, presented, null, 1)).toMatchObject({ kind: 'refused' });
		expect(decideKey(undefined, presented, sha256Hex('other'), 1)).toMatchObject({ kind: 'refused' });
		expect(decideKey({ ...key, revokedAt: 1 }, presented, hash, 2)).toMatchObject({ kind: 'refused' });
		expect(decideKey({ ...key, hash: sha256Hex('other') }, presented, hash, 2)).toMatchObject({ kind: 'refused' });
	});
});

const settle = (images: number) => ({
	type: 'settle' as const,
	job: `job_${images}`,
	state: 'succeeded',
	finishedAt: 1,
	usage: { images, megapixelSteps: images * 0.1 },
	hist: '',
	images: [],
});

const chain = (counts: number[]): LedgerRow[] => {
	const rows: LedgerRow[] = [];
	for (const images of counts) rows.push(nextLedgerRow(rows.at(-1) ?? EMPTY_LEDGER, [settle(images)], rows.length));
	return rows;
};

describe('ledger', () => {
	it('carries totals without drift', () => {
		const rows = chain(Array.from({ length: 1000 }, () => 1));
		expect(rows.at(-1)?.totals).toEqual({ images: 1000, megapixelSteps: 100, settledJobs: 1000 });
		expect(verifyLedger(rows)).toMatchObject({ ok: true });
	});

	it('counts no usage for deletions', () => {
		const purge = nextLedgerRow(EMPTY_LEDGER, [{ type: 'purge', job: 'job_1', indexes: [0] }], 1);
		expect(purge.totals).toEqual(EMPTY_LEDGER.totals);
	});

	it('finds every single change of a row', () => {
		fc.assert(
			fc.property(
				fc.array(fc.nat({ max: 9 }), { minLength: 2, maxLength: 6 }),
				fc.nat(),
				fc.constantFrom('at', 'seq', 'prev', 'hash', 'totals', 'entries', 'drop', 'swap'),
				(counts, pick, what) => {
					const rows = chain(counts);
					const index = pick % (rows.length - 1);
					const target = rows[index] as LedgerRow;
					const changes: Record<string, Partial<LedgerRow>> = {
						at: { at: target.at + 1 },
						seq: { seq: target.seq + 1 },
						prev: { prev: sha256Hex('x') },
						hash: { hash: sha256Hex('x') },
						totals: { totals: { ...target.totals, images: target.totals.images + 1 } },
						entries: { entries: [settle(10)] },
					};
					if (what === 'drop') rows.splice(index, 1);
					else if (what === 'swap') rows.splice(index, 2, ...rows.slice(index, index + 2).toReversed());
					else rows[index] = { ...target, ...changes[what] };
					expect(verifyLedger(rows).ok).toBe(false);
				},
			),
		);
	});
});

describe('sweep', () => {
	it('asks about jobs that are 60 s old, and hands over those unknown and still open', () => {
		const now = 1_000_000;
		const open = new Map([
			['old', now - TIMING.reconcileOpenMs],
			['young', now - TIMING.reconcileOpenMs + 1],
		]);
		expect(toReconcile(open, now)).toEqual(['old']);
		expect(toEnqueueAgain(['a', 'b', 'c'], ['b'], (id) => id !== 'c')).toEqual(['a']);
	});

	it('backs off to ten minutes', () => {
		expect([0, 1, 2, 3, 4, 99].map((failures) => backOffMs(60_000, failures))).toEqual([
			60_000, 120_000, 240_000, 480_000, 600_000, 600_000,
		]);
	});

	it('wakes for what comes first, never in the past, and not for each picture', () => {
		const day = 86_400_000;
		const input: WakeInput = { sweepAt: null, retentionDueAt: null, more: false, failures: 0, ttlMs: 30 * day, nowMs: 1000 };
		expect(wakeAt(input)).toBeNull();
		expect(wakeAt({ ...input, sweepAt: 500 })).toBe(1001);
		expect(wakeAt({ ...input, sweepAt: 2000, retentionDueAt: 5 * day })).toBe(2000);
		expect(wakeAt({ ...input, retentionDueAt: 5 * day })).toBe(5 * day);
		expect(wakeAt({ ...input, retentionDueAt: 10 })).toBe(1000 + 3_600_000);
		expect(wakeAt({ ...input, retentionDueAt: 10, more: true })).toBe(2000);
		expect(wakeAt({ ...input, retentionDueAt: 10, failures: 1 })).toBe(1000 + 120_000);
		expect([retentionGapMs(90_000), retentionGapMs(1), retentionGapMs(30 * day)]).toEqual([3750, 1000, 3_600_000]);
	});

	it('splits without loss', () => {
		expect(chunks([1, 2, 3, 4, 5], 2)).toEqual([[1, 2], [3, 4], [5]]);
		expect(chunks([], 2)).toEqual([]);
	});
});
