import { clamp, dynamicThreshold, mix2 } from '../vector.ts';
import type { NoiseSource } from '../noise.ts';
import type { Prediction } from './config.ts';
import type { Scheduler } from './types.ts';

/** Switches of the estimate of the clean sample. */
export interface ClipConfig {
	clip_sample: boolean;
	clip_sample_range: number;
	thresholding: boolean;
	dynamic_thresholding_ratio: number;
	sample_max_value: number;
}

/** Applies the thresholding that the config asks for to an estimate of the clean sample, in place. */
export function limitEstimate(x0: Float32Array, config: ClipConfig): void {
	if (config.thresholding) dynamicThreshold(x0, config.dynamic_thresholding_ratio, config.sample_max_value);
	else if (config.clip_sample) clamp(x0, config.clip_sample_range);
}

/** √ᾱ and √(1−ᾱ): signal and noise amplitude of a variance-preserving latent. */
export interface Amplitudes {
	signal: number;
	noise: number;
}

/**
 * out = estimate of the clean sample x̂₀ from the network's output, x = signal·x₀ + noise·ε:
 * ε: (x − noise·ε)/signal · v: signal·x − noise·v (Salimans & Ho 2022, appendix D) · sample: the output itself.
 */
export function estimateClean(
	out: Float32Array,
	prediction: Prediction,
	modelOutput: Float32Array,
	sample: Float32Array,
	{ signal, noise }: Amplitudes,
): void {
	if (prediction === 'epsilon') mix2(out, 1 / signal, sample, -noise / signal, modelOutput);
	else if (prediction === 'v_prediction') mix2(out, signal, sample, -noise, modelOutput);
	else out.set(modelOutput);
}

/** Common ground of the samplers that index ᾱ by integer training timesteps (DDIM, DDPM, PNDM, LCM). */
export abstract class AlphaScheduler implements Scheduler {
	readonly order = 1;
	readonly sigmas = null;
	readonly initNoiseSigma = 1;
	abstract readonly drawsNoise: boolean;
	timesteps: readonly number[] = [];
	predicted = new Float32Array(0);
	/** Planned nominal steps. */
	protected steps = 0;
	protected readonly alphaBar: Float32Array;
	protected readonly trainSteps: number;
	readonly #finalAlphaBar: number;

	/** @param setAlphaToOne treat the state after the last step as noise-free instead of as training timestep 0 */
	constructor(alphaBar: Float32Array, setAlphaToOne: boolean) {
		this.alphaBar = alphaBar;
		this.trainSteps = alphaBar.length;
		this.#finalAlphaBar = setAlphaToOne ? 1 : (alphaBar[0] as number);
	}

	abstract setTimesteps(steps: number): void;
	abstract step(modelOutput: Float32Array, index: number, sample: Float32Array, noise: NoiseSource): void;

	/** Variance-preserving latents go to the network as they are. */
	scaleModelInput(sample: Float32Array, _index: number, out: Float32Array): void {
		out.set(sample);
	}

	/** Forward process q(x_t | x_0) (Ho et al. 2020, eq. 4). */
	addNoise(original: Float32Array, noise: Float32Array, index: number, out: Float32Array): void {
		const { signal, noise: amplitude } = this.amplitudes(this.alphaBarAt(this.timestepAt(index)));
		mix2(out, signal, original, amplitude, noise);
	}

	protected timestepAt(index: number): number {
		const t = this.timesteps[index];
		if (t === undefined) throw new RangeError(`step ${index} is outside the plan of ${this.timesteps.length} steps`);
		return t;
	}

	/** ᾱ at a training timestep; negative timesteps stand for the finished picture. */
	protected alphaBarAt(timestep: number): number {
		return timestep < 0 ? this.#finalAlphaBar : (this.alphaBar[timestep] as number);
	}

	protected amplitudes(alphaBar: number): Amplitudes {
		return { signal: Math.sqrt(alphaBar), noise: Math.sqrt(1 - alphaBar) };
	}

	/** The preview buffer, grown to the latent's size on first use. */
	protected estimateBuffer(length: number): Float32Array {
		if (this.predicted.length !== length) this.predicted = new Float32Array(length);
		return this.predicted;
	}
}
