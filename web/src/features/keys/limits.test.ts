import { describe, expect, it } from 'vitest';
import { fieldsOf, limitsOf, limitWords } from './limits.tsx';

describe('the limits of a key', () => {
	it('come back from the fields as they went in', () => {
		const limits = { minute: { jobs: 5 }, day: { images: 100, megapixelSteps: 2.5 }, queued: 2 };
		expect(limitsOf(fieldsOf(limits))).toEqual(limits);
		expect(limitsOf(fieldsOf(null))).toBeNull();
	});

	it('keep a zero, which forbids, and drop what is empty', () => {
		expect(limitsOf({ 'day.images': '0', 'day.jobs': ' ' })).toEqual({ day: { images: 0 } });
	});

	it('read as a sentence', () => {
		expect(limitWords({ day: { images: 100 }, queued: 2 })).toBe('100 pictures a day, 2 open jobs at a time');
	});
});
