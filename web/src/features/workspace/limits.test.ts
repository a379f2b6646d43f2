import { describe, expect, it } from 'vitest';
import { toFields, toLimits, wordsOf } from './limits.ts';

const LIMITS = { day: { images: 500 }, queued: 20, concurrent: 4, storageBytes: 3 * 1024 ** 3, retentionMs: 30 * 86_400_000 };

describe('limits of a workspace', () => {
	it('come out of the fields as they went in', () => {
		const fields = toFields(LIMITS);
		expect(fields).toMatchObject({ concurrent: '4', storageGib: '3', retentionDays: '30', work: { 'day.images': '500', queued: '20' } });
		expect(toLimits(fields)).toEqual(LIMITS);
	});

	it('sets nothing for empty fields, and says all in a line', () => {
		expect(toLimits(toFields({}))).toEqual({});
		expect(wordsOf({})).toBe('');
		expect(wordsOf(LIMITS)).toBe('500 pictures a day, 20 open jobs at a time, 4 slots at a time, 3 GiB of pictures, 30 days for a picture');
	});
});
