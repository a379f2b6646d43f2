/**
 * A long list that was read page by page, kept true without reading all of it again. Pure.
 * @module
 */
import type { Page } from '@limner/sdk';

export interface Pages<T> {
	pages: Page<T>[];
	pageParams: (string | undefined)[];
}

/** The list after its first page was read anew: what is new comes in front. More news than one page begins the list anew. */
export const withFirstPage = <T extends { id: string }>(had: Pages<T>, first: Page<T>): Pages<T> => {
	const known = new Set(had.pages.flatMap(({ data }) => data.map(({ id }) => id)));
	const fresh = first.data.filter(({ id }) => !known.has(id));
	const [head, ...rest] = had.pages;
	if (head === undefined || (fresh.length === first.data.length && first.nextCursor !== null))
		return { pages: [first], pageParams: [undefined] };
	if (fresh.length === 0) return had;
	return { ...had, pages: [{ ...head, data: [...fresh, ...head.data] }, ...rest] };
};

export const withoutIds = <T extends { id: string }>(had: Pages<T>, ids: ReadonlySet<string>): Pages<T> => ({
	...had,
	pages: had.pages.map((page) => ({ ...page, data: page.data.filter(({ id }) => !ids.has(id)) })),
});
