/**
 * The object loses its memory between any two events; with `hibernate` its sockets live on, with `close` they do not.
 */
import { evictDurableObject, runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { describe, expect, it, vi } from 'vitest';
import { Pool } from '../../src/pool/pool.ts';
import type { Settlement } from '../../src/rpc.ts';
import { complete, freshShard, makeJob, newIdentity, refOf, startNode, submit, until, watch } from './harness.ts';

const STAGES = ['hello', 'grant', 'ack', 'progress', 'generated', 'complete'] as const;

describe.each(STAGES)('eviction after %s', (stage) => {
	it('changes nothing for a node whose socket hibernates', async () => {
		const { pool, shard, stub } = freshShard();
		const evictAt = async (now: (typeof STAGES)[number]): Promise<void> => {
			if (now === stage) await evictDurableObject(stub, { webSockets: 'hibernate' });
		};
		const node = await startNode(pool);
		await evictAt('hello');
		const job = makeJob(shard);
		await submit(pool, job);
		const task = await node.frame('task');
		const watcher = await watch(pool, job.id);
		await evictAt('grant');
		node.ack(task);
		await evictAt('ack');
		node.progress(task, 2);
		await watcher.step(2);
		await evictAt('progress');
		node.generated(task);
		await until(async () => (await pool.metrics()).slotsBusy === 0, 'generated');
		await evictAt('generated');
		expect(await complete(pool, node, task)).toBe('accepted');
		await evictAt('complete');
		expect(await complete(pool, node, task)).toBe('accepted');
		await watcher.event('succeeded');
		expect(watcher.durable()).toEqual([1, 2, 3, 4]);
		// The slot works on.
		const next = makeJob(shard);
		await submit(pool, next);
		const again = await node.frame('task');
		expect(again).toMatchObject({ jobId: next.id, epoch: 1 });
		expect(await complete(pool, node, again)).toBe('accepted');
	});
});

describe('eviction that closes sockets', () => {
	it('adopts the running task at its epoch when the node returns', async () => {
		const { pool, shard, stub } = freshShard();
		const identity = await newIdentity();
		const node = await startNode(pool, {}, identity);
		const job = makeJob(shard);
		await submit(pool, job);
		const task = await node.frame('task');
		node.ack(task);
		await evictDurableObject(stub, { webSockets: 'close' });
		expect(await pool.view('acme', job.id)).toMatchObject({ state: 'running', tasks: [{ phase: 'orphaned', epoch: 1 }] });
		const before = (await pool.metrics()).rowsWritten['live'] ?? 0;
		const back = await startNode(pool, { running: [{ ...refOf(task), slotId: task.slotId }] }, identity);
		expect((await pool.metrics()).rowsWritten['live'] ?? 0).toBe(before);
		back.progress(task, 3);
		await until(async () => (await pool.view('acme', job.id))?.tasks[0]?.step === 3, 'progress');
		expect(await complete(pool, back, task)).toBe('accepted');
	});

	it('accepts an upload that comes before the node itself is back', async () => {
		const { pool, shard, stub } = freshShard();
		const node = await startNode(pool);
		const job = makeJob(shard);
		await submit(pool, job);
		const task = await node.frame('task');
		node.generated(task);
		await until(async () => (await pool.metrics()).slotsBusy === 0, 'generated');
		await evictDurableObject(stub, { webSockets: 'close' });
		expect(await complete(pool, node, task)).toBe('accepted');
		expect(await pool.view('acme', job.id)).toMatchObject({ state: 'succeeded' });
	});

	it('has an alarm again for what is due, whatever became of the old one', async () => {
		const { pool, shard, stub } = freshShard();
		await submit(pool, makeJob(shard));
		await runInDurableObject(stub, (_, state) => state.storage.deleteAlarm());
		await evictDurableObject(stub, { webSockets: 'close' });
		await pool.metrics();
		expect(await runInDurableObject(stub, (_, state) => state.storage.getAlarm())).not.toBeNull();
	});

	it("gives the task of a node that is gone to another, and refuses the first one's late result", async () => {
		const { pool, shard, stub } = freshShard();
		const first = await startNode(pool);
		const job = makeJob(shard);
		await submit(pool, job);
		const task = await first.frame('task');
		first.ack(task);
		const second = await startNode(pool);
		const killedAt = Date.now();
		first.ws.close(4000, 'killed');
		const again = await second.frame('task', 4000);
		expect(Date.now() - killedAt).toBeLessThan(2500);
		expect(again).toMatchObject({ jobId: job.id, epoch: 2 });
		second.ack(again);
		expect(await complete(pool, first, task)).toBe('stale');
		expect(await complete(pool, second, again)).toBe('accepted');
		// It still has rows of nodes to write, and would plan that on the clock of the next test, inside another object.
		await evictDurableObject(stub);
	});
});

describe('a workspace that does not answer', () => {
	it('is told again, so that its jobs do not stay open for ever', async () => {
		const { pool, shard, stub } = freshShard();
		await pool.metrics();
		const told: string[][] = [];
		const silent = {
			getByName: () => ({
				settleBatch: (batch: Settlement[]) => {
					told.push(batch.map(({ jobId }) => jobId));
					return told.length === 1 ? new Promise(() => {}) : Promise.resolve([]);
				},
			}),
		};
		vi.useFakeTimers({ toFake: ['Date', 'setTimeout', 'clearTimeout'], now: Date.now() });
		await runInDurableObject(stub, async (_instance, state) => {
			const silenced = new Pool(state, { ...env, WORKSPACE: silent } as unknown as Env);
			const job = makeJob(shard);
			await silenced.enqueue(job, Date.now() + 60_000);
			await silenced.cancel('acme', job.id, 'key:k1');
			await vi.advanceTimersByTimeAsync(1000);
			expect(told).toEqual([[job.id]]);
			await vi.advanceTimersByTimeAsync(32_000);
			expect(told).toEqual([[job.id], [job.id]]);
		});
		vi.useRealTimers();
		await evictDurableObject(stub);
	});
});
