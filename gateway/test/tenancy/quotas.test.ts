import { env } from 'cloudflare:workers';
import { evictDurableObject, reset, runInDurableObject } from 'cloudflare:test';
import * as fc from 'fast-check';
import { afterEach, describe, expect, it } from 'vitest';
import {
	chainOf,
	count,
	keyHash,
	makeWorkspace,
	mustSubmit,
	picture,
	rpcOf,
	settlement,
	spec,
	stubOf,
	submission,
} from '../workspace/fixtures.ts';
import { until } from '../pool/harness.ts';
import { ask, call, newTenant } from './harness.ts';

afterEach(async () => {
	await reset();
});

const used = async (ws: string): Promise<[used: number, reserved: number]> => {
	const gauge = (await rpcOf(ws).quotas()).windows.find((each) => each.window === 'month' && each.metric === 'images');
	return [gauge?.used ?? -1, gauge?.reserved ?? -1];
};
const limit = (ws: string, limits: object) => rpcOf(ws).setLimits(limits, 'key:test');

describe('quotas of a workspace', () => {
	it('refuse past the limit, count what was made, and survive an eviction', async () => {
		await makeWorkspace('quota');
		await limit('quota', { month: { images: 4 } });
		const id = await mustSubmit('quota', { spec: spec({ n: 3 }) });
		expect(await used('quota')).toEqual([0, 3]);
		const refused = await rpcOf('quota').submit('quota', submission('quota', { spec: spec({ n: 2 }) }));
		expect(refused).toMatchObject({ ok: false, code: 'quota_exceeded', rateLimit: { limit: 4, remaining: 1 } });
		await rpcOf('quota').settleBatch([settlement('quota', id, { usage: { images: 1, megapixelSteps: 1 } })]);
		expect(await used('quota')).toEqual([1, 0]);
		await evictDurableObject(stubOf('quota'));
		expect(await used('quota')).toEqual([1, 0]);
		expect((await rpcOf('quota').submit('quota', submission('quota', { spec: spec({ n: 3 }) }))).ok).toBe(true);
		expect((await rpcOf('quota').submit('quota', submission('quota'))).ok).toBe(false);
	});

	it('let 50 parallel submits take exactly what is left', async () => {
		await makeWorkspace('race');
		await limit('race', { day: { images: 7 } });
		const answers = await Promise.all(Array.from({ length: 50 }, () => rpcOf('race').submit('race', submission('race'))));
		expect(answers.filter(({ ok }) => ok)).toHaveLength(7);
		expect(await count('race', 'jobs')).toBe(7);
	});

	it('answer a repeated submit although nothing is left', async () => {
		await makeWorkspace('again');
		await limit('again', { day: { jobs: 1 } });
		const input = submission('again', { idempotency: { key: 'i', bodyHash: 'b' } });
		expect(await rpcOf('again').submit('again', input)).toMatchObject({ ok: true, replayed: false });
		expect(await rpcOf('again').submit('again', input)).toMatchObject({ ok: true, replayed: true });
	});

	it('cost no row more for each job', async () => {
		await makeWorkspace('rows');
		await limit('rows', { day: { images: 100 }, concurrent: 2 });
		const before = await rpcOf('rows').rowsWritten();
		const id = await mustSubmit('rows', { idempotency: { key: 'i', bodyHash: 'b' } });
		await rpcOf('rows').settleBatch([settlement('rows', id)]);
		const after = await rpcOf('rows').rowsWritten();
		const difference = (table: string): number => (after[table] ?? 0) - (before[table] ?? 0);
		expect(['jobs', 'idem', 'ledger', 'usage_days', 'keys', 'allocations'].map(difference)).toEqual([2, 1, 1, 0, 0, 0]);
	});

	it('count stored bytes, and forget those of pictures that are removed', async () => {
		await makeWorkspace('bytes');
		await limit('bytes', { storageBytes: 25 });
		for (const round of [1, 2]) {
			const id = await mustSubmit('bytes');
			await rpcOf('bytes').settleBatch([settlement('bytes', id)]);
			expect((await rpcOf('bytes').quotas()).storage.usedBytes).toBe(10 * round);
		}
		const third = await mustSubmit('bytes');
		await rpcOf('bytes').settleBatch([settlement('bytes', third)]);
		expect(await rpcOf('bytes').submit('bytes', submission('bytes'))).toMatchObject({ code: 'quota_exceeded' });
		expect(await rpcOf('bytes').storageLeft()).toBe(0);
		await evictDurableObject(stubOf('bytes'));
		await rpcOf('bytes').purgeImages(third);
		expect((await rpcOf('bytes').quotas()).storage.usedBytes).toBe(20);
		expect((await rpcOf('bytes').submit('bytes', submission('bytes'))).ok).toBe(true);
	});

	it('count the bytes of a workspace that an earlier version made', async () => {
		await makeWorkspace('old');
		const id = await mustSubmit('old', { spec: spec({ n: 2 }) });
		await rpcOf('old').settleBatch([settlement('old', id, { images: [picture('old', id, 0), picture('old', id, 1)] })]);
		await runInDurableObject(stubOf('old'), (_instance, state) => state.storage.sql.exec('UPDATE ledger SET usage = NULL'));
		await evictDurableObject(stubOf('old'));
		expect((await rpcOf('old').quotas()).storage.usedBytes).toBe(20);
	});

	it('bound a key by its own limits, and tell its use by day, model and key', async () => {
		await makeWorkspace('keyed');
		const by = { actor: 'key:key1', scopes: ['admin'] };
		const made = await rpcOf('keyed').createKey(
			{ name: 'k', scopes: ['jobs:write'], expiresAt: null, models: null, limits: { day: { images: 1 } } },
			by,
		);
		if (!made.ok) throw new Error(made.code);
		const input = submission('keyed', { keyId: made.key.id, keyHash: keyHash('keyed') });
		expect(await rpcOf('keyed').submit('keyed', input)).toMatchObject({ code: 'unauthorized' });
		const own = { ...input, caller: { kind: 'key' as const, keyId: made.key.id } };
		const first = await rpcOf('keyed').submit('keyed', own);
		if (!first.ok) throw new Error(first.code);
		expect(await rpcOf('keyed').submit('keyed', own)).toMatchObject({ code: 'quota_exceeded' });
		const other = await mustSubmit('keyed');
		await rpcOf('keyed').settleBatch([settlement('keyed', first.row.id), settlement('keyed', other, { state: 'failed', images: [] })]);
		const series = await rpcOf('keyed').usageSeries(Date.now() - 86_400_000, Date.now());
		expect(series.toSorted((a, b) => a.failed - b.failed)).toMatchObject([
			{ keyId: made.key.id, model: 'storybook', jobs: 1, failed: 0 },
			{ keyId: 'key1', model: 'storybook', jobs: 1, failed: 1 },
		]);
	});

	it('hold reservations, let jobs draw from them across an eviction, and take them back', async () => {
		await makeWorkspace('alloc');
		await limit('alloc', { day: { images: 5 } });
		const now = Date.now();
		const wanted = { images: 3, megapixelSteps: 1, startsAt: now, endsAt: now + 60_000, note: 'batch' };
		const made = await rpcOf('alloc').allocate(wanted, 'key:key1');
		if (!made.ok) throw new Error(made.code);
		expect(await rpcOf('alloc').allocate(wanted, 'key:key1')).toMatchObject({ code: 'quota_exceeded' });
		expect(await rpcOf('alloc').submit('alloc', submission('alloc', { spec: spec({ n: 3 }) }))).toMatchObject({ code: 'quota_exceeded' });
		const id = await mustSubmit('alloc', { spec: spec({ n: 2 }), allocationId: made.allocation.id });
		await evictDurableObject(stubOf('alloc'));
		expect((await rpcOf('alloc').quotas()).allocations).toMatchObject([{ leftImages: 1, state: 'active' }]);
		await rpcOf('alloc').settleBatch([settlement('alloc', id)]);
		expect((await rpcOf('alloc').quotas()).allocations).toMatchObject([{ leftImages: 2 }]);
		expect(await rpcOf('alloc').release(made.allocation.id, 'key:key1')).toMatchObject({ allocation: { state: 'released' } });
		expect((await rpcOf('alloc').submit('alloc', submission('alloc', { spec: spec({ n: 4 }) }))).ok).toBe(true);
		expect(await rpcOf('alloc').release('alloc_0000000000000000', 'key:key1')).toMatchObject({ code: 'not_found' });
		expect(await chainOf('alloc')).toMatchObject({ ok: true });
	});

	it('keep pictures no longer than their retention', async () => {
		await makeWorkspace('short');
		await limit('short', { retentionMs: 3_600_000 });
		const id = await mustSubmit('short');
		await env.PICTURES.put(picture('short', id).key, 'x');
		await rpcOf('short').settleBatch([settlement('short', id, { finishedAt: Date.now() })]);
		const alarm = await runInDurableObject(stubOf('short'), (_instance, state) => state.storage.getAlarm());
		expect(alarm).toBeLessThan(Date.now() + 3 * 3_600_000);
	});
});

type Op =
	| { op: 'submit'; n: number }
	| { op: 'end'; pick: number; images: number; state: 'succeeded' | 'failed' | 'canceled' }
	| { op: 'evict' };
const op: fc.Arbitrary<Op> = fc.oneof(
	{ weight: 10, arbitrary: fc.record({ op: fc.constant('submit' as const), n: fc.integer({ min: 1, max: 4 }) }) },
	{
		weight: 10,
		arbitrary: fc.record({
			op: fc.constant('end' as const),
			pick: fc.nat(),
			images: fc.nat({ max: 4 }),
			state: fc.constantFrom('succeeded' as const, 'failed' as const, 'canceled' as const),
		}),
	},
	{ weight: 1, arbitrary: fc.constant({ op: 'evict' as const }) },
);

it('charges exactly what was made, through 1,000 interleaved submits, cancels, failures and evictions', async () => {
	const LIMIT = 450;
	await makeWorkspace('thousand');
	await limit('thousand', { month: { images: LIMIT }, queued: 1000 });
	const steps = fc.sample(fc.array(op, { minLength: 1000, maxLength: 1000 }), { numRuns: 1, seed: 20261121 })[0] ?? [];
	const open: { id: string; n: number }[] = [];
	let charged = 0;
	let refusals = 0;
	const wrong: string[] = [];
	const reserved = (): number => open.reduce((sum, job) => sum + job.n, 0);
	for (const step of steps) {
		if (step.op === 'evict') {
			await rpcOf('thousand').usage();
			await evictDurableObject(stubOf('thousand'));
		} else if (step.op === 'submit') {
			const answer = await rpcOf('thousand').submit('thousand', submission('thousand', { spec: spec({ n: step.n }) }));
			if (answer.ok !== charged + reserved() + step.n <= LIMIT) wrong.push(`${answer.ok} at ${charged} + ${reserved()} + ${step.n}`);
			if (answer.ok) open.push({ id: answer.row.id, n: step.n });
			else refusals++;
		} else if (open.length > 0) {
			const [job] = open.splice(step.pick % open.length, 1);
			const images = Math.min(step.images, job!.n);
			const batch = [settlement('thousand', job!.id, { state: step.state, images: [], usage: { images, megapixelSteps: images } })];
			// Delivered twice at once, as a Pool that restarts does.
			await Promise.all([rpcOf('thousand').settleBatch(batch), rpcOf('thousand').settleBatch(batch)]);
			charged += images;
		}
	}
	expect(await used('thousand')).toEqual([charged, reserved()]);
	expect(wrong).toEqual([]);
	expect(refusals).toBeGreaterThan(10);
	expect((await rpcOf('thousand').usage()).images).toBe(charged);
	expect(await chainOf('thousand')).toMatchObject({ ok: true });
}, 180_000);

const headersOf = (response: { headers: Headers }): (string | null)[] =>
	['limit', 'remaining'].map((name) => response.headers.get(`ratelimit-${name}`));

describe('RateLimit headers', () => {
	it('stand on every answer that uses or tells a quota, and on no other', async () => {
		const { ws, token } = await newTenant();
		expect(headersOf(await ask('POST', '/jobs', token, { prompt: 'x' }))).toEqual([null, null]);
		expect((await ask('PUT', `/workspaces/${ws}/limits`, undefined, { day: { images: 10 } })).status).toBe(200);
		const job = await ask('POST', '/jobs', token, { prompt: 'x' });
		expect([job.status, ...headersOf(job)]).toEqual([202, '10', '8']);
		expect(Number(job.headers.get('ratelimit-reset'))).toBeGreaterThan(0);
		await ask('POST', `/jobs/${job.body.id}/cancel`, token);
		await until(async () => headersOf(await ask('GET', '/resources/quotas', token))[1] === '9', 'the settlement');
		expect(headersOf(await ask('POST', `/jobs/${job.body.id}/retry`, token))).toEqual(['10', '8']);
		const graph = {
			jobs: [
				{ key: 'a', prompt: 'x' },
				{ key: 'b', prompt: 'x', n: 2 },
			],
		};
		expect(headersOf(await ask('POST', '/workflows', token, graph))).toEqual(['10', '5']);
		const held = await ask('POST', '/resources/allocate', token, { images: 2 });
		expect([held.status, ...headersOf(held)]).toEqual([201, '10', '3']);
		expect(headersOf(await ask('POST', '/resources/release', token, { id: held.body.id }))).toEqual(['10', '5']);
		const { key } = (await ask('POST', '/keys', token, { name: 'all', scopes: ['admin'] })).body;
		const cog = await call('/v1/predictions', { key, json: { version: 'storybook', input: { prompt: 'x' } } });
		await cog.text();
		expect([cog.status, ...headersOf(cog)]).toEqual([201, '10', '4']);
		const refused = await ask('POST', '/jobs', token, { prompt: 'x', n: 5 });
		expect([refused.status, ...headersOf(refused)]).toEqual([429, '10', '4']);
		expect(headersOf(await ask('GET', '/jobs', token))).toEqual([null, null]);
	});
});
