import { describe, expect, it } from 'vitest';
import { resultKey, type JobSpec, type TaskType } from '@limner/shared';
import { Bench, refOf, type TaskSend } from './sim/bench.ts';
import { modelOf } from './sim/fixtures.ts';
import { liveJob, overviewOf } from './views.ts';

const ALL: TaskType[] = ['RESEARCH', 'INGEST', 'DISCOVERY', 'MIGRATION', 'HEARTBEAT'];
const none = { model: '', width: 0, height: 0, steps: 0, prompt: '' } as const;

const report = (bench: Bench, grant: TaskSend, nodeId: string, data: Record<string, unknown> = { ok: true }) => {
	const { jobId, index, epoch } = refOf(grant);
	const sha256 = 'a'.repeat(64);
	const key = resultKey(grant.job.ws, jobId, index, epoch, sha256, 'json');
	return bench.on('report', {
		input: { ws: grant.job.ws, jobId, index, epoch, nodeId, report: { index, key, epoch, nodeId, sha256, at: bench.now, data } },
	});
};

const wantOf = (bench: Bench, id: string) => {
	const job = bench.state.jobs.get(id);
	return job === undefined ? undefined : liveJob(bench.state, bench.now, job).queue;
};

const setup = (taskTypes: TaskType[] = ALL) => {
	const bench = new Bench();
	const identity = bench.identity({ trust: 'own' });
	const connId = bench.join(identity, { taskTypes });
	return { bench, nodeId: identity.nodeId, connId };
};

describe('tasks that look after the pool', () => {
	it('run beside the pictures, at the place for what needs no device', () => {
		const { bench, nodeId } = setup();
		bench.submit();
		const pull = bench.submit({ ...none, taskType: 'INGEST', model: 'sdxl', params: { source: 'a/sdxl' } });
		const [picture, chore] = bench.grants();
		expect([picture?.slotId, chore?.slotId]).toEqual(['s0', 'agent']);
		expect(chore && report(bench, chore, nodeId, { model: 'sdxl' })).toBe('accepted');
		expect(bench.state.jobs.get(pull.id)).toMatchObject({ state: 'succeeded' });
		expect(bench.state.jobs.get(pull.id)?.hist.find((entry) => entry.type === 'result')?.data).toEqual({ model: 'sdxl' });
	});

	it('a report is accepted for ever by its key, and is stale from a later epoch or another node', () => {
		const { bench, nodeId } = setup();
		bench.submit({ ...none, taskType: 'DISCOVERY' });
		const grant = bench.grant();
		expect(report(bench, { ...grant, epoch: 2 }, nodeId)).toBe('stale');
		expect(report(bench, grant, bench.identity().nodeId)).toBe('stale');
		expect([report(bench, grant, nodeId), report(bench, grant, nodeId)]).toEqual(['accepted', 'accepted']);
	});

	it('go only to nodes of the workspace that offer them, and to the one that was asked for', () => {
		const bench = new Bench();
		bench.join(bench.identity({ ws: 'bolt' }), { taskTypes: ALL });
		bench.join(bench.identity(), {});
		const job = bench.submit({ ...none, taskType: 'DISCOVERY' });
		expect(wantOf(bench, job.id)).toMatchObject({
			feasible: false,
			remedies: ['start a node of this workspace that does DISCOVERY tasks'],
		});
		const asked = bench.identity();
		const meant = bench.submit({ ...none, taskType: 'DISCOVERY', nodeId: asked.nodeId });
		bench.join(bench.identity(), { taskTypes: ALL });
		expect(bench.grant().job.id).toBe(job.id);
		bench.join(asked, { taskTypes: ALL });
		expect(bench.grant().job.id).toBe(meant.id);
	});

	it('probes and moves wait while the model source is away; pulls and pictures go on', () => {
		const { bench, nodeId, connId } = setup();
		const probe = bench.submit({ ...none, taskType: 'DISCOVERY' });
		const first = bench.grant();
		bench.say(connId, {
			t: 'failed',
			...refOf(first),
			slotId: 'agent',
			class: 'engine',
			message: 'hub.example does not answer',
			need: 'model-source',
		});
		expect(bench.state.jobs.get(probe.id)?.tasks[0]).toMatchObject({ state: 'queued', fails: [] });
		expect(wantOf(bench, probe.id)?.reason).toContain('waits for the model source: hub.example does not answer');
		expect(overviewOf(bench.state, bench.now, 'acme').modelSource).toMatchObject({ reason: 'hub.example does not answer' });
		bench.submit({ ...none, taskType: 'INGEST', model: 'x', params: { source: 'a/x' } });
		bench.submit();
		const others = bench.grants();
		expect(others.map(({ job }) => job.spec.taskType ?? 'GENERAL').toSorted()).toEqual(['GENERAL', 'INGEST']);
		const pull = others.find(({ job }) => job.spec.taskType === 'INGEST');
		expect(pull && report(bench, pull, nodeId)).toBe('accepted');
		// The pull has shown that the source is back.
		expect(bench.grant().job.id).toBe(probe.id);
		expect(bench.state.source).toBeNull();
	});

	it('one probe tries again when its time has come', () => {
		const { bench, connId } = setup();
		bench.submit({ ...none, taskType: 'DISCOVERY' });
		const first = bench.grant();
		bench.say(connId, { t: 'failed', ...refOf(first), class: 'engine', message: 'no answer', need: 'model-source' });
		bench.pass(29_000);
		expect(bench.grants()).toEqual([]);
		bench.pass(2000);
		expect(bench.grant().epoch).toBe(2);
	});

	it('a probe that does not ask the source does not wait for it', () => {
		const { bench, connId } = setup();
		bench.submit({ ...none, taskType: 'DISCOVERY' });
		bench.say(connId, { t: 'failed', ...refOf(bench.grant()), class: 'engine', message: 'no answer', need: 'model-source' });
		bench.submit({ ...none, taskType: 'DISCOVERY', params: { modelSource: false } });
		expect(bench.grant().job.spec.params?.modelSource).toBe(false);
	});
});

const move = (change: Partial<JobSpec> = {}) => {
	const bench = new Bench();
	const [from, to] = [bench.identity(), bench.identity()];
	bench.join(from, { taskTypes: ALL, models: [{ ...modelOf('sdxl'), source: 'a/sdxl@1' }] });
	bench.join(to, { taskTypes: ALL });
	const job = bench.submit({
		...none,
		taskType: 'MIGRATION',
		model: 'sdxl',
		n: 2,
		nodeId: to.nodeId,
		params: { from: from.nodeId },
		...change,
	});
	return { bench, from, to, job };
};

describe('a model that moves', () => {
	it('is fetched at its new place first, from where it came, and then taken away at the old one', () => {
		const { bench, from, to, job } = move();
		const pull = bench.grant();
		expect(pull).toMatchObject({ index: 0, source: 'a/sdxl@1' });
		expect(bench.state.jobs.get(job.id)?.tasks[0]?.nodeId).toBe(to.nodeId);
		report(bench, pull, to.nodeId);
		const removal = bench.grant();
		expect(removal.index).toBe(1);
		report(bench, removal, from.nodeId);
		expect(bench.state.jobs.get(job.id)?.state).toBe('succeeded');
	});

	it('stays where it is when it does not arrive', () => {
		const { bench, job } = move();
		bench.fail(bench.grant(), 'invalid');
		expect(bench.state.jobs.get(job.id)?.tasks.map(({ state }) => state)).toEqual(['failed', 'failed']);
		expect(bench.grants()).toEqual([]);
	});

	it('cannot be fetched from a node that does not say where it came from', () => {
		const here = move({ model: 'storybook' });
		expect(here.bench.grants().map(({ index }) => index)).toEqual([0]);
		const { bench, job } = move({ model: 'unknown' });
		expect(wantOf(bench, job.id)?.reason).toContain('does not say where it came from');
	});

	it('is fetched as soon as the node that has it says where it came from', () => {
		const { bench, from, job } = move({ model: 'painted' });
		expect(bench.grants()).toEqual([]);
		bench.join(from, { taskTypes: ALL, models: [{ ...modelOf('painted'), source: 'a/painted@2' }] });
		expect(bench.grant()).toMatchObject({ job: { id: job.id }, source: 'a/painted@2' });
	});
});

const beat = (bench: Bench, nodeId: string, pixelSha256: string) => {
	const { id } = bench.submit({ taskType: 'HEARTBEAT' });
	const grant = bench.grant();
	const { jobId, index, epoch } = refOf(grant);
	const key = resultKey('acme', jobId, index, epoch, 'a'.repeat(64), 'png');
	const meta = { pixelSha256, modelSha256: 'm' };
	const image = {
		index,
		key,
		epoch,
		nodeId,
		contentType: 'image/png',
		bytes: 9,
		sha256: 'a'.repeat(64),
		width: 128,
		height: 128,
		seed: 1,
		at: bench.now,
		meta,
	};
	bench.on('complete', { input: { ws: 'acme', jobId, index, epoch, nodeId, image } });
	return bench.state.jobs.get(id)?.hist.find((entry) => entry.type === 'result')?.data;
};

describe('canary pictures', () => {
	it('are compared with the earlier one of their node; a difference stops the node', () => {
		const { bench, nodeId } = setup();
		expect(beat(bench, nodeId, 'one')).toMatchObject({ matches: null });
		bench.restart();
		bench.join(bench.identity({ nodeId, trust: 'own' }), { taskTypes: ALL });
		expect(beat(bench, nodeId, 'one')).toMatchObject({ matches: true, previous: 'one' });
		expect(beat(bench, nodeId, 'two')).toMatchObject({ matches: false, previous: 'one' });
		expect(bench.state.nodes.get(nodeId)).toMatchObject({ mode: 'draining' });
		bench.on('setMode', { ws: 'acme', nodeId, mode: 'active', reason: '' });
		expect(beat(bench, nodeId, 'two')).toMatchObject({ matches: null });
	});
});
