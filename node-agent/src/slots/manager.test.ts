import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { mockPixels } from '../engines/mock/engine.ts';
import { readRecord } from '../png/record.ts';
import { SlotManager } from './manager.ts';
import type { SlotTask } from './messages.ts';
import { SLOT_LIMITS, type SlotLimits, type SlotOutcome } from './state.ts';
import { forkWorkers, inProcessWorkers } from './workers.ts';
import sharp from 'sharp';

let folder = '';
const managers: SlotManager[] = [];
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), 'limner-slots-'));
});
afterEach(async () => {
	for (const manager of managers.splice(0)) await manager.stop();
	rmSync(folder, { recursive: true, force: true });
});

interface LogLine {
	slot: string;
	pid: number;
	jobId: string;
	event: string;
	at: number;
	step?: number;
	outcome?: string;
}
const log = (): LogLine[] =>
	readFileSync(join(folder, 'engine.log'), 'utf8')
		.trim()
		.split('\n')
		.map((line) => JSON.parse(line) as LogLine);

const task = (key: string, prompt = 'p', steps = 5): SlotTask => ({
	key,
	grant: { jobId: `job_${key}`, index: 0, epoch: 1 },
	request: { task: 'txt2img', prompt, negativePrompt: null, width: 64, height: 64, steps, guidance: 1, seed: 7, pasteBack: true },
	model: { name: 'm', dir: '/m', sha256: '0'.repeat(64) },
	inputs: {},
	watched: false,
});

const until = async (what: string, check: () => boolean, ms = 20_000): Promise<void> => {
	const end = Date.now() + ms;
	while (!check()) {
		if (Date.now() > end) throw new Error(`timed out: ${what}`);
		await new Promise((resolve) => setTimeout(resolve, 5));
	}
};

const make = (
	count: number,
	stepMs: number,
	limits: Partial<SlotLimits> = {},
	inProcess = false,
): { manager: SlotManager; settled: Map<string, SlotOutcome>; previews: string[] } => {
	const settled = new Map<string, SlotOutcome>();
	const previews: string[] = [];
	const workers = inProcess ? inProcessWorkers : forkWorkers;
	const manager = new SlotManager({
		startWorker: workers({ engine: { kind: 'mock', options: { stepMs, loadMs: 0 } }, engineLog: join(folder, 'engine.log') }),
		onSettled: (_slot, { key }, outcome) => settled.set(key, outcome),
		onPreview: ({ key }) => previews.push(key),
		limits: { ...SLOT_LIMITS, ...limits },
	});
	managers.push(manager);
	manager.resize(count);
	return { manager, settled, previews };
};
const stepOf = (manager: SlotManager): number => manager.running()[0]?.run.step ?? -1;

describe('SlotManager with engine processes', () => {
	it('makes the picture of the request in another process, keeps the process, and stops softly between steps', async () => {
		const { manager, settled } = make(1, 20);
		manager.run('0', task('a'));
		await until('a', () => settled.has('a'));
		const outcome = settled.get('a');
		if (outcome?.kind !== 'done') throw new Error(JSON.stringify(outcome));
		const pixels = await sharp(outcome.png).raw().toBuffer();
		expect(Buffer.compare(pixels, Buffer.from(mockPixels(task('a').request)))).toBe(0);
		expect(readRecord(outcome.png).record).toMatchObject({ engine: 'mock', request: { seed: 7 } });
		expect(outcome.png.length).toBeGreaterThan(1024);
		const pid = manager.pidOf('0');
		expect(pid).not.toBe(process.pid);

		manager.run('0', task('b', 'p', 1000));
		await until('b runs', () => stepOf(manager) >= 2);
		const seen = stepOf(manager);
		manager.cancel('b');
		expect(manager.run('0', task('c'))).toBeUndefined();
		await until('c', () => settled.has('c'));
		expect(settled.get('b')).toEqual({ kind: 'cancelled' });
		const steps = log().filter((line) => line.jobId === 'job_b' && line.event === 'step');
		expect(steps.at(-1)?.step).toBeLessThanOrEqual(seen + 2);
		expect(log().find((line) => line.jobId === 'job_b' && line.event === 'end')?.outcome).toBe('cancelled');
		expect(manager.pidOf('0')).toBe(pid);
		expect(settled.get('c')?.kind).toBe('done');
	});

	it('kills an engine that does not listen, and the next task runs in a new one', async () => {
		const { manager, settled } = make(1, 5, { killAfterCancelMs: 150 });
		manager.run('0', task('a', '[mock:block]'));
		await until('blocked', () => stepOf(manager) >= 2);
		const pid = manager.pidOf('0');
		manager.cancel('a');
		manager.run('0', task('b'));
		await until('b', () => settled.has('b'));
		expect(settled.get('a')).toEqual({ kind: 'cancelled' });
		expect(settled.get('b')?.kind).toBe('done');
		expect(manager.pidOf('0')).not.toBe(pid);
	});

	it('survives a crash, a hang and a failure, each with its class', async () => {
		const { manager, settled } = make(1, 5, { stepTimeoutMinMs: 200, unmeasuredStepMs: 200 });
		const outcomes: Record<string, SlotOutcome | undefined> = {};
		for (const word of ['crash', 'hang', 'fail', 'invalid', 'oom']) {
			await until('free', () => manager.accepts('0'));
			manager.run('0', task(word, `[mock:${word}]`));
			await until(word, () => settled.has(word));
			outcomes[word] = settled.get(word);
		}
		expect(outcomes).toMatchObject({
			crash: { failure: 'engine', message: expect.stringMatching(/ended unexpectedly \(SIGABRT/) as string },
			hang: { failure: 'timeout', message: expect.stringContaining('no progress after step 2 of 5') as string },
			fail: { failure: 'engine' },
			invalid: { failure: 'invalid' },
			oom: { failure: 'oom' },
		});
		manager.run('0', task('z'));
		await until('z', () => settled.has('z'));
		expect(settled.get('z')?.kind).toBe('done');
	});

	it('works on two slots at once, in two processes', async () => {
		const { manager, settled } = make(2, 30);
		await until('both up', () => manager.states().every((state) => state.worker === 'up'));
		manager.run('0', task('a', 'p', 20));
		manager.run('1', task('b', 'p', 20));
		expect(manager.run('1', task('c'))).toBe('Slot 1 is busy with another task.');
		expect(manager.run('9', task('c'))).toBe('There is no slot 9 on this node.');
		await until('both', () => settled.size === 2);
		const lines = log();
		const at = (job: string, event: string): number => lines.find((line) => line.jobId === job && line.event === event)!.at;
		expect(Math.max(at('job_a', 'start'), at('job_b', 'start'))).toBeLessThan(Math.min(at('job_a', 'end'), at('job_b', 'end')));
		expect(new Set(lines.map((line) => line.pid)).size).toBe(2);
	});
});

describe('SlotManager inside the node', () => {
	it('makes the same bytes as a process, previews only while watched, and grows and shrinks', async () => {
		const { manager, settled, previews } = make(1, 2, {}, true);
		manager.run('0', task('a'));
		await until('a', () => settled.has('a'));
		expect(previews).toEqual([]);
		manager.run('0', { ...task('b', 'p', 200), watched: true });
		await until('previews', () => previews.length > 0);
		manager.cancel('b');
		await until('b', () => settled.has('b'));
		manager.resize(3);
		expect(manager.states().map((state) => state.id)).toEqual(['0', '1', '2']);
		await until('up', () => manager.states().every((state) => state.worker === 'up'));
		manager.resize(1);
		await until('shrunk', () => manager.states().length === 1);
		const forked = make(1, 0);
		forked.manager.run('0', task('a'));
		await until('forked', () => forked.settled.has('a'));
		const [one, two] = [settled.get('a'), forked.settled.get('a')];
		if (one?.kind !== 'done' || two?.kind !== 'done') throw new Error('both should be done');
		expect(Buffer.compare(one.png, two.png)).toBe(0);
	});
});

describe('a clock that jumps', () => {
	it('does not kill a running task for standing still', async () => {
		const { manager, settled } = make(1, 30, {}, true);
		await until('up', () => manager.states()[0]?.worker === 'up');
		manager.run('0', task('a', 'p', 20));
		await until('denoising', () => manager.running()[0]?.run.phase === 'denoising');
		const tomorrow = Date.now() + 24 * 60 * 60 * 1000;
		vi.spyOn(Date, 'now').mockImplementation(() => tomorrow);
		manager.cancel('another');
		try {
			await new Promise((resolve) => setTimeout(resolve, 100));
		} finally {
			vi.restoreAllMocks();
		}
		await until('settled', () => settled.has('a'));
		expect(settled.get('a')?.kind).toBe('done');
	});
});
