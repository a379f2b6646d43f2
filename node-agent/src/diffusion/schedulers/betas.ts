import { ModelFolderError } from '../errors.ts';

/** The part of a scheduler config that fixes the forward process. */
export interface BetaConfig {
	num_train_timesteps: number;
	beta_start: number;
	beta_end: number;
	beta_schedule: string;
	trained_betas: number[] | null;
}

const f32 = Math.fround;

/** ᾱ of the last step under zero terminal SNR: the smallest half-precision subnormal keeps the first σ finite. */
export const TERMINAL_ALPHA_BAR = 2 ** -24;

/** n evenly spaced float32 values the way torch.linspace forms them: from both ends towards the middle. */
function linspace32(start: number, end: number, n: number): Float32Array {
	const step = f32((end - start) / (n - 1));
	return Float32Array.from({ length: n }, (_, i) => (i < n / 2 ? start + step * i : end - step * (n - 1 - i)));
}

/** Betas from an ᾱ(t) function (Nichol & Dhariwal 2021, eq. 17), capped at 0.999. */
function betasForAlphaBar(n: number, alphaBar: (t: number) => number): Float32Array {
	return Float32Array.from({ length: n }, (_, i) => Math.min(1 - alphaBar((i + 1) / n) / alphaBar(i / n), 0.999));
}

function baseBetas(config: BetaConfig): Float32Array {
	const { num_train_timesteps: n, beta_start: start, beta_end: end, trained_betas: trained } = config;
	if (trained !== null) return Float32Array.from(trained);
	switch (config.beta_schedule) {
		case 'linear':
			return linspace32(start, end, n);
		case 'scaled_linear':
			return linspace32(Math.sqrt(start), Math.sqrt(end), n).map((b) => b * b);
		case 'squaredcos_cap_v2':
			return betasForAlphaBar(n, (t) => Math.cos((((t + 0.008) / 1.008) * Math.PI) / 2) ** 2);
		case 'exp':
			return betasForAlphaBar(n, (t) => Math.exp(-12 * t));
		default:
			throw new ModelFolderError(
				`scheduler/scheduler_config.json names the unknown beta_schedule "${config.beta_schedule}"; choose a model with linear, scaled_linear or squaredcos_cap_v2.`,
			);
	}
}

/** Running product in float64, each entry rounded to float32 (torch.cumprod on CPU). */
function cumulativeProduct(x: Float32Array): Float32Array {
	let product = 1;
	return x.map((v) => (product *= v));
}

/**
 * Rescales betas so that the last step is pure noise (Lin et al. 2024, "Common Diffusion Noise Schedules and Sample
 * Steps are Flawed", algorithm 1).
 */
function rescaleZeroTerminalSnr(betas: Float32Array): Float32Array {
	const root = cumulativeProduct(betas.map((b) => 1 - b)).map(Math.sqrt);
	const first = root[0] as number;
	const last = root.at(-1) as number;
	const ratio = f32(first / f32(first - last));
	const bar = root.map((r) => f32(r - last) * ratio).map((r) => r * r);
	return bar.map((b, i) => 1 - f32(i === 0 ? b : b / (bar[i - 1] as number)));
}

/**
 * ᾱ_t = Π(1−β), float32, length num_train_timesteps.
 * @param zeroSnr apply the zero-terminal-SNR rescaling; then the last entry is exactly 0
 */
export function alphasCumprod(config: BetaConfig, zeroSnr: boolean): Float32Array {
	const base = baseBetas(config);
	const betas = zeroSnr ? rescaleZeroTerminalSnr(base) : base;
	return cumulativeProduct(betas.map((b) => 1 - b));
}

/** σ_t = √((1−ᾱ)/ᾱ) per training timestep, for samplers in the variance-exploding view (Karras et al. 2022). */
export function trainingSigmas(config: BetaConfig, zeroSnr: boolean): Float32Array {
	const bar = alphasCumprod(config, zeroSnr);
	if (zeroSnr) bar[bar.length - 1] = TERMINAL_ALPHA_BAR;
	return bar.map((a) => Math.sqrt(f32(f32(1 - a) / a)));
}
