/**
 * What a person wants to see of a running job, kept up from its events. Pure: time is an argument.
 * @module
 */
import { TERMINAL_EVENTS } from '@limner/shared';
import type { JobEvent } from './follow.ts';

export interface PictureProgress {
	phase: string;
	step: number;
	steps: number;
	itPerS?: number;
	etaMs?: number;
	done: boolean;
}

export interface JobProgress {
	/** Pictures asked for. */
	n: number;
	/** The phase shown: queued, waiting, loading, encoding, denoising, decoding, uploading, writing (without a gateway), or the final state. */
	phase: string;
	position?: number;
	etaMs?: { low: number; high: number };
	/** Why the job waits, in words. */
	reason?: string;
	/** 0..1 of a model download or load. */
	fraction?: number;
	pictures: Record<number, PictureProgress>;
	/** Attempts beyond the first. */
	requeues: number;
	/** Milliseconds spent in each phase so far, without the running one. */
	spent: Record<string, number>;
	phaseSince: number;
	startedAt: number;
}

export const initialProgress = (n: number, now: number): JobProgress => ({
	n,
	phase: 'queued',
	pictures: {},
	requeues: 0,
	spent: {},
	phaseSince: now,
	startedAt: now,
});

const enter = (state: JobProgress, phase: string, now: number): JobProgress =>
	phase === state.phase
		? state
		: {
				...state,
				phase,
				phaseSince: now,
				spent: { ...state.spent, [state.phase]: (state.spent[state.phase] ?? 0) + (now - state.phaseSince) },
			};

const field = (data: unknown, name: string): unknown =>
	typeof data === 'object' && data !== null ? (data as Record<string, unknown>)[name] : undefined;
const num = (data: unknown, name: string): number | undefined => {
	const value = field(data, name);
	return typeof value === 'number' ? value : undefined;
};
const str = (data: unknown, name: string): string | undefined => {
	const value = field(data, name);
	return typeof value === 'string' ? value : undefined;
};

const omitWait = ({ position: _p, etaMs: _e, reason: _r, fraction: _f, ...rest }: JobProgress): JobProgress => rest;

const onPosition = (state: JobProgress, data: unknown, now: number): JobProgress => {
	const position = num(data, 'position');
	const reason = str(data, 'reason');
	const low = num(field(data, 'etaMs'), 'low');
	const high = num(field(data, 'etaMs'), 'high');
	return enter(
		{
			...omitWait(state),
			...(position === undefined ? {} : { position }),
			...(reason === undefined ? {} : { reason }),
			...(low === undefined || high === undefined ? {} : { etaMs: { low, high } }),
		},
		'queued',
		now,
	);
};

/** Phases after the last step. A node tells steps only so often, so that the number it told last may be an older one. */
const AFTER_STEPS: ReadonlySet<string> = new Set(['decoding', 'uploading', 'writing']);

const pictureOf = (data: unknown, phase: string, before: PictureProgress | undefined): PictureProgress => {
	const steps = num(data, 'steps') ?? before?.steps ?? 0;
	if (AFTER_STEPS.has(phase)) return { phase, step: steps, steps, done: false };
	const itPerS = num(data, 'itPerS');
	const etaMs = num(data, 'etaMs');
	return {
		phase,
		step: num(data, 'step') ?? before?.step ?? 0,
		steps,
		done: false,
		...(itPerS === undefined ? {} : { itPerS }),
		...(etaMs === undefined ? {} : { etaMs }),
	};
};

const onStep = (state: JobProgress, data: unknown, now: number): JobProgress => {
	const index = num(data, 'index') ?? 0;
	const phase = str(data, 'phase') ?? 'denoising';
	const fraction = num(data, 'fraction');
	const picture = pictureOf(data, phase, state.pictures[index]);
	const next = { ...omitWait(state), pictures: { ...state.pictures, [index]: picture } };
	return enter(fraction === undefined ? next : { ...next, fraction }, phase, now);
};

const onImage = (state: JobProgress, data: unknown, now: number): JobProgress => {
	const index = num(data, 'index') ?? 0;
	// pictures that are made without a gateway are only written
	const after = str(data, 'phase') ?? 'uploading';
	const before = state.pictures[index] ?? { phase: after, step: 0, steps: 0, done: false };
	const pictures = { ...state.pictures, [index]: { ...before, done: true } };
	const running = Object.values(pictures).find((picture) => !picture.done);
	return enter({ ...omitWait(state), pictures }, running?.phase ?? after, now);
};

/** Applies one event. Unknown events change nothing. */
export const reduceProgress = (state: JobProgress, event: JobEvent, now: number): JobProgress => {
	if (TERMINAL_EVENTS.has(event.event)) return enter(omitWait(state), event.event, now);
	switch (event.event) {
		case 'position':
			return onPosition(state, event.data, now);
		case 'waiting':
			return { ...enter(state, 'queued', now), reason: str(event.data, 'reason') ?? 'waiting' };
		case 'assigned':
			return enter(omitWait(state), 'granted', now);
		case 'requeued':
			return {
				...enter(omitWait(state), 'queued', now),
				requeues: state.requeues + 1,
				reason: str(event.data, 'reason') ?? 'trying again',
			};
		case 'loading':
		case 'progress':
			return onStep(state, event.data, now);
		case 'image':
			return onImage(state, event.data, now);
		default:
			return state;
	}
};

/** Milliseconds spent in each phase up to now, in order of first entry. */
export const phaseTimes = (state: JobProgress, now: number): Record<string, number> =>
	TERMINAL_EVENTS.has(state.phase)
		? state.spent
		: { ...state.spent, [state.phase]: (state.spent[state.phase] ?? 0) + (now - state.phaseSince) };
