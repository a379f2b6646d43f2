import { ModelFolderError } from '../errors.ts';
import { combine, type Term } from '../vector.ts';
import type { NoiseSource } from '../noise.ts';
import { BETA_DEFAULTS, pickConfig, SIGMA_DEFAULTS, type RawConfig } from './config.ts';
import { MultistepScheduler } from './multistep-base.ts';
import { linspace } from './spacing.ts';

const DEFAULTS = {
	...BETA_DEFAULTS,
	...SIGMA_DEFAULTS,
	solver_order: 2,
	thresholding: false,
	dynamic_thresholding_ratio: 0.995,
	sample_max_value: 1,
	algorithm_type: 'dpmsolver++',
	solver_type: 'midpoint',
	lower_order_final: true,
	euler_at_final: false,
	use_lu_lambdas: false,
	use_flow_sigmas: false,
	flow_shift: 1,
	final_sigmas_type: 'zero',
	lambda_min_clipped: -Infinity,
	timestep_spacing: 'linspace',
	steps_offset: 0,
	rescale_betas_zero_snr: false,
};

/** Runs shorter than this end with lower orders for stability, as in the reference. */
const SHORT_RUN = 15;

/** Weights of the clean-sample expansion D0 + D1·h + D2·h²/2 in one step. */
interface Weights {
	sample: number;
	d0: number;
	d1: number;
	d2: number;
	noise: number;
}

/** DPM-Solver++ multistep, orders 1 to 3, deterministic and SDE (Lu et al. 2022, arXiv 2211.01095, alg. 2, §4 and app. B). */
export class DpmppScheduler extends MultistepScheduler {
	readonly drawsNoise: boolean;
	readonly #config: typeof DEFAULTS;
	readonly #heun: boolean;

	constructor(raw: RawConfig) {
		const config = pickConfig(DEFAULTS, raw);
		super(config, 'dpmpp_2m');
		// configs of sibling samplers carry their own names for these two; the reference maps them the same way
		const algorithm = config.algorithm_type === 'deis' ? 'dpmsolver++' : config.algorithm_type;
		if (algorithm !== 'dpmsolver++' && algorithm !== 'sde-dpmsolver++') {
			throw new ModelFolderError(
				`scheduler/scheduler_config.json asks for algorithm_type "${algorithm}"; ask for the sampler dpmpp_2m by name to run dpmsolver++.`,
			);
		}
		this.#config = config;
		this.#heun = config.solver_type === 'heun';
		this.drawsNoise = algorithm === 'sde-dpmsolver++';
	}

	setTimesteps(steps: number): void {
		const c = this.#config;
		const clipped = this.trainSigmas.reduce((n, s) => n + (-Math.log(s) < c.lambda_min_clipped ? 1 : 0), 0);
		this.plan(steps, {
			last: c.num_train_timesteps - clipped,
			luLambdas: c.use_lu_lambdas,
			roundKarras: c.beta_schedule !== 'squaredcos_cap_v2',
			// spaced in the signal's amplitude; what is left over from there is the noise's
			flowLevels: (n) =>
				linspace(1, 1 / c.num_train_timesteps, n + 1)
					.map((alpha) => 1 - alpha)
					.toReversed()
					.slice(0, n),
			flowMax: Number.POSITIVE_INFINITY,
		});
	}

	step(modelOutput: Float32Array, index: number, sample: Float32Array, noise: NoiseSource): void {
		const estimate = this.freshEstimate(sample.length);
		this.convert(estimate, modelOutput, index, sample);
		this.remember(estimate);
		const terms = this.#terms(index, this.#orderAt(index), sample);
		if (this.drawsNoise) terms.push([this.#weights(index).noise, noise.randn(sample.length)]);
		combine(sample, terms);
		this.warmup = Math.min(this.warmup + 1, this.#config.solver_order);
	}

	#orderAt(index: number): number {
		const c = this.#config;
		const left = this.timesteps.length - index;
		const short = c.lower_order_final && this.timesteps.length < SHORT_RUN;
		if (left === 1 && (c.euler_at_final || short || c.final_sigmas_type === 'zero')) return 1;
		const reachable = Math.min(c.solver_order, this.warmup + 1);
		return left === 2 && short ? Math.min(reachable, 2) : reachable;
	}

	/** Coefficients of one step from index to index+1, for both the ODE and the SDE form. */
	#weights(index: number): Weights {
		const s = this.levelAt(index);
		const t = this.levelAt(index + 1);
		const h = t.lambda - s.lambda;
		const k = this.drawsNoise ? 2 * h : h;
		const decay = Math.expm1(-k);
		return {
			sample: (t.noise / s.noise) * (this.drawsNoise ? Math.exp(-h) : 1),
			d0: -t.alpha * decay,
			d1: t.alpha * (decay / k + 1),
			d2: this.drawsNoise ? t.alpha * ((-decay - k) / (k * k) - 0.5) : -t.alpha * ((decay + h) / (h * h) - 0.5),
			noise: t.noise * Math.sqrt(-Math.expm1(-2 * h)),
		};
	}

	#terms(index: number, order: number, sample: Float32Array): Term[] {
		const w = this.#weights(index);
		const [m0, m1, m2] = this.history as [Float32Array, Float32Array, Float32Array];
		if (order === 1)
			return [
				[w.sample, sample],
				[w.d0, m0],
			];
		const lambda = (i: number): number => this.levelAt(i).lambda;
		const h = lambda(index + 1) - lambda(index);
		const r0 = (lambda(index) - lambda(index - 1)) / h;
		if (order === 2) {
			const d1 = (this.#heun ? w.d1 : 0.5 * w.d0) / r0;
			return [
				[w.sample, sample],
				[w.d0 + d1, m0],
				[-d1, m1],
			];
		}
		const r1 = (lambda(index - 1) - lambda(index - 2)) / h;
		const share = r0 / (r0 + r1);
		const near = (w.d1 * (1 + share) + w.d2 / (r0 + r1)) / r0;
		const far = (w.d1 * share + w.d2 / (r0 + r1)) / r1;
		return [
			[w.sample, sample],
			[w.d0 + near, m0],
			[-near - far, m1],
			[far, m2],
		];
	}
}
