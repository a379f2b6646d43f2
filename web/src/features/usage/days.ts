/**
 * A series with its empty days, so that a chart does not skip them. Pure.
 * @module
 */
import type { UsagePoint } from '@limner/sdk';

const DAY_MS = 86_400_000;

/** Pictures of each day from `from` to `to` (UTC, both included). */
export const everyDay = (series: readonly UsagePoint[], from: string, to: string): { day: string; images: number }[] => {
	const known = new Map(series.map(({ day, images }) => [day, images]));
	const [first, last] = [Date.parse(`${from}T00:00:00Z`), Date.parse(`${to}T00:00:00Z`)];
	return Array.from({ length: Math.max(0, Math.round((last - first) / DAY_MS) + 1) }, (_, i) => {
		const day = new Date(first + i * DAY_MS).toISOString().slice(0, 10);
		return { day, images: known.get(day) ?? 0 };
	});
};
