/**
 * Progress of a job on one scale from 0 to 100, in words: queue 0 to 10, load 10 to 20, steps 20 to 95, upload to 100.
 * Pure.
 * @module
 */
import type { BridgeFrame, ProgressData, QueueView } from '@limner/shared';

export interface JobProgress {
	/** 0..100; never goes down, also when a picture has to be started again elsewhere. */
	value: number;
	message: string;
	/** 0..1 of each picture. */
	pictures: readonly number[];
	queue?: QueueView;
}

const QUEUED = 2;
const ASSIGNED = 10;
const LOADED = 20;
const STEPPED = 95;

export const startProgress = (n: number): JobProgress => ({
	value: 0,
	message: 'submitted',
	pictures: Array.from({ length: n }, () => 0),
});

const raise = (state: JobProgress, value: number, message: string): JobProgress => ({
	...state,
	value: Math.min(100, Math.max(state.value, value)),
	message,
});

const withPicture = (state: JobProgress, index: number, part: number, message: string): JobProgress => {
	const pictures = state.pictures.map((had, i) => (i === index ? Math.max(had, part) : had));
	const mean = pictures.reduce((sum, one) => sum + one, 0) / Math.max(1, pictures.length);
	return raise({ ...state, pictures }, LOADED + (STEPPED - LOADED) * mean, message);
};

const named = (state: JobProgress, index: number): string =>
	state.pictures.length > 1 ? `picture ${index + 1} of ${state.pictures.length}, ` : '';

const onProgress = (state: JobProgress, { index, phase, step, steps }: ProgressData): JobProgress => {
	const words = phase === 'denoising' ? `step ${step} of ${steps}` : phase;
	const part = steps > 0 ? Math.min(1, step / steps) : 0;
	if (part === 0 && phase !== 'denoising') return raise(state, ASSIGNED, `${named(state, index)}${words}`);
	return withPicture(state, index, part, `${named(state, index)}${words}`);
};

const onQueue = (state: JobProgress, queue: QueueView): JobProgress => {
	const place = queue.position === undefined ? 'queued' : `queued, position ${queue.position}`;
	return raise({ ...state, queue }, QUEUED, queue.reason === undefined ? place : `${place}: ${queue.reason}`);
};

type Data = Record<string, unknown>;
type Step = (state: JobProgress, index: number, data: Data) => JobProgress;

const word = (data: Data, name: string, fallback: string): string => (typeof data[name] === 'string' ? data[name] : fallback);

const STEPS: Partial<Record<BridgeFrame['event'], Step>> = {
	position: (state, _index, data) => onQueue(state, data as unknown as QueueView),
	waiting: (state, _index, data) => raise(state, QUEUED, `waiting: ${word(data, 'reason', 'no node is free')}`),
	assigned: (state, index) => raise(state, ASSIGNED, `${named(state, index)}given to a node`),
	requeued: (state, index) => raise(state, state.value, `${named(state, index)}starts again on another node`),
	loading: (state, index, data) => raise(state, ASSIGNED, `${named(state, index)}${word(data, 'phase', 'loading')} the model`),
	progress: (state, _index, data) => onProgress(state, data as unknown as ProgressData),
	image: (state, index) => withPicture(state, index, 1, `${named(state, index)}done`),
	succeeded: (state) => raise(state, 100, 'done'),
};

/** Progress after one more frame of the job's bridge. */
export const advance = (state: JobProgress, frame: BridgeFrame): JobProgress => {
	const data = (frame.data ?? {}) as Data;
	return STEPS[frame.event]?.(state, typeof data['index'] === 'number' ? data['index'] : 0, data) ?? state;
};

/**
 * The next value to tell, which must be larger than the last one told, or `undefined` when there is no room left.
 * A client takes silence or a repeated value for a stall, so that a heartbeat moves by a hair.
 */
export const nextTold = (last: number, value: number): number | undefined => {
	const next = value > last ? value : Math.round((last + 0.01) * 100) / 100;
	return next > 100 || (next === 100 && value < 100) ? undefined : next;
};
