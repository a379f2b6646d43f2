import { combine } from '../vector.ts';
import type { NoiseSource } from '../noise.ts';
import { asPrediction, BETA_DEFAULTS, pickConfig, SIGMA_DEFAULTS, type Prediction, type RawConfig } from './config.ts';
import { SigmaScheduler } from './sigma-base.ts';

const DEFAULTS = {
	...BETA_DEFAULTS,
	timestep_spacing: 'linspace',
	steps_offset: 0,
	rescale_betas_zero_snr: false,
};

/** Euler steps to σ_down followed by fresh noise of σ_up (ancestral sampling in the σ view of Song et al. 2021). */
export class EulerAncestralScheduler extends SigmaScheduler {
	readonly drawsNoise = true;
	readonly #prediction: Prediction;

	constructor(raw: RawConfig) {
		const config = pickConfig(DEFAULTS, raw);
		super({ ...config, ...SIGMA_DEFAULTS, sigma_min: null, sigma_max: null }, config.rescale_betas_zero_snr);
		this.#prediction = asPrediction(config.prediction_type, 'euler_a');
	}

	step(modelOutput: Float32Array, index: number, sample: Float32Array, noise: NoiseSource): void {
		const from = this.sigmaAt(index);
		const to = this.sigmaAt(index + 1);
		const up = Math.sqrt((to * to * (from * from - to * to)) / (from * from));
		const down = Math.sqrt(to * to - up * up);
		const x0 = this.estimate(this.#prediction, modelOutput, sample, from);
		// noise is drawn on the last step too, where it counts 0, so that the generator stays in step with the reference
		const fresh = noise.randn(sample.length);
		combine(sample, [
			[down / from, sample],
			[1 - down / from, x0],
			[up, fresh],
		]);
	}
}
