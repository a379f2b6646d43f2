import type { NoiseSource } from '../noise.ts';

/**
 * A sampler. Positions are indices into `timesteps` (never timestep values, which may repeat). The caller runs
 * index = start … timesteps.length−1 in order, once per network evaluation.
 */
export interface Scheduler {
	/** Network evaluations per nominal step; img2img starts at a multiple of it. */
	readonly order: 1 | 2;
	/** Values handed to the network, in running order. Valid after `setTimesteps`. */
	readonly timesteps: readonly number[];
	/** Noise levels, one longer than the distinct steps; null for samplers that work on ᾱ. */
	readonly sigmas: Float32Array | null;
	/** Standard deviation that pure noise must have at the first timestep. */
	readonly initNoiseSigma: number;
	/** Whether `step` may consume numbers from the noise source. */
	readonly drawsNoise: boolean;
	/** Estimate of the clean sample from the latest `step`; for previews. Empty before the first step. */
	readonly predicted: Float32Array;

	/** Plans `steps` nominal steps and forgets all history. */
	setTimesteps(steps: number, options?: PlanOptions): void;
	/** out = the network's input for `sample` at `index`. */
	scaleModelInput(sample: Float32Array, index: number, out: Float32Array): void;
	/** Moves `sample` (in place) from `index` to `index + 1`. */
	step(modelOutput: Float32Array, index: number, sample: Float32Array, noise: NoiseSource): void;
	/** out = `original` with `noise` at the level of `index`. */
	addNoise(original: Float32Array, noise: Float32Array, index: number, out: Float32Array): void;
}

/** Inputs of a plan beside the number of steps; samplers ignore what does not concern them. */
export interface PlanOptions {
	/** log-shift of resolution-dependent flow matching. */
	mu?: number;
	/** Lets all steps run inside the last part of the schedule (LCM's own picture-to-picture rule), 0…1. */
	strength?: number;
}

/** Per-step knobs that are no part of the scheduler's config. */
export interface SchedulerOptions {
	/** DDIM's η (Song et al. 2021, eq. 16): 0 = deterministic, 1 = DDPM-like. */
	eta?: number;
}
