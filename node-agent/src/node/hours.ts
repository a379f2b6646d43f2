/**
 * When a node works. Pure: everything is computed from a time that is passed in, in the machine's own time zone, so that a
 * change of clocks moves with it.
 * @module
 */
import { UserError } from '../lib/user-error.ts';

const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'] as const;
const DAY_MINUTES = 24 * 60;
const WEEK_MINUTES = 7 * DAY_MINUTES;
const MINUTE_MS = 60_000;

/** Minutes since Sunday 00:00, from ≤ m < to; `to` may pass the end of the week. */
interface Span {
	from: number;
	to: number;
}

export interface Schedule {
	/** As the user wrote it. */
	text: string;
	spans: readonly Span[];
}

const help = 'write it like 22:00-07:00, or Mon-Fri 18:00-08:00, Sat-Sun 00:00-24:00';

const wrong = (part: string): UserError => new UserError(`"${part}" is no time of the week; ${help}.`);

const dayNumber = (text: string): number => DAYS.findIndex((day) => day === text.slice(0, 3).toLowerCase());

const daysOf = (text: string | undefined, part: string): number[] => {
	if (text === undefined) return [0, 1, 2, 3, 4, 5, 6];
	const [first = '', last = first] = text.split('-');
	const [from, to] = [dayNumber(first), dayNumber(last)];
	if (from < 0 || to < 0) throw wrong(part);
	return Array.from({ length: ((to - from + 7) % 7) + 1 }, (_, i) => (from + i) % 7);
};

const minuteOf = (hours: string, minutes: string | undefined, part: string): number => {
	const value = Number(hours) * 60 + Number(minutes ?? 0);
	if (value > DAY_MINUTES || Number(minutes ?? 0) > 59) throw wrong(part);
	return value;
};

const PART = /^(?:([a-z]+(?:-[a-z]+)?)\s+)?(\d{1,2})(?::(\d{2}))?\s*-\s*(\d{1,2})(?::(\d{2}))?$/i;

const spansOf = (part: string): Span[] => {
	const match = PART.exec(part);
	if (match === null) throw wrong(part);
	const [, days, fromHour = '', fromMinute, toHour = '', toMinute] = match;
	const from = minuteOf(fromHour, fromMinute, part);
	const to = minuteOf(toHour, toMinute, part);
	if (from === to) throw wrong(part);
	// Hours past midnight belong to the day on which they begin.
	const length = to > from ? to - from : to + DAY_MINUTES - from;
	return daysOf(days, part).map((day) => ({ from: day * DAY_MINUTES + from, to: day * DAY_MINUTES + from + length }));
};

/**
 * Reads a schedule: parts with commas or semicolons between them, each with days or for every day.
 * @throws {UserError} that shows how it is written
 */
export const parseSchedule = (text: string): Schedule => {
	const parts = text
		.split(/[,;]/)
		.map((part) => part.trim())
		.filter((part) => part !== '');
	if (parts.length === 0) throw wrong(text);
	return { text: text.trim(), spans: parts.flatMap(spansOf) };
};

const minuteOfWeek = (at: Date): number => at.getDay() * DAY_MINUTES + at.getHours() * 60 + at.getMinutes();

const within = ({ from, to }: Span, minute: number): boolean => {
	const since = (minute - (from % WEEK_MINUTES) + WEEK_MINUTES) % WEEK_MINUTES;
	return since < to - from;
};

/** Whether the node works at that time. */
export const isOpen = (schedule: Schedule, at: Date): boolean => schedule.spans.some((span) => within(span, minuteOfWeek(at)));

/**
 * When the node next begins or stops to work; undefined when it always works.
 * @returns the first minute whose answer differs from that of `at`
 */
export const nextChange = (schedule: Schedule, at: Date): Date | undefined => {
	const now = isOpen(schedule, at);
	// Real minutes, one by one, because a change of clocks may lie between.
	const start = Math.floor(at.getTime() / MINUTE_MS) * MINUTE_MS;
	for (let i = 1; i <= WEEK_MINUTES; i++) {
		const then = new Date(start + i * MINUTE_MS);
		if (isOpen(schedule, then) !== now) return then;
	}
	return undefined;
};

/** A time of the week for people. */
export const clockText = (at: Date): string =>
	`${at.toLocaleDateString('en-GB', { weekday: 'long' })} ${String(at.getHours()).padStart(2, '0')}:${String(at.getMinutes()).padStart(2, '0')}`;
