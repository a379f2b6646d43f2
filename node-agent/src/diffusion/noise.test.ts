import { expect, test } from 'vitest';
import { TorchGenerator } from './noise.ts';

test('the first draws of seed 0 are the ones every torch user knows', () => {
	const short = Array.from(new TorchGenerator(0).randn(4));
	[1.541, -0.2934, -2.1788, 0.5684].forEach((v, i) => expect(short[i]).toBeCloseTo(v, 3));
	const long = Array.from(new TorchGenerator(0).randn(16));
	[-1.1258, -1.1524, -0.2506, -0.4339].forEach((v, i) => expect(long[i]).toBeCloseTo(v, 3));
});

test('only the low 32 bits of a seed count, and negative seeds wrap', () => {
	const five = new TorchGenerator(5).randn(32);
	expect(new TorchGenerator(2n ** 32n + 5n).randn(32)).toEqual(five);
	expect(new TorchGenerator(-(2n ** 32n) + 5n).randn(32)).toEqual(five);
});

test('large draws have mean 0 and variance 1', () => {
	const x = new TorchGenerator(7).randn(100_000);
	const mean = x.reduce((a, b) => a + b, 0) / x.length;
	const variance = x.reduce((a, b) => a + b * b, 0) / x.length - mean * mean;
	expect(Math.abs(mean)).toBeLessThan(0.02);
	expect(Math.abs(variance - 1)).toBeLessThan(0.02);
});

test('drawing nothing consumes nothing', () => {
	const a = new TorchGenerator(3);
	const b = new TorchGenerator(3);
	a.randn(0);
	expect(a.uint32()).toBe(b.uint32());
});
