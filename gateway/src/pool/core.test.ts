import { describe, expect, it } from 'vitest';
import { Bench, refOf, type TaskSend } from './sim/bench.ts';
import { modelOf, slotsOf } from './sim/fixtures.ts';
import { liveJob, nodeView } from './views.ts';

const stateOf = (bench: Bench, id: string): string | undefined => bench.state.jobs.get(id)?.state;
const settlementOf = (bench: Bench, id: string) =>
	bench.sends.flatMap((send) => (send.kind === 'settle' ? send.batch : [])).find((each) => each.jobId === id);

/** Lets time pass until the next grant. */
const nextGrant = (bench: Bench, limitMs = 10_000): TaskSend => {
	for (let ms = 0; ms < limitMs; ms += 100) {
		const [grant] = bench.grants();
		if (grant !== undefined) return grant;
		bench.pass(100);
	}
	throw new Error(`no grant within ${limitMs} ms`);
};

const running = (): { bench: Bench; nodeId: string; grant: TaskSend } => {
	const bench = new Bench();
	const identity = bench.identity();
	bench.join(identity);
	bench.submit();
	const grant = bench.grant();
	bench.ack(grant);
	return { bench, nodeId: identity.nodeId, grant };
};

const orderOf = (bench: Bench, count: number): TaskSend[] => {
	const order: TaskSend[] = [];
	for (let i = 0; i < count; i++) {
		const grant = bench.grant();
		order.push(grant);
		bench.complete(grant, bench.state.connNode.get(grant.connId) ?? '');
	}
	return order;
};

const device = (memoryBytes: number) =>
	[{ ...slotsOf(1)[0], device: { kind: 'cuda' as const, name: 'gpu', memoryBytes } }] as ReturnType<typeof slotsOf>;

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

describe('failure', () => {
	it('tries elsewhere first, gives up after four attempts and lets siblings finish', () => {
		const bench = new Bench();
		const nodes = [bench.identity(), bench.identity()];
		for (const node of nodes) bench.join(node);
		const job = bench.submit({ n: 2 });
		const [bad, good] = bench.grants();
		if (bad === undefined || good === undefined) throw new Error('no grants');
		const seen = [bad.connId];
		bench.ack(good);
		bench.complete(good, bench.state.connNode.get(good.connId) ?? '');
		bench.fail(bad, 'engine');
		for (let i = 0; i < 3; i++) {
			const next = nextGrant(bench);
			seen.push(next.connId);
			bench.fail(next, 'engine', 'black picture');
		}
		expect(seen[1]).not.toBe(seen[0]);
		const view = bench.state.jobs.get(job.id);
		expect(view?.state).toBe('failed');
		expect(view?.error).toMatchObject({ class: 'engine', message: 'black picture (attempt 4)' });
		bench.pass(200);
		expect(settlementOf(bench, job.id)).toMatchObject({ state: 'failed', usage: { images: 1 }, images: [{ index: good.index }] });
	});

	it('never repeats an invalid task', () => {
		const bench = new Bench();
		bench.join(bench.identity());
		bench.join(bench.identity());
		const job = bench.submit();
		bench.fail(bench.grant(), 'invalid', 'no such scheduler');
		expect(stateOf(bench, job.id)).toBe('failed');
		expect(bench.grants()).toHaveLength(0);
	});

	it('repeats out-of-memory only where there is more memory', () => {
		const bench = new Bench();
		bench.join(bench.identity(), { slots: device(8e9) });
		const first = bench.submit();
		bench.fail(bench.grant(), 'oom');
		expect(stateOf(bench, first.id)).toBe('failed');
		const second = bench.submit();
		const grant = bench.grant();
		bench.join(bench.identity(), { slots: device(24e9) });
		bench.fail(grant, 'oom');
		expect(bench.grant()).toMatchObject({ job: { id: second.id }, epoch: 2 });
	});

	it('drains a node that fails five pictures in ten minutes, with a sentence, until a person resumes it', () => {
		const bench = new Bench();
		const identity = bench.identity();
		const connId = bench.join(identity);
		for (let i = 0; i < 5; i++) {
			bench.submit();
			bench.fail(bench.grant(), 'invalid');
		}
		const node = bench.state.nodes.get(identity.nodeId);
		expect(node?.mode).toBe('active');
		bench.submit();
		for (let i = 0; i < 4; i++) {
			bench.fail(nextGrant(bench), 'engine', 'CUDA error');
		}
		bench.submit();
		bench.fail(nextGrant(bench), 'engine', 'CUDA error');
		expect(node).toMatchObject({ mode: 'draining' });
		expect(node?.modeReason).toBe('5 pictures failed on it within 10 minutes, the last one with: CUDA error');
		expect(bench.frames('mode')).toMatchObject([{ mode: 'draining' }]);
		bench.grants();
		bench.pass(60_000);
		expect(bench.grants()).toHaveLength(0);
		expect(bench.on('setMode', { ws: 'acme', nodeId: identity.nodeId, mode: 'active', reason: '' })).toMatchObject({ ok: true });
		expect(bench.grant().connId).toBe(connId);
	});
});

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

describe('nodes', () => {
	it('lets a paused node finish, gives it nothing new, and forgets nothing over a reconnect', () => {
		const bench = new Bench();
		const identity = bench.identity();
		bench.join(identity);
		bench.submit();
		const grant = bench.grant();
		bench.on('setMode', { ws: 'acme', nodeId: identity.nodeId, mode: 'paused', reason: 'maintenance' });
		expect(bench.complete(grant, identity.nodeId)).toBe('accepted');
		bench.submit();
		bench.join(identity);
		bench.restart();
		bench.join(identity);
		expect(bench.grants()).toHaveLength(0);
		const node = bench.state.nodes.get(identity.nodeId);
		expect(node && nodeView(bench.state, bench.now, node)).toMatchObject({ mode: 'paused', idleReason: 'It is paused: maintenance.' });
		expect(bench.on('setMode', { ws: 'bolt', nodeId: identity.nodeId, mode: 'active', reason: '' })).toMatchObject({ code: 'not_found' });
	});

	it('hands the work of a terminated node on at once and never takes it back', () => {
		const bench = new Bench();
		const identity = bench.identity();
		bench.join(identity);
		bench.submit();
		bench.ack(bench.grant());
		bench.join(bench.identity());
		bench.on('setMode', { ws: 'acme', nodeId: identity.nodeId, mode: 'terminated', reason: 'stolen' });
		expect(bench.grant().epoch).toBe(2);
		bench.clear();
		bench.join(identity);
		expect(bench.sends).toMatchObject([{ kind: 'close', code: 4403 }]);
		expect(bench.on('setMode', { ws: 'acme', nodeId: identity.nodeId, mode: 'active', reason: '' })).toMatchObject({ code: 'conflict' });
	});

	it('tells an idle node why, once for each reason', () => {
		const bench = new Bench();
		const connId = bench.join(bench.identity());
		expect(bench.frames('status').map((frame) => frame.text)).toEqual(['Ready; nothing is waiting.']);
		bench.clear();
		bench.submit({ model: 'sdxl' });
		bench.pass(3000);
		bench.submit({ model: 'sdxl' }, { ws: 'acme' });
		bench.pass(3000);
		const texts = bench.frames('status').map((frame) => frame.text);
		expect(texts.at(-1)).toContain('does not have the model sdxl');
		expect(new Set(texts).size).toBe(texts.length);
		bench.say(connId, { t: 'telemetry', models: [modelOf('sdxl')] });
		expect(bench.grants()).toHaveLength(1);
	});

	it('ignores frames on an older socket of the same node', () => {
		const bench = new Bench();
		const identity = bench.identity();
		const old = bench.join(identity);
		bench.submit();
		const grant = bench.grant();
		bench.ack(grant);
		bench.join(identity, { running: [{ ...refOf(grant), slotId: 's0' }] });
		bench.say(old, { t: 'failed', ...refOf(grant), class: 'engine', message: 'x' });
		bench.on('closed', { connId: old });
		bench.pass(5000);
		expect(bench.grants()).toHaveLength(0);
		expect(bench.complete(grant, identity.nodeId)).toBe('accepted');
	});

	it('prefers another slot to one that is stopping, but does not wait for it', () => {
		const bench = new Bench();
		bench.join(bench.identity(), { slots: slotsOf(2) });
		const first = bench.submit();
		const grant = bench.grant();
		bench.ack(grant);
		bench.on('cancel', { ws: 'acme', jobId: first.id, who: 'key:k' });
		bench.submit({ n: 2 });
		expect(bench.grants().map((each) => each.slotId)).toEqual(['s1', 's0']);
		// The node was told once; what it still says of the cancelled task changes nothing.
		bench.clear();
		bench.say(grant.connId, { t: 'progress', items: [{ ...refOf(grant), phase: 'denoising', step: 2, steps: 4 }] });
		bench.fail(grant, 'engine', 'canceled');
		expect(bench.frames('cancel')).toEqual([]);
		expect(bench.state.nodes.get(bench.state.connNode.get(grant.connId) ?? '')?.failed).toBe(0);
	});

	it('forgets a watched job when it ends', () => {
		const bench = new Bench();
		const job = bench.submit();
		bench.on('watch', { ws: 'acme', jobId: job.id, after: 0, watcher: 'w' });
		bench.on('cancel', { ws: 'acme', jobId: job.id, who: 'key:k' });
		expect(bench.state.watched.size).toBe(0);
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
