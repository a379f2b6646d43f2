import type { PreviewMap, RgbImage } from './latents.ts';

/** Keeps the normal equations solvable when a channel hardly varies; far below any real variance. */
const RIDGE = 1e-6;

/** One sample of the regression: latents [C, h, w] and the picture they decode to, (factor·h) × (factor·w) pixels. */
export interface PreviewSample {
	latents: Float32Array;
	width: number;
	height: number;
	image: RgbImage;
}

/**
 * Least-squares fit of the linear preview map: for every latent cell, mean RGB of its pixels in [−1, 1] ≈ bias + Σ factors·z.
 * @param channels latent channels C
 */
export function fitPreview(samples: readonly PreviewSample[], channels: number): PreviewMap {
	const n = channels + 1;
	const gram = Array.from({ length: n }, () => Array.from({ length: n }, () => 0));
	const right = Array.from({ length: n }, () => [0, 0, 0]);
	for (const sample of samples) accumulate(sample, channels, gram, right);
	for (let i = 0; i < n; i++) (gram[i] as number[])[i] = ((gram[i] as number[])[i] as number) + RIDGE;
	const solution = eliminate(gram, right);
	return { factors: solution.slice(0, channels), bias: solution[channels] as number[] };
}

function accumulate(sample: PreviewSample, channels: number, gram: number[][], right: number[][]): void {
	const { latents, width, height } = sample;
	const plane = width * height;
	for (let p = 0; p < plane; p++) {
		const x = Array.from({ length: channels + 1 }, (_, c) => (c === channels ? 1 : (latents[c * plane + p] as number)));
		const y = cellColour(sample, p % width, Math.floor(p / width));
		x.forEach((a, i) => {
			const row = gram[i] as number[];
			x.forEach((b, j) => (row[j] = (row[j] as number) + a * b));
			const target = right[i] as number[];
			y.forEach((b, j) => (target[j] = (target[j] as number) + a * b));
		});
	}
}

/** Mean colour of the pixels under one latent cell, in [−1, 1]. */
function cellColour({ image, width }: PreviewSample, x: number, y: number): number[] {
	const factor = image.width / width;
	const sum = [0, 0, 0];
	for (let dy = 0; dy < factor; dy++) {
		for (let dx = 0; dx < factor; dx++) {
			const at = ((y * factor + dy) * image.width + x * factor + dx) * 3;
			for (let c = 0; c < 3; c++) sum[c] = (sum[c] as number) + (image.rgb[at + c] as number);
		}
	}
	return sum.map((s) => s / (factor * factor) / 127.5 - 1);
}

/** Solves A·X = B by Gauss–Jordan elimination; A is symmetric and positive definite, so no pivoting is needed. */
function eliminate(a: readonly number[][], b: readonly number[][]): number[][] {
	const m = a.map((row, i) => [...row, ...(b[i] as number[])]);
	for (let column = 0; column < m.length; column++) {
		const pivotRow = m[column] as number[];
		const pivot = pivotRow[column] as number;
		m[column] = pivotRow.map((v) => v / pivot);
		for (let r = 0; r < m.length; r++) {
			if (r === column) continue;
			const factor = (m[r] as number[])[column] as number;
			m[r] = (m[r] as number[]).map((v, c) => v - factor * ((m[column] as number[])[c] as number));
		}
	}
	return m.map((row) => row.slice(a.length));
}
