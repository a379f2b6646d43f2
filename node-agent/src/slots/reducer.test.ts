import { describe, expect, it } from 'vitest';
import type { FromWorker, SlotTask, WorkerExit } from './messages.ts';
import { explainExit, slotWakeAt, stepSlot } from './reducer.ts';
import { acceptsTask, initialSlot, SLOT_LIMITS, type SlotEffect, type SlotEvent, type SlotState } from './state.ts';

const task = (key = 'a'): SlotTask => ({
	key,
	grant: { jobId: 'job', index: 0, epoch: 1 },
	request: {
		task: 'txt2img',
		prompt: 'p',
		negativePrompt: null,
		width: 1000,
		height: 1000,
		steps: 4,
		guidance: 1,
		seed: 1,
		pasteBack: true,
	},
	model: { name: 'm', dir: '/m', sha256: '0' },
	inputs: {},
	watched: false,
});
const exit = (extra: Partial<WorkerExit> = {}): WorkerExit => ({ code: null, signal: 'SIGKILL', stderr: '', outOfMemory: false, ...extra });
const message = (body: FromWorker, gen = 1): SlotEvent => ({ t: 'message', gen, message: body });
const done = (key = 'a'): FromWorker => ({
	t: 'done',
	key,
	png: new Uint8Array(),
	meta: { seed: 1, engine: 'mock', device: 'd', model: 'm', modelSha256: '0', warnings: [], timings: {} },
});

const play = (events: [number, SlotEvent][], from: SlotState = initialSlot('0')): { state: SlotState; effects: SlotEffect[] } => {
	let state = from;
	const effects: SlotEffect[] = [];
	for (const [now, event] of events) {
		const step = stepSlot(state, event, now);
		({ state } = step);
		effects.push(...step.effects);
	}
	return { state, effects };
};
const names = (effects: SlotEffect[]): string[] =>
	effects.map((effect) =>
		effect.t === 'post' ? `post ${effect.message.t}` : effect.t === 'settled' ? `${effect.task.key} ${effect.outcome.kind}` : effect.t,
	);
const up: [number, SlotEvent][] = [
	[0, { t: 'start' }],
	[100, message({ t: 'ready' })],
];
const running: [number, SlotEvent][] = [
	...up,
	[200, { t: 'run', task: task() }],
	[210, message({ t: 'loading', key: 'a', fraction: 0 })],
	[1210, message({ t: 'phase', key: 'a', phase: 'denoising' })],
	[2210, message({ t: 'step', key: 'a', step: 1, steps: 4 })],
];

describe('slot reducer', () => {
	it('runs a task on a warm worker and measures it', () => {
		const { state, effects } = play([...running, [5210, message({ t: 'step', key: 'a', step: 4, steps: 4 })], [5210, message(done())]]);
		expect(names(effects)).toEqual(['spawn', 'post run', 'a done']);
		expect(effects.at(-1)).toMatchObject({ outcome: { loadMs: 1000, totalMs: 5010 } });
		expect(state).toMatchObject({ loaded: 'm', speed: { m: 1 } });
		expect(acceptsTask(state)).toBe(true);
	});

	it('takes a task while the worker starts and hands it over when it is ready', () => {
		const { effects } = play([
			[0, { t: 'start' }],
			[10, { t: 'run', task: task() }],
			[100, message({ t: 'ready' })],
		]);
		expect(names(effects)).toEqual(['spawn', 'post run']);
	});

	it('refuses a second task, but takes one behind a cancelled task', () => {
		expect(names(play([...running, [2300, { t: 'run', task: task('b') }]]).effects).at(-1)).toBe('b failed');
		const cancelled = play([...running, [2300, { t: 'cancel', key: 'a' }], [2310, { t: 'run', task: task('b') }]]);
		expect(names(cancelled.effects).at(-1)).toBe('post cancel');
		expect(acceptsTask(cancelled.state)).toBe(false);
		const after = stepSlot(cancelled.state, message({ t: 'cancelled', key: 'a' }), 2320);
		expect(names(after.effects)).toEqual(['a cancelled', 'post run']);
	});

	it('kills a worker that ignores a cancel for 2 s, and the waiting task gets the next worker', () => {
		const cancelled = play([...running, [3000, { t: 'cancel', key: 'a' }], [3010, { t: 'run', task: task('b') }]]).state;
		expect(slotWakeAt(cancelled)).toBe(5000);
		expect(stepSlot(cancelled, { t: 'tick' }, 4999).effects).toEqual([]);
		const killed = stepSlot(cancelled, { t: 'tick' }, 5000);
		expect(names(killed.effects)).toEqual(['kill']);
		const dead = stepSlot(killed.state, { t: 'exit', gen: 1, exit: exit() }, 5010);
		expect(names(dead.effects)).toEqual(['a cancelled', 'spawn']);
		const ready = stepSlot(dead.state, message({ t: 'ready' }, 2), 5100);
		expect(names(ready.effects)).toEqual(['post run']);
		expect(ready.effects[0]).toMatchObject({ message: { task: { key: 'b' } } });
	});

	it('drops a picture that was finished while its cancel was on the way', () => {
		const { effects } = play([...running, [3000, { t: 'cancel', key: 'a' }], [3001, message(done())]]);
		expect(names(effects).at(-1)).toBe('a cancelled');
	});

	it('watches for progress: at least 30 s, ten times the measured step, longer while nothing is measured', () => {
		const first = play(running).state;
		expect(slotWakeAt(first)).toBe(2210 + SLOT_LIMITS.unmeasuredStepMs);
		const measured = { ...first, speed: { m: 1 } };
		expect(slotWakeAt(measured)).toBe(2210 + 30_000);
		const slow = { ...first, speed: { m: 7 } };
		expect(slotWakeAt(slow)).toBe(2210 + 70_000);
		expect(stepSlot(slow, { t: 'tick' }, 72_209).effects).toEqual([]);
		const killed = stepSlot(slow, { t: 'tick' }, 72_210);
		expect(names(killed.effects)).toEqual(['kill']);
		const dead = stepSlot(killed.state, { t: 'exit', gen: 1, exit: exit() }, 72_300);
		expect(dead.effects[0]).toMatchObject({
			outcome: { kind: 'failed', failure: 'timeout', message: expect.stringContaining('after step 1 of 4') as string },
		});
		expect(names(dead.effects)).toEqual(['a failed', 'spawn']);
	});

	it('tells a crash from memory', () => {
		expect(explainExit(exit({ code: 3, signal: null, stderr: 'boom\nlast words\n' }))).toEqual({
			failure: 'engine',
			message: 'The engine process ended unexpectedly (exit code 3: last words).',
		});
		expect(explainExit(exit({ signal: 'SIGSEGV' })).failure).toBe('engine');
		expect(explainExit(exit({ outOfMemory: true })).failure).toBe('oom');
		expect(explainExit(exit({ signal: 'SIGABRT', stderr: 'FATAL ERROR: JavaScript heap out of memory' })).failure).toBe('oom');
		expect(explainExit(exit()).failure).toBe('engine');
	});

	it('waits longer and longer for a worker that never gets ready', () => {
		let state = play([[0, { t: 'start' }]]).state;
		const waits: number[] = [];
		for (let i = 0; i < 9; i++) {
			({ state } = stepSlot(state, { t: 'exit', gen: state.gen, exit: exit({ code: 1, signal: null }) }, 0));
			waits.push(state.respawnAt ?? -1);
			({ state } = stepSlot(state, { t: 'tick' }, state.respawnAt ?? 0));
		}
		expect(waits).toEqual([500, 1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
		expect(state.worker).toBe('starting');
	});

	it('ignores an older worker', () => {
		const { state } = play([...running, [3000, { t: 'exit', gen: 1, exit: exit() }]]);
		for (const event of [message(done()), { t: 'exit', gen: 1, exit: exit() } as const]) {
			expect(stepSlot(state, event, 3100)).toEqual({ state, effects: [] });
		}
	});

	it('retires after its task', () => {
		const retiring = play([...running, [3000, { t: 'retire' }]]);
		expect(names(retiring.effects).at(-1)).toBe('post run');
		expect(acceptsTask(retiring.state)).toBe(false);
		const ended = stepSlot(retiring.state, message(done()), 4000);
		expect(names(ended.effects)).toEqual(['a done', 'kill']);
		expect(names(stepSlot(ended.state, { t: 'exit', gen: 1, exit: exit() }, 4010).effects)).toEqual(['gone']);
		expect(names(play([[0, { t: 'retire' }]]).effects)).toEqual(['gone']);
	});

	it('forgets the loaded model when another one is being loaded and when the worker dies', () => {
		const { state } = play([...running, [3000, message(done())], [3100, { t: 'run', task: task('b') }]]);
		expect(state.loaded).toBe('m');
		expect(stepSlot(state, message({ t: 'loading', key: 'b', fraction: 0 }), 3200).state.loaded).toBeUndefined();
		expect(stepSlot(state, { t: 'exit', gen: 1, exit: exit() }, 3200).state.loaded).toBeUndefined();
	});
});

describe('a task that is taken while the worker before it is being killed', () => {
	const taken: [number, SlotEvent][] = [
		...up,
		[200, { t: 'run', task: task('a') }],
		[300, { t: 'cancel', key: 'a' }],
		[400, { t: 'run', task: task('b') }],
		[2300, { t: 'tick' }],
		[2301, message({ t: 'cancelled', key: 'a' })],
	];
	it('is run by the next worker instead of failing with the last one', () => {
		const { state, effects } = play([...taken, [2400, { t: 'exit', gen: 1, exit: exit() }], [2500, message({ t: 'ready' }, 2)]]);
		expect(names(effects)).toEqual(['spawn', 'post run', 'post cancel', 'kill', 'a cancelled', 'spawn', 'post run']);
		expect(state).toMatchObject({ worker: 'up', run: { task: { key: 'b' } } });
		expect(state.killedFor).toBeUndefined();
		expect(names(play([[3000, message(done('b'), 2)]], state).effects)).toEqual(['b done']);
	});
	it('fails when the next worker dies of it, and ends when it is cancelled before', () => {
		const again = play([...taken, [2400, { t: 'exit', gen: 1, exit: exit() }], [2500, message({ t: 'ready' }, 2)]]).state;
		expect(names(play([[2600, { t: 'exit', gen: 2, exit: exit() }]], again).effects)).toEqual(['b failed', 'spawn']);
		const cancelled = play([...taken, [2350, { t: 'cancel', key: 'b' }], [2400, { t: 'exit', gen: 1, exit: exit() }]]);
		expect(names(cancelled.effects).slice(-3)).toEqual(['post cancel', 'b cancelled', 'spawn']);
		expect(acceptsTask(cancelled.state)).toBe(true);
	});
});

describe('the pace', () => {
	it('is not made of a first step that arrives together with the beginning', () => {
		const begun: [number, SlotEvent][] = [
			...up,
			[200, { t: 'run', task: task() }],
			[1000, message({ t: 'phase', key: 'a', phase: 'denoising' })],
		];
		const first = play([...begun, [1001, message({ t: 'step', key: 'a', step: 1, steps: 4 })]]);
		expect(first.state.run?.itPerS).toBeUndefined();
		const second = play([[1501, message({ t: 'step', key: 'a', step: 2, steps: 4 })]], first.state);
		expect(second.state.run?.itPerS).toBe(2);
		const third = play([[2501, message({ t: 'step', key: 'a', step: 3, steps: 4 })]], second.state);
		expect(third.state.run?.itPerS).toBeCloseTo(2 / 1.5);
	});
});

describe('several pictures together', () => {
	const cancelled = (key: string): SlotEvent => message({ t: 'cancelled', key });
	const batch: [number, SlotEvent][] = [
		...up,
		[200, { t: 'run', task: task('a'), more: [task('b'), task('c')] }],
		[210, message({ t: 'phase', key: 'a', phase: 'denoising' })],
		[1210, message({ t: 'step', key: 'b', step: 1, steps: 4 })],
		[4210, message({ t: 'step', key: 'c', step: 4, steps: 4 })],
	];

	it('are posted in one message, end one by one, and free the slot with the last', () => {
		const { state, effects } = play([...batch, [4210, message(done('b'))], [4300, message(done('a'))]]);
		expect(effects[1]).toMatchObject({ message: { t: 'run', task: { key: 'a' }, more: [{ key: 'b' }, { key: 'c' }] } });
		expect(names(effects)).toEqual(['spawn', 'post run', 'b done', 'a done']);
		expect(acceptsTask(state)).toBe(false);
		// three megapixels in a second a step, not one
		expect(state.speed['m']).toBeCloseTo(1 / 3);
		const last = play([[4400, message({ t: 'failed', key: 'c', failure: 'engine', message: 'x' })]], state);
		expect(names(last.effects)).toEqual(['c failed']);
		expect(acceptsTask(last.state)).toBe(true);
		expect(names(play([[4500, message(done('b'))]], state).effects)).toEqual([]);
	});

	it('are cancelled alone; the worker is killed only when nobody wants any of them', () => {
		const one = play([...batch, [5000, { t: 'cancel', key: 'b' }]]);
		expect(names(one.effects).at(-1)).toBe('post cancel');
		expect(play([[7100, { t: 'tick' }]], one.state).effects).toEqual([]);
		const gone = play([[5100, cancelled('b')]], one.state);
		expect(names(gone.effects)).toEqual(['b cancelled']);
		const rest = play(
			[
				[5200, { t: 'cancel', key: 'a' }],
				[5200, { t: 'cancel', key: 'a' }],
				[5300, message(done('c'))],
			],
			gone.state,
		);
		expect(names(rest.effects)).toEqual(['post cancel', 'c done']);
		expect(acceptsTask(rest.state)).toBe(true);
		expect(slotWakeAt(rest.state)).toBe(5300 + 2000);
		expect(names(play([[7300, { t: 'tick' }]], rest.state).effects)).toEqual(['kill']);
	});

	it('share the fate of their process, but for those that were cancelled', () => {
		const { effects } = play([
			...batch,
			[5000, { t: 'cancel', key: 'b' }],
			[5010, { t: 'exit', gen: 1, exit: exit({ outOfMemory: true }) }],
		]);
		expect(names(effects).slice(-4)).toEqual(['a failed', 'b cancelled', 'c failed', 'spawn']);
	});

	it('wait together behind a task that is being cancelled, and are cancelled there', () => {
		const waiting = play([
			...running,
			[3000, { t: 'cancel', key: 'a' }],
			[3010, { t: 'run', task: task('b'), more: [task('c')] }],
			[3020, { t: 'cancel', key: 'b' }],
		]);
		expect(names(waiting.effects).at(-1)).toBe('b cancelled');
		const { effects } = play([[3030, cancelled('a')]], waiting.state);
		expect(names(effects)).toEqual(['a cancelled', 'post run']);
		expect(effects[1]).toMatchObject({ message: { task: { key: 'c' } } });
		const empty = play([[3025, { t: 'cancel', key: 'c' }]], waiting.state);
		expect(acceptsTask(empty.state)).toBe(true);
	});

	it('are refused together by a busy slot', () => {
		expect(names(play([...batch, [5000, { t: 'run', task: task('x'), more: [task('y')] }]]).effects).slice(-2)).toEqual([
			'x failed',
			'y failed',
		]);
	});
});

it('keeps what a worker says that it takes, until the worker is gone', () => {
	const told = play([...up, [200, message({ t: 'capabilities', maxBatch: 3, maxBatchPx: 9, held: ['m'] })]]);
	expect(told.state.capabilities).toEqual({ maxBatch: 3, maxBatchPx: 9, held: ['m'] });
	expect(play([[300, { t: 'exit', gen: 1, exit: exit() }]], told.state).state.capabilities).toBeUndefined();
});
