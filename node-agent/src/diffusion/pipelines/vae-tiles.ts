/**
 * Large pictures go through the autoencoder in overlapping tiles, whose memory does not grow with the picture. Where
 * tiles overlap they are mixed with weights that fall linearly towards each tile's inner borders.
 * @module
 */

/** Share of a tile that it has in common with its neighbour at least, as in the reference. */
export const TILE_OVERLAP = 0.25;
/** Pictures of more pixels than this are decoded in tiles: the largest that SDXL was trained on still goes in one piece. */
export const TILE_ABOVE_PX = 1024 * 1024;
/** Latent cells per side of a tile where the autoencoder's config names no picture size. */
export const DEFAULT_TILE_CELLS = 64;
/** Smaller tiles than this have no inside that their borders leave alone. */
export const MIN_TILE_CELLS = 8;

/** Evenly spread starts of tiles along one side: the first at 0, the last ending at `size`, overlapping by a quarter or more. */
export function tileStarts(size: number, tile: number): number[] {
	if (size <= tile) return [0];
	const stride = tile - Math.floor(tile * TILE_OVERLAP);
	const count = Math.ceil((size - tile) / stride) + 1;
	return Array.from({ length: count }, (_, i) => Math.round((i * (size - tile)) / (count - 1)));
}

/**
 * Weights of a tile's cells along one side: 1 inside, falling linearly over what it shares with its neighbours.
 * @param before cells shared with the tile before, 0 at the border of the picture
 */
export function tileWeights(length: number, before: number, after: number): Float32Array {
	return Float32Array.from({ length }, (_, i) => {
		const left = before === 0 ? 1 : (i + 1) / (before + 1);
		const right = after === 0 ? 1 : (length - i) / (after + 1);
		return Math.min(1, left, right);
	});
}

/** A picture in planes: `channels` times height × width. */
export interface Planes {
	values: Float32Array;
	channels: number;
	height: number;
	width: number;
}

/** Elements per latent cell and direction before and after the conversion: 1 and 8 (or 16) to decode, the other way round to encode. */
export interface Resolution {
	source: number;
	result: number;
}

/** A stretch of one side that a tile covers, before and after the autoencoder. */
interface Span {
	from: number;
	length: number;
	outFrom: number;
	weights: Float32Array;
}

/** The stretches of one side of `size` cells. */
function spansOf(size: number, tile: number, { source, result }: Resolution): Span[] {
	const starts = tileStarts(size, tile);
	const length = Math.min(size, tile);
	return starts.map((from, i) => {
		const previous = starts[i - 1];
		const next = starts[i + 1];
		const before = previous === undefined ? 0 : previous + length - from;
		const after = next === undefined ? 0 : from + length - next;
		return {
			from: from * source,
			length: length * source,
			outFrom: from * result,
			weights: tileWeights(length * result, before * result, after * result),
		};
	});
}

function cut({ values, channels, height, width }: Planes, y: Span, x: Span): Planes {
	const out = new Float32Array(channels * y.length * x.length);
	for (let c = 0; c < channels; c++) {
		for (let row = 0; row < y.length; row++) {
			const at = (c * height + y.from + row) * width + x.from;
			out.set(values.subarray(at, at + x.length), (c * y.length + row) * x.length);
		}
	}
	return { values: out, channels, height: y.length, width: x.length };
}

/** Adds a weighted tile to the sums. */
function add(sums: Planes, total: Float32Array, tile: Float32Array, y: Span, x: Span): void {
	const [h, w] = [y.weights.length, x.weights.length];
	for (let row = 0; row < h; row++) {
		for (let column = 0; column < w; column++) {
			const weight = (y.weights[row] as number) * (x.weights[column] as number);
			const at = (y.outFrom + row) * sums.width + x.outFrom + column;
			total[at] = (total[at] as number) + weight;
			for (let c = 0; c < sums.channels; c++) {
				const k = c * sums.height * sums.width + at;
				sums.values[k] = (sums.values[k] as number) + weight * (tile[(c * h + row) * w + column] as number);
			}
		}
	}
}

/**
 * Runs `convert` tile by tile and joins the results.
 * @param tile latent cells per side of a tile
 * @param outChannels planes that `convert` returns
 */
export async function convertTiled(
	source: Planes,
	tile: number,
	resolution: Resolution,
	outChannels: number,
	convert: (part: Planes) => Promise<Float32Array>,
): Promise<Float32Array> {
	const rows = source.height / resolution.source;
	const columns = source.width / resolution.source;
	const [height, width] = [rows * resolution.result, columns * resolution.result];
	const sums: Planes = { values: new Float32Array(outChannels * height * width), channels: outChannels, height, width };
	const total = new Float32Array(height * width);
	for (const y of spansOf(rows, tile, resolution)) {
		for (const x of spansOf(columns, tile, resolution)) {
			add(sums, total, await convert(cut(source, y, x)), y, x);
			// native runs keep timers and messages waiting
			await new Promise((done) => {
				setImmediate(done);
			});
		}
	}
	for (let i = 0; i < sums.values.length; i++) sums.values[i] = (sums.values[i] as number) / (total[i % total.length] as number);
	return sums.values;
}
