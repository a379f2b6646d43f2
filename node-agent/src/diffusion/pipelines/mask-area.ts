/**
 * Inpainting at full size on a part of the picture, and soft borders when the result is put back.
 * @module
 */
import { InvalidRequestError } from '../errors.ts';
import { resizeRgb, type GrayImage, type RgbImage } from '../latents.ts';

/** A rectangle of a picture, in pixels; right and bottom are exclusive. */
export interface Box {
	left: number;
	top: number;
	right: number;
	bottom: number;
}

/** Bounds of the marked pixels along one side, exclusive at the end; null when nothing is marked. */
function extent(size: number, marked: (i: number) => boolean): { from: number; to: number } | null {
	let from = 0;
	while (from < size && !marked(from)) from++;
	if (from === size) return null;
	let to = size;
	while (!marked(to - 1)) to--;
	return { from, to };
}

function anyOf(count: number, test: (i: number) => boolean): boolean {
	for (let i = 0; i < count; i++) if (test(i)) return true;
	return false;
}

/** Grows a stretch to `length`, evenly on both sides, and pushes it back inside 0…size. */
function grow(from: number, to: number, length: number, size: number): [number, number] {
	const more = Math.trunc(length - (to - from));
	let start = from - Math.floor(more / 2);
	let end = to + more - Math.floor(more / 2);
	if (end >= size) {
		start -= end - size;
		end = size;
	}
	if (start < 0) {
		end -= start;
		start = 0;
	}
	return [start, Math.min(end, size)];
}

/**
 * The area around the pixels to repaint: their bounds, `padding` more on every side, grown to the aspect of the picture
 * that is made (diffusers' `padding_mask_crop`).
 * @param mask 1 = repaint, width × height numbers
 * @throws InvalidRequestError when nothing is marked
 */
export function maskArea(mask: Float32Array, width: number, height: number, padding: number): Box {
	const marked = (x: number, y: number): boolean => (mask[y * width + x] as number) >= 0.5;
	const columns = extent(width, (x) => anyOf(height, (y) => marked(x, y)));
	const rows = extent(height, (y) => anyOf(width, (x) => marked(x, y)));
	if (columns === null || rows === null) {
		throw new InvalidRequestError('The mask marks nothing to repaint, so there is no area to work on; paint some of it white.');
	}
	let left = Math.max(columns.from - padding, 0);
	let right = Math.min(columns.to + padding, width);
	let top = Math.max(rows.from - padding, 0);
	let bottom = Math.min(rows.to + padding, height);
	const aspect = width / height;
	if ((right - left) / (bottom - top) > aspect) [top, bottom] = grow(top, bottom, (right - left) / aspect, height);
	else [left, right] = grow(left, right, (bottom - top) * aspect, width);
	return { left, top, right, bottom };
}

function cutBytes(source: Uint8Array, width: number, channels: number, box: Box): Uint8Array {
	const [w, h] = [box.right - box.left, box.bottom - box.top];
	const out = new Uint8Array(w * h * channels);
	for (let y = 0; y < h; y++) {
		const at = ((box.top + y) * width + box.left) * channels;
		out.set(source.subarray(at, at + w * channels), y * w * channels);
	}
	return out;
}

/** Cuts a rectangle out of a picture. */
export function cutRgb(image: RgbImage, box: Box): RgbImage {
	return { rgb: cutBytes(image.rgb, image.width, 3, box), width: box.right - box.left, height: box.bottom - box.top };
}

/** Cuts a rectangle out of a mask. */
export function cutGray(mask: GrayImage, box: Box): GrayImage {
	return { gray: cutBytes(mask.gray, mask.width, 1, box), width: box.right - box.left, height: box.bottom - box.top };
}

/** The whole picture with `part`, resized to the rectangle, in its place. */
export async function placeRgb(whole: RgbImage, part: RgbImage, box: Box): Promise<RgbImage> {
	const fitted = await resizeRgb(part, box.right - box.left, box.bottom - box.top);
	const rgb = whole.rgb.slice();
	for (let y = 0; y < fitted.height; y++) {
		const row = fitted.rgb.subarray(y * fitted.width * 3, (y + 1) * fitted.width * 3);
		rgb.set(row, ((box.top + y) * whole.width + box.left) * 3);
	}
	return { rgb, width: whole.width, height: whole.height };
}

/** Squared distance that no picture reaches; small enough to keep its sum with one exact. */
const FAR = 1e12;

/**
 * Lower envelope of parabolas y = (x − q)² + f(q): squared distances along one line (Felzenszwalb & Huttenlocher 2012,
 * algorithm 1).
 */
function lineDistances(f: Float64Array): Float64Array {
	const n = f.length;
	const at = new Int32Array(n);
	const border = new Float64Array(n + 1);
	let k = 0;
	border[0] = Number.NEGATIVE_INFINITY;
	border[1] = Number.POSITIVE_INFINITY;
	const meets = (q: number, v: number): number => ((f[q] as number) + q * q - ((f[v] as number) + v * v)) / (2 * q - 2 * v);
	for (let q = 1; q < n; q++) {
		let s = meets(q, at[k] as number);
		while (k > 0 && s <= (border[k] as number)) s = meets(q, at[--k] as number);
		k++;
		at[k] = q;
		border[k] = s;
		border[k + 1] = Number.POSITIVE_INFINITY;
	}
	k = 0;
	return f.map((_, q) => {
		while ((border[k + 1] as number) < q) k++;
		const v = at[k] as number;
		return (q - v) ** 2 + (f[v] as number);
	});
}

/**
 * How opaque the generated picture is laid over the original: 0 where the mask keeps, rising linearly with the distance
 * from there to 1 after `feather` pixels. Nothing outside the mask is ever touched.
 */
export function featheredOpacity(mask: Float32Array, width: number, height: number, feather: number): Float32Array {
	if (feather <= 0) return mask.map((m) => (m < 0.5 ? 0 : 1));
	const squared = Float64Array.from(mask, (m) => (m < 0.5 ? 0 : FAR));
	for (let x = 0; x < width; x++) {
		const column = lineDistances(Float64Array.from({ length: height }, (_, y) => squared[y * width + x] as number));
		for (let y = 0; y < height; y++) squared[y * width + x] = column[y] as number;
	}
	for (let y = 0; y < height; y++) squared.set(lineDistances(squared.slice(y * width, (y + 1) * width)), y * width);
	return Float32Array.from(squared, (d) => Math.min(1, Math.sqrt(d) / (feather + 1)));
}
