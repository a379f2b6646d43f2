import type { PreviewMap } from './latents.ts';

/** Latent → RGB regression of the SD 1/2 autoencoder (table of InvokeAI's `step_callback.py`, Apache-2.0). */
const SD: PreviewMap = {
	factors: [
		[0.3444, 0.1385, 0.067],
		[0.1247, 0.4027, 0.1494],
		[-0.3192, 0.2513, 0.2103],
		[-0.1307, -0.1874, -0.7445],
	],
	bias: [0, 0, 0],
};

/** The same for the SDXL autoencoder (same source). */
const SDXL: PreviewMap = {
	factors: [
		[0.3816, 0.493, 0.532],
		[-0.3753, 0.1631, 0.1739],
		[0.177, 0.3588, -0.2048],
		[-0.435, -0.2644, -0.4289],
	],
	bias: [0, 0, 0],
};

/** The table for a family's own autoencoder; null where none is known and the map must be fitted. */
export function builtInPreview(family: string, vaeClass: string, channels: number): PreviewMap | null {
	if (channels !== 4 || vaeClass !== 'AutoencoderKL') return null;
	return family === 'sdxl' ? SDXL : SD;
}
