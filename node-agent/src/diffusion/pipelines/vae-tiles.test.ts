import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { convertTiled, tileStarts, tileWeights, type Planes } from './vae-tiles.ts';

test('tiles cover a side from end to end and overlap by a quarter at least', () => {
	fc.assert(
		fc.property(fc.integer({ min: 1, max: 400 }), fc.integer({ min: 8, max: 64 }), (size, tile) => {
			const starts = tileStarts(size, tile);
			expect(starts[0]).toBe(0);
			expect(size <= tile ? 1 : (starts.at(-1) ?? 0) + tile).toBe(size <= tile ? starts.length : size);
			const shared = starts.slice(1).map((start, i) => (starts[i] ?? Number.NaN) + tile - start);
			expect(shared.every((n) => n >= Math.floor(tile / 4))).toBe(true);
		}),
	);
	expect(tileStarts(64, 64)).toEqual([0]);
	expect(tileStarts(112, 64)).toEqual([0, 48]);
	expect(tileStarts(113, 64)).toHaveLength(3);
});

test('weights fall in equal steps over what is shared and are 1 elsewhere', () => {
	expect(Array.from(tileWeights(6, 0, 0))).toEqual([1, 1, 1, 1, 1, 1]);
	expect(Array.from(tileWeights(6, 3, 1))).toEqual([0.25, 0.5, 0.75, 1, 1, 0.5]);
});

/** Enlarges by repetition, the way a decoder without neighbourhood would. */
async function enlarge({ values, channels, height, width }: Planes): Promise<Float32Array> {
	const out = new Float32Array(channels * height * 2 * width * 2);
	return out.map((_, i) => {
		const [c, y, x] = [Math.floor(i / (4 * height * width)), Math.floor(i / (2 * width)) % (2 * height), i % (2 * width)];
		return values[(c * height + Math.floor(y / 2)) * width + Math.floor(x / 2)] ?? Number.NaN;
	});
}

/** Takes every other value in both directions. */
const shrink = async ({ values, channels, height, width }: Planes): Promise<Float32Array> =>
	Float32Array.from({ length: (channels * height * width) / 4 }, (_, i) => {
		const [c, y, x] = [Math.floor(i / ((height * width) / 4)), Math.floor(i / (width / 2)) % (height / 2), i % (width / 2)];
		return values[(c * height + 2 * y) * width + 2 * x] ?? Number.NaN;
	});

test('what looks at no neighbours comes out of tiles as if there were none', async () => {
	const source: Planes = {
		values: Float32Array.from({ length: 2 * 21 * 13 }, (_, i) => Math.sin(i)),
		channels: 2,
		height: 21,
		width: 13,
	};
	const whole = await enlarge(source);
	const tiled = await convertTiled(source, 8, { source: 1, result: 2 }, 2, enlarge);
	expect(tiled).toHaveLength(whole.length);
	expect(Math.max(...tiled.map((v, i) => Math.abs(v - (whole[i] ?? Number.NaN))))).toBeLessThan(1e-6);
	const half: Planes = { ...source, height: 42, width: 26, values: whole };
	const back = await convertTiled(half, 8, { source: 2, result: 1 }, 2, shrink);
	expect(Math.max(...back.map((v, i) => Math.abs(v - (source.values[i] ?? Number.NaN))))).toBeLessThan(1e-6);
});
