import { dynamicThreshold, mix2 } from '../vector.ts';
import { InvalidRequestError } from '../errors.ts';
import type { NoiseSource } from '../noise.ts';
import { estimateClean } from './alpha-base.ts';
import { trainingSigmas, type BetaConfig } from './betas.ts';
import { asPrediction, type Prediction } from './config.ts';
import { interpolate, reshapeSigmas, sigmaToTimestep, type SigmaShapeConfig } from './sigmas.ts';
import { roundHalfEven, spaceTimesteps, type SpacingConfig } from './spacing.ts';
import type { Scheduler } from './types.ts';

/** Signal amplitude α, noise amplitude s and half log-SNR λ = ln α − ln s at one noise level. */
export interface Level {
	alpha: number;
	noise: number;
	lambda: number;
}

/** Config keys shared by DPM-Solver++ and UniPC. */
export interface MultistepConfig extends BetaConfig, SpacingConfig, SigmaShapeConfig {
	prediction_type: string;
	solver_order: number;
	thresholding: boolean;
	dynamic_thresholding_ratio: number;
	sample_max_value: number;
	use_flow_sigmas: boolean;
	flow_shift: number;
	final_sigmas_type: string;
	rescale_betas_zero_snr: boolean;
}

/** Where the two samplers differ in laying out noise levels. */
export interface PlanRules {
	/** Highest usable training timestep + 1. */
	last: number;
	/** Use ln σ even spacing (Lu et al. 2022) instead of the flags. */
	luLambdas: boolean;
	/** Round reshaped timesteps to whole training steps; otherwise they are cut. */
	roundKarras: boolean;
	/** Flow levels of a plan before the model's shift. */
	flowLevels: (steps: number) => number[];
	/** Flow levels stay at or below this, so that ln(1−σ) is finite. */
	flowMax: number;
}

/**
 * Common ground of the exponential-integrator multistep samplers: they keep earlier estimates of the clean sample and
 * step in half log-SNR λ (Lu et al. 2022, arXiv 2211.01095).
 */
export abstract class MultistepScheduler implements Scheduler {
	readonly order = 1;
	readonly initNoiseSigma = 1;
	abstract readonly drawsNoise: boolean;
	timesteps: readonly number[] = [];
	sigmas = new Float32Array(0);
	predicted: Float32Array = new Float32Array(0);
	/** Estimates of the clean sample, newest first, at most `solver_order`. */
	protected history: Float32Array[] = [];
	/** Steps taken since the plan was made, capped by `solver_order`. */
	protected warmup = 0;
	protected readonly trainSigmas: Float32Array;
	readonly #config: MultistepConfig;
	readonly #prediction: Prediction | 'flow_prediction';

	constructor(config: MultistepConfig, name: string) {
		this.#config = config;
		const flow = config.prediction_type === 'flow_prediction';
		if (flow !== config.use_flow_sigmas) {
			throw new InvalidRequestError(`The sampler ${name} needs flow sigmas exactly where the model predicts flow.`);
		}
		this.#prediction = flow ? 'flow_prediction' : asPrediction(config.prediction_type, name);
		this.trainSigmas = trainingSigmas(config, config.rescale_betas_zero_snr);
	}

	abstract setTimesteps(steps: number): void;
	abstract step(modelOutput: Float32Array, index: number, sample: Float32Array, noise: NoiseSource): void;

	scaleModelInput(sample: Float32Array, _index: number, out: Float32Array): void {
		out.set(sample);
	}

	addNoise(original: Float32Array, noise: Float32Array, index: number, out: Float32Array): void {
		const at = this.levelAt(index);
		mix2(out, at.alpha, original, at.noise, noise);
	}

	protected plan(steps: number, rules: PlanRules): void {
		const { timesteps, levels } = this.#levels(steps, rules);
		const last = this.#config.final_sigmas_type === 'sigma_min' ? (this.trainSigmas[0] as number) : 0;
		this.timesteps = timesteps;
		this.sigmas = Float32Array.from([...levels, last]);
		this.history = [];
		this.warmup = 0;
	}

	#levels(steps: number, rules: PlanRules): { timesteps: number[]; levels: number[] } {
		const c = this.#config;
		const spaced = spaceTimesteps(c, steps, { extraPoint: true, fractional: false, last: rules.last });
		if (c.use_flow_sigmas) {
			const levels = rules.flowLevels(steps).map((s) => Math.min(rules.flowMax, (c.flow_shift * s) / (1 + (c.flow_shift - 1) * s)));
			return { levels, timesteps: levels.map((s) => Math.trunc(s * c.num_train_timesteps)) };
		}
		const max = this.trainSigmas.at(-1) as number;
		const min = this.trainSigmas[0] as number;
		const lu = rules.luLambdas && !c.use_karras_sigmas;
		const shape = lu ? { ...c, use_exponential_sigmas: true } : c;
		const levels = reshapeSigmas(shape, max, min, steps);
		if (levels === null) return { timesteps: spaced, levels: spaced.map((t) => interpolate(this.trainSigmas, t)) };
		const logs = this.trainSigmas.map(Math.log);
		const whole = rules.roundKarras && (c.use_karras_sigmas || lu) ? roundHalfEven : Math.trunc;
		return { levels, timesteps: levels.map((s) => whole(sigmaToTimestep(s, logs))) };
	}

	protected levelAt(index: number): Level {
		const sigma = this.sigmas[index];
		if (sigma === undefined) throw new RangeError(`step ${index} is outside the plan of ${this.sigmas.length} levels`);
		const alpha = this.#config.use_flow_sigmas ? 1 - sigma : 1 / Math.sqrt(sigma * sigma + 1);
		const noise = this.#config.use_flow_sigmas ? sigma : sigma * alpha;
		return { alpha, noise, lambda: Math.log(alpha) - Math.log(noise) };
	}

	/** Writes the estimate of the clean sample at `index` into `out`. */
	protected convert(out: Float32Array, modelOutput: Float32Array, index: number, sample: Float32Array): void {
		const at = this.levelAt(index);
		if (this.#prediction === 'flow_prediction') mix2(out, 1, sample, -at.noise, modelOutput);
		else estimateClean(out, this.#prediction, modelOutput, sample, { signal: at.alpha, noise: at.noise });
		const { thresholding, dynamic_thresholding_ratio: ratio, sample_max_value: most } = this.#config;
		if (thresholding) dynamicThreshold(out, ratio, most);
	}

	/** Puts an estimate at the front of the history; the buffer that falls off the end is reused for the next one. */
	protected remember(estimate: Float32Array): void {
		this.history.unshift(estimate);
		this.predicted = estimate;
	}

	/** A buffer for the next estimate: the oldest one when the history is full, else a new one. */
	protected freshEstimate(length: number): Float32Array {
		const recycled = this.history.length >= this.#config.solver_order ? this.history.pop() : undefined;
		return recycled ?? new Float32Array(length);
	}
}
