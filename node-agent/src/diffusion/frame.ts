import type { GrayImage, RgbImage } from './latents.ts';

/**
 * Where the requested picture lies inside the one that the network makes. ONNX graphs halve the latents a fixed number
 * of times and cannot handle odd sizes on the way, so the network works on the next larger size and the middle is cut out.
 */
export interface Frame {
	/** Size that the network makes. */
	width: number;
	height: number;
	left: number;
	top: number;
}

/** The smallest frame around width × height whose sides are multiples of `multiple`. */
export function frameFor(width: number, height: number, multiple: number): Frame {
	const up = (v: number): number => Math.ceil(v / multiple) * multiple;
	const middle = (v: number): number => Math.floor((up(v) - v) / 2);
	return { width: up(width), height: up(height), left: middle(width), top: middle(height) };
}

/** Copies a picture of `channels` bytes a pixel into the frame, repeating its border pixels outwards. */
function extend(source: Uint8Array, width: number, height: number, channels: number, frame: Frame): Uint8Array {
	const out = new Uint8Array(frame.width * frame.height * channels);
	for (let y = 0; y < frame.height; y++) {
		const fromY = Math.min(height - 1, Math.max(0, y - frame.top));
		for (let x = 0; x < frame.width; x++) {
			const from = (fromY * width + Math.min(width - 1, Math.max(0, x - frame.left))) * channels;
			out.set(source.subarray(from, from + channels), (y * frame.width + x) * channels);
		}
	}
	return out;
}

/** Extends a picture to the frame's size; returns the same object when there is nothing to add. */
export function extendRgb(image: RgbImage, frame: Frame): RgbImage {
	if (image.width === frame.width && image.height === frame.height) return image;
	return { rgb: extend(image.rgb, image.width, image.height, 3, frame), width: frame.width, height: frame.height };
}

/** Extends a mask to the frame's size. */
export function extendGray(mask: GrayImage, frame: Frame): GrayImage {
	if (mask.width === frame.width && mask.height === frame.height) return mask;
	return { gray: extend(mask.gray, mask.width, mask.height, 1, frame), width: frame.width, height: frame.height };
}

/** Cuts the requested picture out of the frame; `cell` is the number of frame pixels per pixel of `image` (for latents the autoencoder's factor). */
export function cropRgb(image: RgbImage, frame: Frame, width: number, height: number, cell = 1): RgbImage {
	const w = Math.round(width / cell);
	const h = Math.round(height / cell);
	if (w === image.width && h === image.height) return image;
	const left = Math.floor(frame.left / cell);
	const top = Math.floor(frame.top / cell);
	const rgb = new Uint8Array(w * h * 3);
	for (let y = 0; y < h; y++) {
		const from = ((y + top) * image.width + left) * 3;
		rgb.set(image.rgb.subarray(from, from + w * 3), y * w * 3);
	}
	return { rgb, width: w, height: h };
}
