import { describe, expect, it } from 'vitest';
import { Bench } from './sim/bench.ts';
import { liveJob } from './views.ts';

const stateOf = (bench: Bench, id: string): string | undefined => bench.state.jobs.get(id)?.state;
const handoffs = (bench: Bench, id: string) => bench.state.jobs.get(id)?.hist.flatMap((entry) => entry.handoff ?? []) ?? [];

const withNode = (): { bench: Bench; nodeId: string } => {
	const bench = new Bench();
	const identity = bench.identity();
	bench.join(identity);
	return { bench, nodeId: identity.nodeId };
};

describe('jobs that wait for others', () => {
	it('wait, then start with the picture of the job before', () => {
		const { bench, nodeId } = withNode();
		const first = bench.submit();
		const second = bench.submit({ dependsOn: [first.id], task: 'txt2img', initImage: { job: first.id, index: 0 } });
		expect(stateOf(bench, second.id)).toBe('waiting');
		const job = bench.state.jobs.get(second.id);
		expect(job && liveJob(bench.state, bench.now, job).queue).toMatchObject({ feasible: true, reason: `Waits for the job ${first.id}.` });
		bench.complete(bench.grant(), nodeId);
		expect(stateOf(bench, second.id)).toBe('running');
		expect(bench.state.jobs.get(second.id)?.inputs.init).toContain(first.id);
		expect(handoffs(bench, second.id)).toMatchObject([
			{ from: `job:${first.id}`, to: `job:${second.id}`, artefacts: ['initImage: picture 0'], ok: true },
		]);
		expect(bench.state.counters).toMatchObject({ handoffs: 1, handoffsMet: 1 });
	});

	it('start only when the last one has ended', () => {
		const { bench, nodeId } = withNode();
		const a = bench.submit();
		const b = bench.submit();
		const both = bench.submit({ dependsOn: [a.id, b.id] });
		bench.complete(bench.grant(), nodeId);
		expect(stateOf(bench, both.id)).toBe('waiting');
		bench.complete(bench.grant(), nodeId);
		expect(stateOf(bench, both.id)).toBe('running');
	});

	it('fail with what they need, down to the last one, unless they say otherwise', () => {
		const { bench } = withNode();
		const first = bench.submit();
		const strict = bench.submit({ dependsOn: [first.id] });
		const below = bench.submit({ dependsOn: [strict.id] });
		const lenient = bench.submit({ dependsOn: [first.id], onDependencyFailure: 'run' });
		bench.fail(bench.grant(), 'invalid');
		expect([strict.id, below.id].map((id) => stateOf(bench, id))).toEqual(['failed', 'failed']);
		expect(bench.state.jobs.get(below.id)?.error).toMatchObject({ class: 'dependency' });
		expect(stateOf(bench, lenient.id)).toBe('running');
	});

	it('fail when the picture that they need was not made', () => {
		const { bench } = withNode();
		const first = bench.submit();
		const second = bench.submit({ dependsOn: [first.id], onDependencyFailure: 'run', initImage: { job: first.id, index: 0 } });
		bench.fail(bench.grant(), 'invalid');
		expect(bench.state.jobs.get(second.id)?.error?.message).toContain('was not made');
	});

	it('are found after a restart, also when their dependency was settled or comes later', () => {
		const { bench, nodeId } = withNode();
		const late = bench.job();
		const waiting = bench.submit({ dependsOn: [late.id] });
		bench.restart();
		expect(stateOf(bench, waiting.id)).toBe('waiting');
		bench.enqueue(late);
		bench.join(bench.identity({ nodeId }));
		bench.complete(bench.grant(), nodeId);
		expect(stateOf(bench, waiting.id)).toBe('running');
		bench.settleAll();
		const after = bench.submit({ dependsOn: [late.id] });
		expect(stateOf(bench, after.id)).toBe('queued');
	});

	it('take the word of the Workspace for a job that the shard has forgotten', () => {
		const { bench } = withNode();
		const old = bench.job();
		const deps = [{ id: old.id, state: 'succeeded' as const, images: [{ index: 0, key: 'w/acme/old' }] }];
		const job = bench.submit({ dependsOn: [old.id], initImage: { job: old.id, index: 0 } }, { deps });
		expect(bench.state.jobs.get(job.id)).toMatchObject({ state: 'running', inputs: { init: 'w/acme/old' } });
	});

	it('expire while they wait', () => {
		const { bench } = withNode();
		const job = bench.submit({ dependsOn: [bench.job().id], deadlineAt: bench.now + 5000 });
		bench.pass(6000);
		expect(stateOf(bench, job.id)).toBe('expired');
	});

	it('are canceled with the subtree, and none of them starts meanwhile', () => {
		const { bench } = withNode();
		const root = bench.submit();
		const child = bench.submit({ dependsOn: [root.id], onDependencyFailure: 'run' });
		const grandchild = bench.submit({ dependsOn: [child.id, root.id], onDependencyFailure: 'run' });
		bench.clear();
		expect(bench.on('cancel', { ws: 'acme', jobId: root.id, who: 'key:k', subtree: true })).toEqual({ ok: true, state: 'canceled' });
		expect([root, child, grandchild].map(({ id }) => stateOf(bench, id))).toEqual(['canceled', 'canceled', 'canceled']);
		expect(bench.grants()).toEqual([]);
	});

	it('come as a graph in one commit, twice without harm, and not too late', () => {
		const { bench } = withNode();
		const a = bench.job();
		const b = bench.job({ dependsOn: [a.id] });
		const late = { jobs: [b, a], notAfter: bench.now - 1 };
		expect(bench.on('enqueueAll', late)).toMatchObject({ ok: false, code: 'retry_later' });
		for (let i = 0; i < 2; i++) expect(bench.on('enqueueAll', { jobs: [b, a], notAfter: bench.now })).toEqual({ ok: true });
		expect([stateOf(bench, a.id), stateOf(bench, b.id)]).toEqual(['running', 'waiting']);
		expect(bench.grants()).toHaveLength(1);
	});
});
