/**
 * Which pictures are shown, and how they lie on the page. Pure.
 * @module
 */
import type { GalleryImage } from '@limner/sdk';
import { dayOf, startOfDay } from '../../lib/format.ts';
import { t } from '../../strings.ts';

export type Row = { kind: 'day'; label: string } | { kind: 'images'; images: readonly GalleryImage[] };

/** Whether every word of `query` is in the prompt, model, seed or size. */
export const matches = (image: GalleryImage, query: string): boolean => {
	const text = `${image.prompt} ${image.model} ${image.seed} ${image.width}x${image.height} ${image.id}`.toLowerCase();
	return query
		.toLowerCase()
		.split(/\s+/)
		.every((word) => text.includes(word));
};

/** Rows of `columns` pictures below the days on which they were made. */
export const toRows = (images: readonly GalleryImage[], columns: number, now = new Date()): Row[] => {
	const rows: Row[] = [];
	let day: number | undefined;
	let line: GalleryImage[] = [];
	const flush = (): void => {
		if (line.length > 0) rows.push({ kind: 'images', images: line });
		line = [];
	};
	for (const image of images) {
		const start = startOfDay(new Date(image.createdAt));
		if (start !== day) {
			flush();
			rows.push({ kind: 'day', label: dayOf(image.createdAt, now) });
			day = start;
		}
		line.push(image);
		if (line.length === columns) flush();
	}
	flush();
	return rows;
};

export const MIN_TILE_PX = 170;
export const GAP_PX = 10;
export const DAY_PX = 44;

/** Columns that fit, and the height of a row of squares, in pixels. */
export const layout = (width: number): { columns: number; rowHeight: number } => {
	const columns = Math.max(2, Math.floor((width + GAP_PX) / (MIN_TILE_PX + GAP_PX)));
	return { columns, rowHeight: (width - GAP_PX * (columns - 1)) / columns + GAP_PX };
};

/** The selection after a click on `id`; with `range` everything between the last clicked one and it. */
export const select = (
	ids: readonly string[],
	selected: ReadonlySet<string>,
	id: string,
	last: string | undefined,
	range: boolean,
): ReadonlySet<string> => {
	const next = new Set(selected);
	const [a, b] = [last === undefined ? -1 : ids.indexOf(last), ids.indexOf(id)];
	if (range && a >= 0 && b >= 0) for (const one of ids.slice(Math.min(a, b), Math.max(a, b) + 1)) next.add(one);
	else if (next.has(id)) next.delete(id);
	else next.add(id);
	return next;
};

const facts = ({ prompt, model, seed, width, height }: GalleryImage) => ({
	prompt,
	model,
	seed: String(seed),
	size: `${width} × ${height}`,
});
const NAMES = { prompt: t.gallery.prompt, model: t.create.model, seed: t.create.seed, size: t.create.size };

/** What is not the same of two pictures, in words: `seed 1 → 2`. */
export const differences = (one: GalleryImage, two: GalleryImage): string[] => {
	const [a, b] = [facts(one), facts(two)];
	return (['prompt', 'model', 'seed', 'size'] as const)
		.filter((name) => a[name] !== b[name])
		.map((name) => `${NAMES[name]}: ${a[name]} → ${b[name]}`);
};
