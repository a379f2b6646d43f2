import { gzipSync } from 'node:zlib';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestGateway, type TestGateway } from '../lib/gateway.ts';
import { startTestNode, type TestNode } from '../lib/node.ts';
import { until } from '../lib/until.ts';
import { violations } from './axe.ts';
import { openStudio, startBrowser } from './browser.ts';
import { makePictures } from './pictures.ts';

let browser: Browser;
let gateway: TestGateway;
let node: TestNode;
/** In the gallery of every page that is looked at. */
const PICTURES = 1000;
/** A grid of two. */
let grid = '';

const workflow = async (body: unknown): Promise<string> => (await gateway.api<{ id: string }>('POST', '/api/v1/workflows', body)).body.id;

beforeAll(async () => {
	[browser, gateway] = await Promise.all([startBrowser(), startTestGateway()]);
	node = await startTestNode(gateway, { name: 'storybook', engine: 'mock', stepMs: 20, slots: 2 });
	await makePictures(gateway, PICTURES);
	const labels = ['grid', 'x:seed', 'y:none'];
	grid = await workflow({ jobs: [0, 1].map((i) => ({ key: `x${i}-y0`, prompt: 'a grid', seed: i, labels })) });
});
afterAll(async () => {
	await browser?.close();
	await node?.stop();
	await gateway?.stop();
});

/** What axe says of each page, with the name of the page. */
const finder = (page: Page) => {
	const found: string[] = [];
	return {
		found,
		look: async (name: string): Promise<void> => void found.push(...(await violations(page)).map((line) => `${name}: ${line}`)),
	};
};

/** Opens something that ends with Escape, and looks at it. */
const within = async (page: Page, look: (name: string) => Promise<void>, name: string, open: () => Promise<void>): Promise<void> => {
	await open();
	await page.getByRole('dialog').last().waitFor();
	await look(name);
	await page.keyboard.press('Escape');
	await page.getByRole('dialog', { name }).waitFor({ state: 'detached' });
};

/** Scrolls until every picture has been loaded. */
const loadAll = async (page: Page): Promise<void> => {
	const height = (): Promise<number> =>
		page.evaluate<number>(`{
		const grid = document.querySelector('[data-testid=grid]');
		grid.scrollTop = grid.scrollHeight;
		grid.scrollHeight;
	}`);
	await until(
		'all pictures are loaded',
		async () => {
			const before = await height();
			await page.waitForTimeout(200);
			const after = await height();
			// Six columns at most.
			return before === after && after > (PICTURES / 6) * 170 ? true : undefined;
		},
		60_000,
	);
};

const lookAtGallery = async (page: Page, look: (name: string) => Promise<void>): Promise<void> => {
	await page.getByRole('link', { name: 'Gallery', exact: true }).first().click();
	await page.getByTestId('grid').getByRole('button').first().waitFor();
	await look('gallery');
	await loadAll(page);
	await look('end of the gallery');
	await page.getByRole('button', { name: 'Select', exact: true }).click();
	const tiles = page.getByTestId('grid').getByRole('button');
	await tiles.nth(0).click();
	await tiles.nth(1).click();
	await look('selection');
	await within(page, look, 'Compare', () => page.getByRole('button', { name: 'Compare' }).click());
	await within(page, look, 'Delete these pictures?', () => page.getByRole('button', { name: 'Delete' }).click());
	await page.getByRole('button', { name: 'Select', exact: true }).click();
	await tiles.nth(0).click();
	await page.getByRole('button', { name: 'Use as source' }).waitFor();
	await look('picture');
	await within(page, look, 'Report this picture', () => page.getByRole('button', { name: 'Report', exact: true }).click());
	await page.getByRole('button', { name: 'Use as source' }).click();
	await page.getByTestId('stage').waitFor();
	await look('edit');
};

const lookAtWorkflows = async (page: Page, look: (name: string) => Promise<void>): Promise<void> => {
	await page.goto(`${gateway.url}/#/grid/${grid}`);
	await page.getByTestId('xy').locator('img[data-state=done]').first().waitFor();
	await look('a grid');
	const flow = await workflow({
		name: 'first, then long',
		jobs: [
			{ key: 'first', prompt: 'a house', steps: 2 },
			{ key: 'long', prompt: 'a house in the rain', initImage: { job: 'first' }, steps: 150, n: 16 },
		],
	});
	await page.goto(`${gateway.url}/#/workflow/${flow}`);
	await page.locator('[data-node-key="first"] img[data-state=done]').waitFor();
	await look('a workflow');
	await within(page, look, 'Cancel this step?', () =>
		page.getByRole('button', { name: 'Cancel this and all that depends on it: long' }).click(),
	);
	await page.getByRole('link', { name: 'Flows', exact: true }).click();
	await page.locator('[data-workflow]').first().waitFor();
	await look('workflows');
	await gateway.api('POST', `/api/v1/workflows/${flow}/cancel`);
};

describe.each(['light', 'dark'] as const)('accessibility, %s', (colorScheme) => {
	it('has no serious violation on any page with a thousand pictures, a running job and dialogs open', async () => {
		const { page, failures } = await openStudio(browser, gateway, { colorScheme });
		const { found, look } = finder(page);
		// Without an end of its own here.
		const long = await gateway.submit({ prompt: 'a long job', steps: 150, n: 16, width: 512, height: 512 });
		await page.locator(`article[data-job="${long.id}"][data-status="running"]`).waitFor();
		await look('create');
		await lookAtGallery(page, look);
		await page.getByRole('link', { name: 'Grid' }).click();
		await page.getByRole('button', { name: 'Make the grid' }).waitFor();
		await look('grid');
		await page.getByRole('link', { name: 'Pool' }).click();
		await page.locator('article[data-node]').first().waitFor();
		await within(page, look, 'Add a machine', async () => {
			await page.getByRole('button', { name: 'Add a machine' }).click();
			await page.getByRole('button', { name: 'Make a command' }).click();
			await page.getByText('--token').waitFor();
		});
		await within(page, look, 'Pause: storybook', () => page.getByRole('button', { name: 'Pause', exact: true }).click());
		await gateway.api('POST', `/api/v1/jobs/${long.id}/cancel`);
		await lookAtWorkflows(page, look);
		await page.getByRole('link', { name: 'Settings' }).click();
		await page.getByRole('button', { name: 'Sign out' }).waitFor();
		await look('settings');
		await page.getByRole('button', { name: 'Sign out' }).click();
		await page.getByLabel('API key', { exact: true }).waitFor();
		await look('sign in');
		expect(found).toEqual([]);
		expect(failures).toEqual([]);
		await page.context().close();
	});
});

it.each(['light', 'dark'] as const)('has no serious violation where one signs in and in the tour, %s', async (colorScheme) => {
	const invitation = await gateway.api<{ url: string }>('POST', '/api/v1/invitations', { role: 'member' });
	const { page } = await openStudio(browser, gateway, { colorScheme, tour: true });
	await page.getByRole('dialog', { name: 'Welcome to Limner' }).waitFor();
	expect(await violations(page)).toEqual([]);
	await page.goto('about:blank');
	await page.goto(invitation.body.url);
	await page.getByRole('heading', { name: /^Join / }).waitFor();
	expect(await violations(page)).toEqual([]);
	await page.goto('about:blank');
	await page.goto(`${gateway.url}/#reset=lp_x`);
	await page.getByRole('heading', { name: 'Set a new password' }).waitFor();
	expect(await violations(page)).toEqual([]);
	await page.context().close();
});

it('loads less than 200 KB of scripts at first, and nothing jumps while it does', async () => {
	const { page } = await openStudio(browser, gateway);
	await page.addInitScript(`window.shift = 0; new PerformanceObserver((list) => {
		for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shift += entry.value;
	}).observe({ type: 'layout-shift', buffered: true });`);
	await page.reload();
	await page.getByLabel('What should the picture show?').waitFor();
	await page.getByRole('combobox').first().waitFor();
	const loaded = await page.evaluate<string[]>(
		`performance.getEntriesByType('resource').map((entry) => entry.name).filter((name) => name.endsWith('.js'))`,
	);
	const sizes = await Promise.all(loaded.map(async (url) => gzipSync(new Uint8Array(await (await fetch(url)).arrayBuffer())).length));
	const total = sizes.reduce((sum, size) => sum + size, 0);
	console.log(`first load: ${(total / 1024).toFixed(0)} KiB of scripts, gzipped`);
	expect(total).toBeGreaterThan(10_000);
	expect(total).toBeLessThan(200_000);
	expect(await page.evaluate('window.shift')).toBeLessThanOrEqual(0.05);
	await page.context().close();
});
