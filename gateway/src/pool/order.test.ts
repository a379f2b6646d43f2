import { describe, expect, it } from 'vitest';
import { orderOf } from './core.test-lib.ts';
import { Bench } from './sim/bench.ts';
import { slotsOf } from './sim/fixtures.ts';

describe('order', () => {
	it('gives a workspace no more slots than its limit, lets others by, and goes on when one is free', () => {
		const bench = new Bench();
		for (let i = 0; i < 4; i++) bench.submit({ maxConcurrent: 2 }, { ws: 'acme' });
		bench.submit({}, { ws: 'bolt' });
		bench.join(bench.identity(), { slots: slotsOf(4) });
		const first = bench.grants();
		expect(first.map((grant) => grant.job.ws).toSorted()).toEqual(['acme', 'acme', 'bolt']);
		const mine = first.find((grant) => grant.job.ws === 'acme')!;
		bench.clear();
		bench.complete(mine, bench.state.connNode.get(mine.connId) ?? '');
		expect(bench.grants().map((grant) => grant.job.ws)).toEqual(['acme']);
	});

	it('counts the pictures of a batch against the limit, not the slot that makes them', () => {
		const bench = new Bench();
		for (let i = 0; i < 6; i++) bench.submit({ maxConcurrent: 3 }, { ws: 'acme' });
		const identity = bench.identity();
		const connId = bench.join(identity, { slots: slotsOf(2, 4) });
		const sizes = bench.grants().map((grant) => 1 + (grant.batch?.length ?? 0));
		expect(sizes.reduce((sum, size) => sum + size, 0)).toBe(3);
		expect(bench.state.lanes.busy.get('acme')).toBe(3);
		// A lost connection gives all of it back, and a node that comes back takes all of it up again.
		bench.on('closed', { connId });
		expect(bench.state.lanes.busy.size).toBe(0);
	});

	it('does not look at nodes that did not answer until their time is over', () => {
		const bench = new Bench();
		for (let i = 0; i < 3; i++) bench.join(bench.identity());
		const job = bench.submit();
		for (let i = 0; i < 3; i++) {
			bench.grant();
			bench.pass(3100);
		}
		// All three are left alone for half a minute; the first of them is asked again then.
		expect(bench.state.aside.size).toBeGreaterThan(0);
		expect(bench.grants()).toEqual([]);
		bench.pass(25_000);
		expect(bench.grant().job.id).toBe(job.id);
	});

	it('shares between workspaces by weight, whoever came first', () => {
		const bench = new Bench();
		for (let i = 0; i < 20; i++) bench.submit({}, { ws: 'acme' });
		for (let i = 0; i < 20; i++) bench.submit({}, { ws: 'bolt', weight: 3 });
		bench.join(bench.identity());
		const first = orderOf(bench, 16).map((grant) => grant.job.ws);
		expect(first.filter((ws) => ws === 'bolt')).toHaveLength(12);
	});

	it('gives no credit for time in which a workspace wanted nothing', () => {
		const bench = new Bench();
		for (let i = 0; i < 20; i++) bench.submit({}, { ws: 'acme' });
		bench.join(bench.identity());
		orderOf(bench, 10);
		for (let i = 0; i < 10; i++) bench.submit({}, { ws: 'bolt' });
		const next = orderOf(bench, 8).map((grant) => grant.job.ws);
		expect(next.filter((ws) => ws === 'acme').length).toBeGreaterThanOrEqual(3);
	});

	it('remembers over a restart who had his share', () => {
		const bench = new Bench();
		for (let i = 0; i < 3; i++) bench.submit({}, { ws: 'acme' });
		bench.join(bench.identity());
		orderOf(bench, 3);
		bench.submit({}, { ws: 'acme' });
		bench.grant();
		bench.submit({}, { ws: 'acme', createdAt: bench.now - 60_000 });
		bench.submit({}, { ws: 'bolt' });
		bench.restart();
		bench.join(bench.identity());
		expect(bench.grant().job.ws).toBe('bolt');
	});

	it('gives a newcomer no credit over a restart', () => {
		const bench = new Bench();
		for (let i = 0; i < 10; i++) bench.submit({}, { ws: 'acme' });
		bench.join(bench.identity());
		orderOf(bench, 8);
		for (let i = 0; i < 8; i++) bench.submit({}, { ws: 'acme' });
		for (let i = 0; i < 8; i++) bench.submit({}, { ws: 'bolt' });
		bench.clear();
		bench.restart();
		bench.join(bench.identity());
		const next = orderOf(bench, 6).map((grant) => grant.job.ws);
		expect(next.filter((ws) => ws === 'acme').length).toBeGreaterThanOrEqual(2);
	});

	it('never gives a private node the work of another workspace', () => {
		const bench = new Bench();
		bench.join(bench.identity({ trust: 'own', ws: 'acme' }));
		bench.submit({}, { ws: 'bolt' });
		expect(bench.grants()).toHaveLength(0);
		bench.submit({}, { ws: 'acme' });
		expect(bench.grant().job.ws).toBe('acme');
	});

	it('takes priority first, then age; an old job of low priority overtakes in the end', () => {
		const bench = new Bench();
		const old = bench.submit({ priority: 0 }, { createdAt: bench.now - 700_000 });
		const low = bench.submit({ priority: 4 });
		const high = bench.submit({ priority: 6 });
		const batch = bench.submit({ priority: 6, class: 'batch' });
		bench.join(bench.identity());
		expect(orderOf(bench, 4).map((grant) => grant.job.id)).toEqual([old.id, high.id, low.id, batch.id]);
	});

	it('does not let an infeasible head block others, and says why it waits', () => {
		const bench = new Bench();
		bench.join(bench.identity({ trust: 'own', ws: 'acme' }));
		const answer = bench.enqueue(bench.job({ model: 'sdxl', priority: 9 }));
		expect(answer).toMatchObject({ ok: true, queue: { feasible: false, position: 1, refusals: { 'does not have the model sdxl': 1 } } });
		const possible = bench.submit();
		expect(bench.grant().job.id).toBe(possible.id);
		// A private node of somebody else is not even counted.
		expect(bench.enqueue(bench.job({}, { ws: 'bolt' }))).toMatchObject({ ok: true, queue: { feasible: false, refusals: {} } });
	});

	it('spreads the pictures of a job over free slots and prefers the faster one', () => {
		const bench = new Bench();
		const slow = bench.identity();
		const fast = bench.identity();
		bench.join(slow);
		bench.join(fast);
		bench.submit({ n: 2 });
		for (const grant of bench.grants()) {
			const nodeId = bench.state.connNode.get(grant.connId) ?? '';
			bench.generated(grant, nodeId === slow.nodeId ? 9000 : 90);
			bench.complete(grant, nodeId);
		}
		for (let i = 0; i < 3; i++) {
			bench.submit();
			const grant = bench.grant();
			expect(bench.state.connNode.get(grant.connId)).toBe(fast.nodeId);
			bench.complete(grant, fast.nodeId);
		}
	});

	it('gives place and an interval that rests on measurements only', () => {
		const bench = new Bench();
		const identity = bench.identity();
		bench.join(identity);
		bench.submit();
		const grant = bench.grant();
		const waiting = bench.job();
		const before = bench.enqueue(waiting);
		expect(before).toMatchObject({ ok: true, queue: { position: 1, feasible: true, refusals: { busy: 1 } } });
		expect(before.ok && before.queue.etaMs).toBe(undefined);
		bench.generated(grant, 2000);
		bench.grants();
		const third = bench.enqueue(bench.job());
		expect(third.ok && third.queue.etaMs?.low).toBeGreaterThan(0);
	});
});
