/**
 * Small copies of pictures, for results that a model or a person looks at. PNG only: what else there is stays as it is,
 * or is left out when it is too large. Pure.
 * @module
 */
import { decode, encode } from 'fast-png';

export interface SmallPicture {
	bytes: Uint8Array<ArrayBuffer>;
	contentType: string;
}

interface Raster {
	width: number;
	height: number;
	channels: number;
	data: Uint8Array;
}

/** Each attempt's share of the size before, when the encoded copy is still too large. */
const SHRINK = 0.75;
const SMALLEST_PX = 32;

/** Mean over the source pixels that a target pixel covers. */
const shrink = (source: Raster, width: number, height: number): Raster => {
	const { channels } = source;
	const data = new Uint8Array(width * height * channels);
	for (let y = 0; y < height; y++) {
		const y0 = Math.floor((y * source.height) / height);
		const y1 = Math.max(y0 + 1, Math.floor(((y + 1) * source.height) / height));
		for (let x = 0; x < width; x++) {
			const x0 = Math.floor((x * source.width) / width);
			const x1 = Math.max(x0 + 1, Math.floor(((x + 1) * source.width) / width));
			const count = (x1 - x0) * (y1 - y0);
			for (let channel = 0; channel < channels; channel++) {
				let sum = 0;
				for (let sy = y0; sy < y1; sy++) {
					const row = sy * source.width;
					for (let sx = x0; sx < x1; sx++) sum += source.data[(row + sx) * channels + channel] ?? 0;
				}
				data[(y * width + x) * channels + channel] = Math.round(sum / count);
			}
		}
	}
	return { width, height, channels, data };
};

const rasterOf = (bytes: Uint8Array): Raster | undefined => {
	try {
		const { width, height, channels, data, depth, palette } = decode(bytes);
		return depth === 8 && palette === undefined && data instanceof Uint8Array ? { width, height, channels, data } : undefined;
	} catch {
		return undefined;
	}
};

const fit = (raster: Raster, longest: number): Raster => {
	const scale = Math.min(1, longest / Math.max(raster.width, raster.height));
	if (scale === 1) return raster;
	return shrink(raster, Math.max(1, Math.round(raster.width * scale)), Math.max(1, Math.round(raster.height * scale)));
};

/**
 * A picture within bounds: itself when it is small enough, else a smaller copy, else nothing.
 * @param longest bound of its longer side, in pixels
 * @param maxBytes bound of its size
 */
export const smallPicture = (
	picture: SmallPicture & { width: number; height: number },
	longest: number,
	maxBytes: number,
): SmallPicture | undefined => {
	if (picture.bytes.length <= maxBytes && Math.max(picture.width, picture.height) <= longest) return picture;
	const raster = picture.contentType === 'image/png' ? rasterOf(picture.bytes) : undefined;
	// A smaller file with more pixels than asked for is still better than none.
	if (raster === undefined) return picture.bytes.length <= maxBytes ? picture : undefined;
	const largest = Math.min(longest, Math.max(raster.width, raster.height));
	for (let side = largest; side >= Math.min(largest, SMALLEST_PX); side = Math.floor(side * SHRINK)) {
		const bytes = new Uint8Array(encode(fit(raster, side)));
		if (bytes.length <= maxBytes) return { bytes, contentType: 'image/png' };
	}
	return undefined;
};
