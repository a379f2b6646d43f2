import { REQUEST_LIMITS } from '@limner/shared';
import { assert, double, integer, property } from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Counted, Part } from './progress.ts';
import { secondSize, stepsThatRun } from './hires.ts';
import { countParts } from './progress.ts';

describe('stepsThatRun', () => {
	it('is the fewest steps of which so many are run at a strength', () => {
		const strength = double({ min: 0.05, max: 1, noNaN: true });
		assert(
			property(integer({ min: 1, max: REQUEST_LIMITS.stepsMax }), strength, (run, part) => {
				const steps = stepsThatRun(run, part);
				expect(Math.trunc(steps * part)).toBeGreaterThanOrEqual(run);
				expect(steps === run || Math.trunc((steps - 1) * part) < run).toBe(true);
			}),
		);
	});

	it.each([
		[10, 0.7, 15],
		[20, 0.75, 27],
		[7, 1, 7],
		[3, 0.3, 10],
	])('%i at %f are %i', (run, strength, steps) => expect(stepsThatRun(run, strength)).toBe(steps));
});

describe('secondSize', () => {
	const first = { width: 512, height: 384 };
	it.each([
		[{}, 1024, 768],
		[{ hr_scale: 1.5 }, 768, 576],
		[{ hr_scale: 1.25 }, 640, 480],
		[{ hr_resize_x: 1024 }, 1024, 768],
		[{ hr_resize_y: 768, hr_scale: 3 }, 1024, 768],
		[{ hr_resize_x: 1000, hr_resize_y: 750 }, 1000, 752],
		[{ hr_resize_x: 0, hr_resize_y: 0, hr_scale: 1 }, 512, 384],
	])('%j is %i × %i', (body, width, height) => expect(secondSize(body, first, 8)).toMatchObject({ width, height }));

	it.each([{ hr_scale: 5 }, { hr_resize_y: 2048 }, { hr_resize_x: 512, hr_resize_y: 768 }])('refuses %j', (body) =>
		expect(() => secondSize(body, first, 8)).toThrow(/hr_/),
	);
});

const part = (state: 'succeeded' | 'running' | 'waiting', steps: number, step?: number): Part =>
	({
		row: { spec: { n: 1, steps, ...(step === undefined ? {} : { strength: 0.5 }) }, state, images: state === 'succeeded' ? [{}] : [] },
		live:
			state === 'succeeded'
				? undefined
				: {
						state,
						tasks: step === undefined ? [] : [{ state: 'leased', step, steps }],
						startedAt: step === undefined ? undefined : 1000,
					},
	}) as unknown as Part;
const counted = (parts: Part[]): Counted & { jobs: number } => countParts(parts, 11_000);

describe('countParts', () => {
	it('weighs passes by the steps that they run', () => {
		const one = counted([part('succeeded', 10), part('running', 20, 10)]);
		expect(one).toMatchObject({ made: 1, jobs: 2, running: true, step: 10, steps: 20 });
		expect(one.progress).toBeCloseTo((10 * 1 + 10 * 0.51) / 20);
		expect(one.eta).toBeCloseTo(10 / one.progress - 10);
	});

	it('has not begun while both wait', () => {
		expect(counted([part('waiting', 10), part('waiting', 20)])).toMatchObject({ progress: 0, running: false, made: 0, eta: 0 });
	});
});
