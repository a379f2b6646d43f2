/**
 * What an engine is: something that loads a model and makes pixels. Engines know nothing of gateways, grants or files
 * of results.
 * @module
 */
import type { Device, FailureClass } from '@limner/shared';
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

export type EnginePhase = 'loading' | 'encoding' | 'denoising' | 'decoding';

export interface EngineHooks {
	onPhase: (phase: EnginePhase) => void;
	/** After each denoising step. `preview` costs time only when called, and only works until this returns. */
	onStep: (step: number, steps: number, preview?: () => Pixels) => void;
	/** Asked between steps. */
	isCancelled: () => boolean;
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
	/** Pictures of one shape at a time. */
	maxBatch: number;
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

/** One engine on one device. One `generate` at a time. */
export interface Engine {
	readonly name: string;
	/** Whether the engine can run here at all: a sentence when it cannot. */
	probe: () => Promise<{ ok: true } | { ok: false; sentence: string }>;
	capabilities: () => EngineCapabilities;
	/**
	 * Loads a model, or does nothing when it is loaded already; another model is unloaded first.
	 * @throws {EngineError}
	 */
	load: (model: EngineModel, onProgress: (fraction: number) => void) => Promise<void>;
	/** @throws {EngineError | EngineCancelled} */
	generate: (request: EngineRequest, inputs: EngineInputs, hooks: EngineHooks) => Promise<EnginePicture>;
	unload: () => Promise<void>;
	health: () => { loaded: string | undefined; rssBytes: number };
}
