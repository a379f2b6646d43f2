import { clamp, combine, mix2 } from '../vector.ts';
import { asPrediction, BETA_DEFAULTS, pickConfig, SIGMA_DEFAULTS, type Prediction, type RawConfig } from './config.ts';
import { SigmaScheduler } from './sigma-base.ts';

const DEFAULTS = {
	...BETA_DEFAULTS,
	...SIGMA_DEFAULTS,
	beta_start: 0.00085,
	beta_end: 0.012,
	clip_sample: false,
	clip_sample_range: 1,
	timestep_spacing: 'linspace',
	steps_offset: 0,
};

/** Every entry but the first is evaluated twice. */
function twice(value: number, index: number): number[] {
	return index === 0 ? [value] : [value, value];
}

/** What the predictor stage leaves for the corrector stage. */
interface Predictor {
	sample: Float32Array;
	derivative: Float32Array;
	delta: number;
}

/**
 * Heun's second-order method (Karras et al. 2022, algorithm 1): every step but the last takes two network evaluations,
 * so the plan has 2n−1 entries.
 */
export class HeunScheduler extends SigmaScheduler {
	override readonly order = 2;
	readonly drawsNoise = false;
	readonly #config: typeof DEFAULTS;
	readonly #prediction: Prediction;
	#predictor: Predictor | null = null;

	constructor(raw: RawConfig) {
		const config = pickConfig(DEFAULTS, raw);
		super({ ...config, sigma_min: null, sigma_max: null }, false);
		this.#config = config;
		this.#prediction = asPrediction(config.prediction_type, 'heun');
	}

	override setTimesteps(steps: number): void {
		const { timesteps, levels } = this.planLevels(steps);
		this.timesteps = timesteps.flatMap(twice);
		this.sigmas = Float32Array.from([...levels.flatMap(twice), 0]);
		this.#predictor = null;
	}

	step(modelOutput: Float32Array, index: number, sample: Float32Array): void {
		const sigma = this.sigmaAt(index);
		const x0 = this.estimate(this.#prediction, modelOutput, sample, sigma);
		if (this.#config.clip_sample) clamp(x0, this.#config.clip_sample_range);
		const derivative = new Float32Array(sample.length);
		mix2(derivative, 1 / sigma, sample, -1 / sigma, x0);
		const first = this.#predictor;
		if (first === null) {
			const delta = this.sigmaAt(index + 1) - sigma;
			this.#predictor = { sample: sample.slice(), derivative, delta };
			mix2(sample, 1, sample, delta, derivative);
		} else {
			this.#predictor = null;
			combine(sample, [
				[1, first.sample],
				[first.delta / 2, first.derivative],
				[first.delta / 2, derivative],
			]);
		}
	}
}
