import { env } from 'cloudflare:workers';
import { evictDurableObject, reset, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { poolName } from '@limner/shared';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import type { PoolRpc } from '../../src/rpc.ts';
import { SWEEP_LIMITS } from '../../src/workspace/sweep.ts';
import { Workspace } from '../../src/workspace/workspace.ts';
import { chainOf, count, makeWorkspace, mustSubmit, picture, rpcOf, settlement, spec, stubOf } from './fixtures.ts';

const DAY_MS = 86_400_000;
const pool = (shard = 0): PoolRpc => env.POOL.getByName(poolName(env.REGION, shard));
const alarmOf = (ws: string): Promise<number | null> => runInDurableObject(stubOf(ws), (_instance, state) => state.storage.getAlarm());

/** Tests run in the isolate of the objects: only the clock is moved, alarms are run by hand. */
beforeEach(() => {
	vi.useFakeTimers({ toFake: ['Date'], now: Date.now() });
});
afterEach(async () => {
	vi.useRealTimers();
	await reset();
});
const pass = (ms: number): void => {
	vi.setSystemTime(Date.now() + ms);
};

describe('sweep of open jobs', () => {
	it('hands a job over again that the shard does not know, and leaves one that it knows', async () => {
		const ws = await makeWorkspace('sweep');
		const id = await mustSubmit('sweep');
		expect(await pool().known([id])).toEqual([]);
		pass(61_000);
		expect(await runDurableObjectAlarm(stubOf('sweep'))).toBe(true);
		expect(await pool().known([id])).toEqual([id]);
		expect(await pool().view('sweep', id)).toMatchObject({ id, state: 'queued' });
		expect(await alarmOf('sweep')).toBe(Date.now() + 60_000);
		pass(60_000);
		await runDurableObjectAlarm(stubOf('sweep'));
		expect((await ws.usage()).openJobs).toBe(1);
		expect(await ws.getJob(id)).toMatchObject({ state: 'queued' });
	});

	it('does so after an eviction, and not for young or settled jobs', async () => {
		const ws = await makeWorkspace('sweep2');
		const old = await mustSubmit('sweep2');
		const settled = await mustSubmit('sweep2');
		await ws.settleBatch([settlement('sweep2', settled)]);
		await evictDurableObject(stubOf('sweep2'));
		await ws.usage();
		pass(61_000);
		const young = await mustSubmit('sweep2');
		await runDurableObjectAlarm(stubOf('sweep2'));
		expect(await pool().known([old, settled, young])).toEqual([old]);
	});

	it('does so when each alarm meets a fresh instance, because the workspace is idle in between', async () => {
		await makeWorkspace('idle');
		const id = await mustSubmit('idle');
		pass(61_000);
		await evictDurableObject(stubOf('idle'));
		await runDurableObjectAlarm(stubOf('idle'));
		expect(await pool().known([id])).toEqual([id]);
	});

	it('arms again for a caller who only reads, when the alarm did not come', async () => {
		const ws = await makeWorkspace('reads');
		const id = await mustSubmit('reads');
		pass(70_000);
		await evictDurableObject(stubOf('reads'));
		await ws.getJob(id);
		expect(await alarmOf('reads')).toBe(Date.now() - 10_000);
		pass(50_001);
		await ws.getJob(id);
		expect(await alarmOf('reads')).toBeGreaterThan(Date.now());
	});

	it('gives up on a shard that never answers, and still removes what is past its time', async () => {
		await makeWorkspace('hang');
		const { key } = await finished('hang');
		await mustSubmit('hang');
		pass(31 * DAY_MS);
		const silent = { getByName: () => ({ known: () => new Promise(() => {}) }) };
		const warn = vi.spyOn(console, 'warn').mockImplementation(() => undefined);
		vi.useFakeTimers({ toFake: ['Date', 'setTimeout', 'clearTimeout'], now: Date.now() });
		await runInDurableObject(stubOf('hang'), async (_instance, state) => {
			const workspace = new Workspace(state, { ...env, LOG_LEVEL: 'info', POOL: silent } as unknown as Cloudflare.Env);
			const alarm = workspace.alarm();
			await vi.waitFor(() => expect(vi.getTimerCount()).toBe(1), { interval: 5 });
			await vi.advanceTimersByTimeAsync(SWEEP_LIMITS.callMs);
			await alarm;
			expect(await state.storage.getAlarm()).not.toBeNull();
		});
		expect(warn).toHaveBeenCalledTimes(1);
		warn.mockRestore();
		expect(await env.PICTURES.head(key)).toBeNull();
	});

	it('tries again with back-off when the shard fails, and never throws', async () => {
		await makeWorkspace('sweep3');
		const id = await mustSubmit('sweep3');
		pass(61_000);
		const broken = {
			getByName: () => ({
				known: async () => {
					throw new Error('the shard is down');
				},
			}),
		};
		const warn = vi.spyOn(console, 'warn').mockImplementation(() => undefined);
		await runInDurableObject(stubOf('sweep3'), async (_instance, state) => {
			const workspace = new Workspace(state, { ...env, LOG_LEVEL: 'info', POOL: broken } as unknown as Cloudflare.Env);
			pass(61_000);
			await workspace.alarm();
			expect(await state.storage.getAlarm()).toBe(Date.now() + 120_000);
			pass(120_000);
			await state.storage.deleteAlarm();
			await workspace.alarm();
			expect(await state.storage.getAlarm()).toBe(Date.now() + 240_000);
		});
		expect(warn).toHaveBeenCalledTimes(2);
		const line = JSON.parse(String(warn.mock.calls[0]?.[0])) as Record<string, unknown>;
		expect(line).toMatchObject({ level: 'warn', ws: 'sweep3', detail: 'the shard is down', traceId: 'alarm', time: expect.any(String) });
		warn.mockRestore();
		expect((await rpcOf('sweep3').usage()).openJobs).toBe(1);
		expect(id).toMatch(/^job_/);
	});

	it('keeps ids in order and open jobs in sight when the clock steps back', async () => {
		const ws = await makeWorkspace('clock');
		const first = await mustSubmit('clock');
		await ws.settleBatch([settlement('clock', first)]);
		pass(-3_600_000);
		const second = await mustSubmit('clock');
		expect(second.slice(0, 14) >= first.slice(0, 14)).toBe(true);
		await evictDurableObject(stubOf('clock'));
		expect((await ws.usage()).openJobs).toBe(1);
		expect(await mustSubmit('clock', { idempotency: { key: 'k', bodyHash: 'b' } })).toBe(
			await mustSubmit('clock', { idempotency: { key: 'k', bodyHash: 'b' } }),
		);
	});

	it('arms one alarm for many jobs and arms again in the constructor when it was lost', async () => {
		const ws = await makeWorkspace('arm');
		for (let i = 0; i < 10; i++) await mustSubmit('arm');
		expect((await ws.rowsWritten())['alarm']).toBe(1);
		expect(await alarmOf('arm')).toBe(Date.now() + 60_000);
		await runInDurableObject(stubOf('arm'), (_instance, state) => state.storage.deleteAlarm());
		await evictDurableObject(stubOf('arm'));
		await ws.usage();
		expect(await alarmOf('arm')).toBe(Date.now() + 60_000);
	});
});

const finished = async (ws: string, over: Parameters<typeof settlement>[2] = {}) => {
	const id = await mustSubmit(ws);
	const image = picture(ws, id);
	await env.PICTURES.put(image.key, 'bytes');
	await rpcOf(ws).settleBatch([settlement(ws, id, { images: [image], ...over })]);
	return { id, key: image.key };
};

/** Jobs whose objects are not removed yet. */
const unpurged = (ws: string): Promise<number> =>
	runInDurableObject(
		stubOf(ws),
		(_instance, state) => state.storage.sql.exec<{ n: number }>('SELECT count(*) AS n FROM jobs WHERE objects > 0').one().n,
	);

const entry = (rev: number, type: 'assigned' | 'image' | 'canceled', index: number) =>
	({ rev, at: Date.now(), type, who: 'pool', index, epoch: 1 }) as const;

describe('retention', () => {
	it('wakes up by itself and deletes pictures after 30 days, jobs after 60', async () => {
		const ws = await makeWorkspace('keep');
		const { id, key } = await finished('keep');
		pass(61_000);
		await runDurableObjectAlarm(stubOf('keep'));
		const armed = await alarmOf('keep');
		expect(armed).toBeGreaterThan(Date.now());
		expect(armed).toBeLessThanOrEqual(Date.now() + 30 * DAY_MS);
		pass(29 * DAY_MS);
		const young = await finished('keep');
		await runDurableObjectAlarm(stubOf('keep'));
		expect(await env.PICTURES.head(key)).not.toBeNull();
		pass(DAY_MS);
		await runDurableObjectAlarm(stubOf('keep'));
		expect(await env.PICTURES.head(key)).toBeNull();
		expect(await env.PICTURES.head(young.key)).not.toBeNull();
		expect(await ws.getJob(id)).toMatchObject({ state: 'succeeded', images: [], purgedAt: Date.now() });
		expect((await ws.getJob(young.id))?.purgedAt).toBeUndefined();
		pass(30 * DAY_MS);
		await runDurableObjectAlarm(stubOf('keep'));
		expect(await ws.getJob(id)).toBeNull();
		expect(await ws.getJob(young.id)).toMatchObject({ images: [] });
		expect(await env.PICTURES.head(young.key)).toBeNull();
		expect(await ws.usage()).toMatchObject({ images: 2, settledJobs: 2 });
		expect(await chainOf('keep')).toMatchObject({ ok: true });
	});

	it('lists the prefix of a job whose task was granted twice', async () => {
		await makeWorkspace('prefix');
		const id = await mustSubmit('prefix');
		const orphan = `w/prefix/${id}/0/1-${'b'.repeat(32)}.png`;
		const image = picture('prefix', id, 0, 2);
		await env.PICTURES.put(orphan, 'lost');
		await env.PICTURES.put(image.key, 'bytes');
		const hist = [{ rev: 1, at: Date.now(), type: 'assigned' as const, who: 'pool', epoch: 2 }];
		await rpcOf('prefix').settleBatch([settlement('prefix', id, { images: [image], hist })]);
		pass(31 * DAY_MS);
		await runDurableObjectAlarm(stubOf('prefix'));
		expect((await env.PICTURES.list({ prefix: 'w/prefix/' })).objects).toEqual([]);
	});

	it('lists the prefix of a job whose node had the bucket to itself', async () => {
		await makeWorkspace('direct');
		const id = await mustSubmit('direct');
		const image = { ...picture('direct', id), direct: true };
		const orphan = `w/direct/${id}/0/1-${'b'.repeat(32)}.png`;
		await env.PICTURES.put(orphan, 'put there by the same attempt, and never told');
		await env.PICTURES.put(image.key, 'bytes');
		await rpcOf('direct').settleBatch([
			settlement('direct', id, { images: [image], hist: [entry(1, 'assigned', 0), entry(2, 'image', 0)] }),
		]);
		pass(31 * DAY_MS);
		await runDurableObjectAlarm(stubOf('direct'));
		expect((await env.PICTURES.list({ prefix: 'w/direct/' })).objects).toEqual([]);
	});

	it('lists the prefix of a job that ended without all its pictures', async () => {
		await makeWorkspace('cut');
		const id = await mustSubmit('cut', { spec: spec({ n: 2 }) });
		const orphan = `w/cut/${id}/1/1-${'b'.repeat(32)}.png`;
		const image = picture('cut', id);
		await env.PICTURES.put(orphan, 'stored when its Worker died');
		await env.PICTURES.put(image.key, 'bytes');
		const hist = [entry(1, 'assigned', 0), entry(2, 'assigned', 1), entry(3, 'image', 0), entry(4, 'canceled', 0)];
		await rpcOf('cut').settleBatch([settlement('cut', id, { state: 'canceled', images: [image], hist })]);
		pass(31 * DAY_MS);
		await runDurableObjectAlarm(stubOf('cut'));
		expect((await env.PICTURES.list({ prefix: 'w/cut/' })).objects).toEqual([]);
		expect(await unpurged('cut')).toBe(0);
	});

	it('lists a prefix only when no ticket can add to it any more', async () => {
		await makeWorkspace('short');
		const id = await mustSubmit('short');
		const image = picture('short', id, 0, 2);
		await env.PICTURES.put(image.key, 'bytes');
		const hist = [{ rev: 1, at: Date.now(), type: 'assigned' as const, who: 'pool', epoch: 2 }];
		await rpcOf('short').settleBatch([settlement('short', id, { images: [image], hist })]);
		const hourly = { ...env, RESULT_TTL: '1h' } as unknown as Cloudflare.Env;
		const late = `w/short/${id}/0/1-${'b'.repeat(32)}.png`;
		await runInDurableObject(stubOf('short'), async (_instance, state) => {
			const wake = async (ms: number): Promise<number> => {
				pass(ms);
				await state.storage.deleteAlarm();
				await new Workspace(state, hourly).alarm();
				return ((await state.storage.getAlarm()) ?? 0) - Date.now();
			};
			await wake(3_600_000);
			expect(await env.PICTURES.head(image.key)).toBeNull();
			await env.PICTURES.put(late, 'stored when its Worker died');
			expect(await wake(2 * 3_600_000)).toBe(21 * 3_600_000);
			expect(await env.PICTURES.head(late)).not.toBeNull();
			await wake(21 * 3_600_000);
			expect(await env.PICTURES.head(late)).toBeNull();
		});
		expect(await unpurged('short')).toBe(0);
	});

	it('keeps the inputs of open jobs', async () => {
		const ws = await makeWorkspace('inputs');
		const source = await finished('inputs');
		const asset = {
			id: 'asset_00000000000000000000000002',
			sha256: 'c'.repeat(64),
			bytes: 3,
			contentType: 'image/png',
			width: 8,
			height: 8,
			createdAt: Date.now(),
			expiresAt: Date.now() + DAY_MS,
		};
		const assetKey = `a/inputs/${asset.id}`;
		await env.PICTURES.put(assetKey, 'abc');
		await ws.createAsset(asset);
		pass(30 * DAY_MS - 1000);
		const id = await mustSubmit('inputs', { spec: spec({ inputKeys: { init: source.key, mask: assetKey } }) });
		pass(DAY_MS);
		await runDurableObjectAlarm(stubOf('inputs'));
		expect(await env.PICTURES.head(source.key)).not.toBeNull();
		expect(await env.PICTURES.head(assetKey)).not.toBeNull();
		await ws.settleBatch([settlement('inputs', id, { images: [] })]);
		pass(3_600_000);
		await runDurableObjectAlarm(stubOf('inputs'));
		expect(await env.PICTURES.head(source.key)).toBeNull();
		expect(await env.PICTURES.head(assetKey)).toBeNull();
	});

	it('goes on with the next alarm when a run reached its bound', async () => {
		const ws = await makeWorkspace('bulk');
		const ids: string[] = [];
		for (let round = 0; round < 3; round++) {
			const part = await Promise.all(Array.from({ length: 100 }, () => mustSubmit('bulk')));
			await ws.settleBatch(part.map((id) => settlement('bulk', id)));
			ids.push(...part);
		}
		pass(31 * DAY_MS);
		await runDurableObjectAlarm(stubOf('bulk'));
		expect(await unpurged('bulk')).toBe(100);
		expect(await alarmOf('bulk')).toBe(Date.now() + 1000);
		pass(1000);
		await runDurableObjectAlarm(stubOf('bulk'));
		expect(await unpurged('bulk')).toBe(0);
		expect((await ws.listImages({ limit: 10 })).data).toEqual([]);
		expect(ids).toHaveLength(300);
	});

	it('keeps the rows when R2 fails, and deletes next time', async () => {
		const ws = await makeWorkspace('r2');
		const { id, key } = await finished('r2');
		pass(31 * DAY_MS);
		const warn = vi.spyOn(console, 'warn').mockImplementation(() => undefined);
		await runInDurableObject(stubOf('r2'), async (_instance, state) => {
			const failing = {
				delete: async () => {
					throw new Error('R2 is down');
				},
			};
			const workspace = new Workspace(state, { ...env, LOG_LEVEL: 'info', PICTURES: failing } as unknown as Cloudflare.Env);
			await state.storage.deleteAlarm();
			await workspace.alarm();
			expect(await state.storage.getAlarm()).toBe(Date.now() + 120_000);
		});
		expect(warn).toHaveBeenCalledTimes(1);
		warn.mockRestore();
		expect(await ws.getJob(id)).toMatchObject({ images: [{ key }] });
		await runDurableObjectAlarm(stubOf('r2'));
		expect(await env.PICTURES.head(key)).toBeNull();
		expect(await ws.getJob(id)).toMatchObject({ images: [] });
	});

	it('never removes an open job, however old', async () => {
		const ws = await makeWorkspace('open');
		const id = await mustSubmit('open');
		await finished('open');
		pass(61 * DAY_MS);
		await runDurableObjectAlarm(stubOf('open'));
		pass(DAY_MS);
		await runDurableObjectAlarm(stubOf('open'));
		expect(await count('open', 'jobs')).toBe(1);
		await evictDurableObject(stubOf('open'));
		expect(await ws.settleBatch([settlement('open', id)])).toEqual([{ jobId: id, outcome: 'settled' }]);
		pass(31 * DAY_MS);
		await runDurableObjectAlarm(stubOf('open'));
		expect(await ws.getJob(id)).toMatchObject({ images: [] });
	});

	it('counts from the end of a job, not from its submit', async () => {
		const ws = await makeWorkspace('late');
		const id = await mustSubmit('late');
		pass(DAY_MS);
		const early = await finished('late');
		pass(10_000);
		const image = picture('late', id);
		await env.PICTURES.put(image.key, 'bytes');
		await ws.settleBatch([settlement('late', id, { images: [image] })]);
		pass(30 * DAY_MS - 10_000);
		await runDurableObjectAlarm(stubOf('late'));
		expect(await env.PICTURES.head(early.key)).toBeNull();
		expect(await env.PICTURES.head(image.key)).not.toBeNull();
		const armed = (await alarmOf('late')) ?? 0;
		expect(armed - Date.now()).toBeLessThanOrEqual(3_600_000);
		pass(armed - Date.now());
		await runDurableObjectAlarm(stubOf('late'));
		expect(await env.PICTURES.head(image.key)).toBeNull();
		expect(await ws.getJob(id)).toMatchObject({ images: [], purgedAt: armed });
	});

	it('forgets idempotency keys after 24 hours, and sweeps their rows', async () => {
		const ws = await makeWorkspace('idem');
		const input = { idempotency: { key: 'k', bodyHash: 'b' } };
		const first = await mustSubmit('idem', input);
		await ws.settleBatch([settlement('idem', first)]);
		pass(DAY_MS - 1);
		expect(await mustSubmit('idem', input)).toBe(first);
		pass(1);
		const second = await mustSubmit('idem', input);
		expect(second).not.toBe(first);
		expect(await mustSubmit('idem', input)).toBe(second);
		pass(3 * DAY_MS);
		await ws.settleBatch([settlement('idem', second)]);
		await runDurableObjectAlarm(stubOf('idem'));
		expect(await count('idem', 'idem')).toBe(0);
	});

	it('hides an expired input and deletes its object', async () => {
		const ws = await makeWorkspace('asset');
		const asset = {
			id: 'asset_00000000000000000000000001',
			sha256: 'c'.repeat(64),
			bytes: 3,
			contentType: 'image/png',
			width: 8,
			height: 8,
			createdAt: Date.now(),
			expiresAt: Date.now() + DAY_MS,
		};
		await env.PICTURES.put(`a/asset/${asset.id}`, 'abc');
		await ws.createAsset(asset);
		await ws.createAsset(asset);
		expect(await ws.getAsset(asset.id)).toEqual(asset);
		expect(await alarmOf('asset')).toBe(asset.expiresAt + 3_600_000);
		pass(DAY_MS);
		expect(await ws.getAsset(asset.id)).toBeNull();
		pass(3_600_000);
		await runDurableObjectAlarm(stubOf('asset'));
		expect(await env.PICTURES.head(`a/asset/${asset.id}`)).toBeNull();
		expect(await count('asset', 'assets')).toBe(0);
		expect(await alarmOf('asset')).toBeNull();
	});
});
