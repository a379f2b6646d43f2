import { mix2, scale } from '../vector.ts';
import type { NoiseSource } from '../noise.ts';
import { trainingSigmas, type BetaConfig } from './betas.ts';
import type { Prediction } from './config.ts';
import { interpolate, reshapeSigmas, sigmaToTimestep, type SigmaShapeConfig } from './sigmas.ts';
import { spaceTimesteps, type SpacingConfig } from './spacing.ts';
import type { Scheduler } from './types.ts';

/** Everything that shapes the noise levels of the variance-exploding samplers. */
export interface SigmaConfig extends BetaConfig, SpacingConfig, SigmaShapeConfig {
	sigma_min: number | null;
	sigma_max: number | null;
}

/**
 * Common ground of the samplers that work on x = x₀ + σ·ε (Euler, Euler ancestral, Heun, LMS; Karras et al. 2022,
 * arXiv 2206.00364): noise levels, input preconditioning 1/√(σ²+1), forward process.
 */
export abstract class SigmaScheduler implements Scheduler {
	readonly order: 1 | 2 = 1;
	abstract readonly drawsNoise: boolean;
	timesteps: readonly number[] = [];
	sigmas = new Float32Array(0);
	predicted = new Float32Array(0);
	protected readonly trainSigmas: Float32Array;
	readonly #config: SigmaConfig;

	constructor(config: SigmaConfig, zeroSnr: boolean) {
		this.#config = config;
		this.trainSigmas = trainingSigmas(config, zeroSnr);
	}

	abstract step(modelOutput: Float32Array, index: number, sample: Float32Array, noise: NoiseSource): void;

	setTimesteps(steps: number): void {
		const plan = this.planLevels(steps);
		this.timesteps = plan.timesteps;
		this.sigmas = Float32Array.from([...plan.levels, this.finalSigma()]);
	}

	get initNoiseSigma(): number {
		const max = this.sigmas.reduce((a, b) => Math.max(a, b), 0);
		return this.#config.timestep_spacing === 'leading' ? Math.sqrt(max * max + 1) : max;
	}

	scaleModelInput(sample: Float32Array, index: number, out: Float32Array): void {
		scale(out, 1 / Math.sqrt(this.sigmaAt(index) ** 2 + 1), sample);
	}

	addNoise(original: Float32Array, noise: Float32Array, index: number, out: Float32Array): void {
		mix2(out, 1, original, this.sigmaAt(index), noise);
	}

	/** Timesteps and noise levels of the distinct steps, without the final level. */
	protected planLevels(steps: number): { timesteps: number[]; levels: number[] } {
		const config = this.#config;
		const spaced = spaceTimesteps(config, steps, { extraPoint: false, fractional: true });
		const levels = spaced.map((t) => interpolate(this.trainSigmas, t));
		const max = config.sigma_max ?? (levels[0] as number);
		const min = config.sigma_min ?? (levels.at(-1) as number);
		const reshaped = reshapeSigmas(config, max, min, steps);
		if (reshaped === null) return { timesteps: spaced, levels };
		const logs = this.trainSigmas.map(Math.log);
		return { timesteps: reshaped.map((s) => Math.fround(sigmaToTimestep(s, logs))), levels: reshaped };
	}

	/** Noise level after the last step. */
	protected finalSigma(): number {
		return 0;
	}

	protected sigmaAt(index: number): number {
		const sigma = this.sigmas[index];
		if (sigma === undefined) throw new RangeError(`step ${index} is outside the plan of ${this.sigmas.length} levels`);
		return sigma;
	}

	/**
	 * Fills `predicted` with x̂₀ at noise level σ: ε: x − σ·ε · v: x/(σ²+1) − v·σ/√(σ²+1) · sample: the output.
	 */
	protected estimate(prediction: Prediction, modelOutput: Float32Array, sample: Float32Array, sigma: number): Float32Array {
		if (this.predicted.length !== sample.length) this.predicted = new Float32Array(sample.length);
		const x0 = this.predicted;
		const s = sigma * sigma + 1;
		if (prediction === 'epsilon') mix2(x0, 1, sample, -sigma, modelOutput);
		else if (prediction === 'v_prediction') mix2(x0, 1 / s, sample, -sigma / Math.sqrt(s), modelOutput);
		else x0.set(modelOutput);
		return x0;
	}
}
