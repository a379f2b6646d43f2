import { InvalidRequestError, ModelFolderError } from '../errors.ts';
import { mix2 } from '../vector.ts';
import type { NoiseSource } from '../noise.ts';
import { pickConfig, SIGMA_DEFAULTS, type RawConfig } from './config.ts';
import { reshapeSigmas } from './sigmas.ts';
import { linspace } from './spacing.ts';
import type { PlanOptions, Scheduler } from './types.ts';

const DEFAULTS = {
	...SIGMA_DEFAULTS,
	num_train_timesteps: 1000,
	shift: 1,
	use_dynamic_shifting: false,
	base_shift: 0.5,
	max_shift: 1.15,
	base_image_seq_len: 256,
	max_image_seq_len: 4096,
	invert_sigmas: false,
	shift_terminal: null as number | null,
	time_shift_type: 'exponential',
	stochastic_sampling: false,
};

/** Euler steps on rectified flow, x = (1−σ)·x₀ + σ·ε with velocity ε − x₀ (Esser et al. 2024, arXiv 2403.03206). */
export class FlowEulerScheduler implements Scheduler {
	readonly order = 1;
	readonly initNoiseSigma = 1;
	readonly drawsNoise: boolean;
	timesteps: readonly number[] = [];
	sigmas = new Float32Array(0);
	predicted = new Float32Array(0);
	readonly #config: typeof DEFAULTS;

	constructor(raw: RawConfig) {
		this.#config = pickConfig(DEFAULTS, raw);
		this.drawsNoise = this.#config.stochastic_sampling;
		if (this.#config.invert_sigmas) {
			throw new ModelFolderError(
				'scheduler/scheduler_config.json asks for invert_sigmas, which no image model uses; choose another model.',
			);
		}
	}

	/** log-shift for a picture of `tokens` patches: linear in the token count (Esser et al. 2024, §5.3.2); undefined where the model shifts by a constant. */
	shiftFor(tokens: number): number | undefined {
		const c = this.#config;
		if (!c.use_dynamic_shifting) return undefined;
		const slope = (c.max_shift - c.base_shift) / (c.max_image_seq_len - c.base_image_seq_len);
		return c.base_shift + slope * (tokens - c.base_image_seq_len);
	}

	setTimesteps(steps: number, options: PlanOptions = {}): void {
		const c = this.#config;
		if (!Number.isInteger(steps) || steps < 1 || steps > c.num_train_timesteps) {
			throw new InvalidRequestError(`steps must be a whole number from 1 to ${c.num_train_timesteps}, not ${steps}.`);
		}
		const constant = (s: number): number => (c.shift * s) / (1 + (c.shift - 1) * s);
		// the range is bounded by already shifted levels and then shifted again: the models were tuned with this doubling
		const bound = (s: number): number => Math.fround(c.use_dynamic_shifting ? s : constant(s));
		let levels = linspace(bound(1), bound(1 / c.num_train_timesteps), steps);
		levels = c.use_dynamic_shifting ? levels.map((s) => this.#dynamicShift(s, options.mu)) : levels.map(constant);
		if (c.shift_terminal !== null) levels = stretchTo(levels, c.shift_terminal);
		levels = reshapeSigmas(c, levels[0] as number, levels.at(-1) as number, steps) ?? levels;
		this.sigmas = Float32Array.from([...levels, 0]);
		this.timesteps = Array.from(this.sigmas.subarray(0, steps), (s) => Math.fround(s * c.num_train_timesteps));
	}

	#dynamicShift(sigma: number, mu: number | undefined): number {
		if (mu === undefined) throw new RangeError('a resolution-dependent flow schedule needs mu');
		const shift = this.#config.time_shift_type === 'linear' ? mu : Math.exp(mu);
		return shift / (shift + (1 / sigma - 1));
	}

	scaleModelInput(sample: Float32Array, _index: number, out: Float32Array): void {
		out.set(sample);
	}

	step(modelOutput: Float32Array, index: number, sample: Float32Array, noise: NoiseSource): void {
		const from = this.#sigmaAt(index);
		const to = this.#sigmaAt(index + 1);
		if (this.predicted.length !== sample.length) this.predicted = new Float32Array(sample.length);
		mix2(this.predicted, 1, sample, -from, modelOutput);
		if (this.#config.stochastic_sampling) mix2(sample, 1 - to, this.predicted, to, noise.randn(sample.length));
		else mix2(sample, 1, sample, to - from, modelOutput);
	}

	addNoise(original: Float32Array, noise: Float32Array, index: number, out: Float32Array): void {
		const sigma = this.#sigmaAt(index);
		mix2(out, 1 - sigma, original, sigma, noise);
	}

	#sigmaAt(index: number): number {
		const sigma = this.sigmas[index];
		if (sigma === undefined) throw new RangeError(`step ${index} is outside the plan of ${this.sigmas.length} levels`);
		return sigma;
	}
}

/** Stretches levels so that the last one becomes `terminal`, keeping 1 fixed. */
function stretchTo(levels: readonly number[], terminal: number): number[] {
	const factor = (1 - (levels.at(-1) as number)) / (1 - terminal);
	return levels.map((s) => 1 - (1 - s) / factor);
}
