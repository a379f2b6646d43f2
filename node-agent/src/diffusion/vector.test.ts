import { expect, test } from 'vitest';
import { clamp, combine, dynamicThreshold, mix2, unbiasedStd } from './vector.ts';

const f = (...x: number[]): Float32Array => Float32Array.from(x);

test('combine sums terms, also in place and with zero coefficients on infinities', () => {
	const x = f(1, 2);
	combine(x, [
		[2, x],
		[3, f(10, 20)],
		[1, f(5, 5)],
		[0, f(Number.POSITIVE_INFINITY, Number.NaN)],
	]);
	expect(x).toEqual(f(37, 69));
	combine(x, []);
	expect(x).toEqual(f(0, 0));
	mix2(x, 1, f(1, 2), -1, f(1, 1));
	expect(x).toEqual(f(0, 1));
});

test('clamp and dynamic thresholding limit to the asked range', () => {
	const x = f(-3, 0.5, 3);
	clamp(x, 1);
	expect(x).toEqual(f(-1, 0.5, 1));
	const y = f(-4, 0, 2);
	dynamicThreshold(y, 1, 100);
	expect(y).toEqual(f(-1, 0, 0.5));
	const small = f(0.1, -0.2);
	dynamicThreshold(small, 0.995, 1);
	expect(small).toEqual(f(0.1, -0.2));
});

test('the standard deviation divides by n - 1', () => {
	expect(unbiasedStd(f(1, 2, 3, 4))).toBeCloseTo(Math.sqrt(5 / 3), 10);
});
