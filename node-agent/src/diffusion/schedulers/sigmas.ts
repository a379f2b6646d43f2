import { betaQuantile } from './beta-distribution.ts';
import { linspace } from './spacing.ts';

/** Exponent of the Karras spacing; 7 is the paper's choice. */
const KARRAS_RHO = 7;
/** Shape of the Beta(α, β) spacing (Lee et al. 2024, "Beta Sampling is All You Need"). */
const BETA_SHAPE = 0.6;

export interface SigmaShapeConfig {
	use_karras_sigmas: boolean;
	use_exponential_sigmas: boolean;
	use_beta_sigmas: boolean;
}

/** Linear interpolation of `values` at fractional index x, held constant outside (numpy.interp over 0…n−1). */
export function interpolate(values: Float32Array, x: number): number {
	const clamped = Math.min(values.length - 1, Math.max(0, x));
	const low = Math.floor(clamped);
	const a = values[low] as number;
	const b = values[low + 1] ?? a;
	return a + (b - a) * (clamped - low);
}

/** ρ-spaced noise levels from max to min (Karras et al. 2022, eq. 5). */
function karras(max: number, min: number, n: number): number[] {
	const high = max ** (1 / KARRAS_RHO);
	const low = min ** (1 / KARRAS_RHO);
	return linspace(0, 1, n).map((ramp) => (high + ramp * (low - high)) ** KARRAS_RHO);
}

/**
 * Replaces the spacing of noise levels as the config's flags ask.
 * @returns n descending sigmas, or null when no flag is set
 */
export function reshapeSigmas(config: SigmaShapeConfig, max: number, min: number, n: number): number[] | null {
	if (config.use_karras_sigmas) return karras(max, min, n);
	if (config.use_exponential_sigmas) return linspace(Math.log(max), Math.log(min), n).map(Math.exp);
	if (config.use_beta_sigmas) {
		return linspace(0, 1, n).map((u) => min + betaQuantile(1 - u, BETA_SHAPE, BETA_SHAPE) * (max - min));
	}
	return null;
}

/** Fractional training timestep whose ln σ equals the given one; `logSigmas` ascends with the timestep. */
export function sigmaToTimestep(sigma: number, logSigmas: Float32Array): number {
	const target = Math.log(Math.max(sigma, 1e-10));
	let low = 0;
	while (low < logSigmas.length - 2 && (logSigmas[low + 1] as number) <= target) low++;
	const a = logSigmas[low] as number;
	const b = logSigmas[low + 1] as number;
	const w = Math.min(1, Math.max(0, (a - target) / (a - b)));
	return low + w;
}
