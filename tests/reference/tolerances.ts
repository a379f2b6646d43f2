/**
 * Expected agreement with the PyTorch reference (tests/reference/README.md). Each constant is the bound that the
 * recorded numbers promise, not one fitted to this implementation; the tests print how far below it we are.
 */
export const LATENT_RELATIVE = 2e-3;
/** Absolute part of the bound on latents. */
export const LATENT_ABSOLUTE = 1e-3;
/** Added where the scheduler draws noise inside its steps. */
export const LATENT_DRAWN = 1e-2;
/** Pictures: largest difference of any channel of any pixel, in 8-bit levels. */
export const PIXEL_LEVELS = 2;
/** Values in noise.json and schedulers.json are rounded to 6 decimals. */
export const NOISE_ABSOLUTE = 2e-5;

/** Bound on max|ours − reference| for values with this standard deviation. */
export function latentTolerance(std: number, drawsNoise: boolean): number {
	return LATENT_RELATIVE * std + LATENT_ABSOLUTE + (drawsNoise ? LATENT_DRAWN : 0);
}

/**
 * Bound for replays of single schedulers and samplers. There is no network in them whose rounding could differ, only the
 * record's own six or seven decimals and float32 sums, so it is far tighter than the one for pictures.
 * @param largest standard deviation of the largest sample on the way, whose rounding the later ones inherit
 */
export function replayTolerance(std: number, largest = std): number {
	return 2e-5 * (1 + std) + 1e-7 * largest;
}
