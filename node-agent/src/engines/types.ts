/**
 * What an engine is: something that loads a model and makes pixels. Engines know nothing of gateways, grants or files
 * of results.
 * @module
 */
import type { Device, FailureClass, MaskFill } from '@limner/shared';
import type { ModelFolderInfo } from '../models/layout.ts';
import type { Pixels } from '../png/encode.ts';

/** A model that lies on this machine. */
export interface EngineModel {
	name: string;
	dir: string;
	sha256: string;
	/** What was read from the folder, so that loading need not hash it again. */
	folder?: ModelFolderInfo;
}

/** One picture. */
export interface EngineRequest {
	task: 'txt2img' | 'img2img' | 'inpaint';
	prompt: string;
	negativePrompt: string | null;
	width: number;
	height: number;
	steps: number;
	guidance: number;
	/** The model's own when absent. */
	scheduler?: string;
	seed: number;
	strength?: number;
	eta?: number;
	guidanceRescale?: number;
	pasteBack: boolean;
	maskCropPadding?: number;
	maskFeather?: number;
	maskInvert?: boolean;
	maskFill?: MaskFill;
	promptMode?: 'plain' | 'weighted';
	useT5?: boolean;
	originalSize?: [number, number];
	cropTopLeft?: [number, number];
	targetSize?: [number, number];
}

export interface EngineInputs {
	/** Path of the input picture. */
	init?: string;
	/** Path of the mask. */
	mask?: string;
}

/** A picture to make, with the paths of its inputs. */
export interface EngineItem {
	request: EngineRequest;
	inputs: EngineInputs;
}

export type EnginePhase = 'loading' | 'encoding' | 'denoising' | 'decoding';

export interface EngineHooks {
	onPhase: (phase: EnginePhase) => void;
	/** After each denoising step. `preview` costs time only when called, and only works until this returns. */
	onStep: (step: number, steps: number, preview?: () => Pixels) => void;
	/** Asked between steps. */
	isCancelled: () => boolean;
}

/** The same for several pictures; `item` is the position in the list. */
export interface EngineBatchHooks {
	onPhase: (item: number, phase: EnginePhase) => void;
	onStep: (item: number, step: number, steps: number, preview?: () => Pixels) => void;
	isCancelled: (item: number) => boolean;
}

export interface EnginePicture extends Pixels {
	/** Plain sentences for the caller. */
	warnings: string[];
	/** Milliseconds by name. */
	timings: Record<string, number>;
	/** Final latents before decoding. */
	latents?: { values: Float32Array; shape: number[] };
	/** Hashes of the input pictures' bytes, for the picture's own record. */
	inputHashes: { initImageSha256?: string; maskImageSha256?: string };
}

export interface EngineCapabilities {
	/** Element type and device that the pixels depend on, for the picture's record. */
	device: Device;
	/** Pictures of one shape that make sense at a time. */
	maxBatch: number;
	/** Pixels of all of them together, once it was measured what fits. */
	maxBatchPx?: number;
}

/** The engine said no, or broke; the class decides what happens to the task. */
export class EngineError extends Error {
	override readonly name = 'EngineError';
	readonly failure: FailureClass;
	constructor(failure: FailureClass, sentence: string, cause?: unknown) {
		super(sentence, { cause });
		this.failure = failure;
	}
}

/** `isCancelled()` answered true between two steps. */
export class EngineCancelled extends Error {
	override readonly name = 'EngineCancelled';
}

/** What became of a picture. */
export type EngineOutcome = EnginePicture | EngineError | EngineCancelled;

/** One engine on one device. One `generate` or `generateBatch` at a time. */
export interface Engine {
	readonly name: string;
	/** Whether the engine can run here at all: a sentence when it cannot. */
	probe: () => Promise<{ ok: true } | { ok: false; sentence: string }>;
	capabilities: () => EngineCapabilities;
	/**
	 * Loads a model, or does nothing when it is held already; what was used longest ago is unloaded where memory asks for it.
	 * @throws {EngineError}
	 */
	load: (model: EngineModel, onProgress: (fraction: number) => void) => Promise<void>;
	/** @throws {EngineError | EngineCancelled} */
	generate: (request: EngineRequest, inputs: EngineInputs, hooks: EngineHooks) => Promise<EnginePicture>;
	/** Makes pictures with the loaded model, those of one shape together. Each ends for itself: nothing is thrown. */
	generateBatch: (items: readonly EngineItem[], hooks: EngineBatchHooks) => Promise<EngineOutcome[]>;
	unload: () => Promise<void>;
	/** `held`: models in memory, the one used last at the end. */
	health: () => { loaded: string | undefined; held: string[]; rssBytes: number };
}

/** `generate` of an engine that makes batches. */
export const singly =
	(generateBatch: Engine['generateBatch']): Engine['generate'] =>
	async (request, inputs, hooks) => {
		const [outcome] = await generateBatch([{ request, inputs }], {
			onPhase: (_item, phase) => hooks.onPhase(phase),
			onStep: (_item, step, steps, preview) => hooks.onStep(step, steps, preview),
			isCancelled: () => hooks.isCancelled(),
		});
		if (outcome === undefined) throw new EngineError('engine', 'The engine made no picture.');
		if (outcome instanceof Error) throw outcome;
		return outcome;
	};
