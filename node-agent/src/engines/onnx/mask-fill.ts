/**
 * What an inpainting starts from under the mask. Pure.
 *
 * Push-pull interpolation (Gortler et al., "The Lumigraph", SIGGRAPH 1996, §3.4): the picture is averaged down to one
 * pixel, counting only what the mask keeps, and what is missing is taken from the next coarser level on the way back.
 * @module
 */
import type { GrayImage, RgbImage } from '../../diffusion/latents.ts';

/** Grey, for a picture of which nothing is known. */
const UNKNOWN = 127;

interface Level {
	width: number;
	height: number;
	/** Three values a pixel, 0..255. */
	rgb: Float32Array;
	/** 0 = unknown, 1 = known. */
	weight: Float32Array;
}

/** The mask the other way round: what was kept is repainted. */
export const invertMask = (mask: GrayImage): GrayImage => ({ ...mask, gray: Uint8Array.from(mask.gray, (value) => 255 - value) });

const finest = (image: RgbImage, mask: GrayImage): Level => {
	const { width, height } = image;
	const weight = new Float32Array(width * height);
	for (let y = 0; y < height; y++) {
		// A mask of another size is stretched over the picture, as the pipeline does.
		const row = Math.floor((y * mask.height) / height) * mask.width;
		for (let x = 0; x < width; x++) weight[y * width + x] = (mask.gray[row + Math.floor((x * mask.width) / width)] ?? 0) >= 128 ? 0 : 1;
	}
	return { width, height, rgb: Float32Array.from(image.rgb), weight };
};

/** Sums of what is known under each coarser pixel. */
const sums = (level: Level): Level => {
	const [width, height] = [Math.ceil(level.width / 2), Math.ceil(level.height / 2)];
	const out: Level = { width, height, rgb: new Float32Array(width * height * 3), weight: new Float32Array(width * height) };
	level.weight.forEach((weight, from) => {
		const to = (Math.floor(from / level.width) >> 1) * width + ((from % level.width) >> 1);
		out.weight[to] = (out.weight[to] ?? 0) + weight;
		for (let c = 0; c < 3; c++) out.rgb[to * 3 + c] = (out.rgb[to * 3 + c] ?? 0) + weight * (level.rgb[from * 3 + c] ?? 0);
	});
	return out;
};

const coarser = (level: Level): Level => {
	const out = sums(level);
	out.weight.forEach((weight, i) => {
		for (let c = 0; c < 3; c++) out.rgb[i * 3 + c] = weight > 0 ? (out.rgb[i * 3 + c] ?? 0) / weight : UNKNOWN;
		out.weight[i] = Math.min(1, weight);
	});
	return out;
};

/** One value of a level between its pixels. */
const between = (level: Level, x: number, y: number, c: number): number => {
	const clampX = (value: number): number => Math.min(level.width - 1, Math.max(0, value));
	const clampY = (value: number): number => Math.min(level.height - 1, Math.max(0, value));
	const [x0, y0] = [Math.floor(x), Math.floor(y)];
	const at = (px: number, py: number): number => level.rgb[(clampY(py) * level.width + clampX(px)) * 3 + c] ?? 0;
	const [fx, fy] = [x - x0, y - y0];
	return (at(x0, y0) * (1 - fx) + at(x0 + 1, y0) * fx) * (1 - fy) + (at(x0, y0 + 1) * (1 - fx) + at(x0 + 1, y0 + 1) * fx) * fy;
};

const fillFrom = (level: Level, coarse: Level): void => {
	for (let i = 0; i < level.weight.length; i++) {
		const known = level.weight[i] ?? 0;
		if (known >= 1) continue;
		const x = ((i % level.width) + 0.5) / 2 - 0.5;
		const y = (Math.floor(i / level.width) + 0.5) / 2 - 0.5;
		for (let c = 0; c < 3; c++) level.rgb[i * 3 + c] = known * (level.rgb[i * 3 + c] ?? 0) + (1 - known) * between(coarse, x, y, c);
	}
};

/** The picture with the colours around the mask carried softly into it. What the mask keeps is unchanged. */
export const fillAround = (image: RgbImage, mask: GrayImage): RgbImage => {
	const levels = [finest(image, mask)];
	for (let last = levels[0]; last !== undefined && last.width * last.height > 1;) {
		last = coarser(last);
		levels.push(last);
	}
	for (let i = levels.length - 2; i >= 0; i--) {
		const [level, coarse] = [levels[i], levels[i + 1]];
		if (level !== undefined && coarse !== undefined) fillFrom(level, coarse);
	}
	return { ...image, rgb: Uint8Array.from(levels[0]?.rgb ?? [], (value) => Math.round(value)) };
};
