import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestGateway, type TestGateway } from '../lib/gateway.ts';
import { startTestNode, type TestNode } from '../lib/node.ts';
import { violations } from './axe.ts';
import { openStudio, startBrowser } from './browser.ts';
import { makePictures } from './pictures.ts';
import { openPool, openTab, POOL_TABS, populate, reportOne, startReceiver, useUpQuota, walkPool } from './pool-pages.ts';

let browser: Browser;
let gateway: TestGateway;
let node: TestNode;
let receiver: Awaited<ReturnType<typeof startReceiver>>;

beforeAll(async () => {
	receiver = await startReceiver();
	[browser, gateway] = await Promise.all([startBrowser(), startTestGateway({ WEBHOOK_ALLOW_PRIVATE: 'true', SIGNUP: 'invite' })]);
	node = await startTestNode(gateway, { name: 'bench', stepMs: 20, slots: 2 });
	await populate(gateway, receiver.url);
	await makePictures(gateway, 1000);
	await reportOne(gateway);
	for (let i = 0; i < 8; i++) await gateway.submit({ prompt: `a long job ${i}`, steps: 150, n: 16 });
	await useUpQuota(gateway);
});
afterAll(async () => {
	await browser?.close();
	await node?.stop();
	await gateway?.stop();
	await receiver?.stop();
});

/** The dialogs of the tabs, by the button that opens each. */
const DIALOGS: readonly (readonly [string, string])[] = [
	['Alerts', 'Rules'],
	['Reports', 'Take it down'],
	['Reports', 'It may stay'],
	['Usage', 'Reserve'],
	['Usage', 'Release: Exhibition on Friday'],
	['Keys', 'New key'],
	['Keys', 'Change: Nightly batch'],
	['Keys', 'Rotate: Nightly batch'],
	['Keys', 'Revoke: Nightly batch'],
	['Webhooks', 'New webhook'],
	['Members', 'Invite'],
	['Members', 'Make owner: Ben'],
	['Workspace', 'Rename'],
	['Workspace', 'Change the limits'],
	['Workspace', 'New workspace'],
	['Join tokens', 'New token'],
];

const watchShifts = (page: Page): Promise<unknown> =>
	page.addInitScript(`window.shift = 0; new PerformanceObserver((list) => {
		for (const entry of list.getEntries()) if (!entry.hadRecentInput) window.shift += entry.value;
	}).observe({ type: 'layout-shift', buffered: true });`);

describe.each(['light', 'dark'] as const)('accessibility of the pool’s pages, %s', (colorScheme) => {
	it('has no serious violation on any of them, populated, with dialogs open', async () => {
		const { page, failures } = await openStudio(browser, gateway, { colorScheme });
		const found: string[] = [];
		const look = async (name: string): Promise<void> => void found.push(...(await violations(page)).map((line) => `${name}: ${line}`));
		await openPool(page);
		await page.locator('[data-queued]').first().waitFor();
		await look('machines');
		await walkPool(page, look);
		for (const [tab, button] of DIALOGS) {
			await openTab(page, tab, 'h1');
			await page.getByRole('button', { name: button, exact: true }).click();
			await page.getByRole('dialog').waitFor();
			await look(`${tab}, ${button}`);
			await page.keyboard.press('Escape');
			await page.getByRole('dialog').waitFor({ state: 'detached' });
		}
		expect(found).toEqual([]);
		expect(failures).toEqual([]);
		await page.context().close();
	});
});

it('fits a phone: nothing is wider than the screen, and nothing jumps while a page loads', async () => {
	const { page } = await openStudio(browser, gateway, { viewport: { width: 390, height: 844 }, isMobile: true, hasTouch: true });
	await watchShifts(page);
	// What stands at the top comes last: nothing below it may have been there before.
	await page.route(/\/api\/v1\/(resources\/quotas|workspaces\/[^/]+(\/members)?)$/, async (route) => {
		await page.waitForTimeout(700);
		await route.continue();
	});
	const shifts: Record<string, number> = {};
	for (const [name, there] of [['', 'article[data-node]'] as const, ...POOL_TABS]) {
		const path = name === '' ? '' : `/${name === 'Join tokens' ? 'tokens' : name.toLowerCase()}`;
		await page.goto(`${gateway.url}/#/pool${path}`);
		await page.reload();
		await page.locator(there).first().waitFor();
		await page.waitForTimeout(1_000);
		shifts[name] = Math.round((await page.evaluate<number>('window.shift')) * 1000) / 1000;
		expect(await page.evaluate('document.documentElement.scrollWidth <= innerWidth')).toBe(true);
		expect(await page.evaluate(`document.querySelector('main').scrollWidth <= innerWidth`), name).toBe(true);
	}
	console.log('layout shift', JSON.stringify(shifts));
	for (const shift of Object.values(shifts)) expect(shift).toBeLessThanOrEqual(0.05);
	await page.context().close();
});

it('is worked with the keyboard alone', async () => {
	const { page } = await openStudio(browser, gateway);
	await openPool(page);
	await page.getByRole('link', { name: 'Keys', exact: true }).focus();
	await page.keyboard.press('Enter');
	await page.getByRole('button', { name: 'New key' }).focus();
	await page.keyboard.press('Enter');
	await page.getByRole('dialog').waitFor();
	await page.keyboard.type('By keyboard');
	await page.keyboard.press('Enter');
	await page.getByRole('dialog', { name: 'The new key' }).waitFor();
	await page.keyboard.press('Escape');
	const row = page.locator('[data-key]', { hasText: 'By keyboard' });
	await row.getByRole('button', { name: /^Revoke/ }).focus();
	await page.keyboard.press('Enter');
	await page.getByRole('dialog').getByRole('button', { name: 'Revoke', exact: true }).focus();
	await page.keyboard.press('Enter');
	await row.waitFor({ state: 'detached' });
	const keys = (await gateway.api<{ data: { name: string; revokedAt: string | null }[] }>('GET', '/api/v1/keys')).body.data;
	expect(keys.find(({ name }) => name === 'By keyboard')?.revokedAt).not.toBeNull();
	await page.context().close();
});
