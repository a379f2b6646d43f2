import { tensorToImage, type PreviewMap } from '../latents.ts';
import { TorchGenerator } from '../noise.ts';
import { fitPreview } from '../preview-fit.ts';
import type { Vae } from './vae.ts';

/** Side of the calibration latents, and of the flat patches in them, in latent cells. */
const SIDE = 16;
const PATCH = 4;

/**
 * Fits a preview map for an autoencoder that nobody fitted one for: decodes one small picture of random flat patches
 * and regresses its colours on the latents. Costs one 16×16-latent decode, once a load.
 */
export async function calibratePreview(vae: Vae): Promise<PreviewMap> {
	const patches = SIDE / PATCH;
	const colours = new TorchGenerator(0).randn(vae.channels * patches * patches);
	const latents = Float32Array.from({ length: vae.channels * SIDE * SIDE }, (_, i) => {
		const [channel, rest] = [Math.floor(i / (SIDE * SIDE)), i % (SIDE * SIDE)];
		const [row, column] = [Math.floor(rest / SIDE / PATCH), Math.floor((rest % SIDE) / PATCH)];
		return colours[(channel * patches + row) * patches + column] as number;
	});
	const pixels = await vae.decode(latents, SIDE, SIDE);
	const image = tensorToImage(pixels, SIDE * vae.factor, SIDE * vae.factor);
	return fitPreview([{ latents, width: SIDE, height: SIDE, image }], vae.channels);
}
