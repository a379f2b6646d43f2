import { describe, expect, it } from 'vitest';
import { stateOf, settlementOf, nextGrant, device } from './core.test-lib.ts';
import { Bench, refOf } from './sim/bench.ts';
import { modelOf, slotsOf } from './sim/fixtures.ts';
import { nodeView } from './views.ts';

describe('failure', () => {
	it('goes back to the node that failed it when the one that it waited for is paused', () => {
		const bench = new Bench();
		const other = bench.identity();
		bench.join(other);
		bench.submit();
		bench.ack(bench.grant());
		bench.join(bench.identity(), { slots: slotsOf(2) });
		const job = bench.submit();
		const failed = bench.grant();
		bench.fail(failed, 'engine');
		// The other node is busy, and better than the one that failed.
		bench.pass(5000);
		expect(bench.grants()).toEqual([]);
		bench.on('setMode', { ws: 'acme', nodeId: other.nodeId, mode: 'paused', reason: '' });
		const again = bench.grant();
		expect([again.job.id, again.epoch, again.connId]).toEqual([job.id, 2, failed.connId]);
	});

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

	it('does not drain a node for pulls that failed', () => {
		const bench = new Bench();
		const identity = bench.identity();
		bench.join(identity, { taskTypes: ['INGEST'], diskFreeBytes: 1e12 });
		const node = bench.state.nodes.get(identity.nodeId);
		const none = { prompt: '', n: 1, width: 0, height: 0, steps: 0 };
		for (let i = 0; i < 6; i++) {
			bench.submit({ ...none, taskType: 'INGEST', model: `m${i}`, nodeId: identity.nodeId, params: { source: `a/m${i}` } });
			bench.fail(nextGrant(bench), 'engine', 'a/m has no model_index.json');
		}
		expect(node).toMatchObject({ mode: 'active', failed: 6 });
	});

	it('does not drain a node for inputs that the gateway could not give it, though each attempt counts', () => {
		const bench = new Bench();
		const identity = bench.identity();
		bench.join(identity);
		const message = 'The input picture could not be fetched: the storage does not answer.';
		const jobs = [bench.submit(), bench.submit()];
		for (let i = 0; i < 8; i++) {
			const grant = nextGrant(bench);
			bench.say(grant.connId, { t: 'failed', ...refOf(grant), slotId: grant.slotId, class: 'engine', message, fault: 'gateway' });
		}
		expect(jobs.map(({ id }) => stateOf(bench, id))).toEqual(['failed', 'failed']);
		const node = bench.state.nodes.get(identity.nodeId);
		expect(node).toMatchObject({ mode: 'active', failed: 8 });
		expect(node?.recentErrors.at(-1)?.message).toBe(message);
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
