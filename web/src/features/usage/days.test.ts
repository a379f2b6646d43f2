import { describe, expect, it } from 'vitest';
import { everyDay } from './days.ts';

const point = (day: string, images: number) => ({ day, images, jobs: 1, failed: 0, megapixelSteps: 0 });

describe('usage by day', () => {
	it('has a day for each, also across a month and the end of summer time', () => {
		const days = everyDay([point('2026-10-24', 3), point('2026-11-01', 2)], '2026-10-24', '2026-11-01');
		expect(days.map(({ images }) => images)).toEqual([3, 0, 0, 0, 0, 0, 0, 0, 2]);
		expect(days[2]?.day).toBe('2026-10-26');
	});

	it('is empty when it ends before it begins', () => {
		expect(everyDay([], '2026-11-02', '2026-11-01')).toEqual([]);
	});
});
