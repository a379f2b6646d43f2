/**
 * Decides what one slot does: start its engine process, hand it a task, stop it softly, kill it, and say how the task
 * ended. Pure: time is an argument.
 * @module
 */
import type { FailureClass } from '@limner/shared';
import type { FromWorker, SlotTask, ToWorker, WorkerExit } from './messages.ts';
import {
	acceptsTask,
	SLOT_LIMITS,
	type SlotEffect,
	type SlotEvent,
	type SlotLimits,
	type SlotOutcome,
	type SlotPhase,
	type SlotRun,
	type SlotState,
	type SlotStep,
} from './state.ts';

const SPEED_EWMA = 0.3;

type Optional = 'respawnAt' | 'loaded' | 'capabilities' | 'run' | 'next' | 'killedFor';

const without = (state: SlotState, ...keys: Optional[]): SlotState => {
	const copy = { ...state };
	for (const key of keys) delete copy[key];
	return copy;
};

const idle = (state: SlotState): SlotStep => ({ state, effects: [] });

/** Of all pictures of the run together. */
const megapixels = ({ task: { request }, size }: SlotRun): number => (size * request.width * request.height) / 1_000_000;

/** How long the running task may go without progress, in milliseconds. */
export const patience = (state: SlotState, run: SlotRun, limits: SlotLimits): number => {
	if (state.worker === 'starting') return limits.startTimeoutMs;
	if (run.phase === 'loading' || run.phase === 'granted') return limits.loadTimeoutMs;
	const speed = state.speed[run.task.model.name];
	if (speed === undefined) return Math.max(limits.stepTimeoutMinMs, limits.unmeasuredStepMs);
	return Math.max(limits.stepTimeoutMinMs, limits.stepTimeoutFactor * speed * megapixels(run) * 1000);
};

const spawn = (state: SlotState, now: number): SlotStep => {
	const next: SlotState = {
		...without(state, 'respawnAt', 'loaded', 'capabilities', 'killedFor'),
		worker: 'starting',
		gen: state.gen + 1,
		startedAt: now,
	};
	return { state: next, effects: [{ t: 'spawn', gen: next.gen }] };
};

const begin = (state: SlotState, tasks: SlotTask[], now: number): SlotStep => {
	const [task, ...more] = tasks;
	if (task === undefined) return idle(state);
	const counts = { tasks, size: tasks.length, cancelled: [] };
	const run: SlotRun = { task, ...counts, phase: 'granted', step: 0, steps: task.request.steps, startedAt: now, progressAt: now };
	// What is posted to a worker that is being killed dies with it, and would look like a crash of the new task.
	if (state.killedFor !== undefined) return idle({ ...state, run: { ...run, unseen: true } });
	const message: ToWorker = { t: 'run', task, ...(more.length === 0 ? {} : { more }) };
	return { state: { ...state, run }, effects: state.worker === 'up' ? [{ t: 'post', message }] : [] };
};

/** Ends what is left of the run, and begins what waits behind it. */
const settle = (state: SlotState, outcomeOf: (task: SlotTask) => SlotOutcome, now: number): SlotStep => {
	const { run, next } = state;
	if (run === undefined) return idle(state);
	const free = without(state, 'run', 'next');
	const ended = run.tasks.map((task): SlotEffect => ({ t: 'settled', task, outcome: outcomeOf(task) }));
	if (next === undefined) {
		return { state: free, effects: [...ended, ...(state.retiring ? [{ t: 'kill' } as const] : [])] };
	}
	const begun = begin(free, next, now);
	return { state: begun.state, effects: [...ended, ...begun.effects] };
};

/** Ends one picture of the run; the last one ends the run. */
const settleOne = (state: SlotState, run: SlotRun, key: string, outcome: SlotOutcome, now: number): SlotStep => {
	const task = run.tasks.find((each) => each.key === key);
	if (task === undefined) return idle(state);
	const tasks = run.tasks.filter((each) => each !== task);
	if (tasks.length === 0) return settle(state, () => outcome, now);
	const left = stopping({ ...run, tasks, progressAt: now }, now);
	return { state: { ...state, run: left }, effects: [{ t: 'settled', task, outcome }] };
};

/** Starts the clock of the kill when nobody wants any picture that is left; while one is wanted, its worker lives. */
const stopping = (run: SlotRun, now: number): SlotRun =>
	run.cancelAt === undefined && run.tasks.every((task) => run.cancelled.includes(task.key)) ? { ...run, cancelAt: now } : run;

const tasksOf = ({ task, more = [] }: Extract<SlotEvent, { t: 'run' }>): SlotTask[] => [task, ...more];

const onRun = (state: SlotState, tasks: SlotTask[], now: number): SlotStep => {
	if (!acceptsTask(state)) {
		const outcome: SlotOutcome = { kind: 'failed', failure: 'engine', message: 'The slot is busy with another task.' };
		return { state, effects: tasks.map((task) => ({ t: 'settled', task, outcome })) };
	}
	return state.run === undefined ? begin(state, tasks, now) : idle({ ...state, next: tasks });
};

const onCancel = (state: SlotState, key: string, now: number): SlotStep => {
	const waiting = state.next?.find((task) => task.key === key);
	if (waiting !== undefined) {
		const next = state.next?.filter((task) => task !== waiting) ?? [];
		const rest = next.length === 0 ? without(state, 'next') : { ...state, next };
		return { state: rest, effects: [{ t: 'settled', task: waiting, outcome: { kind: 'cancelled' } }] };
	}
	const { run } = state;
	if (run === undefined || !run.tasks.some((task) => task.key === key) || run.cancelled.includes(key)) return idle(state);
	if (state.worker !== 'up') return settleOne(state, run, key, { kind: 'cancelled' }, now);
	const told = stopping({ ...run, cancelled: [...run.cancelled, key] }, now);
	return { state: { ...state, run: told }, effects: [{ t: 'post', message: { t: 'cancel', key } }] };
};

const measured = (state: SlotState, run: SlotRun, now: number): Record<string, number> => {
	const elapsed = run.denoisingAt === undefined ? 0 : now - run.denoisingAt;
	if (elapsed <= 0 || run.step === 0) return state.speed;
	const value = elapsed / 1000 / run.step / megapixels(run);
	const { name } = run.task.model;
	const old = state.speed[name];
	return { ...state.speed, [name]: old === undefined ? value : old + SPEED_EWMA * (value - old) };
};

const onPhase = (run: SlotRun, phase: SlotPhase, now: number): SlotRun => {
	const loadMs = run.phase === 'loading' && run.loadStartedAt !== undefined ? now - run.loadStartedAt : run.loadMs;
	const { fraction: _fraction, ...rest } = run;
	return {
		...rest,
		phase,
		progressAt: now,
		...(loadMs === undefined ? {} : { loadMs }),
		...(phase === 'denoising' && run.denoisingAt === undefined ? { denoisingAt: now } : {}),
	};
};

const onLoading = (run: SlotRun, fraction: number, now: number): SlotRun => ({
	...run,
	phase: 'loading',
	fraction,
	progressAt: now,
	loadStartedAt: run.loadStartedAt ?? now,
});

const onStep = (run: SlotRun, step: number, steps: number, now: number): SlotRun => {
	// An engine that computes cannot speak: the beginning and the first step may be heard of in the same moment.
	const paceFrom = run.paceFrom ?? { step, at: now };
	const itPerS = now > paceFrom.at && step > paceFrom.step ? ((step - paceFrom.step) * 1000) / (now - paceFrom.at) : undefined;
	const denoisingAt = run.denoisingAt ?? run.startedAt;
	return { ...run, phase: 'denoising', step, steps, progressAt: now, denoisingAt, paceFrom, ...(itPerS === undefined ? {} : { itPerS }) };
};

const onProgress = (state: SlotState, run: SlotRun, message: FromWorker, now: number): SlotStep => {
	switch (message.t) {
		case 'loading':
			return idle({ ...without(state, 'loaded'), run: onLoading(run, message.fraction, now) });
		case 'phase':
			return idle({ ...state, loaded: run.task.model.name, run: onPhase(run, message.phase, now) });
		case 'step':
			return idle({ ...state, run: onStep(run, message.step, message.steps, now) });
		case 'preview': {
			const task = run.tasks.find((each) => each.key === message.key);
			return task === undefined ? idle(state) : { state, effects: [{ t: 'preview', task, step: message.step, jpeg: message.jpeg }] };
		}
		default:
			return idle(state);
	}
};

const onReady = (state: SlotState, now: number): SlotStep => {
	const up: SlotState = { ...state, worker: 'up', failedStarts: 0 };
	if (state.retiring && state.run === undefined) return { state: up, effects: [{ t: 'kill' }] };
	return state.run === undefined ? idle(up) : begin(up, state.run.tasks, now);
};

const onMessage = (state: SlotState, message: FromWorker, now: number): SlotStep => {
	if (message.t === 'ready') return onReady(state, now);
	if (message.t === 'capabilities') {
		const { t: _type, ...capabilities } = message;
		return idle({ ...state, capabilities });
	}
	const { run } = state;
	if (run?.tasks.some((task) => task.key === message.key) !== true) return idle(state);
	// A picture that was finished while its cancel was on the way is nobody's any more.
	const unwanted = run.cancelled.includes(message.key);
	switch (message.t) {
		case 'done': {
			if (unwanted) return settleOne(state, run, message.key, { kind: 'cancelled' }, now);
			const outcome = {
				kind: 'done',
				png: message.png,
				meta: message.meta,
				loadMs: run.loadMs ?? 0,
				totalMs: now - run.startedAt,
			} as const;
			// Later pictures of a batch also waited for the decoding of earlier ones.
			const speed = run.tasks.length === run.size ? measured(state, run, now) : state.speed;
			return settleOne({ ...state, speed }, run, message.key, outcome, now);
		}
		case 'failed': {
			const failed = { kind: 'failed', failure: message.failure, message: message.message } as const;
			return settleOne(state, run, message.key, unwanted ? { kind: 'cancelled' } : failed, now);
		}
		case 'cancelled':
			return settleOne(state, run, message.key, { kind: 'cancelled' }, now);
		default:
			return onProgress(state, run, message, now);
	}
};

const lastLine = (text: string): string => text.trim().split('\n').at(-1)?.slice(0, 200) ?? '';

/** Why an engine process died, as far as its end tells. */
export const explainExit = (exit: WorkerExit): { failure: FailureClass; message: string } => {
	const memory = exit.outOfMemory || /heap out of memory|bad_alloc|out of memory/i.test(exit.stderr);
	if (memory) return { failure: 'oom', message: 'The engine process ran out of memory and was ended.' };
	const how = exit.signal === null ? `exit code ${exit.code}` : exit.signal;
	const words = lastLine(exit.stderr);
	return { failure: 'engine', message: `The engine process ended unexpectedly (${how}${words === '' ? '' : `: ${words}`}).` };
};

const endOf = (state: SlotState, run: SlotRun, task: SlotTask, exit: WorkerExit): SlotOutcome => {
	if (run.cancelled.includes(task.key)) return { kind: 'cancelled' };
	if (state.killedFor !== 'timeout') return { kind: 'failed', ...explainExit(exit) };
	const where =
		run.phase === 'denoising' ? `after step ${run.step} of ${run.steps}` : `while ${run.phase === 'granted' ? 'starting' : run.phase}`;
	return { kind: 'failed', failure: 'timeout', message: `The engine made no progress ${where} and was ended.` };
};

const onExit = (state: SlotState, exit: WorkerExit, now: number, limits: SlotLimits): SlotStep => {
	const neverReady = state.worker === 'starting';
	const failedStarts = neverReady ? state.failedStarts + 1 : 0;
	const down: SlotState = { ...without(state, 'loaded', 'capabilities', 'killedFor'), worker: 'down', failedStarts };
	// A task that waits for a worker that does not start fails with the worker's last words.
	const lives = state.run === undefined || (state.run.unseen === true && state.run.cancelAt === undefined);
	const { run } = state;
	const settled = lives || run === undefined ? idle(down) : settle(down, (task) => endOf(state, run, task, exit), now);
	const effects = settled.effects.filter((effect) => effect.t !== 'kill');
	if (state.retiring && settled.state.run === undefined) return { state: settled.state, effects: [...effects, { t: 'gone' }] };
	if (neverReady) {
		const wait = Math.min(limits.respawnCapMs, limits.respawnFirstMs * 2 ** (failedStarts - 1));
		return { state: { ...settled.state, respawnAt: now + wait }, effects };
	}
	const spawned = spawn(settled.state, now);
	return { state: spawned.state, effects: [...effects, ...spawned.effects] };
};

const onRetire = (state: SlotState): SlotStep => {
	const retiring = { ...state, retiring: true };
	if (state.run !== undefined) return idle(retiring);
	if (state.worker === 'down') return { state: without(retiring, 'respawnAt'), effects: [{ t: 'gone' }] };
	return { state: retiring, effects: [{ t: 'kill' }] };
};

const onTick = (state: SlotState, now: number, limits: SlotLimits): SlotStep => {
	if (state.worker === 'down') return state.respawnAt !== undefined && now >= state.respawnAt ? spawn(state, now) : idle(state);
	if (state.killedFor !== undefined) return idle(state);
	if (state.worker === 'starting' && now - state.startedAt >= limits.startTimeoutMs) {
		return { state: { ...state, killedFor: 'timeout' }, effects: [{ t: 'kill' }] };
	}
	const { run } = state;
	if (run === undefined || state.worker !== 'up') return idle(state);
	if (run.cancelAt !== undefined) {
		return now - run.cancelAt >= limits.killAfterCancelMs
			? { state: { ...state, killedFor: 'cancel' }, effects: [{ t: 'kill' }] }
			: idle(state);
	}
	if (now - run.progressAt < patience(state, run, limits)) return idle(state);
	return { state: { ...state, killedFor: 'timeout' }, effects: [{ t: 'kill' }] };
};

/**
 * One step of a slot.
 * @param now milliseconds; only differences matter
 */
export const stepSlot = (state: SlotState, event: SlotEvent, now: number, limits: SlotLimits = SLOT_LIMITS): SlotStep => {
	if ('gen' in event && event.gen !== state.gen) return idle(state);
	switch (event.t) {
		case 'start':
			return state.worker === 'down' ? spawn(state, now) : idle(state);
		case 'run':
			return onRun(state, tasksOf(event), now);
		case 'cancel':
			return onCancel(state, event.key, now);
		case 'message':
			return onMessage(state, event.message, now);
		case 'exit':
			return onExit(state, event.exit, now, limits);
		case 'retire':
			return onRetire(state);
		case 'tick':
			return onTick(state, now, limits);
	}
	return idle(state);
};

/** When the next `tick` is needed. */
export const slotWakeAt = (state: SlotState, limits: SlotLimits = SLOT_LIMITS): number | undefined => {
	if (state.worker === 'down') return state.respawnAt;
	if (state.killedFor !== undefined) return undefined;
	if (state.worker === 'starting') return state.startedAt + limits.startTimeoutMs;
	const { run } = state;
	if (run === undefined) return undefined;
	return run.cancelAt === undefined ? run.progressAt + patience(state, run, limits) : run.cancelAt + limits.killAfterCancelMs;
};
