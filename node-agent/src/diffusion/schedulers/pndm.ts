import { InvalidRequestError } from '../errors.ts';
import { combine, mix2, type Term } from '../vector.ts';
import { AlphaScheduler, estimateClean } from './alpha-base.ts';
import { alphasCumprod } from './betas.ts';
import { asPrediction, BETA_DEFAULTS, pickConfig, type Prediction, type RawConfig } from './config.ts';
import { spaceTimesteps } from './spacing.ts';

const DEFAULTS = {
	...BETA_DEFAULTS,
	skip_prk_steps: false,
	set_alpha_to_one: false,
	steps_offset: 0,
	timestep_spacing: 'leading',
};

/** Adams–Bashforth weights, newest output first, by the number of outputs at hand (Liu et al. 2022, eq. 12). */
const MULTISTEP_WEIGHTS = [[1], [3 / 2, -1 / 2], [23 / 12, -16 / 12, 5 / 12], [55 / 24, -59 / 24, 37 / 24, -9 / 24]];

/**
 * Pseudo numerical methods for diffusion models (Liu et al. 2022, arXiv 2202.09778, eq. 9 and 12) in the linear
 * multistep form that skips the Runge–Kutta warm-up: the second timestep is evaluated twice, so n steps take n+1
 * network evaluations.
 */
export class PndmScheduler extends AlphaScheduler {
	readonly drawsNoise = false;
	readonly #config: typeof DEFAULTS;
	readonly #prediction: Prediction;
	/** Network outputs, newest first, at most 4. */
	#outputs: Float32Array[] = [];
	#start: Float32Array | null = null;
	#evaluations = 0;

	constructor(raw: RawConfig) {
		// chosen for a model whose own config never mentions the warm-up, the sampler still runs without it
		const config = { ...pickConfig(DEFAULTS, raw), skip_prk_steps: true };
		super(alphasCumprod(config, false), config.set_alpha_to_one);
		this.#config = config;
		this.#prediction = asPrediction(config.prediction_type, 'pndm');
		if (this.#prediction === 'sample') {
			throw new InvalidRequestError('The sampler pndm cannot run a model with prediction type "sample".');
		}
	}

	setTimesteps(steps: number): void {
		this.steps = steps;
		const plan = spaceTimesteps(this.#config, steps, { extraPoint: false, fractional: false });
		const second = plan[1];
		this.timesteps = second === undefined ? plan : [plan[0] as number, second, ...plan.slice(1)];
		this.#outputs = [];
		this.#start = null;
		this.#evaluations = 0;
	}

	step(modelOutput: Float32Array, index: number, sample: Float32Array): void {
		const ratio = Math.floor(this.trainSteps / this.steps);
		let from = this.timestepAt(index);
		let to = from - ratio;
		const combined = new Float32Array(sample.length);
		if (this.#evaluations === 1) {
			// the doubled timestep: redo the first step from its start with the mean of both outputs
			to = from;
			from += ratio;
			mix2(combined, 0.5, modelOutput, 0.5, this.#outputs[0] as Float32Array);
			sample.set(this.#start as Float32Array);
			this.#start = null;
		} else {
			const oldest = this.#outputs.length === MULTISTEP_WEIGHTS.length ? this.#outputs.pop() : undefined;
			const newest = oldest ?? new Float32Array(sample.length);
			newest.set(modelOutput);
			this.#outputs.unshift(newest);
			const weights = MULTISTEP_WEIGHTS[this.#outputs.length - 1] as number[];
			combine(
				combined,
				this.#outputs.map((o, i): Term => [weights[i] as number, o]),
			);
			if (this.#evaluations === 0) this.#start = sample.slice();
		}
		this.#evaluations++;
		this.#transfer(combined, from, to, sample);
	}

	/** The transfer φ of eq. 9, in place on `sample`. */
	#transfer(output: Float32Array, from: number, to: number, sample: Float32Array): void {
		const now = this.alphaBarAt(from);
		const next = this.alphaBarAt(to);
		const at = this.amplitudes(now);
		estimateClean(this.estimateBuffer(sample.length), this.#prediction, output, sample, at);
		if (this.#prediction === 'v_prediction') mix2(output, at.signal, output, at.noise, sample);
		const denominator = now * Math.sqrt(1 - next) + Math.sqrt(now * (1 - now) * next);
		mix2(sample, Math.sqrt(next / now), sample, -(next - now) / denominator, output);
	}
}
