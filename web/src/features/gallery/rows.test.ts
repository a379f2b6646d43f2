import type { GalleryImage } from '@limner/sdk';
import { describe, expect, it } from 'vitest';
import { differences, layout, matches, select, toRows } from './rows.ts';

const image = (id: string, createdAt: string): GalleryImage =>
	({ id, createdAt, prompt: 'A Red castle', model: 'storybook', seed: 42, width: 128, height: 64 }) as GalleryImage;

const at = (day: number, hour: number): string => new Date(2026, 0, day, hour).toISOString();

describe('the gallery', () => {
	it('finds by every word, in any field', () => {
		const one = image('a', '2026-01-01T00:00:00Z');
		expect(matches(one, 'castle red')).toBe(true);
		expect(matches(one, '42 128x64')).toBe(true);
		expect(matches(one, 'castle blue')).toBe(false);
		expect(matches(one, '')).toBe(true);
	});

	it('begins a new row with each day', () => {
		const now = new Date(2026, 0, 10, 12);
		const rows = toRows([image('a', at(10, 11)), image('b', at(10, 10)), image('c', at(10, 9)), image('d', at(9, 23))], 2, now);
		expect(rows.map((row) => (row.kind === 'day' ? row.label : row.images.map(({ id }) => id).join('')))).toEqual([
			'Today',
			'ab',
			'c',
			'Yesterday',
			'd',
		]);
	});

	it('fills the width', () => {
		expect(layout(380).columns).toBe(2);
		const { columns, rowHeight } = layout(1000);
		expect(columns).toBe(5);
		expect((rowHeight - 10) * columns + 10 * (columns - 1)).toBeCloseTo(1000);
	});

	it('selects one by one and in ranges', () => {
		const ids = ['a', 'b', 'c', 'd'];
		const one = select(ids, new Set(), 'b', undefined, false);
		expect([...select(ids, one, 'd', 'b', true)]).toEqual(['b', 'c', 'd']);
		expect([...select(ids, one, 'b', 'b', false)]).toEqual([]);
	});

	it('tells two pictures apart', () => {
		const one = image('a', '2026-01-01T00:00:00Z');
		expect(differences(one, { ...one, id: 'b', seed: 43, height: 128 })).toEqual(['Seed: 42 → 43', 'Size: 128 × 64 → 128 × 128']);
		expect(differences(one, { ...one, id: 'b' })).toEqual([]);
	});
});
