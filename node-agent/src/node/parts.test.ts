import { describe, expect, it, vi } from 'vitest';
import type { JobSpec } from '@limner/shared';
import type { SlotTask } from '../slots/messages.ts';
import type { SlotRun } from '../slots/state.ts';
import { fakeSpec } from './fake-gateway.test-lib.ts';
import { planReport, Reporter, type ReportItem } from './reporter.ts';
import { encodeMeta, isSuperseded, toEngineRequest } from './requests.ts';
import { remainingMs, tasksToHandBack } from './shutdown.ts';
import { renderStatus, statusKey, type NodeStatus } from './status.ts';

const item = (extra: Partial<ReportItem> = {}): ReportItem => ({
	key: 'a',
	jobId: 'j',
	index: 0,
	epoch: 1,
	phase: 'denoising',
	step: 1,
	steps: 9,
	watched: false,
	...extra,
});
const config = { progressMs: 2000, watchProgressMs: 250, keepAliveMs: 5000 };
const told = (sentAt: number, text = 'denoising:1/9:'): Parameters<typeof planReport>[0] => ({ sentAt, told: new Map([['a', text]]) });

describe('planReport', () => {
	it('tells news at once, then every 2 s, four times a second while watched', () => {
		expect(planReport({ sentAt: 0, told: new Map() }, [item()], 10_000, config).send).toHaveLength(1);
		expect(planReport(told(10_000), [item({ step: 2 })], 11_999, config)).toEqual({ send: [], wakeAt: 12_000 });
		expect(planReport(told(10_000), [item({ step: 2 })], 12_000, config).send).toHaveLength(1);
		expect(planReport(told(10_000), [item({ step: 2, watched: true })], 10_249, config)).toEqual({ send: [], wakeAt: 10_250 });
		expect(planReport(told(10_000), [item({ step: 2, watched: true })], 10_250, config).send).toHaveLength(1);
	});
	it('says nothing new only as a sign of life, and nothing at all while nothing runs', () => {
		expect(planReport(told(10_000), [item()], 12_000, config)).toEqual({ send: [], wakeAt: 15_000 });
		expect(planReport(told(10_000), [item()], 15_000, config).send).toHaveLength(1);
		expect(planReport(told(10_000), [], 15_000, config)).toEqual({ send: [], wakeAt: undefined });
	});
	it('puts only what moved into the envelope', () => {
		const state = { sentAt: 0, told: new Map([['a', 'denoising:1/9:']]) };
		expect(planReport(state, [item(), item({ key: 'b' })], 3000, config).send.map((one) => one.key)).toEqual(['b']);
	});
});

describe('requests', () => {
	it('gives the engine the task’s own seed, and strength only with an input picture', () => {
		expect(toEngineRequest(fakeSpec({ seed: 5, strength: 0.3, eta: 0.1 }), 8)).toMatchObject({ seed: 8, eta: 0.1, scheduler: 'ddim' });
		const sizes = { originalSize: [512, 768], cropTopLeft: [16, 32], targetSize: [64, 48] } satisfies Partial<JobSpec>;
		expect(toEngineRequest(fakeSpec({ ...sizes, useT5: false }), 8)).toMatchObject({ ...sizes, useT5: false });
		expect(toEngineRequest(fakeSpec({ strength: 0.3 }), 8)).not.toHaveProperty('strength');
		expect(toEngineRequest(fakeSpec({ task: 'img2img', strength: 0.3 }), 8)).toMatchObject({ strength: 0.3 });
	});
	it('keeps the metadata header within 2 KB by shortening warnings', () => {
		const meta = { seed: 1, engine: 'e', device: 'd', model: 'm', modelSha256: '0'.repeat(64), timings: { a: 1 } };
		const header = encodeMeta({ ...meta, warnings: Array.from({ length: 20 }, (_, i) => `${i} ${'é'.repeat(500)}`) });
		expect(header.length).toBeLessThanOrEqual(2048);
		const decoded = JSON.parse(Buffer.from(header, 'base64url').toString()) as { warnings: string[]; seed: number };
		expect(decoded.seed).toBe(1);
		expect(decoded.warnings.length).toBeGreaterThan(0);
		expect(decoded.warnings[0]).toHaveLength(300);
	});
	it('knows an older attempt', () => {
		const ref = { jobId: 'j', index: 0, epoch: 1 };
		expect(isSuperseded(ref, { ...ref, epoch: 2 })).toBe(true);
		expect(isSuperseded(ref, ref)).toBe(false);
		expect(isSuperseded(ref, { ...ref, index: 1, epoch: 2 })).toBe(false);
	});
});

const runTask = (key = 'a'): SlotTask => ({
	key,
	grant: { jobId: 'j', index: 0, epoch: 1 },
	request: toEngineRequest(fakeSpec(), 1),
	model: { name: 'm', dir: '', sha256: '' },
	inputs: {},
	watched: false,
});
const run = (extra: Partial<SlotRun>): SlotRun => ({
	task: runTask(),
	tasks: [runTask()],
	size: 1,
	cancelled: [],
	phase: 'denoising',
	step: 10,
	steps: 20,
	startedAt: 0,
	progressAt: 0,
	itPerS: 1,
	...extra,
});

describe('shutdown', () => {
	it('waits for what ends within ten seconds, and for an unknown pace two', () => {
		expect(remainingMs(run({}))).toBe(10_000);
		expect(tasksToHandBack([run({})], 0).size).toBe(0);
		expect(tasksToHandBack([run({})], 1).size).toBe(1);
		expect(tasksToHandBack([run({ phase: 'decoding', itPerS: 0.01 })], 9999).size).toBe(0);
		expect(tasksToHandBack([run({ step: 0 })], 1999).size).toBe(0);
		expect(tasksToHandBack([run({ step: 0 })], 2000).size).toBe(1);
		expect([...tasksToHandBack([run({ tasks: [runTask('b'), runTask('c')] })], 1)]).toEqual(['b', 'c']);
	});
});

const status = (extra: Partial<NodeStatus> = {}): NodeStatus => ({
	name: 'attic',
	gateway: 'g',
	link: 'online',
	problem: '',
	mode: 'active',
	modeReason: '',
	rest: '',
	reason: '',
	slots: 2,
	running: [],
	uploads: 0,
	uploadProblem: '',
	trouble: '',
	done: 3,
	failed: 0,
	stopping: false,
	...extra,
});

describe('status line', () => {
	it.each([
		[{}, 'attic · online · waiting for work · 3 done'],
		[{ reason: 'all jobs want a model that this node lacks' }, 'attic · online · all jobs want a model that this node lacks · 3 done'],
		[{ link: 'offline', problem: 'the gateway restarts' }, 'attic · offline: the gateway restarts · 3 done'],
		[{ mode: 'draining', modeReason: '5 failures' }, 'attic · draining · 5 failures · 3 done'],
		[{ mode: 'paused' }, 'attic · paused · no work: the node is paused · 3 done'],
		[
			{ uploads: 2, uploadProblem: 'R2 is away', failed: 1 },
			'attic · online · waiting for work · 2 waiting for upload (R2 is away) · 3 done, 1 failed',
		],
		[{ stopping: true }, 'attic · stopping · 3 done'],
		[{ trouble: 'The disk is full' }, 'attic · online · waiting for work · The disk is full · 3 done'],
	] as [Partial<NodeStatus>, string][])('%o', (extra, text) => {
		expect(renderStatus(status(extra))).toBe(text);
	});
	it('shows what runs, and prints a new plain line for a task but not for a step', () => {
		const at = (step: number): NodeStatus =>
			status({ running: [{ slotId: '0', jobId: 'job_123456', phase: 'denoising', step, steps: 20, itPerS: 2 }] });
		expect(renderStatus(at(4))).toBe('attic · online · 1/2 busy: …123456 4/20 2.0 it/s · 3 done');
		expect(statusKey(at(4))).toBe(statusKey(at(5)));
		expect(statusKey(at(4))).not.toBe(statusKey(status()));
	});
});

describe('a clock that is set while a task runs', () => {
	it('does not silence the progress', () => {
		const sent: number[] = [];
		const reporter = new Reporter({
			items: () => [item({ watched: true, step: sent.length + 1 })],
			send: (items) => void sent.push(items.length),
			config: () => ({ progressMs: 0, watchProgressMs: 0, keepAliveMs: 5000 }),
		});
		reporter.poke();
		const yesterday = Date.now() - 24 * 60 * 60 * 1000;
		vi.spyOn(Date, 'now').mockReturnValue(yesterday);
		reporter.poke();
		reporter.stop();
		vi.restoreAllMocks();
		expect(sent).toEqual([1, 1]);
	});
});
