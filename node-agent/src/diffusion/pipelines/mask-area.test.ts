import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { InvalidRequestError } from '../errors.ts';
import { cutGray, cutRgb, featheredOpacity, maskArea, placeRgb } from './mask-area.ts';

/** A mask with some of its pixels to repaint, and its size. */
const masks = fc
	.record({
		width: fc.integer({ min: 1, max: 14 }),
		height: fc.integer({ min: 1, max: 14 }),
		bits: fc.bigInt({ min: 0n, max: 2n ** 196n }),
	})
	.map(({ width, height, bits }) => ({
		width,
		height,
		mask: Float32Array.from({ length: width * height }, (_, i) => Number((bits >> BigInt(i)) & 1n)),
	}));

test('soft borders follow the distance to the nearest kept pixel, measured one by one', () => {
	fc.assert(
		fc.property(masks, fc.integer({ min: 0, max: 6 }), ({ width, height, mask }, feather) => {
			const opacity = featheredOpacity(mask, width, height, feather);
			for (const [p, alpha] of opacity.entries()) {
				let nearest = Number.POSITIVE_INFINITY;
				for (const [q, m] of mask.entries()) {
					if (m === 0) nearest = Math.min(nearest, Math.hypot((p % width) - (q % width), Math.floor(p / width) - Math.floor(q / width)));
				}
				expect(alpha).toBeCloseTo(Math.min(1, nearest / (feather + 1)), 5);
				expect(alpha === 0).toBe(mask[p] === 0);
			}
		}),
	);
});

test('the area holds every marked pixel and the padding where there is room, and lies inside', () => {
	fc.assert(
		fc.property(masks, fc.integer({ min: 0, max: 5 }), ({ width, height, mask }, padding) => {
			fc.pre(mask.some((m) => m === 1));
			const { left, top, right, bottom } = maskArea(mask, width, height, padding);
			expect(left).toBeGreaterThanOrEqual(0);
			expect(top).toBeGreaterThanOrEqual(0);
			expect(right).toBeLessThanOrEqual(width);
			expect(bottom).toBeLessThanOrEqual(height);
			for (const [p, m] of mask.entries()) {
				if (m === 0) continue;
				const [x, y] = [p % width, Math.floor(p / width)];
				expect(left).toBeLessThanOrEqual(Math.max(0, x - padding));
				expect(right).toBeGreaterThanOrEqual(Math.min(width, x + 1 + padding));
				expect(top).toBeLessThanOrEqual(Math.max(0, y - padding));
				expect(bottom).toBeGreaterThanOrEqual(Math.min(height, y + 1 + padding));
			}
		}),
	);
});

test('an empty mask has no area', () => {
	expect(() => maskArea(new Float32Array(12), 4, 3, 2)).toThrow(InvalidRequestError);
});

test('a part cut out and put back leaves the picture as it was, at another size only the part changes', async () => {
	const image = { rgb: Uint8Array.from({ length: 6 * 5 * 3 }, (_, i) => (i * 53) % 256), width: 6, height: 5 };
	const box = { left: 1, top: 2, right: 5, bottom: 4 };
	const part = cutRgb(image, box);
	expect([part.width, part.height, part.rgb[0]]).toEqual([4, 2, image.rgb[(2 * 6 + 1) * 3]]);
	expect(await placeRgb(image, part, box)).toEqual(image);
	const grey = { rgb: new Uint8Array(8 * 4 * 3).fill(9), width: 8, height: 4 };
	const placed = await placeRgb(image, grey, box);
	for (let p = 0; p < 30; p++) {
		const [x, y] = [p % 6, Math.floor(p / 6)];
		const inside = x >= 1 && x < 5 && y >= 2 && y < 4;
		expect(placed.rgb[p * 3]).toBe(inside ? 9 : image.rgb[p * 3]);
	}
	expect(cutGray({ gray: Uint8Array.from({ length: 30 }, (_, i) => i), width: 6, height: 5 }, box).gray).toEqual(
		Uint8Array.of(13, 14, 15, 16, 19, 20, 21, 22),
	);
});
