import { ModelFolderError } from '../errors.ts';
import { mix2 } from '../vector.ts';
import { asPrediction, BETA_DEFAULTS, pickConfig, SIGMA_DEFAULTS, type Prediction, type RawConfig } from './config.ts';
import { SigmaScheduler } from './sigma-base.ts';
import { linspace } from './spacing.ts';

const DEFAULTS = {
	...BETA_DEFAULTS,
	...SIGMA_DEFAULTS,
	interpolation_type: 'linear',
	sigma_min: null as number | null,
	sigma_max: null as number | null,
	timestep_spacing: 'linspace',
	timestep_type: 'discrete',
	steps_offset: 0,
	rescale_betas_zero_snr: false,
	final_sigmas_type: 'zero',
};

/** Euler's method on the probability-flow ODE (Karras et al. 2022, algorithm 2 with S_churn = 0). */
export class EulerScheduler extends SigmaScheduler {
	readonly drawsNoise = false;
	readonly #config: typeof DEFAULTS;
	readonly #prediction: Prediction;

	constructor(raw: RawConfig) {
		const config = pickConfig(DEFAULTS, raw);
		super(config, config.rescale_betas_zero_snr);
		if (config.timestep_type !== 'discrete') {
			throw new ModelFolderError(
				`scheduler/scheduler_config.json asks for timestep_type "${config.timestep_type}"; euler runs discrete timesteps only, so choose another sampler.`,
			);
		}
		this.#config = config;
		this.#prediction = asPrediction(config.prediction_type, 'euler');
	}

	step(modelOutput: Float32Array, index: number, sample: Float32Array): void {
		const sigma = this.sigmaAt(index);
		const x0 = this.estimate(this.#prediction, modelOutput, sample, sigma);
		// x + (x − x₀)/σ · (σ' − σ), gathered into two coefficients
		const ratio = this.sigmaAt(index + 1) / sigma;
		mix2(sample, ratio, sample, 1 - ratio, x0);
	}

	protected override planLevels(steps: number): { timesteps: number[]; levels: number[] } {
		const plan = super.planLevels(steps);
		const reshaped = this.#config.use_karras_sigmas || this.#config.use_exponential_sigmas || this.#config.use_beta_sigmas;
		if (this.#config.interpolation_type !== 'log_linear' || reshaped) return plan;
		const max = this.trainSigmas.at(-1) as number;
		const min = this.trainSigmas[0] as number;
		return {
			...plan,
			// one level more than steps: such a run ends at the smallest training level, not at 0
			levels: linspace(Math.log(max), Math.log(min), steps + 1).map(Math.exp),
		};
	}

	protected override finalSigma(): number {
		return this.#config.final_sigmas_type === 'sigma_min' ? (this.trainSigmas[0] as number) : 0;
	}
}
