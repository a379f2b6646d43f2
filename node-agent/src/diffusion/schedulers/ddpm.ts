import { ModelFolderError } from '../errors.ts';
import { combine } from '../vector.ts';
import type { NoiseSource } from '../noise.ts';
import { AlphaScheduler, estimateClean, limitEstimate } from './alpha-base.ts';
import { alphasCumprod } from './betas.ts';
import { asPrediction, BETA_DEFAULTS, CLIP_DEFAULTS, pickConfig, type Prediction, type RawConfig } from './config.ts';
import { spaceTimesteps } from './spacing.ts';

const DEFAULTS = {
	...BETA_DEFAULTS,
	...CLIP_DEFAULTS,
	variance_type: 'fixed_small',
	steps_offset: 0,
	timestep_spacing: 'leading',
	rescale_betas_zero_snr: false,
};

/** Variance is kept above this so that its logarithm stays finite, as in the reference. */
const SMALLEST_VARIANCE = 1e-20;

/** Ancestral sampling of denoising diffusion probabilistic models (Ho et al. 2020, arXiv 2006.11239, eq. 6, 7, 15). */
export class DdpmScheduler extends AlphaScheduler {
	readonly drawsNoise = true;
	readonly #config: typeof DEFAULTS;
	readonly #prediction: Prediction;

	constructor(raw: RawConfig) {
		const config = pickConfig(DEFAULTS, raw);
		super(alphasCumprod(config, config.rescale_betas_zero_snr), true);
		if (config.variance_type !== 'fixed_small' && config.variance_type !== 'fixed_large') {
			throw new ModelFolderError(
				`scheduler/scheduler_config.json asks for variance_type "${config.variance_type}"; ddpm runs fixed_small and fixed_large only, so choose another sampler.`,
			);
		}
		this.#config = config;
		this.#prediction = asPrediction(config.prediction_type, 'ddpm');
	}

	setTimesteps(steps: number): void {
		this.steps = steps;
		this.timesteps = spaceTimesteps(this.#config, steps, { extraPoint: false, fractional: false });
	}

	step(modelOutput: Float32Array, index: number, sample: Float32Array, noise: NoiseSource): void {
		const t = this.timestepAt(index);
		const now = this.alphaBarAt(t);
		const next = this.alphaBarAt(this.timesteps[index + 1] ?? -1);
		const beta = 1 - now / next;
		const x0 = this.estimateBuffer(sample.length);
		estimateClean(x0, this.#prediction, modelOutput, sample, this.amplitudes(now));
		limitEstimate(x0, this.#config);

		const terms: [number, Float32Array][] = [
			[(Math.sqrt(next) * beta) / (1 - now), x0],
			[(Math.sqrt(now / next) * (1 - next)) / (1 - now), sample],
		];
		if (t > 0) {
			const small = Math.max(((1 - next) / (1 - now)) * beta, SMALLEST_VARIANCE);
			const variance = this.#config.variance_type === 'fixed_large' ? beta : small;
			terms.push([Math.sqrt(variance), noise.randn(sample.length)]);
		}
		combine(sample, terms);
	}
}
