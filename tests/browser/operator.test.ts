import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestGateway, type TestGateway } from '../lib/gateway.ts';
import { startTestNode, type TestNode } from '../lib/node.ts';
import { until } from '../lib/until.ts';
import { openStudio, startBrowser } from './browser.ts';
import { openPool, openTab } from './pool-pages.ts';

let browser: Browser;
let gateway: TestGateway;
let node: TestNode;

beforeAll(async () => {
	[browser, gateway] = await Promise.all([startBrowser(), startTestGateway()]);
	node = await startTestNode(gateway, { name: 'bench', stepMs: 10 });
});
afterAll(async () => {
	await browser?.close();
	await node?.stop();
	await gateway?.stop();
});

const dialog = (page: Page) => page.getByRole('dialog');
const get = async <T>(path: string): Promise<T> => (await gateway.api<T>('GET', `/api/v1${path}`)).body;

interface Rules {
	effective: { nodeOffline: { afterMs: number; severity: string }; poison: { enabled: boolean } };
	own: Record<string, unknown>;
}

describe('what an operator does in the studio', () => {
	it('sets the rules of alerts, and goes back to those of the gateway', async () => {
		const { page, failures } = await openStudio(browser, gateway);
		await openPool(page);
		await openTab(page, 'Alerts', 'text=No alerts.');
		await page.getByRole('button', { name: 'Rules' }).click();
		const away = dialog(page).locator('[data-rule="nodeOffline"]');
		await away.getByLabel('After (minutes)').fill('');
		expect(await dialog(page).getByRole('button', { name: 'Save the rules' }).getAttribute('aria-disabled')).toBe('true');
		await away.getByLabel('After (minutes)').fill('3');
		await away.getByLabel('Severity').selectOption('P3');
		await dialog(page).getByLabel('A job took several machines down').uncheck();
		await dialog(page).getByRole('button', { name: 'Save the rules' }).click();
		await dialog(page).waitFor({ state: 'detached' });
		const set = await get<Rules>('/alerts/rules');
		expect(set.effective).toMatchObject({ nodeOffline: { afterMs: 180_000, severity: 'P3' }, poison: { enabled: false } });
		expect(set.own).toEqual({ nodeOffline: { afterMs: 180_000, severity: 'P3' }, poison: { enabled: false } });

		await page.getByRole('button', { name: 'Rules' }).click();
		await dialog(page).getByRole('button', { name: 'Follow the gateway again' }).click();
		await dialog(page).waitFor({ state: 'detached' });
		expect((await get<Rules>('/alerts/rules')).own).toEqual({});
		expect(failures).toEqual([]);
		await page.context().close();
	});

	it('reports pictures, lets one stay, and takes one down for good', async () => {
		for (const seed of [1, 2]) await gateway.jobEnded((await gateway.submit({ prompt: `a castle ${seed}`, seed, steps: 2 })).id);
		const { page, failures } = await openStudio(browser, gateway);
		await page.getByRole('link', { name: 'Gallery', exact: true }).first().click();
		for (const seed of [1, 2]) {
			await page
				.getByTestId('grid')
				.getByRole('button', { name: `a castle ${seed}` })
				.click();
			await page.getByRole('button', { name: 'Report', exact: true }).click();
			const form = page.getByRole('dialog', { name: 'Report this picture' });
			await form.getByLabel('What is wrong with it').selectOption('copyright');
			await form.getByLabel('In your words').fill(`It is mine, number ${seed}.`);
			await form.getByRole('button', { name: 'Send the report' }).click();
			await form.waitFor({ state: 'detached' });
			await page.keyboard.press('Escape');
			await dialog(page).waitFor({ state: 'detached' });
		}
		await openPool(page);
		await openTab(page, 'Reports', '[data-report]');
		const first = page.locator('[data-report]', { hasText: 'number 1' });
		await first.getByText('the gateway’s first key').waitFor();
		await first.getByRole('button', { name: 'It may stay' }).click();
		await dialog(page).getByRole('button', { name: 'It may stay' }).click();
		await first.waitFor({ state: 'detached' });
		const second = page.locator('[data-report]', { hasText: 'number 2' });
		await second.getByRole('button', { name: 'Take it down' }).click();
		expect(await dialog(page).getByRole('button', { name: 'Take it down' }).getAttribute('aria-disabled')).toBe('true');
		await dialog(page).getByLabel('Reason').fill('Its painter asked for it.');
		await dialog(page).getByRole('button', { name: 'Take it down' }).click();
		await second.waitFor({ state: 'detached' });
		await page.getByLabel('State').selectOption('taken-down');
		await page.locator('[data-report][data-state="taken-down"]').getByText('Its painter asked for it.').waitFor();
		const left = (await get<{ data: { prompt: string }[] }>('/images')).data.map(({ prompt }) => prompt);
		expect(left).toEqual(['a castle 1']);
		await page.getByRole('link', { name: 'Gallery', exact: true }).first().click();
		await page.getByTestId('grid').getByRole('button', { name: 'a castle 1' }).waitFor();
		await page.getByTestId('grid').getByRole('button', { name: 'a castle 2' }).waitFor({ state: 'detached' });
		expect(failures).toEqual([]);
		await page.context().close();
	});

	it('renames a workspace, sets its limits, and makes another one with the link for its owner', async () => {
		const { page, failures } = await openStudio(browser, gateway);
		await openPool(page);
		await openTab(page, 'Workspace', '[data-workspace-entry]');
		await page.getByRole('button', { name: 'Rename' }).click();
		await dialog(page).getByLabel('Name').fill('Studio North');
		await dialog(page).getByRole('button', { name: 'Rename' }).click();
		await page.getByText('Studio North', { exact: true }).waitFor();
		await page.getByRole('button', { name: 'Change the limits' }).click();
		await dialog(page).getByLabel('Pictures a day').fill('500');
		await dialog(page).getByLabel('Storage (GiB)').fill('2');
		await dialog(page).getByRole('button', { name: 'Save', exact: true }).click();
		await page.getByText('500 pictures a day, 2 GiB of pictures').waitFor();
		const { id } = (await get<{ data: { id: string }[] }>('/workspaces')).data[0] ?? { id: '' };
		expect(await get(`/workspaces/${id}`)).toMatchObject({
			name: 'Studio North',
			limits: { day: { images: 500 }, storageBytes: 2 * 1024 ** 3 },
		});

		await page.getByRole('button', { name: 'New workspace' }).click();
		await dialog(page).getByLabel('Name').fill('The attic');
		await dialog(page).getByRole('button', { name: 'Make the workspace' }).click();
		const link = (await page.getByRole('dialog', { name: 'The owner’s link' }).locator('code').textContent()) ?? '';
		await page.keyboard.press('Escape');
		const made = await until('it is listed', async () => (await page.locator('[data-workspace-entry]').count()) === 2 || undefined);
		expect(made).toBe(true);
		const code = /#invitation=(\S+)/.exec(link)?.[1];
		const preview = await gateway.api<{ workspaceName: string; role: string }>('POST', '/api/v1/invitations/preview', { invitation: code });
		expect(preview.body).toMatchObject({ workspaceName: 'The attic', role: 'owner' });
		expect(failures).toEqual([]);
		await page.context().close();
	});
});
