import { describe, expect, it } from 'vitest';
import { withFirstPage, withoutIds, type Pages } from './pages.ts';

const page = (ids: string, nextCursor: string | null = null) => ({ data: ids.split('').map((id) => ({ id })), nextCursor });
const list = (...pages: ReturnType<typeof page>[]): Pages<{ id: string }> => ({ pages, pageParams: pages.map(() => undefined) });
const ids = ({ pages }: Pages<{ id: string }>): string => pages.map(({ data }) => data.map(({ id }) => id).join('')).join('|');

describe('a list read page by page', () => {
	it('takes new entries in front, each once', () => {
		expect(ids(withFirstPage(list(page('cd', 'x'), page('ef')), page('abc', 'y')))).toBe('abcd|ef');
	});

	it('stays the same object when nothing is new', () => {
		const had = list(page('cd', 'x'));
		expect(withFirstPage(had, page('cd', 'x'))).toBe(had);
	});

	it('begins anew when more came than one page shows', () => {
		expect(ids(withFirstPage(list(page('cd', 'x')), page('ab', 'y')))).toBe('ab');
		expect(ids(withFirstPage(list(page('')), page('ab')))).toBe('ab');
	});

	it('forgets what was deleted', () => {
		expect(ids(withoutIds(list(page('cd', 'x'), page('ef')), new Set(['c', 'f'])))).toBe('d|e');
	});
});
