import { describe, expect, it } from 'vitest';
import { stateOf, settlementOf, running } from './core.test-lib.ts';
import { Bench, refOf } from './sim/bench.ts';
import { liveJob } from './views.ts';

describe('hand-over', () => {
	it('is idempotent by job id and grants at once with a single row write', () => {
		const bench = new Bench();
		bench.join(bench.identity());
		bench.clear();
		const job = bench.submit();
		expect(bench.writes).toBe(1);
		expect(bench.enqueue(job)).toEqual({ ok: true, queue: { feasible: true } });
		expect(bench.writes).toBe(1);
		expect(bench.grants()).toHaveLength(1);
	});

	it('refuses a hand-over after notAfter, and takes one at that very moment', () => {
		const bench = new Bench();
		const job = bench.job();
		expect(bench.on('enqueue', { job, notAfter: bench.now - 1 })).toMatchObject({ ok: false, code: 'retry_later' });
		expect(bench.state.jobs.size).toBe(0);
		expect(bench.on('enqueue', { job, notAfter: bench.now })).toMatchObject({ ok: true });
	});

	it('refuses a spec that would not fit a row', () => {
		const bench = new Bench();
		const answer = bench.enqueue(bench.job({ prompt: 'x'.repeat(600_000) }));
		expect(answer).toMatchObject({ ok: false, code: 'payload_too_large' });
	});

	it('keeps a cancel that came first: the late hand-over never runs', () => {
		const bench = new Bench();
		bench.join(bench.identity());
		const job = bench.job();
		expect(bench.on('cancel', { ws: 'acme', jobId: job.id, who: 'key:k' })).toEqual({ ok: true, state: 'canceled' });
		expect(bench.enqueue(job)).toMatchObject({ ok: true, queue: { feasible: false } });
		bench.settleAll();
		expect(bench.enqueue(job)).toMatchObject({ ok: true, queue: { feasible: false } });
		expect(bench.grants()).toHaveLength(0);
		expect(settlementOf(bench, job.id)).toMatchObject({ state: 'canceled', images: [], usage: { images: 0, megapixelSteps: 0 } });
	});

	it('tells another workspace that there is no such job', () => {
		const bench = new Bench();
		const job = bench.submit();
		expect(bench.on('cancel', { ws: 'bolt', jobId: job.id, who: 'key:k' })).toMatchObject({ ok: false, code: 'not_found' });
		expect(bench.on('watch', { ws: 'bolt', jobId: job.id, after: 0, watcher: 'w' })).toBe(false);
	});
});

describe('results', () => {
	it('accepts the accepted key for ever and refuses other bytes', () => {
		const { bench, nodeId, grant } = running();
		expect(bench.complete(grant, nodeId)).toBe('accepted');
		expect(bench.complete(grant, nodeId)).toBe('accepted');
		expect(bench.complete(grant, nodeId, 'b')).toBe('stale');
		expect(stateOf(bench, grant.job.id)).toBe('succeeded');
	});

	it('refuses a result of another node, of another epoch, of another workspace', () => {
		const { bench, nodeId, grant } = running();
		expect(bench.complete(grant, bench.identity().nodeId)).toBe('stale');
		expect(bench.complete({ ...grant, epoch: 2 }, nodeId)).toBe('stale');
		expect(bench.complete({ ...grant, job: { ...grant.job, ws: 'bolt' } }, nodeId)).toBe('unknown');
		expect(bench.complete(grant, nodeId)).toBe('accepted');
	});

	it('lets the first turn win between cancel and result', () => {
		const lost = running();
		lost.bench.on('cancel', { ws: 'acme', jobId: lost.grant.job.id, who: 'key:k' });
		expect(lost.bench.complete(lost.grant, lost.nodeId)).toBe('stale');
		const won = running();
		won.bench.complete(won.grant, won.nodeId);
		expect(won.bench.on('cancel', { ws: 'acme', jobId: won.grant.job.id, who: 'key:k' })).toEqual({ ok: true, state: 'succeeded' });
	});

	it('frees the slot at `generated`, and grants it while the upload goes on', () => {
		const { bench, nodeId, grant } = running();
		const second = bench.submit();
		expect(bench.grants()).toHaveLength(0);
		bench.generated(grant);
		expect(bench.grant().job.id).toBe(second.id);
		expect(bench.complete(grant, nodeId)).toBe('accepted');
	});

	it('settles absolute values once acknowledged, keeps the row two minutes and deletes it then', () => {
		const { bench, nodeId, grant } = running();
		bench.complete(grant, nodeId);
		bench.settleAll();
		expect(settlementOf(bench, grant.job.id)).toMatchObject({ state: 'succeeded', usage: { images: 1, megapixelSteps: 0.066 } });
		bench.pass(110_000);
		expect(bench.rows.has(grant.job.id)).toBe(true);
		bench.pass(60_000);
		expect(bench.rows.has(grant.job.id)).toBe(false);
	});

	it('has one batch of a workspace under way at a time', () => {
		const { bench, nodeId, grant } = running();
		bench.complete(grant, nodeId);
		bench.pass(200);
		expect(settlementOf(bench, grant.job.id)).toBeDefined();
		bench.clear();
		const second = bench.submit();
		bench.on('cancel', { ws: 'acme', jobId: second.id, who: 'key:k' });
		bench.pass(5000);
		expect(bench.sends.filter((send) => send.kind === 'settle')).toEqual([]);
		bench.on('settled', { ws: 'acme', jobIds: [grant.job.id] });
		bench.pass(200);
		expect(settlementOf(bench, second.id)?.state).toBe('canceled');
		expect(settlementOf(bench, grant.job.id)).toBeUndefined();
	});

	it('repeats a settlement that failed, with a growing pause', () => {
		const { bench, nodeId, grant } = running();
		bench.complete(grant, nodeId);
		const sentAt: number[] = [];
		for (let i = 0; i < 4; i++) {
			while (!bench.sends.some((send) => send.kind === 'settle')) bench.pass(100);
			sentAt.push(bench.now);
			bench.clear();
			bench.on('settleFailed', { ws: 'acme', jobIds: [grant.job.id] });
		}
		const pauses = sentAt.slice(1).map((at, i) => at - (sentAt[i] ?? 0));
		expect(pauses[1]).toBeGreaterThan(pauses[0] ?? 0);
		expect(pauses[2]).toBeGreaterThan(pauses[1] ?? 0);
		bench.restart();
		bench.pass(300);
		expect(settlementOf(bench, grant.job.id)?.state).toBe('succeeded');
	});
});

describe('watching', () => {
	it('replays what came after, then a snapshot, then goes on live, each durable event once', () => {
		const bench = new Bench();
		const identity = bench.identity();
		bench.join(identity);
		const job = bench.submit();
		const grant = bench.grant();
		bench.ack(grant);
		bench.say(grant.connId, { t: 'progress', items: [{ ...refOf(grant), phase: 'denoising', step: 3, steps: 4 }] });
		bench.clear();
		bench.on('watch', { ws: 'acme', jobId: job.id, after: 1, watcher: 'w1' });
		expect(bench.sends).toMatchObject([
			{ kind: 'bridge', frame: { event: 'assigned', id: 2 } },
			{ kind: 'bridge', frame: { event: 'progress', data: { step: 3 } } },
			{ kind: 'frame', frame: { t: 'watch', jobId: job.id, on: true } },
		]);
		bench.clear();
		bench.complete(grant, identity.nodeId);
		const live = bench.sends.flatMap((send) => (send.kind === 'watch' ? [[send.frame.event, send.frame.id]] : []));
		expect(live).toEqual([
			['image', 3],
			['succeeded', 4],
		]);
		expect(bench.sends.some((send) => send.kind === 'endWatch')).toBe(true);
	});

	it('coalesces progress and tells the holder when nobody looks any more', () => {
		const bench = new Bench();
		bench.join(bench.identity());
		const job = bench.submit();
		const grant = bench.grant();
		bench.ack(grant);
		bench.on('watch', { ws: 'acme', jobId: job.id, after: 0, watcher: 'w1' });
		bench.pass(1000);
		bench.clear();
		for (let step = 0; step < 4; step++) {
			bench.now += 10;
			bench.say(grant.connId, { t: 'progress', items: [{ ...refOf(grant), phase: 'denoising', step, steps: 4 }] });
		}
		bench.pass(300);
		const steps = bench.sends.flatMap((send) => (send.kind === 'watch' ? [(send.frame.data as { step: number }).step] : []));
		expect(steps).toEqual([0, 3]);
		bench.on('unwatch', { jobId: job.id });
		expect(bench.frames('watch')).toMatchObject([{ on: false }]);
	});

	it('shows an orphaned task as such', () => {
		const bench = new Bench();
		const connId = bench.join(bench.identity());
		const job = bench.submit();
		bench.ack(bench.grant());
		bench.on('closed', { connId });
		const live = bench.state.jobs.get(job.id);
		expect(live && liveJob(bench.state, bench.now, live).tasks).toMatchObject([{ state: 'leased', phase: 'orphaned', epoch: 1 }]);
	});
});
