/**
 * What a person wants to see of a running job, kept up from its events. Pure.
 * @module
 */
import type { JobEvent } from './events.ts';
import { TERMINAL_STATES } from './types.ts';

/** A whole job's progress. */
export interface Progress {
	/** 0..1 over all pictures; never goes down, also when a picture has to be started again elsewhere. */
	fraction: number;
	/** queued, waiting, downloading, loading, encoding, denoising, decoding, uploading, or the job's final state. */
	phase: string;
	/** Pictures asked for, and those that are there. */
	n: number;
	done: number;
	/** Of the picture that moved last. */
	index?: number;
	step?: number;
	steps?: number;
	/** Place in the queue; 1 = next. */
	position?: number;
	/** Expected milliseconds until the job is finished, as far as it can be told. */
	etaMs?: number;
	/** Why the job waits, in words. */
	reason?: string;
	/** Times that a picture had to be given to another machine. */
	requeues: number;
	/** 0..1 of each picture. */
	pictures: readonly number[];
}

/** Share of a picture's time that goes before its first step, and up to the end of the last one. */
const STEPS_FROM = 0.05;
const STEPS_TO = 0.9;

export const initialProgress = (n: number): Progress => ({
	fraction: 0,
	phase: 'queued',
	n,
	done: 0,
	requeues: 0,
	pictures: Array.from({ length: n }, () => 0),
});

const num = (data: JobEvent['data'], name: string): number | undefined => (typeof data[name] === 'number' ? data[name] : undefined);
const text = (data: JobEvent['data'], name: string): string | undefined => (typeof data[name] === 'string' ? data[name] : undefined);

const withPicture = (state: Progress, index: number, fraction: number): Progress => {
	const pictures = state.pictures.map((had, i) => (i === index ? Math.max(had, fraction) : had));
	const mean = pictures.reduce((sum, part) => sum + part, 0) / Math.max(1, pictures.length);
	return { ...state, pictures, fraction: Math.max(state.fraction, mean), done: pictures.filter((part) => part === 1).length };
};

/** Leaves out what is not known, so that no property is `undefined`. */
const known = (values: { [K in keyof Progress]?: Progress[K] | undefined }): Partial<Progress> =>
	Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Partial<Progress>;

const onQueue = (state: Progress, data: JobEvent['data']): Progress => {
	const { position: _place, etaMs: _eta, reason: _why, ...rest } = state;
	const eta = data['etaMs'];
	const high = typeof eta === 'object' && eta !== null ? num(eta as JobEvent['data'], 'high') : undefined;
	const queued = known({ position: num(data, 'position'), etaMs: high, reason: text(data, 'reason') });
	return { ...rest, ...queued, phase: queued.reason === undefined ? 'queued' : 'waiting' };
};

const onWork = (state: Progress, data: JobEvent['data']): Progress => {
	const { position: _place, reason: _why, etaMs: _eta, ...rest } = state;
	const index = num(data, 'index') ?? 0;
	const [step, steps] = [num(data, 'step'), num(data, 'steps')];
	const phase = text(data, 'phase') ?? 'denoising';
	const ran = step === undefined || steps === undefined || steps <= 0 ? 0 : Math.min(1, step / steps);
	const inSteps = phase === 'decoding' || phase === 'uploading' ? STEPS_TO : STEPS_FROM + (STEPS_TO - STEPS_FROM) * ran;
	const fraction = phase === 'denoising' || ran > 0 || inSteps === STEPS_TO ? inSteps : 0;
	return withPicture({ ...rest, ...known({ step, steps, etaMs: num(data, 'etaMs') }), index, phase }, index, fraction);
};

/** Progress after one more event. */
export const reduceProgress = (state: Progress, { event, data }: JobEvent): Progress => {
	if (TERMINAL_STATES.has(event)) {
		const { position: _place, etaMs: _eta, reason: _why, ...rest } = state;
		return event === 'succeeded'
			? { ...rest, phase: event, fraction: 1, done: state.n, pictures: state.pictures.map(() => 1) }
			: { ...rest, phase: event };
	}
	if (event === 'position' || event === 'waiting') return onQueue(state, data);
	if (event === 'loading' || event === 'progress') return onWork(state, data);
	if (event === 'image') return withPicture(state, num(data, 'index') ?? 0, 1);
	if (event === 'requeued') return { ...state, requeues: state.requeues + 1, phase: 'queued' };
	return state;
};
