import { runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { Pool } from '../../src/pool/pool.ts';
import { complete, freshShard, makeJob, newIdentity, startNode, submit, TestNode, until, watch, Watcher } from './harness.ts';

afterEach(() => {
	vi.useRealTimers();
});

describe('the life of a job', () => {
	it('goes from enqueue over grant, ack, progress and complete to the last event', async () => {
		const { pool, shard } = freshShard();
		const node = await startNode(pool);
		const job = makeJob(shard);
		expect(await submit(pool, job)).toEqual({ ok: true, queue: { feasible: true } });
		const task = await node.frame('task');
		expect(task).toMatchObject({ jobId: job.id, index: 0, epoch: 1, seed: 7, slotId: 's0', inputs: [] });
		const watcher = await watch(pool, job.id);
		expect(await node.frame('watch')).toMatchObject({ jobId: job.id, on: true });
		node.ack(task);
		node.progress(task, 2);
		expect((await watcher.step(2)).data).toMatchObject({ index: 0, step: 2, steps: 4, phase: 'denoising' });
		node.generated(task);
		expect(await complete(pool, node, task)).toBe('accepted');
		const end = await watcher.event('succeeded');
		expect(end.data).toMatchObject({ images: [{ index: 0, epoch: 1 }], usage: { images: 1 }, warnings: [] });
		expect((await watcher.closed).code).toBe(1000);
		expect(watcher.durable()).toEqual([1, 2, 3, 4]);
		expect(await pool.view('acme', job.id)).toMatchObject({ state: 'succeeded', images: [{ index: 0 }] });
		expect(await pool.view('other', job.id)).toBeNull();
	});

	it('writes at most four rows, the delete included', async () => {
		const { pool, shard, stub } = freshShard();
		const node = await startNode(pool);
		const before = await pool.metrics();
		const job = makeJob(shard);
		await submit(pool, job);
		const task = await node.frame('task');
		node.ack(task);
		for (let step = 0; step < 4; step++) node.progress(task, step);
		node.generated(task);
		await complete(pool, node, task);
		await until(
			async () => runInDurableObject(stub, (_, state) => state.storage.sql.exec('SELECT state FROM live').one()['state'] === 'done'),
			'done row',
		);
		// The settle batch goes out after 100 ms; then two minutes pass.
		await new Promise((resolve) => setTimeout(resolve, 400));
		vi.useFakeTimers({ toFake: ['Date'], now: Date.now() + 150_000 });
		expect(await runDurableObjectAlarm(stub)).toBe(true);
		const count = await runInDurableObject(stub, (_, state) => state.storage.sql.exec('SELECT count(*) AS n FROM live').one()['n']);
		expect(count).toBe(0);
		const after = await pool.metrics();
		expect((after.rowsWritten['live'] ?? 0) - (before.rowsWritten['live'] ?? 0)).toBe(3);
	});

	it('costs one row more when the job has to wait, and none for any frame', async () => {
		const { pool, shard } = freshShard();
		const job = makeJob(shard);
		expect(await submit(pool, job)).toMatchObject({ ok: true, queue: { feasible: false, position: 1 } });
		const node = await startNode(pool);
		const task = await node.frame('task');
		node.ack(task);
		await complete(pool, node, task);
		expect((await pool.metrics()).rowsWritten['live']).toBe(3); // with the delete: 4
	});

	it('serves two slots and n pictures at once', async () => {
		const { pool, shard } = freshShard();
		const node = await startNode(pool, { slots: 2 });
		const job = makeJob(shard, { n: 3 });
		await submit(pool, job);
		const first = await node.frame('task');
		const second = await node.frame('task');
		expect(new Set([first.slotId, second.slotId]).size).toBe(2);
		node.generated(first);
		const third = await node.frame('task');
		expect([first, second, third].map((task) => task.index).toSorted((a, b) => a - b)).toEqual([0, 1, 2]);
		for (const task of [first, second, third]) expect(await complete(pool, node, task)).toBe('accepted');
		expect(await pool.view('acme', job.id)).toMatchObject({ state: 'succeeded' });
	});

	it('stops the node on cancel and gives the slot to the next job', async () => {
		const { pool, shard } = freshShard();
		const node = await startNode(pool);
		const job = makeJob(shard);
		await submit(pool, job);
		const task = await node.frame('task');
		node.ack(task);
		expect(await pool.cancel('acme', job.id, 'key:k1')).toEqual({ ok: true, state: 'canceled' });
		expect(await node.frame('cancel')).toMatchObject({ jobId: job.id, epoch: 1 });
		expect(await complete(pool, node, task)).toBe('stale');
		const next = makeJob(shard);
		await submit(pool, next);
		expect(await node.frame('task', 500)).toMatchObject({ jobId: next.id });
	});

	it('forwards previews to watchers, and only those of the holder', async () => {
		const { pool, shard } = freshShard();
		const node = await startNode(pool);
		const job = makeJob(shard);
		await submit(pool, job);
		const task = await node.frame('task');
		node.ack(task);
		const watcher = await watch(pool, job.id);
		node.preview({ ...task, epoch: 9 }, 1, Uint8Array.from([9]));
		node.preview(task, 1, Uint8Array.from([1, 2, 3]));
		expect((await watcher.event('preview')).data).toEqual({ index: 0, step: 1, contentType: 'image/jpeg', base64: 'AQID' });
	});

	it('ends the watch with a 404 for a job that is not there, or not yours', async () => {
		const { pool, shard } = freshShard();
		const job = makeJob(shard);
		expect(await Watcher.open(pool, job.id)).toBe(404);
		await submit(pool, job);
		expect(await Watcher.open(pool, job.id, 0, 'other')).toBe(404);
		const watcher = await watch(pool, job.id);
		expect((await watcher.event('waiting')).data).toMatchObject({ reason: 'No node has joined yet. Start one with `limner node`.' });
	});
});

describe('connections', () => {
	it('refuses a hello that is not signed by the certificate, and no certificate at all', async () => {
		const { pool } = freshShard();
		const node = await TestNode.connect(pool, await newIdentity());
		void node.hello({ sign: async () => Buffer.alloc(64).toString('base64url') }).catch(() => undefined);
		expect((await node.closed).code).toBe(4401);
		expect((await pool.fetch('http://pool/node', { headers: { Upgrade: 'websocket' } })).status).toBe(401);
		expect((await pool.fetch('http://pool/node')).status).toBe(426);
		expect(await pool.nodes('acme')).toEqual([]);
	});

	it('replaces the older socket of the same node', async () => {
		const { pool, shard } = freshShard();
		const identity = await newIdentity();
		const old = await startNode(pool, {}, identity);
		const fresh = await startNode(pool, {}, identity);
		expect((await old.closed).code).toBe(4409);
		const job = makeJob(shard);
		await submit(pool, job);
		expect(await fresh.frame('task')).toMatchObject({ jobId: job.id });
	});

	it('is not woken by a hundred heartbeats', async () => {
		const { pool } = freshShard();
		const node = await startNode(pool);
		const before = (await pool.metrics()).wakeups;
		for (let i = 0; i < 100; i++) node.ws.send('ping');
		for (let i = 0; i < 100; i++) expect(await node.texts.take((text) => text === 'pong', 'pong')).toBe('pong');
		expect((await pool.metrics()).wakeups).toEqual(before);
		expect(await pool.nodes('acme')).toMatchObject([{ link: 'online', idleReason: 'Ready; nothing is waiting.' }]);
	});

	it('answers the close of a node at once, so that it does not hang', async () => {
		const { pool } = freshShard();
		const node = await startNode(pool);
		const started = Date.now();
		node.ws.close(4000, 'bye');
		expect((await node.closed).code).toBe(4000);
		expect(Date.now() - started).toBeLessThan(2000);
		await until(async () => (await pool.nodes('acme'))[0]?.link === 'offline', 'offline');
	});

	it('counts what it cannot read and goes on', async () => {
		const { pool } = freshShard();
		const node = await startNode(pool);
		node.ws.send('{');
		node.send({ t: 'ack' });
		node.send({ t: 'from-the-future', x: 1 });
		await until(async () => (await pool.metrics()).unknownFrames === 1, 'unknown frame');
		expect(await pool.metrics()).toMatchObject({ badFrames: 2, nodesOnline: 1 });
	});

	it('shows a private node to its owner only, and its models to whom it serves', async () => {
		const { pool } = freshShard();
		await startNode(pool);
		expect(await pool.models('acme')).toMatchObject([{ name: 'storybook', nodes: 1 }]);
		expect(await pool.models('other')).toEqual([]);
		expect(await pool.nodes('other')).toEqual([]);
	});
});

it('exports the class that wrangler.toml binds', () => {
	expect(Pool.name).toBe('Pool');
});
