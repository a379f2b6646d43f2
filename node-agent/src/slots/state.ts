/**
 * What is known of a slot, what can happen to it and what may follow.
 * @module
 */
import { TIMING, type FailureClass } from '@limner/shared';
import type { FromWorker, ResultMeta, SlotCapabilities, SlotTask, ToWorker, WorkerExit } from './messages.ts';

export interface SlotLimits {
	killAfterCancelMs: number;
	stepTimeoutMinMs: number;
	stepTimeoutFactor: number;
	/** Before anything was measured, a slow device gets this much for one step. */
	unmeasuredStepMs: number;
	/** Reading a model of many gigabytes from a slow disk takes its time. */
	loadTimeoutMs: number;
	startTimeoutMs: number;
	respawnFirstMs: number;
	respawnCapMs: number;
}

export const SLOT_LIMITS: SlotLimits = {
	killAfterCancelMs: TIMING.killAfterCancelMs,
	stepTimeoutMinMs: TIMING.stepTimeoutMinMs,
	stepTimeoutFactor: TIMING.stepTimeoutFactor,
	unmeasuredStepMs: 120_000,
	loadTimeoutMs: 900_000,
	startTimeoutMs: 60_000,
	respawnFirstMs: 500,
	respawnCapMs: 30_000,
};

export type SlotPhase = 'granted' | 'loading' | 'encoding' | 'denoising' | 'decoding';

export interface SlotRun {
	/** The first picture, which stands for the shape and the model of all. */
	task: SlotTask;
	/** Pictures that have not ended. */
	tasks: SlotTask[];
	/** Pictures that were begun together. */
	size: number;
	/** Keys of pictures that were told to stop. */
	cancelled: string[];
	phase: SlotPhase;
	step: number;
	steps: number;
	fraction?: number;
	startedAt: number;
	/** Last sign of progress, for the watchdog. */
	progressAt: number;
	denoisingAt?: number;
	/** The first step that was heard of, and when. */
	paceFrom?: { step: number; at: number };
	itPerS?: number;
	loadStartedAt?: number;
	loadMs?: number;
	/** All that is left was told to stop then. */
	cancelAt?: number;
	/** Taken while the worker was being killed, which never saw it. */
	unseen?: boolean;
}

export interface SlotState {
	id: string;
	worker: 'down' | 'starting' | 'up';
	/** Number of the worker; messages of an older one are ignored. */
	gen: number;
	startedAt: number;
	/** Starts in a row that never got ready. */
	failedStarts: number;
	respawnAt?: number;
	/** The model that the worker used last. */
	loaded?: string;
	/** What the worker said that it takes. */
	capabilities?: SlotCapabilities;
	run?: SlotRun;
	/** Taken while a cancelled task still stops. */
	next?: SlotTask[];
	killedFor?: 'cancel' | 'timeout';
	retiring: boolean;
	/** Seconds a megapixel-step by model, measured. */
	speed: Record<string, number>;
}

export type SlotOutcome =
	| { kind: 'done'; png: Uint8Array; meta: ResultMeta; loadMs: number; totalMs: number }
	| { kind: 'failed'; failure: FailureClass; message: string }
	| { kind: 'cancelled' };

export type SlotEvent =
	| { t: 'start' }
	| { t: 'run'; task: SlotTask; more?: SlotTask[] }
	| { t: 'cancel'; key: string }
	| { t: 'message'; gen: number; message: FromWorker }
	| { t: 'exit'; gen: number; exit: WorkerExit }
	| { t: 'retire' }
	| { t: 'tick' };

export type SlotEffect =
	| { t: 'spawn'; gen: number }
	| { t: 'post'; message: ToWorker }
	| { t: 'kill' }
	| { t: 'settled'; task: SlotTask; outcome: SlotOutcome }
	| { t: 'preview'; task: SlotTask; step: number; jpeg: Uint8Array }
	/** The slot was retired and its worker is gone. */
	| { t: 'gone' };

export interface SlotStep {
	state: SlotState;
	effects: SlotEffect[];
}

export const initialSlot = (id: string): SlotState => ({
	id,
	worker: 'down',
	gen: 0,
	startedAt: 0,
	failedStarts: 0,
	retiring: false,
	speed: {},
});

/** Whether the slot takes a task now: it is free, or its cancelled task is about to end. */
export const acceptsTask = (state: SlotState): boolean =>
	!state.retiring && state.next === undefined && (state.run === undefined || state.run.cancelAt !== undefined);
