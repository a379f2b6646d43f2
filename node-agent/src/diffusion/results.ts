import type { RgbImage } from './latents.ts';

/** Where a picture is. `step` counts the network evaluations of that picture. */
export interface StepInfo {
	step: number;
	steps: number;
	phase: 'encoding' | 'denoising' | 'decoding';
	/** Index of the picture among those that are made. */
	image: number;
	/** A small picture of the current estimate; computed only when called, and only valid until `onStep` returns. */
	previewRgb?: () => RgbImage;
}

export interface GenerateHooks {
	/** Called for each picture after every network evaluation and at the start of encoding and decoding. */
	onStep?(info: StepInfo): void | Promise<void>;
	/** Asked for each picture between steps; true ends that picture with CancelledError and leaves the others as they are. */
	isCancelled?(image: number): boolean;
}

export interface GeneratedImage {
	rgb: Uint8Array;
	width: number;
	height: number;
	seed: bigint;
	/** Final latents before decoding, shape `latentsShape`. */
	latents: Float32Array;
	latentsShape: number[];
}

/** Milliseconds over all pictures; `sessionRunMs` is the part of the whole inside native inference. */
export interface Timings {
	encodeMs: number;
	denoiseMs: number;
	decodeMs: number;
	sessionRunMs: number;
	/** One number an evaluation, of however many pictures. */
	stepMs: number[];
}

export interface GenerateResult {
	images: GeneratedImage[];
	/** Plain sentences for the caller, e.g. words that the model never learnt. */
	warnings: string[];
	timings: Timings;
}

/** What became of one picture of a batch. */
export type BatchOutcome = { ok: true; image: GeneratedImage; warnings: string[] } | { ok: false; error: unknown };
