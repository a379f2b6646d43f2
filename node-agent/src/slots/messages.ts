/**
 * What a slot and its engine process say to each other.
 * @module
 */
import type { FailureClass, GrantRef } from '@limner/shared';
import type { OutputOptions } from '../png/encode.ts';
import type { EngineInputs, EngineModel, EnginePhase, EngineRequest } from '../engines/types.ts';

/** One picture to make. `key` names the attempt. */
export interface SlotTask {
	key: string;
	grant: GrantRef;
	request: EngineRequest;
	model: EngineModel;
	inputs: EngineInputs;
	/** File format of the result; PNG when absent. */
	output?: OutputOptions;
	/** Tell the hash of the pixels, so that pictures can be compared whatever their files say besides. */
	hashPixels?: boolean;
	/** Somebody watches: make previews. */
	watched: boolean;
}

/** What a slot takes at once, and which models it holds in memory. */
export interface SlotCapabilities {
	maxBatch: number;
	maxBatchPx?: number;
	/** Names, the one used last at the end. */
	held: string[];
}

export type ToWorker =
	/** `more` is made together with `task`: pictures of one shape and model. */
	| { t: 'run'; task: SlotTask; more?: SlotTask[] }
	/** The model will be needed in a moment: load it while the inputs are on their way. */
	| { t: 'prepare'; model: EngineModel }
	| { t: 'cancel'; key: string }
	| { t: 'watch'; key: string; on: boolean }
	| { t: 'exit' };

/** What the node tells the gateway about a picture, and what the scheduler learns from. Times in milliseconds. */
export interface ResultMeta {
	seed: number;
	engine: string;
	device: string;
	model: string;
	modelSha256: string;
	/** SHA-256 of width, height and RGB bytes, when it was asked for. */
	pixelSha256?: string;
	warnings: string[];
	timings: Record<string, number>;
}

export type FromWorker =
	| { t: 'ready' }
	/** What the slot can take, after it was measured anew. */
	| ({ t: 'capabilities' } & SlotCapabilities)
	| { t: 'loading'; key: string; fraction: number }
	| { t: 'phase'; key: string; phase: EnginePhase }
	| { t: 'step'; key: string; step: number; steps: number }
	| { t: 'preview'; key: string; step: number; jpeg: Uint8Array }
	/** `png` is the file, in the format that was ordered. */
	| { t: 'done'; key: string; png: Uint8Array; meta: ResultMeta }
	| { t: 'failed'; key: string; failure: FailureClass; message: string }
	| { t: 'cancelled'; key: string };

/** An engine process, or what stands in for one. */
export interface Worker {
	readonly pid: number | undefined;
	post: (message: ToWorker) => void;
	/** Ends it at once, whatever it does. */
	kill: () => void;
}

/** How a worker ended. */
export interface WorkerExit {
	code: number | null;
	signal: string | null;
	/** The last words on its standard error. */
	stderr: string;
	/** The system killed a process for memory while this one ran. */
	outOfMemory: boolean;
}

export type StartWorker = (slotId: string, events: { message: (message: FromWorker) => void; exit: (exit: WorkerExit) => void }) => Worker;
