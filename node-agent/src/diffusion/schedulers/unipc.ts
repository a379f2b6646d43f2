import { ModelFolderError } from '../errors.ts';
import { combine, type Term } from '../vector.ts';
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
	predict_x0: true,
	solver_type: 'bh2',
	lower_order_final: true,
	disable_corrector: [] as number[],
	use_flow_sigmas: false,
	flow_shift: 1,
	final_sigmas_type: 'zero',
	timestep_spacing: 'linspace',
	steps_offset: 0,
	rescale_betas_zero_snr: false,
};

/** Distance of the first flow level from 1, so that ln(1−σ) stays finite. */
const FLOW_EPSILON = 1e-6;

/** One predictor or corrector update: from level `from` to level `to` with estimates at earlier levels. */
interface Update {
	from: number;
	to: number;
	order: number;
	/** Estimates at `from`, `from`−1, … (newest first). */
	estimates: readonly Float32Array[];
}

/** Unified predictor-corrector UniPC-p in the B_h form with data prediction (Zhao et al. 2023, arXiv 2302.04867, §3). */
export class UniPcScheduler extends MultistepScheduler {
	readonly drawsNoise = false;
	readonly #config: typeof DEFAULTS;
	#lastSample: Float32Array | null = null;
	#lastOrder = 1;

	constructor(raw: RawConfig) {
		const config = pickConfig(DEFAULTS, raw);
		super(config, 'unipc');
		if (!config.predict_x0) {
			throw new ModelFolderError('scheduler/scheduler_config.json turns predict_x0 off, which unipc does not run; choose another sampler.');
		}
		this.#config = config;
	}

	setTimesteps(steps: number): void {
		const c = this.#config;
		const flowLevels = (n: number): number[] => linspace(1, 1 / c.num_train_timesteps, n + 1).slice(0, n);
		this.plan(steps, { last: c.num_train_timesteps, luLambdas: false, roundKarras: true, flowLevels, flowMax: 1 - FLOW_EPSILON });
		this.#lastSample = null;
	}

	step(modelOutput: Float32Array, index: number, sample: Float32Array): void {
		const c = this.#config;
		const estimate = new Float32Array(sample.length);
		this.convert(estimate, modelOutput, index, sample);
		const last = this.#lastSample;
		if (index > 0 && last !== null && !c.disable_corrector.includes(index - 1)) {
			this.#correct(index, last, estimate, sample);
		}
		this.history = [estimate, ...this.history.slice(0, c.solver_order - 1)];
		this.predicted = estimate;

		const left = this.timesteps.length - index;
		const allowed = c.lower_order_final ? Math.min(c.solver_order, left) : c.solver_order;
		this.#lastOrder = Math.min(allowed, this.warmup + 1);
		if (last === null) this.#lastSample = sample.slice();
		else last.set(sample);
		this.#predict(index, sample);
		this.warmup = Math.min(this.warmup + 1, c.solver_order);
	}

	#predict(index: number, sample: Float32Array): void {
		const order = this.#lastOrder;
		const update: Update = { from: index, to: index + 1, order, estimates: this.history };
		const { ratios, rows, right } = this.#system(update);
		const size = order - 1;
		const weights =
			order === 2
				? [0.5]
				: solve(
						rows.slice(0, size).map((r) => r.slice(0, size)),
						right.slice(0, size),
					);
		combine(sample, this.#terms(update, sample, weights, ratios));
	}

	#correct(index: number, last: Float32Array, estimate: Float32Array, sample: Float32Array): void {
		const order = this.#lastOrder;
		const update: Update = { from: index - 1, to: index, order, estimates: this.history };
		const { ratios, rows, right } = this.#system(update);
		const weights = order === 1 ? [0.5] : solve(rows, right);
		const terms = this.#terms(update, last, weights.slice(0, -1), ratios);
		const { gain } = this.#coefficients(update);
		const own = gain * (weights.at(-1) as number);
		combine(sample, [...terms, [own, estimate], [-own, this.history[0] as Float32Array]]);
	}

	/** e^{−h}−1 and the factors of the sample and of the correction terms. */
	#coefficients({ from, to }: Update): { h: number; phi: number; bh: number; keep: number; lead: number; gain: number } {
		const s = this.levelAt(from);
		const t = this.levelAt(to);
		const h = t.lambda - s.lambda;
		const phi = Math.expm1(-h);
		const bh = this.#config.solver_type === 'bh1' ? -h : phi;
		return { h, phi, bh, keep: t.noise / s.noise, lead: -t.alpha * phi, gain: -t.alpha * bh };
	}

	/** r_k and the Vandermonde system R ρ = b of UniPC (Zhao et al. 2023, eq. 5 and theorem 3.1). */
	#system(update: Update): { ratios: number[]; rows: number[][]; right: number[] } {
		const { h, phi, bh } = this.#coefficients(update);
		const base = this.levelAt(update.from).lambda;
		const ratios: number[] = [];
		for (let k = 1; k < update.order; k++) ratios.push((this.levelAt(update.from - k).lambda - base) / h);
		const nodes = [...ratios, 1];
		const rows: number[][] = [];
		const right: number[] = [];
		let phiK = phi / -h - 1;
		let factorial = 1;
		for (let k = 1; k <= update.order; k++) {
			rows.push(nodes.map((r) => r ** (k - 1)));
			right.push((phiK * factorial) / bh);
			factorial *= k + 1;
			phiK = phiK / -h - 1 / factorial;
		}
		return { ratios, rows, right };
	}

	#terms(update: Update, start: Float32Array, weights: readonly number[], ratios: readonly number[]): Term[] {
		const { keep, lead, gain } = this.#coefficients(update);
		const newest = update.estimates[0] as Float32Array;
		const terms: Term[] = [[keep, start]];
		let own = lead;
		ratios.forEach((ratio, k) => {
			const c = (gain * (weights[k] as number)) / ratio;
			terms.push([c, update.estimates[k + 1] as Float32Array]);
			own -= c;
		});
		terms.push([own, newest]);
		return terms;
	}
}

/** Solves the small dense system A·x = b by Gaussian elimination with partial pivoting. */
function solve(a: readonly (readonly number[])[], b: readonly number[]): number[] {
	const n = b.length;
	const m = a.map((row, i) => [...row, b[i] as number]);
	const at = (r: number, c: number): number => (m[r] as number[])[c] as number;
	for (let column = 0; column < n; column++) {
		let pivot = column;
		for (let r = column + 1; r < n; r++) if (Math.abs(at(r, column)) > Math.abs(at(pivot, column))) pivot = r;
		[m[column], m[pivot]] = [m[pivot] as number[], m[column] as number[]];
		for (let r = 0; r < n; r++) {
			if (r === column) continue;
			const factor = at(r, column) / at(column, column);
			m[r] = (m[r] as number[]).map((v, c) => v - factor * at(column, c));
		}
	}
	return Array.from({ length: n }, (_, i) => at(i, n) / at(i, i));
}
