import { describe, expect, it } from 'vitest';
import { stateOf } from './core.test-lib.ts';
import { Bench, refOf } from './sim/bench.ts';
import { slotsOf } from './sim/fixtures.ts';

describe('loss', () => {
	it('writes nothing and keeps the epoch until somebody else takes the task', () => {
		const bench = new Bench();
		const identity = bench.identity();
		const connId = bench.join(identity);
		bench.submit();
		const grant = bench.grant();
		bench.ack(grant);
		bench.clear();
		bench.on('closed', { connId });
		bench.pass(900);
		expect(bench.writes).toBe(0);
		const again = bench.join(identity, { running: [{ ...refOf(grant), slotId: grant.slotId }] });
		expect(bench.frames('welcome')[0]?.keep).toEqual([refOf(grant)]);
		expect(bench.writes).toBe(0);
		bench.say(again, { t: 'progress', items: [{ ...refOf(grant), phase: 'denoising', step: 1, steps: 4 }] });
		expect(bench.complete(grant, identity.nodeId)).toBe('accepted');
	});

	it('grants elsewhere one second after the socket closed; the first holder is stale then', () => {
		const bench = new Bench();
		const first = bench.identity();
		const connId = bench.join(first);
		bench.submit();
		const grant = bench.grant();
		bench.ack(grant);
		const second = bench.identity();
		bench.join(second);
		bench.on('closed', { connId });
		bench.pass(990);
		expect(bench.grants()).toHaveLength(0);
		bench.pass(20);
		const regrant = bench.grant();
		expect(regrant).toMatchObject({ epoch: 2 });
		expect(bench.complete(grant, first.nodeId)).toBe('stale');
		bench.join(first, { running: [{ ...refOf(grant), slotId: 's0' }] });
		expect(bench.frames('welcome').at(-1)?.drop).toEqual([refOf(grant)]);
		expect(bench.complete(regrant, second.nodeId)).toBe('accepted');
	});

	it('grants again at once when the holder comes back without the task', () => {
		const bench = new Bench();
		const identity = bench.identity();
		bench.join(identity);
		bench.submit();
		bench.ack(bench.grant());
		bench.join(identity, { bootId: 'boot2' });
		expect(bench.grant().epoch).toBe(2);
		expect(bench.sends.some((send) => send.kind === 'close' && send.code === 4409)).toBe(true);
	});

	it('waits ten seconds for the holder after a restart, and adopts what it kept and what it finished', () => {
		const bench = new Bench();
		const identity = bench.identity();
		bench.join(identity, { slots: slotsOf(2) });
		bench.submit();
		bench.submit();
		const [one, two] = bench.grants();
		if (one === undefined || two === undefined) throw new Error('no grants');
		bench.ack(one);
		bench.ack(two);
		bench.restart();
		bench.clear();
		bench.pass(9900);
		expect(bench.grants()).toHaveLength(0);
		bench.join(identity, { slots: slotsOf(2), running: [{ ...refOf(one), slotId: one.slotId }], finished: [refOf(two)] });
		expect(bench.frames('welcome')[0]?.keep).toHaveLength(2);
		expect(bench.writes).toBe(0);
		expect(bench.complete(one, identity.nodeId)).toBe('accepted');
		expect(bench.complete(two, identity.nodeId)).toBe('accepted');
	});

	it('goes on as if nothing had happened when the socket outlived the restart', () => {
		const bench = new Bench();
		const identity = bench.identity();
		const connId = bench.join(identity);
		bench.submit();
		const grant = bench.grant();
		bench.ack(grant);
		bench.restart({ nodes: [{ connId, nodeId: identity.nodeId, bootId: 'boot1', at: bench.now }] });
		const second = bench.submit();
		bench.pass(12_000);
		expect(bench.grants()).toHaveLength(0);
		bench.generated(grant);
		expect(bench.grant().job.id).toBe(second.id);
	});

	it('cuts a holder that was silent for eleven seconds', () => {
		const bench = new Bench();
		const connId = bench.join(bench.identity());
		bench.submit();
		const grant = bench.grant();
		bench.ack(grant);
		const other = bench.identity();
		bench.join(other);
		bench.silent.set(connId, bench.now);
		bench.pass(10_900);
		expect(bench.grants()).toHaveLength(0);
		bench.pass(200);
		expect(bench.sends.some((send) => send.kind === 'close' && send.connId === connId && send.code === 4408)).toBe(true);
		expect(bench.grant().epoch).toBe(2);
	});

	it('looks for work at once after a restart, without waiting for a frame', () => {
		const bench = new Bench();
		const identity = bench.identity();
		const connId = bench.join(identity);
		bench.on('closed', { connId });
		const job = bench.submit();
		bench.restart({ nodes: [{ connId, nodeId: identity.nodeId, bootId: 'boot1', at: bench.now }] });
		expect(bench.grant().job.id).toBe(job.id);
	});

	it('counts an engine process that died as a loss, not as a failure of the request', () => {
		const bench = new Bench();
		bench.join(bench.identity());
		bench.join(bench.identity());
		const job = bench.submit();
		bench.fail(bench.grant(), 'lost', 'the engine process exited with SIGKILL');
		expect(bench.grant().epoch).toBe(2);
		expect(bench.state.jobs.get(job.id)?.tasks[0]).toMatchObject({ losses: 1, fails: [] });
	});

	it('calls a task poison after three losses', () => {
		const bench = new Bench();
		const job = bench.submit();
		for (let i = 0; i < 3; i++) {
			const connId = bench.join(bench.identity());
			bench.ack(bench.grant());
			bench.on('closed', { connId });
			bench.pass(1100);
		}
		expect(stateOf(bench, job.id)).toBe('failed');
		expect(bench.state.jobs.get(job.id)?.error?.class).toBe('poison');
	});

	it('never gives a slot to two: a holder that returns too late for its slot is told to drop', () => {
		const bench = new Bench();
		const identity = bench.identity();
		const connId = bench.join(identity);
		bench.submit({ priority: 0 });
		const old = bench.grant();
		bench.on('closed', { connId });
		bench.pass(2000);
		// It comes back without the old task, which is queued now, and gets an urgent one first.
		bench.submit({ priority: 9 }, { createdAt: bench.now - 600_000 });
		const back = bench.join(identity, { bootId: 'boot2' });
		const urgent = bench.grant();
		expect(urgent.job.id).not.toBe(old.job.id);
		bench.clear();
		bench.say(back, { t: 'progress', items: [{ ...refOf(old), phase: 'denoising', step: 1, steps: 4 }] });
		expect(bench.frames('cancel')).toMatchObject([{ ...refOf(old), reason: 'stale' }]);
		expect([...(bench.state.nodes.get(identity.nodeId)?.slots.values() ?? [])].map((slot) => slot.grant)).toEqual([`${urgent.job.id}/0`]);
	});
});

describe('no answer', () => {
	it('excludes a node that does not ack for half a minute, without calling it a loss', () => {
		const bench = new Bench();
		const mute = bench.identity();
		bench.join(mute);
		const job = bench.submit();
		bench.grant();
		bench.join(bench.identity());
		bench.pass(3001);
		const regrant = bench.grant();
		expect(regrant.epoch).toBe(2);
		expect(bench.state.jobs.get(job.id)?.tasks[0]?.losses).toBe(0);
		bench.ack(regrant);
		bench.submit();
		bench.pass(15_000);
		bench.say(regrant.connId, { t: 'progress', items: [{ ...refOf(regrant), phase: 'denoising', step: 1, steps: 4 }] });
		bench.pass(14_900);
		expect(bench.grants()).toHaveLength(0);
		bench.pass(200);
		expect(bench.grants()).toHaveLength(1);
	});

	it('times a task out that makes no steps, and goes to the next node', () => {
		const bench = new Bench();
		bench.join(bench.identity());
		bench.submit();
		const grant = bench.grant();
		bench.ack(grant);
		bench.say(grant.connId, { t: 'progress', items: [{ ...refOf(grant), phase: 'denoising', step: 1, steps: 4 }] });
		bench.join(bench.identity());
		for (let i = 0; i < 14; i++) {
			bench.pass(2000);
			bench.say(grant.connId, { t: 'progress', items: [{ ...refOf(grant), phase: 'denoising', step: 1, steps: 4 }] });
		}
		expect(bench.grants()).toHaveLength(0);
		bench.pass(2100);
		const regrant = bench.grant();
		expect(regrant.connId).not.toBe(grant.connId);
		expect(bench.state.jobs.get(grant.job.id)?.tasks[0]?.fails).toMatchObject([{ class: 'timeout' }]);
		expect(bench.frames('cancel')).toMatchObject([{ epoch: 1 }]);
	});

	it('drops a connection that never says hello', () => {
		const bench = new Bench();
		bench.on('connect', { connId: 'x' });
		bench.pass(4900);
		expect(bench.sends).toEqual([]);
		bench.pass(200);
		expect(bench.sends).toMatchObject([{ kind: 'close', connId: 'x', code: 4408 }]);
	});

	it('expires a job at its deadline and stops its node', () => {
		const bench = new Bench();
		bench.join(bench.identity());
		const job = bench.submit({ deadlineAt: bench.now + 5000, n: 2 });
		const grant = bench.grant();
		bench.ack(grant);
		bench.pass(4999);
		expect(stateOf(bench, job.id)).toBe('running');
		bench.pass(2);
		expect(stateOf(bench, job.id)).toBe('expired');
		expect(bench.frames('cancel')).toMatchObject([refOf(grant)]);
	});
});
