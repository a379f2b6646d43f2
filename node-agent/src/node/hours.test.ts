import { describe, expect, it } from 'vitest';
import { clockText, isOpen, nextChange, parseSchedule } from './hours.ts';

/** 2026-11-15 is a Sunday. */
const at = (day: number, hour: number, minute = 0): Date => new Date(2026, 10, 15 + day, hour, minute);

describe('a schedule', () => {
	it.each([
		['22:00-07:00', at(1, 21, 59), false],
		['22:00-07:00', at(1, 22), true],
		['22:00-07:00', at(2, 6, 59), true],
		['22:00-07:00', at(2, 7), false],
		['22-7', at(2, 3), true],
		['Mon-Fri 18:00-08:00', at(6, 7), true],
		['Mon-Fri 18:00-08:00', at(0, 7), false],
		['Mon-Fri 18:00-08:00', at(5, 23), true],
		['Mon-Fri 18:00-08:00', at(6, 19), false],
		['Sat-Sun 00:00-24:00', at(0, 23, 59), true],
		['Sat-Sun 00:00-24:00', at(1, 0), false],
		['sat 22:00-04:00', at(0, 3), true],
		['Fri-Mon 10:00-11:00', at(0, 10, 30), true],
		['Fri-Mon 10:00-11:00', at(2, 10, 30), false],
		['Mon-Fri 22:00-06:00, Sat-Sun 0-24', at(6, 12), true],
		['monday 9:00-10:00; 12:00-13:00', at(1, 9, 30), true],
		['monday 9:00-10:00; 12:00-13:00', at(2, 9, 30), false],
	])('%s at %s: %s', (text, when, open) => expect(isOpen(parseSchedule(text), when)).toBe(open));

	it.each(['', ' , ', 'always', '25:00-26:00', '10:00', '10:00-10:00', 'Xyz 10-11', '10:75-11:00', 'Mon 10-11 12'])(
		'refuses %j and shows how it is written',
		(text) => expect(() => parseSchedule(text)).toThrow(/write it like 22:00-07:00/),
	);

	it('knows when it changes next', () => {
		const nights = parseSchedule('Mon-Fri 22:00-07:00');
		expect(nextChange(nights, at(1, 12, 30))).toEqual(at(1, 22));
		expect(nextChange(nights, at(1, 23))).toEqual(at(2, 7));
		expect(nextChange(nights, at(6, 7))).toEqual(at(8, 22));
		expect(nextChange(parseSchedule('0-24'), at(3, 3))).toBeUndefined();
		expect(clockText(at(1, 7, 5))).toBe('Monday 07:05');
	});

	it('agrees with itself at every minute of a week', () => {
		const schedule = parseSchedule('Mon-Wed 08:30-12:00, Fri 20:00-02:15');
		for (let minute = 0; minute < 7 * 24 * 60; minute += 7) {
			const now = new Date(at(0, 0).getTime() + minute * 60_000);
			const next = nextChange(schedule, now);
			expect(isOpen(schedule, next!)).toBe(!isOpen(schedule, now));
			expect(isOpen(schedule, new Date(next!.getTime() - 60_000))).toBe(isOpen(schedule, now));
		}
	});
});
