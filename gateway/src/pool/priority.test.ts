import { describe, expect, it } from 'vitest';
import { Bench, type TaskSend } from './sim/bench.ts';

const change = (bench: Bench, jobId: string, priority: number, ws = 'acme') =>
	bench.on('prioritize', { ws, jobId, priority, who: 'key:k' });

/** A bench with one slot that is taken. */
const busy = (): { bench: Bench; nodeId: string; grant: TaskSend } => {
	const bench = new Bench();
	const identity = bench.identity();
	bench.join(identity);
	bench.submit();
	const grant = bench.grant();
	bench.ack(grant);
	return { bench, nodeId: identity.nodeId, grant };
};

describe('another priority', () => {
	it('puts a waiting job before an older one, without a grant, and with one row written', () => {
		const { bench, nodeId, grant } = busy();
		const older = bench.submit();
		const younger = bench.submit();
		bench.clear();
		expect(change(bench, younger.id, 9)).toEqual({ ok: true, before: 5 });
		expect(bench.writes).toBe(1);
		expect(bench.grants()).toEqual([]);
		bench.complete(grant, nodeId);
		const next = bench.grant();
		expect(next.job.id).toBe(younger.id);
		bench.complete(next, nodeId);
		expect(bench.grant().job.id).toBe(older.id);
	});

	it('puts a waiting job back', () => {
		const { bench, nodeId, grant } = busy();
		const first = bench.submit();
		const second = bench.submit();
		expect(change(bench, first.id, 0)).toMatchObject({ ok: true });
		bench.complete(grant, nodeId);
		expect(bench.grant().job.id).toBe(second.id);
	});

	it('tells the change in the history, once, and answers a repeat the same', () => {
		const { bench } = busy();
		const { id } = bench.submit();
		change(bench, id, 7);
		expect(bench.state.jobs.get(id)?.hist.at(-1)).toMatchObject({ type: 'priority', who: 'key:k', from: '5', to: '7' });
		bench.clear();
		expect(change(bench, id, 7)).toEqual({ ok: true, before: 7 });
		expect(bench.writes).toBe(0);
	});

	it('outlives a restart', () => {
		const { bench, grant, nodeId } = busy();
		bench.submit();
		const { id } = bench.submit();
		change(bench, id, 9);
		const conn = bench.state.nodes.get(nodeId)?.conn;
		bench.restart({ nodes: [{ connId: conn?.id ?? '', nodeId, bootId: conn?.bootId ?? '', at: bench.now }] });
		expect(bench.state.jobs.get(id)?.spec.priority).toBe(9);
		bench.complete(grant, nodeId);
		expect(bench.grant().job.id).toBe(id);
	});

	it('moves what waits of a job that runs, and leaves what runs where it is', () => {
		const { bench, grant, nodeId } = busy();
		const pair = bench.submit({ n: 2 });
		bench.complete(grant, nodeId);
		const running = bench.grant();
		expect(running.job.id).toBe(pair.id);
		const rival = bench.submit({ priority: 6 });
		expect(change(bench, pair.id, 8)).toMatchObject({ ok: true });
		expect(bench.state.jobs.get(pair.id)?.tasks.map(({ state, epoch }) => [state, epoch])).toEqual([
			['leased', 1],
			['queued', 0],
		]);
		bench.complete(running, nodeId);
		const next = bench.grant();
		expect([next.job.id, next.index]).toEqual([pair.id, 1]);
		bench.complete(next, nodeId);
		expect(bench.grant().job.id).toBe(rival.id);
	});

	it('counts for a job that waits for another one, once that has ended', () => {
		const { bench, nodeId, grant } = busy();
		const rival = bench.submit({ priority: 6 });
		const waiting = bench.submit({ dependsOn: [grant.job.id] });
		expect(bench.state.jobs.get(waiting.id)?.state).toBe('waiting');
		expect(change(bench, waiting.id, 9)).toMatchObject({ ok: true });
		bench.complete(grant, nodeId);
		const next = bench.grant();
		expect(next.job.id).toBe(waiting.id);
		bench.complete(next, nodeId);
		expect(bench.grant().job.id).toBe(rival.id);
	});

	it('keeps the time since which a task waits, which its measured latency needs', () => {
		const { bench } = busy();
		const { id } = bench.submit();
		const readyAt = bench.state.jobs.get(id)?.tasks[0]?.readyAt;
		bench.pass(3000);
		change(bench, id, 9);
		expect(bench.state.jobs.get(id)?.tasks[0]?.readyAt).toBe(readyAt);
	});

	it('orders tasks that need no device too', () => {
		const bench = new Bench();
		const identity = bench.identity();
		bench.join(identity, { taskTypes: ['DISCOVERY'] });
		const probe = { taskType: 'DISCOVERY' as const, nodeId: identity.nodeId, n: 1 };
		const first = bench.submit(probe);
		const running = bench.grant();
		expect(running.job.id).toBe(first.id);
		bench.submit(probe);
		const third = bench.submit(probe);
		expect(change(bench, third.id, 9)).toMatchObject({ ok: true });
		const { jobId, index, epoch } = { jobId: first.id, index: 0, epoch: running.epoch };
		const key = 'report';
		const report = { index, key, epoch, nodeId: identity.nodeId, data: {}, bytes: 2, sha256: 'a'.repeat(64), at: bench.now };
		bench.on('report', { input: { ws: 'acme', jobId, index, epoch, nodeId: identity.nodeId, report } });
		expect(bench.grant().job.id).toBe(third.id);
	});

	it.each([
		['a job of another workspace', (bench: Bench, id: string) => change(bench, id, 9, 'other'), 'not_found'],
		['a job that nobody submitted', (bench: Bench) => change(bench, 'job_none', 9), 'not_found'],
		['a priority above 9', (bench: Bench, id: string) => change(bench, id, 10), 'validation_failed'],
		['a priority below 0', (bench: Bench, id: string) => change(bench, id, -1), 'validation_failed'],
		['half a priority', (bench: Bench, id: string) => change(bench, id, 4.5), 'validation_failed'],
	])('refuses %s', (_, ask, code) => {
		const { bench } = busy();
		const { id } = bench.submit();
		bench.clear();
		expect(ask(bench, id)).toMatchObject({ ok: false, code });
		expect(bench.writes).toBe(0);
	});

	it('refuses when nothing waits: all is being made, or the job is over', () => {
		const { bench, grant, nodeId } = busy();
		expect(change(bench, grant.job.id, 9)).toMatchObject({ ok: false, code: 'conflict' });
		bench.complete(grant, nodeId);
		expect(change(bench, grant.job.id, 9)).toMatchObject({ ok: false, code: 'conflict' });
	});

	it('takes a hundred changes of a job and no more, because its history must fit into a row', () => {
		const { bench } = busy();
		const { id } = bench.submit();
		for (let i = 0; i < 100; i++) expect(change(bench, id, i % 2)).toMatchObject({ ok: true });
		expect(change(bench, id, 5)).toMatchObject({ ok: false, code: 'conflict' });
	});
});
