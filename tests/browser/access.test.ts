import { gzipSync } from 'node:zlib';
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestGateway, type TestGateway } from '../lib/gateway.ts';
import { startTestNode, type TestNode } from '../lib/node.ts';
import { violations } from './axe.ts';
import { openStudio, startBrowser } from './browser.ts';

let browser: Browser;
let gateway: TestGateway;
let node: TestNode;
/** A grid of two. */
let grid = '';

const workflow = async (body: unknown): Promise<string> => (await gateway.api<{ id: string }>('POST', '/api/v1/workflows', body)).body.id;

beforeAll(async () => {
	[browser, gateway] = await Promise.all([startBrowser(), startTestGateway()]);
	node = await startTestNode(gateway, { name: 'storybook', engine: 'mock', stepMs: 20, slots: 2 });
	const jobs = await Promise.all([1, 2, 3].map((seed) => gateway.submit({ prompt: `a red castle number ${seed}`, seed, n: 16 })));
	for (const job of jobs) await gateway.jobEnded(job.id);
	const labels = ['grid', 'x:seed', 'y:none'];
	grid = await workflow({ jobs: [0, 1].map((i) => ({ key: `x${i}-y0`, prompt: 'a grid', seed: i, labels })) });
});
afterAll(async () => {
	await browser?.close();
	await node?.stop();
	await gateway?.stop();
});

describe.each(['light', 'dark'] as const)('accessibility, %s', (colorScheme) => {
	it('has no serious violation on any page, with dialogs open and a job running', async () => {
		const { page } = await openStudio(browser, gateway, { colorScheme });
		const long = await gateway.submit({ prompt: 'a long job', steps: 150, n: 4 });
		await page.locator(`article[data-job="${long.id}"]`).waitFor();
		expect(await violations(page)).toEqual([]);
		await page.getByRole('link', { name: 'Gallery', exact: true }).first().click();
		await page.getByTestId('grid').getByRole('button').first().waitFor();
		expect(await violations(page)).toEqual([]);
		await page.getByTestId('grid').getByRole('button').first().click();
		await page.getByRole('dialog').waitFor();
		expect(await violations(page)).toEqual([]);
		await page.getByRole('button', { name: 'Use as source' }).click();
		await page.getByTestId('stage').waitFor();
		expect(await violations(page)).toEqual([]);
		await page.getByRole('link', { name: 'Grid' }).click();
		await page.getByRole('button', { name: 'Make the grid' }).waitFor();
		expect(await violations(page)).toEqual([]);
		await page.goto(`${gateway.url}/#/grid/${grid}`);
		await page.getByTestId('xy').locator('img[data-state=done]').first().waitFor();
		expect(await violations(page)).toEqual([]);
		await gateway.api('POST', `/api/v1/jobs/${long.id}/cancel`);
		const flow = await workflow({
			name: 'first, then long',
			jobs: [
				{ key: 'first', prompt: 'a house', steps: 2 },
				{ key: 'long', prompt: 'a house in the rain', initImage: { job: 'first' }, steps: 150, n: 16 },
			],
		});
		await page.goto(`${gateway.url}/#/workflow/${flow}`);
		await page.locator('[data-node-key="first"] img[data-state=done]').waitFor();
		expect(await violations(page)).toEqual([]);
		await page.getByRole('button', { name: 'Cancel this and all that depends on it: long' }).click();
		await page.getByRole('dialog').waitFor();
		expect(await violations(page)).toEqual([]);
		await page.keyboard.press('Escape');
		await page.getByRole('link', { name: 'Flows', exact: true }).click();
		await page.locator('[data-workflow]').first().waitFor();
		expect(await violations(page)).toEqual([]);
		await page.getByRole('link', { name: 'Pool' }).click();
		await page.locator('article[data-node]').first().waitFor();
		await page.getByRole('button', { name: 'Add a machine' }).click();
		await page.getByRole('button', { name: 'Make a command' }).click();
		await page.getByText('--token').waitFor();
		expect(await violations(page)).toEqual([]);
		await page.keyboard.press('Escape');
		await page.getByRole('link', { name: 'Settings' }).click();
		await page.getByRole('button', { name: 'Sign out' }).waitFor();
		expect(await violations(page)).toEqual([]);
		await page.getByRole('button', { name: 'Sign out' }).click();
		await page.getByLabel('API key', { exact: true }).waitFor();
		expect(await violations(page)).toEqual([]);
		await gateway.api('POST', `/api/v1/workflows/${flow}/cancel`);
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
