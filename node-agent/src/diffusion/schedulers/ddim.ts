import { combine, mix2 } from '../vector.ts';
import type { NoiseSource } from '../noise.ts';
import { AlphaScheduler, estimateClean, limitEstimate } from './alpha-base.ts';
import { alphasCumprod } from './betas.ts';
import { asPrediction, BETA_DEFAULTS, CLIP_DEFAULTS, pickConfig, type Prediction, type RawConfig } from './config.ts';
import { spaceTimesteps } from './spacing.ts';
import type { SchedulerOptions } from './types.ts';

const DEFAULTS = {
	...BETA_DEFAULTS,
	...CLIP_DEFAULTS,
	set_alpha_to_one: true,
	steps_offset: 0,
	timestep_spacing: 'leading',
	rescale_betas_zero_snr: false,
};

/** Denoising diffusion implicit models (Song et al. 2021, arXiv 2010.02502, eq. 12 and 16). */
export class DdimScheduler extends AlphaScheduler {
	readonly drawsNoise: boolean;
	readonly #config: typeof DEFAULTS;
	readonly #prediction: Prediction;
	readonly #eta: number;
	#direction = new Float32Array(0);

	constructor(raw: RawConfig, options: SchedulerOptions = {}) {
		const config = pickConfig(DEFAULTS, raw);
		super(alphasCumprod(config, config.rescale_betas_zero_snr), config.set_alpha_to_one);
		this.#config = config;
		this.#prediction = asPrediction(config.prediction_type, 'ddim');
		this.#eta = options.eta ?? 0;
		this.drawsNoise = this.#eta > 0;
	}

	setTimesteps(steps: number): void {
		this.steps = steps;
		this.timesteps = spaceTimesteps(this.#config, steps, { extraPoint: false, fractional: false });
	}

	step(modelOutput: Float32Array, index: number, sample: Float32Array, noise: NoiseSource): void {
		const t = this.timestepAt(index);
		const now = this.alphaBarAt(t);
		const next = this.alphaBarAt(t - Math.floor(this.trainSteps / this.steps));
		const at = this.amplitudes(now);
		const x0 = this.estimateBuffer(sample.length);
		estimateClean(x0, this.#prediction, modelOutput, sample, at);
		const epsilon = this.#epsilon(modelOutput, sample, x0, at);
		limitEstimate(x0, this.#config);

		const sigma = this.#eta * Math.sqrt(((1 - next) / (1 - now)) * (1 - now / next));
		const terms: [number, Float32Array][] = [
			[Math.sqrt(next), x0],
			// rounding may push the radicand just below 0 at η = 1
			[Math.sqrt(Math.max(0, 1 - next - sigma * sigma)), epsilon],
		];
		if (this.#eta > 0) terms.push([sigma, noise.randn(sample.length)]);
		combine(sample, terms);
	}

	/** The noise that the output implies, before the estimate of x₀ is limited. */
	#epsilon(modelOutput: Float32Array, sample: Float32Array, x0: Float32Array, at: { signal: number; noise: number }): Float32Array {
		if (this.#prediction === 'epsilon') return modelOutput;
		if (this.#direction.length !== sample.length) this.#direction = new Float32Array(sample.length);
		if (this.#prediction === 'v_prediction') mix2(this.#direction, at.signal, modelOutput, at.noise, sample);
		else mix2(this.#direction, 1 / at.noise, sample, -at.signal / at.noise, x0);
		return this.#direction;
	}
}
