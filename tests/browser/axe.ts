/**
 * What axe-core finds on a page.
 * @module
 */
import axe from 'axe-core';
import type { Page } from 'playwright-core';

interface Violation {
	id: string;
	impact: string | null;
	nodes: { html: string }[];
}

/** Serious and critical violations, as lines that say where. */
export const violations = async (page: Page): Promise<string[]> => {
	await page.evaluate(axe.source);
	const { violations: found } = await page.evaluate<{ violations: Violation[] }>('axe.run(document, { resultTypes: ["violations"] })');
	return found
		.filter(({ impact }) => impact === 'serious' || impact === 'critical')
		.flatMap(({ id, nodes }) => nodes.slice(0, 3).map(({ html }) => `${id}: ${html.slice(0, 160)}`));
};
