import { combine, mix2, type Term } from '../vector.ts';
import { asPrediction, BETA_DEFAULTS, pickConfig, SIGMA_DEFAULTS, type Prediction, type RawConfig } from './config.ts';
import { SigmaScheduler } from './sigma-base.ts';

const DEFAULTS = {
	...BETA_DEFAULTS,
	...SIGMA_DEFAULTS,
	timestep_spacing: 'linspace',
	steps_offset: 0,
};

const MAX_ORDER = 4;
/** Nodes of the two-point Gauss–Legendre rule, exact up to cubic polynomials, which order 4 needs. */
const GAUSS_NODE = 1 / Math.sqrt(3);

/** Linear multistep method on the probability-flow ODE: derivatives extrapolated in σ by Lagrange polynomials. */
export class LmsScheduler extends SigmaScheduler {
	readonly drawsNoise = false;
	readonly #prediction: Prediction;
	/** Derivatives dx/dσ, newest first. */
	#derivatives: Float32Array[] = [];

	constructor(raw: RawConfig) {
		const config = pickConfig(DEFAULTS, raw);
		super({ ...config, sigma_min: null, sigma_max: null }, false);
		this.#prediction = asPrediction(config.prediction_type, 'lms');
	}

	override setTimesteps(steps: number): void {
		super.setTimesteps(steps);
		this.#derivatives = [];
	}

	step(modelOutput: Float32Array, index: number, sample: Float32Array): void {
		const sigma = this.sigmaAt(index);
		const x0 = this.estimate(this.#prediction, modelOutput, sample, sigma);
		const derivative = new Float32Array(sample.length);
		mix2(derivative, 1 / sigma, sample, -1 / sigma, x0);
		this.#derivatives = [derivative, ...this.#derivatives.slice(0, MAX_ORDER - 1)];
		// started in the middle of a plan, the reference still takes the polynomial of the position and leaves out what it lacks
		const order = Math.min(index + 1, MAX_ORDER);
		const terms = this.#derivatives.map((d, k): Term => [this.#coefficient(index, k, order), d]);
		combine(sample, [[1, sample], ...terms]);
	}

	/** ∫ over [σ_i, σ_{i+1}] of the k-th Lagrange basis polynomial through σ_i, σ_{i−1}, … */
	#coefficient(index: number, k: number, order: number): number {
		const basis = (tau: number): number => {
			let product = 1;
			const own = this.sigmaAt(index - k);
			for (let j = 0; j < order; j++) {
				if (j !== k) product *= (tau - this.sigmaAt(index - j)) / (own - this.sigmaAt(index - j));
			}
			return product;
		};
		const from = this.sigmaAt(index);
		const half = (this.sigmaAt(index + 1) - from) / 2;
		return half * (basis(from + half * (1 - GAUSS_NODE)) + basis(from + half * (1 + GAUSS_NODE)));
	}
}
