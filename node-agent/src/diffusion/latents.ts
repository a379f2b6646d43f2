import sharp from 'sharp';
import { InferenceError } from './errors.ts';

/** A picture: 8-bit RGB, rows top to bottom, width·height·3 bytes. */
export interface RgbImage {
	rgb: Uint8Array;
	width: number;
	height: number;
}

/** A mask: one byte a pixel, 255 = repaint, 0 = keep. */
export interface GrayImage {
	gray: Uint8Array;
	width: number;
	height: number;
}

/** A linear map from latent channels to RGB in [−1, 1]: rgb = bias + Σ_c factors[c]·z_c. */
export interface PreviewMap {
	/** One row of three numbers a latent channel. */
	factors: readonly (readonly number[])[];
	bias: readonly number[];
}

/** Resizes to exactly width × height with Lanczos; returns the same object when the size already fits. */
export async function resizeRgb(image: RgbImage, width: number, height: number): Promise<RgbImage> {
	if (image.width === width && image.height === height) return image;
	const rgb = await sharp(image.rgb, { raw: { width: image.width, height: image.height, channels: 3 } })
		.resize(width, height, { fit: 'fill', kernel: 'lanczos3' })
		.raw()
		.toBuffer();
	return { rgb: new Uint8Array(rgb), width, height };
}

/** Resizes a mask to exactly width × height with Lanczos. */
export async function resizeGray(image: GrayImage, width: number, height: number): Promise<GrayImage> {
	if (image.width === width && image.height === height) return image;
	const gray = await sharp(image.gray, { raw: { width: image.width, height: image.height, channels: 1 } })
		.resize(width, height, { fit: 'fill', kernel: 'lanczos3' })
		.extractChannel(0)
		.raw()
		.toBuffer();
	return { gray: new Uint8Array(gray), width, height };
}

/** Interleaved bytes → planar [3, H, W] in [−1, 1]. */
export function imageToTensor(image: RgbImage): Float32Array {
	const plane = image.width * image.height;
	const out = new Float32Array(3 * plane);
	for (let p = 0; p < plane; p++) {
		for (let c = 0; c < 3; c++) out[c * plane + p] = (image.rgb[p * 3 + c] as number) / 127.5 - 1;
	}
	return out;
}

/**
 * Planar [3, H, W] in [−1, 1] → interleaved bytes, clamped.
 * @throws InferenceError when a value is not a number (an overflow in half precision)
 */
export function tensorToImage(tensor: Float32Array, width: number, height: number): RgbImage {
	const plane = width * height;
	const rgb = new Uint8Array(3 * plane);
	for (let p = 0; p < plane; p++) {
		for (let c = 0; c < 3; c++) {
			const v = tensor[c * plane + p] as number;
			if (Number.isNaN(v)) {
				throw new InferenceError('The decoder returned values that are not numbers; use a float32 decoder or another device.');
			}
			rgb[p * 3 + c] = Math.round(Math.min(1, Math.max(0, v / 2 + 0.5)) * 255);
		}
	}
	return { rgb, width, height };
}

/** Mask bytes → 1 (repaint) or 0 (keep) a pixel; the border is ½. */
export function binarize(mask: GrayImage): Float32Array {
	return Float32Array.from(mask.gray, (v) => (v / 255 >= 0.5 ? 1 : 0));
}

/** Pixel mask → latent mask by the nearest rule: latent (x, y) takes pixel (x·f, y·f). */
export function shrinkMask(mask: Float32Array, width: number, height: number, factor: number): Float32Array {
	const w = width / factor;
	const h = height / factor;
	const out = new Float32Array(w * h);
	for (let y = 0; y < h; y++) {
		for (let x = 0; x < w; x++) out[y * w + x] = mask[y * factor * width + x * factor] as number;
	}
	return out;
}

/** Sets the pixels to repaint (mask 1) of a planar [3, H, W] picture to 0, mid grey. */
export function blankMasked(tensor: Float32Array, mask: Float32Array): Float32Array {
	return tensor.map((v, i) => ((mask[i % mask.length] as number) < 0.5 ? v : 0));
}

/**
 * Lays the generated picture over the original, in place.
 * @param opacity of the generated picture, one number a pixel: 0 leaves the original's bytes exactly as they are
 */
export function pasteOriginal(generated: RgbImage, original: RgbImage, opacity: Float32Array): void {
	for (const [p, alpha] of opacity.entries()) {
		for (let k = p * 3; k < p * 3 + 3; k++) {
			const below = original.rgb[k] as number;
			generated.rgb[k] = Math.round(below + alpha * ((generated.rgb[k] as number) - below));
		}
	}
}

/**
 * A small picture of latents [C, h, w] by a linear map, one pixel a latent cell; enough to follow a run.
 * @param map channels × RGB; its channel count must equal C
 */
export function previewLatents(latents: Float32Array, width: number, height: number, map: PreviewMap): RgbImage {
	const plane = width * height;
	const rgb = new Uint8Array(3 * plane);
	for (let c = 0; c < 3; c++) {
		const sum = new Float64Array(plane).fill(map.bias[c] ?? 0);
		map.factors.forEach((row, k) => {
			const factor = row[c] ?? 0;
			for (let p = 0; p < plane; p++) sum[p] = (sum[p] as number) + factor * (latents[k * plane + p] as number);
		});
		for (let p = 0; p < plane; p++) rgb[p * 3 + c] = Math.round(Math.min(1, Math.max(0, (sum[p] as number) / 2 + 0.5)) * 255);
	}
	return { rgb, width, height };
}
