import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { GatewayFrame, JobSpec } from '@limner/shared';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { readRecord } from '../png/record.ts';
import { mockModel, type StoredModel } from '../models/store.ts';
import type { NodeAgent } from './agent.ts';
import { stepDuty } from './duty.ts';
import { FakeGateway, fakeSpec } from './fake-gateway.test-lib.ts';
import { parseSchedule } from './hours.ts';
import { MOCK_MODEL, startMockNode, type MockNodeOptions } from './mock.ts';

let folder = '';
let gateway: FakeGateway;
const agents: NodeAgent[] = [];
beforeEach(async () => {
	folder = mkdtempSync(join(tmpdir(), 'limner-agent-'));
	gateway = await FakeGateway.start();
});
afterEach(async () => {
	for (const agent of agents.splice(0)) await agent.abort();
	await gateway.stop();
	rmSync(folder, { recursive: true, force: true, maxRetries: 3 });
});

const until = async (what: string, check: () => boolean, ms = 8000): Promise<void> => {
	const end = Date.now() + ms;
	while (!check()) {
		if (Date.now() > end) throw new Error(`timed out: ${what}`);
		await new Promise((resolve) => setTimeout(resolve, 5));
	}
};
const start = async (options: Partial<MockNodeOptions> = {}): Promise<NodeAgent> => {
	const agent = await startMockNode({ gateway: gateway.url, token: 't', stateDir: folder, name: 'n', ...options });
	agents.push(agent);
	await until('online', () => agent.online);
	return agent;
};
const of = (index: number) => ({ jobId: 'job_a', index, epoch: 1, seed: 5 + index, ticket: `ticket-${index}`, inputs: [] });
interface GrantExtra {
	spec?: Partial<JobSpec>;
	epoch?: number;
	slotId?: string;
	ticket?: string;
	traceId?: string;
	inputs?: Extract<GatewayFrame, { t: 'task' }>['inputs'];
}
const grant = (jobId: string, extra: GrantExtra = {}): void => {
	const { spec, ...rest } = extra;
	const common = { jobId, index: 0, epoch: 1, slotId: '0', leaseMs: 20_000, seed: 5, ticket: `ticket-${jobId}`, inputs: [] };
	gateway.send({ t: 'task', ...common, spec: fakeSpec(spec), ...rest });
};
const progressOf = (jobId: string) => gateway.of('progress').flatMap((frame) => frame.items.filter((item) => item.jobId === jobId));
const running = (agent: NodeAgent): number => agent.status().running.length;

describe('a node and its gateway', () => {
	it('takes a task, tells how it goes, uploads the picture with its metadata, and is free again', async () => {
		const agent = await start();
		expect(gateway.of('hello')[0]).toMatchObject({
			name: 'n',
			slots: [{ id: '0', engine: 'mock' }],
			models: [{ name: MOCK_MODEL }],
			running: [],
			finished: [],
		});
		grant('job_a', { traceId: 'f'.repeat(32) });
		await until('accepted', () => agent.status().done === 1);
		expect(gateway.of('ack')).toEqual([{ t: 'ack', jobId: 'job_a', index: 0, epoch: 1, slotId: '0' }]);
		expect(gateway.of('generated')[0]).toMatchObject({ jobId: 'job_a', epoch: 1, slotId: '0' });
		expect(progressOf('job_a').length).toBeGreaterThan(0);
		const [upload] = gateway.uploads;
		expect(upload).toMatchObject({ ticket: 'ticket-job_a', sha256Matches: true, meta: { seed: 5, engine: 'mock', warnings: [] } });
		expect(upload?.bytes.length).toBeGreaterThan(1024);
		expect(readRecord(upload!.bytes).record).toMatchObject({ seed: 5, request: { prompt: 'p', steps: 4 } });
		await until('the outbox is empty', () => readdirSync(join(folder, 'outbox')).length === 0);
		grant('job_b');
		await until('second', () => agent.status().done === 2);
	});

	it('keeps working while the connection is lost, and claims its task and its picture afterwards', async () => {
		const agent = await start({ stepMs: 40 });
		gateway.uploadStatus = 503;
		grant('job_a', { spec: { steps: 60 } });
		await until('runs', () => running(agent) === 1);
		gateway.socket?.terminate();
		await until('back', () => gateway.of('hello').length === 2);
		expect(gateway.of('hello')[1]).toMatchObject({ running: [{ jobId: 'job_a', index: 0, epoch: 1, slotId: '0' }], finished: [] });
		expect(gateway.of('hello')[1]?.bootId).toBe(gateway.of('hello')[0]?.bootId);
		await until('upload tried', () => gateway.uploads.length > 0);
		gateway.socket?.terminate();
		await until('back again', () => gateway.of('hello').length === 3);
		expect(gateway.of('hello')[2]).toMatchObject({ running: [], finished: [{ jobId: 'job_a', index: 0, epoch: 1 }] });
		gateway.uploadStatus = 200;
		await until('accepted', () => agent.status().done === 1);
	});

	it('uploads after a restart what an earlier process left behind', async () => {
		const first = await start();
		gateway.uploadStatus = 503;
		grant('job_a');
		await until('kept', () => first.status().uploads === 1 && gateway.uploads.length > 0);
		await first.abort();
		agents.splice(0);
		gateway.uploadStatus = 200;
		const second = await start();
		expect(gateway.of('hello').at(-1)).toMatchObject({ running: [] });
		await until('accepted', () => second.status().done === 1);
		expect(gateway.uploads.at(-1)).toMatchObject({ ticket: 'ticket-job_a', sha256Matches: true });
		await until('the outbox is empty', () => readdirSync(join(folder, 'outbox')).length === 0);
	});

	it('stops what the gateway drops: a running task and a waiting picture', async () => {
		const agent = await start({ stepMs: 30, slots: 2 });
		gateway.uploadStatus = 503;
		grant('job_done');
		await until('kept', () => agent.status().uploads === 1);
		grant('job_long', { spec: { steps: 150 }, slotId: '1' });
		await until('runs', () => running(agent) === 1);
		gateway.drop = ['job_done', 'job_long'].map((jobId) => ({ jobId, index: 0, epoch: 1 }));
		gateway.socket?.terminate();
		await until('dropped', () => agent.online && running(agent) === 0 && agent.status().uploads === 0);
		await until('the outbox is empty', () => readdirSync(join(folder, 'outbox')).length === 0);
		expect(gateway.of('generated').map((frame) => frame.jobId)).toEqual(['job_done']);
	});

	it('makes several granted pictures together, each with its own ticket, and cancels one alone', async () => {
		const agent = await start({ stepMs: 30, maxBatch: 4 });
		expect(gateway.of('hello')[0]?.slots[0]?.maxBatch).toBe(4);
		const other = { ...of(0), jobId: 'job_b', ticket: 'ticket-b', spec: fakeSpec({ prompt: 'q', steps: 12 }), watched: true };
		const frame = {
			t: 'task',
			...of(0),
			slotId: '0',
			leaseMs: 20_000,
			spec: fakeSpec({ steps: 12 }),
			batch: [of(1), of(2), other],
		} as const;
		gateway.send({ ...frame, batch: [...frame.batch] });
		await until('runs', () => running(agent) === 4 && gateway.of('ack').length >= 4);
		expect(gateway.of('ack').map(({ jobId, index }) => `${jobId} ${index}`)).toEqual(['job_a 0', 'job_a 1', 'job_a 2', 'job_b 0']);
		gateway.send({ ...frame, batch: [...frame.batch] });
		gateway.send({ t: 'cancel', jobId: 'job_a', index: 1, epoch: 1, reason: 'r' });
		await until('three accepted', () => agent.status().done === 3);
		expect(gateway.of('ack')).toHaveLength(8);
		expect(gateway.of('failed')).toEqual([expect.objectContaining({ jobId: 'job_a', index: 1, message: 'Cancelled.' })]);
		expect(gateway.uploads.map((upload) => upload.ticket).toSorted()).toEqual(['ticket-0', 'ticket-2', 'ticket-b']);
		const records = gateway.uploads.map(({ ticket, bytes }) => [ticket, readRecord(bytes).record] as const);
		expect(Object.fromEntries(records)).toMatchObject({
			'ticket-0': { seed: 5, request: { prompt: 'p' } },
			'ticket-2': { seed: 7 },
			'ticket-b': { request: { prompt: 'q' } },
		});
		// the node worked on all of them at once: nobody waited for another one's steps
		const ended = gateway.of('generated').map((generated) => generated.totalMs);
		expect(Math.max(...ended)).toBeLessThan(2 * Math.min(...ended));
		await until('previews of the watched one', () => gateway.previews.length > 0);
		expect(new Set(gateway.previews.map((preview) => preview.jobId))).toEqual(new Set(['job_b']));
		grant('job_c');
		await until('free', () => agent.status().done === 4);
	});

	it('fails the picture of a batch whose input is gone, and makes the others', async () => {
		const agent = await start({ maxBatch: 2 });
		const inputs = [{ role: 'init' as const, url: '/input' }];
		gateway.send({ t: 'task', ...of(0), inputs, slotId: '0', leaseMs: 20_000, spec: fakeSpec(), batch: [{ ...of(1), inputs: [] }] });
		await until('the other one', () => agent.status().done === 1);
		expect(gateway.of('failed')).toEqual([expect.objectContaining({ jobId: 'job_a', index: 0 })]);
		expect(gateway.uploads.map((upload) => upload.ticket)).toEqual(['ticket-1']);
	});

	it('cancels between steps, says when the slot is free, and takes the next task meanwhile', async () => {
		const agent = await start({ stepMs: 50 });
		grant('job_a', { spec: { steps: 100 } });
		await until('runs', () => running(agent) === 1);
		gateway.send({ t: 'cancel', jobId: 'job_a', index: 0, epoch: 1, reason: 'r' });
		grant('job_b', { spec: { steps: 2 } });
		await until('b', () => agent.status().done === 1);
		expect(gateway.of('failed')).toEqual([expect.objectContaining({ jobId: 'job_a', epoch: 1, message: 'Cancelled.' })]);
		expect(gateway.uploads.map((upload) => upload.ticket)).toEqual(['ticket-job_b']);
	});

	it('acknowledges a repeated grant without making it twice, and lets a newer epoch replace an older one', async () => {
		const agent = await start({ stepMs: 20 });
		grant('job_a', { spec: { steps: 20 } });
		grant('job_a', { spec: { steps: 20 } });
		await until('two acks', () => gateway.of('ack').length === 2);
		grant('job_a', { epoch: 2, spec: { steps: 3 }, ticket: 'ticket-2' });
		await until('done', () => agent.status().done === 1);
		expect(gateway.uploads.map((upload) => upload.ticket)).toEqual(['ticket-2']);
		expect(gateway.of('generated')).toEqual([expect.objectContaining({ epoch: 2 })]);
	});

	it('refuses what it cannot do, in words', async () => {
		const agent = await start({ stepMs: 30 });
		grant('job_model', { spec: { model: 'other' } });
		grant('job_slot', { slotId: '7' });
		grant('job_a', { spec: { steps: 50 } });
		grant('job_busy');
		await until('refused', () => gateway.of('failed').length === 3);
		expect(gateway.of('failed').map((frame) => [frame.jobId, frame.message])).toEqual([
			['job_model', 'This node does not have the model other any more.'],
			['job_slot', 'Slot 7 of this node is busy with another task.'],
			['job_busy', 'Slot 0 of this node is busy with another task.'],
		]);
		expect(agent.status().failed).toBe(3);
	});

	it('tells failures with their class, also those that happened while the link was down', async () => {
		const agent = await start({ stepMs: 30 });
		grant('job_a', { spec: { prompt: '[mock:invalid]' } });
		await until('failed', () => gateway.of('failed').length === 1);
		expect(gateway.of('failed')[0]).toMatchObject({ class: 'invalid' });
		grant('job_b', { spec: { prompt: '[mock:oom]', steps: 4 } });
		await until('taken', () => gateway.of('ack').length === 2);
		gateway.socket?.terminate();
		await until('told', () => gateway.of('failed').length === 2);
		expect(gateway.of('failed')[1]).toMatchObject({ jobId: 'job_b', class: 'oom' });
		expect(running(agent)).toBe(0);
	});

	it('sends previews and fast progress only while a job is watched', async () => {
		const agent = await start({ stepMs: 25 });
		grant('job_a', { spec: { steps: 60 } });
		await until('half', () => (agent.status().running[0]?.step ?? 0) > 20);
		expect(gateway.previews).toEqual([]);
		const quiet = progressOf('job_a').length;
		expect(quiet).toBeLessThanOrEqual(2);
		gateway.send({ t: 'watch', jobId: 'job_a', on: true });
		await until('previews', () => gateway.previews.length >= 2);
		expect(gateway.previews[0]).toMatchObject({ jobId: 'job_a', index: 0, epoch: 1, contentType: 'image/jpeg' });
		expect(progressOf('job_a').length).toBeGreaterThan(quiet);
		gateway.send({ t: 'watch', jobId: 'job_a', on: false });
		await until('done', () => agent.status().done === 1);
	});

	it('fetches input pictures into a folder of the task and wipes it', async () => {
		const agent = await start({ stepMs: 20 });
		gateway.input = Buffer.from('picture bytes');
		grant('job_a', { inputs: [{ role: 'init', url: '/input' }], spec: { steps: 10 } });
		const file = join(folder, 'tmp', 'job_a-0-1', 'init');
		await until('fetched', () => existsSync(file) && running(agent) === 1 && agent.status().running[0]?.phase === 'denoising');
		expect(readFileSync(file, 'utf8')).toBe('picture bytes');
		await until('done', () => agent.status().done === 1);
		await until('wiped', () => !existsSync(file));
		gateway.input = undefined;
		grant('job_b', { inputs: [{ role: 'init', url: '/input' }] });
		await until('failed', () => gateway.of('failed').length === 1);
		expect(gateway.of('failed')[0]).toMatchObject({
			message: expect.stringContaining('The input picture could not be fetched'),
			fault: 'gateway',
		});
		gateway.input = Buffer.alloc(20 * 1024 * 1024 + 1);
		grant('job_c', { inputs: [{ role: 'init', url: '/input' }] });
		await until('too large', () => gateway.of('failed').length === 2);
		expect(gateway.of('failed')[1]).toMatchObject({ class: 'invalid', message: 'The input picture is larger than 20 MB.' });
		expect(gateway.of('failed')[1]).not.toHaveProperty('fault');
	});

	it('finishes what is nearly done when it is stopped', async () => {
		const agent = await start({ stepMs: 30 });
		grant('job_a', { spec: { steps: 30 } });
		await until('runs', () => (agent.status().running[0]?.step ?? 0) > 2);
		await agent.stop();
		expect(gateway.uploads).toHaveLength(1);
		expect(gateway.of('bye').map((frame) => frame.abandoned)).toEqual([[], []]);
	});

	it('hands back what would take too long', async () => {
		const agent = await start({ stepMs: 200 });
		grant('job_a', { spec: { steps: 150 } });
		await until('runs', () => (agent.status().running[0]?.step ?? 0) > 1);
		const began = Date.now();
		await agent.stop();
		expect(Date.now() - began).toBeLessThan(4000);
		expect(gateway.of('bye').at(-1)?.abandoned).toEqual([{ jobId: 'job_a', index: 0, epoch: 1 }]);
		expect(gateway.of('failed')).toEqual([]);
	});

	it('follows orders: mode, status, resize, move', async () => {
		const agent = await start();
		gateway.send({ t: 'mode', mode: 'draining', reason: '5 failures in 10 minutes' });
		await until('draining', () => agent.status().mode === 'draining');
		expect(agent.status().modeReason).toBe('5 failures in 10 minutes');
		gateway.send({ t: 'mode', mode: 'active', reason: '' });
		gateway.send({ t: 'status', text: 'no jobs are waiting' });
		await until('status', () => agent.status().reason === 'no jobs are waiting');
		gateway.send({ t: 'resize', slots: 3 });
		await until('resized', () => gateway.of('telemetry').some((frame) => frame.slots?.length === 3));
		grant('job_a', { slotId: '2' });
		await until('third slot works', () => agent.status().done === 1);
		gateway.send({ t: 'move', shard: 4, certificate: 'moved.sig' });
		await until('moved', () => gateway.certificates.length === 2 && agent.online);
		expect(gateway.certificates[1]).toBe('Bearer moved.sig');
		expect(JSON.parse(readFileSync(join(folder, 'node.json'), 'utf8'))).toMatchObject({ shard: 4, certificate: 'moved.sig' });
	});

	it('fails a task whose picture it cannot keep, says why, and goes on when it can', async () => {
		const agent = await start({ maxDiskBytes: 1024 });
		grant('job_a');
		await until('failed', () => gateway.of('failed').length === 1);
		expect(gateway.of('failed')[0]).toMatchObject({
			class: 'engine',
			message: expect.stringMatching(/^The node cannot keep more pictures: /) as string,
		});
		expect(agent.status().trouble).toContain('cannot keep more pictures');
		expect(gateway.uploads).toEqual([]);
		expect(agent.online).toBe(true);
	});

	it('drops a refused picture and goes on', async () => {
		const agent = await start();
		gateway.uploadStatus = 422;
		grant('job_a');
		await until('refused', () => agent.status().failed === 1);
		await until('the outbox is empty', () => readdirSync(join(folder, 'outbox')).length === 0);
		gateway.uploadStatus = 200;
		grant('job_b');
		await until('next', () => agent.status().done === 1);
		expect(gateway.uploads.map((upload) => upload.ticket)).toEqual(['ticket-job_a', 'ticket-job_b']);
	});
});

/** Half past an hour of a Monday. */
const at = (hour: number): number => new Date(2026, 10, 16, hour, 30).getTime();

describe('working hours', () => {
	const schedule = parseSchedule('10:00-11:00');

	it('does not connect outside of them, then does, takes nothing new at their end, finishes, and leaves', async () => {
		let now = at(9);
		const hours = { schedule, now: () => now, checkMs: 20 };
		const agent = await startMockNode({ gateway: gateway.url, token: 't', stateDir: folder, name: 'n', stepMs: 20, slots: 2, hours });
		agents.push(agent);
		await new Promise((resolve) => setTimeout(resolve, 150));
		expect(gateway.of('hello')).toHaveLength(0);
		expect(agent.status().rest).toBe('rests until Monday 10:00');
		now = at(10);
		await until('online', () => agent.online);
		expect(agent.status().rest).toBe('');
		grant('job_a', { spec: { steps: 40 } });
		await until('runs', () => running(agent) === 1);
		now = at(11);
		await until('said goodbye', () => gateway.of('bye').length > 0);
		expect(agent.status().rest).toBe('finishes what it has, then rests until Tuesday 10:00');
		grant('job_b', { slotId: '1' });
		await until('finished', () => agent.status().done === 1);
		await until('gone', () => !agent.online);
		expect(gateway.of('ack').map((frame) => frame.jobId)).toEqual(['job_a']);
		expect(gateway.of('bye').every((frame) => frame.abandoned.length === 0)).toBe(true);
		now = at(10) + 24 * 3_600_000;
		await until('back', () => agent.online);
		expect(gateway.of('hello')).toHaveLength(2);
		grant('job_c');
		await until('works again', () => agent.status().done === 2);
	});

	it('repeats the goodbye before the gateway forgets it', () => {
		const started = stepDuty({ phase: 'working', toldAt: 0 }, false, 1, 100_000);
		expect(started).toEqual({ state: { phase: 'draining', toldAt: 100_000 }, action: 'goodbye' });
		expect(stepDuty(started.state, false, 1, 119_999).action).toBeUndefined();
		expect(stepDuty(started.state, false, 1, 120_000).action).toBe('goodbye');
		expect(stepDuty(started.state, true, 1, 120_000)).toEqual({ state: { phase: 'working', toldAt: 100_000 } });
		expect(stepDuty(started.state, false, 0, 120_000).action).toBe('disconnect');
	});
});

describe('models of a running node', () => {
	it('are told again when they change, at once or with the next hello, and their tasks run', async () => {
		const lists: StoredModel[][] = [];
		const agent = await start({ lookForModels: () => Promise.resolve(lists.shift()), lookEveryMs: 10 });
		lists.push([mockModel(MOCK_MODEL), mockModel('new')]);
		await until('told', () => gateway.of('telemetry').some((frame) => frame.models !== undefined));
		expect(gateway.of('telemetry').flatMap((frame) => frame.models?.map((model) => model.name) ?? [])).toEqual([MOCK_MODEL, 'new']);
		grant('job_a', { spec: { model: 'new' } });
		await until('made', () => agent.status().done === 1);
		lists.push([]);
		await until('told of none', () => gateway.of('telemetry').some((frame) => frame.models?.length === 0));
		grant('job_b', { spec: { model: 'new' } });
		await until('refused', () => gateway.of('failed').length === 1);
		expect(gateway.of('failed')[0]?.message).toMatch(/does not have the model new any more/);
		lists.push([mockModel('late')]);
		gateway.socket?.terminate();
		await until('back', () => gateway.of('hello').length === 2 && agent.online);
		await until('told', () => JSON.stringify([...gateway.of('telemetry'), ...gateway.of('hello')]).includes('"late"'));
	});
});

describe('a model that the pool asks for', () => {
	it('is fetched and offered, once; a failure costs nothing', async () => {
		const asked: string[] = [];
		const used: string[] = [];
		const agent = await start({
			fetchModel: (source, name) => {
				asked.push(`${source} ${name}`);
				return name === 'bad' ? Promise.reject(new Error('no')) : Promise.resolve([mockModel(MOCK_MODEL), mockModel(name)]);
			},
			onModelUsed: (name) => used.push(name),
		});
		gateway.send({ t: 'prefetch', model: 'bad', source: 'a/bad@1' });
		gateway.send({ t: 'prefetch', model: MOCK_MODEL, source: 'a/storybook@1' });
		gateway.send({ t: 'prefetch', model: 'new', source: 'a/new@1' });
		await until('told', () => gateway.of('telemetry').some((frame) => frame.models?.length === 2));
		expect(asked).toEqual(['a/bad@1 bad', 'a/new@1 new']);
		grant('job_a', { spec: { model: 'new' } });
		await until('made', () => agent.status().done === 1);
		expect(used).toEqual(['new']);
	});
	it('is not fetched where the owner does not want it', async () => {
		const agent = await start();
		gateway.send({ t: 'prefetch', model: 'new', source: 'a/new@1' });
		grant('job_a');
		await until('made', () => agent.status().done === 1);
		expect(gateway.of('telemetry').every((frame) => frame.models === undefined)).toBe(true);
	});
});
