/**
 * One generation at a time: start, watch, cancel.
 * @module
 */
import { useCallback, useEffect, useRef, useState } from 'react';
import { JobFailedError } from '../errors.ts';
import type { GenerateOptions, GenerateRequest, Generation, Preview } from '../images.ts';
import { initialProgress, type Progress } from '../progress.ts';
import type { Job, JobImage } from '../types.ts';
import { useLimner } from './context.ts';

export interface GenerationState {
	/** idle = nothing started yet; submitting = until the gateway has accepted the job. */
	status: 'idle' | 'submitting' | 'running' | 'succeeded' | 'failed' | 'canceled';
	progress: Progress | undefined;
	/** Latest preview of each picture, by its index. */
	previews: Readonly<Record<number, Preview>>;
	/** Pictures as they arrive. */
	images: readonly JobImage[];
	job: Job | undefined;
	error: Error | undefined;
}

export interface UseGeneration extends GenerationState {
	/** Starts; a generation that runs is cancelled first. Answers `undefined` when it was cancelled or failed (see `error`). */
	generate: (request: GenerateRequest) => Promise<Generation | undefined>;
	/** Watches a job that was started before, e.g. before the page was reloaded. */
	follow: (job: Job | string) => Promise<Generation | undefined>;
	/** Stops the generation, at the gateway too. */
	cancel: () => void;
	/** Back to `idle`; a running generation is cancelled. */
	reset: () => void;
}

export interface UseGenerationOptions {
	/** What leaving the page's component does to a running job; default `leave`, so that it can be followed again. */
	onUnmount?: 'cancel' | 'leave';
}

const IDLE: GenerationState = { status: 'idle', progress: undefined, previews: {}, images: [], job: undefined, error: undefined };

const failed = (error: unknown, aborted: boolean): Partial<GenerationState> => {
	if (aborted) return { status: 'canceled' };
	const job = error instanceof JobFailedError ? { job: error.job, images: error.job.images } : {};
	const status = error instanceof JobFailedError && error.job.state === 'canceled' ? 'canceled' : 'failed';
	return { status, error: error instanceof Error ? error : new Error(String(error)), ...job };
};

type Work = (options: GenerateOptions) => Promise<Generation>;
type Update = (change: (state: GenerationState) => GenerationState) => void;

/** Runs one generation and tells every change, until `signal` fires. */
const watch = async (work: Work, signal: AbortSignal, update: Update): Promise<Generation | undefined> => {
	const merge = (part: Partial<GenerationState>): void => update((state) => ({ ...state, ...part }));
	try {
		const done = await work({
			signal,
			onProgress: (progress, job) => merge({ status: 'running', progress, job }),
			onPreview: (preview) => update((state) => ({ ...state, previews: { ...state.previews, [preview.index]: preview } })),
			onImage: (image) =>
				update((state) => ({
					...state,
					images: [...state.images.filter(({ id }) => id !== image.id), image].toSorted((a, b) => a.index - b.index),
				})),
		});
		merge({ status: 'succeeded', job: done.job, images: done.images });
		return done;
	} catch (error) {
		merge(failed(error, signal.aborted));
		return undefined;
	}
};

/** State and controls of a generation. */
export const useGeneration = (options: UseGenerationOptions = {}): UseGeneration => {
	const client = useLimner();
	const [state, setState] = useState<GenerationState>(IDLE);
	const running = useRef<AbortController | undefined>(undefined);
	const leaving = useRef(options.onUnmount ?? 'leave');
	leaving.current = options.onUnmount ?? 'leave';
	/** Read when the abort happens: a cancel by hand stops the job, a component that goes away may leave it. */
	const onAbort = useRef<'cancel' | 'leave'>('cancel');

	const start = useCallback((work: Work): Promise<Generation | undefined> => {
		running.current?.abort();
		const own = new AbortController();
		running.current = own;
		onAbort.current = 'cancel';
		setState({ ...IDLE, status: 'submitting', progress: initialProgress(1) });
		// A generation that was replaced must not write over the one that replaced it.
		const update: Update = (change) => {
			if (running.current === own) setState(change);
		};
		const late = (given: GenerateOptions): GenerateOptions => ({
			...given,
			get onAbort() {
				return onAbort.current;
			},
		});
		return watch((given) => work(late(given)), own.signal, update);
	}, []);

	const generate = useCallback((request: GenerateRequest) => start((given) => client.images.generate(request, given)), [client, start]);
	const follow = useCallback((job: Job | string) => start((given) => client.images.follow(job, given)), [client, start]);
	const cancel = useCallback(() => running.current?.abort(), []);
	const reset = useCallback(() => {
		running.current?.abort();
		running.current = undefined;
		setState(IDLE);
	}, []);
	useEffect(
		() => () => {
			onAbort.current = leaving.current;
			running.current?.abort();
			running.current = undefined;
		},
		[],
	);
	return { ...state, generate, follow, cancel, reset };
};
