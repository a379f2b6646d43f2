import { InvalidRequestError } from '../errors.ts';
import { combine } from '../vector.ts';
import type { NoiseSource } from '../noise.ts';
import { AlphaScheduler, estimateClean, limitEstimate } from './alpha-base.ts';
import { alphasCumprod } from './betas.ts';
import { asPrediction, BETA_DEFAULTS, CLIP_DEFAULTS, pickConfig, type Prediction, type RawConfig } from './config.ts';
import type { PlanOptions } from './types.ts';

const DEFAULTS = {
	...BETA_DEFAULTS,
	...CLIP_DEFAULTS,
	beta_start: 0.00085,
	beta_end: 0.012,
	beta_schedule: 'scaled_linear',
	original_inference_steps: 50,
	clip_sample: false,
	set_alpha_to_one: true,
	timestep_scaling: 10,
	rescale_betas_zero_snr: false,
};

/** Standard deviation of the data in the consistency parameterisation. */
const SIGMA_DATA = 0.5;

/** Multistep sampling of latent consistency models (Luo et al. 2023, arXiv 2310.04378, §4.3 and appendix A). */
export class LcmScheduler extends AlphaScheduler {
	readonly drawsNoise = true;
	readonly #config: typeof DEFAULTS;
	readonly #prediction: Prediction;

	constructor(raw: RawConfig) {
		const config = pickConfig(DEFAULTS, raw);
		super(alphasCumprod(config, config.rescale_betas_zero_snr), config.set_alpha_to_one);
		this.#config = config;
		this.#prediction = asPrediction(config.prediction_type, 'lcm');
	}

	/**
	 * Picks evenly from the distillation schedule k−1, 2k−1, … in descending order; with `strength` from its first
	 * (least noisy) part only.
	 */
	setTimesteps(steps: number, options: PlanOptions = {}): void {
		const original = this.#config.original_inference_steps;
		const usable = Math.trunc(original * (options.strength ?? 1));
		if (!Number.isInteger(steps) || steps < 1 || steps > usable) {
			const range = usable < 1 ? 'no steps' : `1 to ${usable} steps`;
			throw new InvalidRequestError(`The sampler lcm runs ${range} with this model and strength, not ${steps}.`);
		}
		this.steps = steps;
		const skip = Math.floor(this.trainSteps / original);
		this.timesteps = Array.from({ length: steps }, (_, i) => (usable - Math.floor((i * usable) / steps)) * skip - 1);
	}

	step(modelOutput: Float32Array, index: number, sample: Float32Array, noise: NoiseSource): void {
		const t = this.timestepAt(index);
		const now = this.alphaBarAt(t);
		const x0 = this.estimateBuffer(sample.length);
		estimateClean(x0, this.#prediction, modelOutput, sample, this.amplitudes(now));
		limitEstimate(x0, this.#config);

		const scaled = t * this.#config.timestep_scaling;
		const skip = SIGMA_DATA ** 2 / (scaled ** 2 + SIGMA_DATA ** 2);
		const out = scaled / Math.sqrt(scaled ** 2 + SIGMA_DATA ** 2);
		if (index === this.steps - 1) {
			combine(sample, [
				[out, x0],
				[skip, sample],
			]);
			return;
		}
		const next = this.amplitudes(this.alphaBarAt(this.timesteps[index + 1] ?? t));
		combine(sample, [
			[next.signal * out, x0],
			[next.signal * skip, sample],
			[next.noise, noise.randn(sample.length)],
		]);
	}
}
