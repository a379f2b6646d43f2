import { env } from 'cloudflare:workers';
import { evictDurableObject, reset, runInDurableObject } from 'cloudflare:test';
import { afterEach, describe, expect, it } from 'vitest';
import { Workspace } from '../../src/workspace/workspace.ts';
import {
	chainOf,
	count,
	keyHash,
	ledgerOf,
	makeWorkspace,
	mustSubmit,
	picture,
	rpcOf,
	settlement,
	spec,
	stubOf,
	submission,
} from './fixtures.ts';

afterEach(async () => {
	await reset();
});

const idempotency = (key: string, bodyHash = 'b1') => ({ idempotency: { key, bodyHash } });

describe('row budget', () => {
	it('costs exactly 4 rows for a finished job of one picture with an Idempotency-Key, and one alarm', async () => {
		const ws = await makeWorkspace('rows');
		const before = await ws.rowsWritten();
		const id = await mustSubmit('rows', idempotency('k1'));
		await ws.settleBatch([settlement('rows', id)]);
		const after = await ws.rowsWritten();
		expect(before).toEqual({});
		expect(after).toEqual({ jobs: 2, idem: 1, ledger: 1, alarm: 1 });
	});

	it('costs 3 rows without a key, and shares ledger row and alarm between the jobs of a batch', async () => {
		const ws = await makeWorkspace('rows2');
		const ids = await Promise.all(Array.from({ length: 64 }, () => mustSubmit('rows2')));
		expect(await ws.rowsWritten()).toEqual({ jobs: 64, alarm: 1 });
		await ws.settleBatch(ids.map((id) => settlement('rows2', id)));
		expect(await ws.rowsWritten()).toEqual({ jobs: 128, ledger: 1, alarm: 1 });
	});

	it('counts what SQLite says it wrote', async () => {
		await makeWorkspace('rows3');
		const id = await mustSubmit('rows3', idempotency('k1'));
		const written = await runInDurableObject(stubOf('rows3'), (_instance, state) => {
			const cursor = state.storage.sql.exec('UPDATE jobs SET trace_id = trace_id WHERE id = ?', id);
			cursor.toArray();
			return cursor.rowsWritten;
		});
		expect(written).toBe(1);
	});

	it('writes nothing for a workspace that nobody owns', async () => {
		const answer = await rpcOf('nobody').authenticate('nobody', 'key1', keyHash('nobody'));
		expect(answer).toMatchObject({ ok: false, code: 'unauthorized' });
		expect(await rpcOf('nobody').settleBatch([settlement('nobody', 'job_x')])).toEqual([{ jobId: 'job_x', outcome: 'unknown' }]);
		expect(await rpcOf('nobody').usage()).toEqual({ images: 0, megapixelSteps: 0, openJobs: 0, settledJobs: 0 });
		const tables = await runInDurableObject(stubOf('nobody'), (_instance, state) =>
			state.storage.sql.exec("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '\\_cf%' ESCAPE '\\'").toArray(),
		);
		expect(tables).toEqual([]);
	});
});

const execute = (ws: string, statement: string): Promise<void> =>
	runInDurableObject(stubOf(ws), (_instance, state) => {
		state.storage.sql.exec(statement);
	});

/** Uses an instance with other settings over the same storage. */
const withEnv = <T>(ws: string, over: Record<string, string>, use: (workspace: Workspace) => Promise<T>): Promise<T> =>
	runInDurableObject(stubOf(ws), (_instance, state) => use(new Workspace(state, { ...env, ...over })));

describe('keys', () => {
	it('takes the bootstrap key the first time and keeps it', async () => {
		await withEnv('boot', { BOOTSTRAP_KEY_SHA256: keyHash('boot') }, async (workspace) => {
			expect(await workspace.authenticate('boot', 'key1', keyHash('other'))).toMatchObject({ ok: false, code: 'unauthorized' });
			const first = await workspace.authenticate('boot', 'key1', keyHash('boot'));
			expect(first).toEqual({ ok: true, principal: { ws: 'boot', keyId: 'key1', scopes: ['admin', 'operator'], weight: 1 } });
			await workspace.authenticate('boot', 'key1', keyHash('boot'));
			expect(await workspace.rowsWritten()).toEqual({ meta: 1, keys: 1, ledger: 1 });
			expect(await workspace.homeShard()).toBe(0);
		});
		await evictDurableObject(stubOf('boot'));
		// The variable is empty for this instance: the row is what counts.
		expect(await rpcOf('boot').authenticate('boot', 'key1', keyHash('boot'))).toMatchObject({ ok: true });
		expect(await chainOf('boot')).toMatchObject({ ok: true, head: { seq: 1 } });
	});

	it('refuses unknown, revoked and expired keys, and a key of another workspace', async () => {
		const ws = await makeWorkspace('auth');
		expect(await ws.authenticate('auth', 'key2', keyHash('auth'))).toMatchObject({ code: 'unauthorized' });
		expect(await ws.authenticate('auth', 'key1', 'x')).toMatchObject({ code: 'unauthorized' });
		expect(await ws.authenticate('else', 'key1', keyHash('auth'))).toMatchObject({ code: 'unauthorized' });
		expect(await ws.authenticate('auth', 'key1', keyHash('auth'))).toMatchObject({ ok: true });
		await runInDurableObject(stubOf('auth'), (_instance, state) => {
			state.storage.sql.exec('UPDATE keys SET revoked_at = ?', Date.now());
		});
		expect(await ws.authenticate('auth', 'key1', keyHash('auth'))).toMatchObject({
			code: 'unauthorized',
			detail: expect.stringContaining('revoked'),
		});
		expect(await ws.submit('auth', submission('auth'))).toMatchObject({ code: 'unauthorized' });
		expect(await count('auth', 'jobs')).toBe(0);
	});

	it('needs the scope jobs:write', async () => {
		const ws = await makeWorkspace('scope', ['jobs:read']);
		expect(await ws.submit('scope', submission('scope'))).toMatchObject({ ok: false, code: 'forbidden' });
	});

	it('says in words which variable is bad', async () => {
		for (const [name, value] of [
			['RESULT_TTL', '30 parsecs'],
			['MAX_QUEUE_DEPTH', '-1'],
			['SHARDS', 'many'],
			['BOOTSTRAP_KEY_SHA256', 'abc'],
		] as const) {
			await expect(withEnv('bad', { [name]: value }, async () => undefined)).rejects.toThrow(name);
		}
	});
});

describe('submit', () => {
	it('makes one job out of 20 parallel duplicates, and answers all alike', async () => {
		const ws = await makeWorkspace('idem');
		const answers = await Promise.all(Array.from({ length: 20 }, () => ws.submit('idem', submission('idem', idempotency('k')))));
		const rows = answers.map((answer) => (answer.ok ? JSON.stringify(answer.row) : answer.code));
		expect(new Set(rows).size).toBe(1);
		expect(answers.filter((answer) => answer.ok && !answer.replayed)).toHaveLength(1);
		expect(await count('idem', 'jobs')).toBe(1);
		expect(await count('idem', 'idem')).toBe(1);
		expect((await ws.usage()).openJobs).toBe(1);
	});

	it('refuses the key with another body, and replays after the job has ended and after an eviction', async () => {
		const ws = await makeWorkspace('idem2');
		const id = await mustSubmit('idem2', idempotency('k'));
		expect(await ws.submit('idem2', submission('idem2', idempotency('k', 'b2')))).toMatchObject({
			ok: false,
			code: 'idempotency_mismatch',
		});
		await ws.settleBatch([settlement('idem2', id)]);
		await evictDurableObject(stubOf('idem2'));
		expect(await ws.submit('idem2', submission('idem2', idempotency('k')))).toMatchObject({
			ok: true,
			replayed: true,
			row: { id, state: 'succeeded' },
		});
	});

	it('refuses the 101st open job, but replays the first', async () => {
		const ws = await makeWorkspace('full');
		const first = await mustSubmit('full', idempotency('k'));
		for (let i = 1; i < 100; i++) await mustSubmit('full');
		expect(await ws.submit('full', submission('full'))).toMatchObject({
			ok: false,
			code: 'queue_full',
			detail: expect.stringMatching(/100 open jobs/),
			retryAfterS: 5,
		});
		expect(await ws.submit('full', submission('full', idempotency('k')))).toMatchObject({ ok: true, replayed: true });
		await ws.settleBatch([settlement('full', first)]);
		expect(await ws.submit('full', submission('full'))).toMatchObject({ ok: true });
	});

	it('puts the home shard into the id', async () => {
		const ws = await makeWorkspace('shard', ['admin'], 33);
		const answer = await ws.submit('shard', submission('shard'));
		expect(answer).toMatchObject({ ok: true, shard: 33 });
		expect(answer.ok && answer.row.id.slice(-2)).toBe('11');
		expect(await ws.homeShard()).toBe(33);
	});
});

describe('settle', () => {
	it('knows its open jobs after an eviction between submit and settle', async () => {
		const ws = await makeWorkspace('evict');
		const settled = await mustSubmit('evict');
		await ws.settleBatch([settlement('evict', settled)]);
		const open = [await mustSubmit('evict'), await mustSubmit('evict')];
		await evictDurableObject(stubOf('evict'));
		expect(await ws.usage()).toEqual({ images: 1, megapixelSteps: 0.016, openJobs: 2, settledJobs: 1 });
		expect(await ws.settleBatch(open.map((id) => settlement('evict', id)))).toEqual(open.map((jobId) => ({ jobId, outcome: 'settled' })));
		await evictDurableObject(stubOf('evict'));
		expect(await ws.usage()).toEqual({ images: 3, megapixelSteps: 0.048, openJobs: 0, settledJobs: 3 });
		expect(await ws.getJob(open[0]!)).toMatchObject({ state: 'succeeded', images: [{ key: picture('evict', open[0]!).key }] });
	});

	it('keeps an old open job in sight when younger ones were settled', async () => {
		const ws = await makeWorkspace('old');
		const old = await mustSubmit('old');
		for (let i = 0; i < 3; i++) await ws.settleBatch([settlement('old', await mustSubmit('old'))]);
		await evictDurableObject(stubOf('old'));
		expect((await ws.usage()).openJobs).toBe(1);
		expect(
			await ws.settleBatch([settlement('old', old, { state: 'canceled', images: [], usage: { images: 0, megapixelSteps: 0 } })]),
		).toEqual([{ jobId: old, outcome: 'settled' }]);
	});

	it('applies once: twice in one batch, again later, and for a job it does not have', async () => {
		const ws = await makeWorkspace('twice');
		const id = await mustSubmit('twice');
		const other = settlement('twice', 'job_00000000000000000000000000aa');
		const foreign = settlement('somebody', id);
		expect(await ws.settleBatch([foreign, settlement('twice', id), settlement('twice', id), other])).toEqual([
			{ jobId: id, outcome: 'unknown' },
			{ jobId: id, outcome: 'settled' },
			{ jobId: id, outcome: 'already' },
			{ jobId: other.jobId, outcome: 'unknown' },
		]);
		const late = settlement('twice', id, { state: 'failed', images: [], usage: { images: 9, megapixelSteps: 9 } });
		expect(await ws.settleBatch([late])).toEqual([{ jobId: id, outcome: 'already' }]);
		expect(await ws.usage()).toEqual({ images: 1, megapixelSteps: 0.016, openJobs: 0, settledJobs: 1 });
		expect(await ws.getJob(id)).toMatchObject({ state: 'succeeded' });
		expect(await ledgerOf('twice')).toHaveLength(2);
	});

	it('writes nothing of a batch that holds a settlement which does not end its job', async () => {
		const ws = await makeWorkspace('broken');
		const [good, bad] = [await mustSubmit('broken'), await mustSubmit('broken')];
		const batch = [settlement('broken', good), settlement('broken', bad, { state: 'running' })];
		await runInDurableObject(stubOf('broken'), async (instance) => {
			await expect(instance.settleBatch(batch)).rejects.toThrow('job cannot go from');
		});
		expect(await ws.usage()).toEqual({ images: 0, megapixelSteps: 0, openJobs: 2, settledJobs: 0 });
		expect(await ws.settleBatch([settlement('broken', good)])).toEqual([{ jobId: good, outcome: 'settled' }]);
		expect(await chainOf('broken')).toMatchObject({ ok: true });
	});

	it('chains its ledger, and shows where it was changed', async () => {
		const ws = await makeWorkspace('chain');
		for (let i = 0; i < 4; i++) await ws.settleBatch([settlement('chain', await mustSubmit('chain'))]);
		expect(await chainOf('chain')).toMatchObject({ ok: true, head: { seq: 5, totals: { images: 4, settledJobs: 4 } } });
		await execute('chain', `UPDATE ledger SET entries = replace(entries, '"images":1', '"images":0') WHERE seq = 3`);
		expect(await chainOf('chain')).toMatchObject({ ok: false, seq: 3 });
		await execute('chain', 'DELETE FROM ledger WHERE seq = 3');
		expect(await chainOf('chain')).toEqual({ ok: false, seq: 4, why: 'sequence' });
	});
});

describe('reading', () => {
	it('pages through jobs and pictures, newest first', async () => {
		const ws = await makeWorkspace('pages');
		const ids: string[] = [];
		for (let i = 0; i < 5; i++) ids.push(await mustSubmit('pages', { spec: spec({ n: 2 }) }));
		const done = ids.filter((_, i) => i !== 2);
		await ws.settleBatch(done.map((id) => settlement('pages', id, { images: [picture('pages', id, 0), picture('pages', id, 1)] })));
		const newest = ids.toSorted().toReversed();
		const pages: string[][] = [];
		let cursor: string | null = null;
		do {
			const page = await ws.listJobs({ limit: 2, ...(cursor === null ? {} : { cursor }) });
			pages.push(page.data.map((job) => job.id));
			cursor = page.nextCursor;
		} while (cursor !== null);
		expect(pages).toEqual([newest.slice(0, 2), newest.slice(2, 4), newest.slice(4)]);
		expect((await ws.listJobs({ limit: 9, state: 'succeeded' })).data).toHaveLength(4);
		expect((await ws.listJobs({ limit: 9, state: 'running' })).data.map((job) => job.id)).toEqual([ids[2]]);
		expect(await ws.listJobs({ limit: 9, state: 'open' })).toMatchObject({ data: [{ id: ids[2] }], nextCursor: null });
		expect((await ws.listJobs({ limit: 9, state: 'open', cursor: ids[2] as string })).data).toEqual([]);
		expect(await ws.listJobs({ limit: 9, cursor: 'x' })).toEqual({ data: [], nextCursor: null });

		const seen: string[] = [];
		cursor = null;
		do {
			const page: Awaited<ReturnType<typeof ws.listImages>> = await ws.listImages({ limit: 3, ...(cursor === null ? {} : { cursor }) });
			expect(page.data.length).toBeLessThanOrEqual(3);
			seen.push(...page.data.map(({ job, image }) => `${job.id}:${image.index}`));
			cursor = page.nextCursor;
		} while (cursor !== null);
		expect(seen).toEqual(
			done
				.toSorted()
				.toReversed()
				.flatMap((id) => [`${id}:0`, `${id}:1`]),
		);
	});

	it('answers the accepted key of a picture', async () => {
		const ws = await makeWorkspace('keys');
		const id = await mustSubmit('keys');
		expect(await ws.resultKey(id, 0)).toEqual({ state: 'queued' });
		await ws.settleBatch([settlement('keys', id)]);
		expect(await ws.resultKey(id, 0)).toEqual({ state: 'succeeded', key: picture('keys', id).key });
		expect(await ws.resultKey(id, 1)).toEqual({ state: 'succeeded' });
		expect(await ws.resultKey('job_x', 0)).toEqual({ state: 'unknown' });
	});

	it('purges one picture or all, only of an ended job, and says so in the ledger', async () => {
		const ws = await makeWorkspace('purge');
		const id = await mustSubmit('purge', { spec: spec({ n: 2 }) });
		expect(await ws.purgeImages(id)).toMatchObject({ ok: false, code: 'conflict' });
		expect(await ws.purgeImages('job_x')).toMatchObject({ ok: false, code: 'not_found' });
		const images = [picture('purge', id, 0), picture('purge', id, 1)];
		for (const image of images) await env.PICTURES.put(image.key, 'bytes');
		await ws.settleBatch([settlement('purge', id, { images })]);
		expect(await ws.purgeImages(id, 5)).toMatchObject({ ok: false, code: 'not_found' });
		expect(await ws.purgeImages(id, 1)).toEqual({ ok: true, keys: [images[1]!.key] });
		expect(await env.PICTURES.head(images[1]!.key)).toBeNull();
		expect(await env.PICTURES.head(images[0]!.key)).not.toBeNull();
		expect(await ws.getJob(id)).toMatchObject({ images: [{ index: 0 }], purgedAt: expect.any(Number) });
		expect(await ws.purgeImages(id)).toEqual({ ok: true, keys: [images[0]!.key] });
		expect(await ws.purgeImages(id)).toEqual({ ok: true, keys: [] });
		expect((await ledgerOf('purge')).slice(-2).map((row) => row.entries)).toEqual([
			[{ type: 'purge', job: id, indexes: [1] }],
			[{ type: 'purge', job: id, indexes: [0] }],
		]);
		expect((await ws.usage()).images).toBe(1);
	});
});
