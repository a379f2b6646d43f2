import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { decodeHalf, encodeHalf, fromHalfBits, toHalfBits } from './half.ts';

test('every finite half survives the way to float32 and back', () => {
	const all = Array.from({ length: 0x10000 }, (_, bits) => bits).filter((bits) => !Number.isNaN(fromHalfBits(bits)));
	expect(all.length).toBe(0x10000 - 2 * 0x3ff);
	expect(all.filter((bits) => toHalfBits(fromHalfBits(bits)) !== bits)).toEqual([]);
});

test('known values and special cases', () => {
	expect(toHalfBits(1)).toBe(0x3c00);
	expect(toHalfBits(-2)).toBe(0xc000);
	expect(toHalfBits(65504)).toBe(0x7bff);
	expect(toHalfBits(65520)).toBe(0x7c00);
	expect(toHalfBits(Number.NaN) & 0x7fff).toBe(0x7e00);
	expect(fromHalfBits(0x7e00)).toBeNaN();
	// a tie rounds to the even neighbour
	expect(fromHalfBits(toHalfBits(1 + 2 ** -11))).toBe(1);
	expect(fromHalfBits(toHalfBits(1 + 3 * 2 ** -11))).toBe(1 + 2 ** -9);
});

test('rounding is off by at most half a step', () => {
	fc.assert(
		fc.property(fc.float({ min: -60000, max: 60000, noNaN: true }), (x) => {
			const bits = new Uint16Array(1);
			encodeHalf(Float32Array.of(x), bits);
			const back = decodeHalf(bits, new Float32Array(bits.length))[0] ?? Number.NaN;
			expect(Math.abs(back - x)).toBeLessThanOrEqual(Math.max(Math.abs(x) * 2 ** -11, 2 ** -25));
		}),
	);
});
