/**
 * Numbers and times as people read them.
 * @module
 */
const SECOND_MS = 1000;
const MINUTE_MS = 60 * SECOND_MS;
const HOUR_MS = 60 * MINUTE_MS;
const DAY_MS = 24 * HOUR_MS;

/** `850 ms`, `4.2 s`, `3 min 5 s`, `2 h 4 min`, `9 days 3 h` */
export const duration = (ms: number): string => {
	if (ms < SECOND_MS) return `${Math.round(ms)} ms`;
	if (ms < MINUTE_MS) return `${(ms / SECOND_MS).toFixed(ms < 10 * SECOND_MS ? 1 : 0)} s`;
	if (ms < HOUR_MS) return `${Math.floor(ms / MINUTE_MS)} min ${Math.floor((ms % MINUTE_MS) / SECOND_MS)} s`;
	if (ms < 2 * DAY_MS) return `${Math.floor(ms / HOUR_MS)} h ${Math.floor((ms % HOUR_MS) / MINUTE_MS)} min`;
	return `${Math.floor(ms / DAY_MS)} days ${Math.floor((ms % DAY_MS) / HOUR_MS)} h`;
};

/** `just now`, `5 min ago`, `yesterday`, or the date */
export const ago = (then: string | number | Date, now = Date.now()): string => {
	const ms = now - new Date(then).getTime();
	if (ms < MINUTE_MS) return 'just now';
	if (ms < HOUR_MS) return `${Math.floor(ms / MINUTE_MS)} min ago`;
	if (ms < DAY_MS) return `${Math.floor(ms / HOUR_MS)} h ago`;
	if (ms < 2 * DAY_MS) return 'yesterday';
	return new Date(then).toLocaleDateString(undefined, { day: 'numeric', month: 'short', year: 'numeric' });
};

/** One for all: making a formatter takes longer than ten thousand of its results. */
const DAY = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long', year: 'numeric' });

/** Heading of a day in the gallery: `Today`, `Yesterday`, or the date. */
export const dayOf = (then: string | number, now = new Date()): string => {
	const date = new Date(then);
	const days = Math.round((startOfDay(now) - startOfDay(date)) / DAY_MS);
	if (days === 0) return 'Today';
	if (days === 1) return 'Yesterday';
	return DAY.format(date);
};

/** Midnight before a time, in ms. */
export const startOfDay = (date: Date): number => new Date(date.getFullYear(), date.getMonth(), date.getDate()).getTime();

export const bytes = (count: number): string => {
	const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
	const power = count === 0 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(count) / 10));
	return `${(count / 1024 ** power).toFixed(power === 0 ? 0 : 1)} ${units[power]}`;
};

export const plural = (count: number, one: string, many = `${one}s`): string => `${count} ${count === 1 ? one : many}`;
