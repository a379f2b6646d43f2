import { readFile } from 'node:fs/promises';
import type { Browser } from 'playwright-core';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestGateway, type TestGateway } from '../lib/gateway.ts';
import { startTestNode, type TestNode } from '../lib/node.ts';
import { until } from '../lib/until.ts';
import { openStudio, startBrowser } from './browser.ts';

let browser: Browser;
let gateway: TestGateway;
let node: TestNode;

beforeAll(async () => {
	[browser, gateway] = await Promise.all([startBrowser(), startTestGateway()]);
	node = await startTestNode(gateway, { name: 'storybook', engine: 'mock', stepMs: 20, slots: 2 });
});
afterAll(async () => {
	await browser?.close();
	await node?.stop();
	await gateway?.stop();
});

interface WorkflowBody {
	state: string;
	jobs: { key: string; state: string; request: { seed: number; steps: number; task: string } }[];
}
const idOf = (url: string): string => /wf_\w+/.exec(url)?.[0] ?? '';
const read = async (id: string): Promise<WorkflowBody> => (await gateway.api<WorkflowBody>('GET', `/api/v1/workflows/${id}`)).body;

describe('grids and workflows in the studio', () => {
	it('makes a grid as one workflow, fills its table, and saves it as one picture', async () => {
		const { page, failures } = await openStudio(browser, gateway);
		await page.getByRole('link', { name: 'Grid' }).click();
		// The page before has a field of the same name.
		await page.getByRole('button', { name: 'Make the grid' }).waitFor();
		await page.getByLabel('What should the picture show?').fill('a red castle');
		await page.getByLabel('Across', { exact: true }).selectOption('seed');
		await page.getByLabel('Across: Values', { exact: true }).fill('11, 12, 13');
		await page.getByLabel('Down', { exact: true }).selectOption('steps');
		await page.getByLabel('Down: Values', { exact: true }).fill('3, 0');
		expect(await page.getByRole('button', { name: 'Make the grid' }).isDisabled()).toBe(true);
		expect(await page.locator('#grid-why').textContent()).toContain('“0” is no value for Steps');
		await page.getByLabel('Down: Values', { exact: true }).fill('3..6:3');
		expect(await page.locator('#grid-why').textContent()).toContain('3 × 2 = 6');
		await page.getByRole('button', { name: 'Make the grid' }).click();
		await page.getByTestId('xy').waitFor();
		expect(await page.getByRole('columnheader').allTextContents()).toEqual(['Seed 11', 'Seed 12', 'Seed 13']);
		expect(await page.getByRole('rowheader').allTextContents()).toEqual(['Steps 3', 'Steps 6']);
		await page.locator('[data-workflow-state="succeeded"]').waitFor({ timeout: 60_000 });
		expect(await page.locator('[data-testid=xy] img[data-state=done]').count()).toBe(6);
		const { jobs } = await read(idOf(page.url()));
		expect(jobs.map(({ request }) => `${request.seed} ${request.steps}`)).toEqual(['11 3', '12 3', '13 3', '11 6', '12 6', '13 6']);

		// Another visit to the same address shows the same table.
		await page.reload();
		expect(await page.getByTestId('xy').locator('img[data-state=done]').nth(5).getAttribute('width')).toBeTruthy();
		const [download] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Save as PNG' }).click()]);
		const png = await readFile((await download.path()) ?? '');
		const { width, height } = await sharp(png).metadata();
		expect(width).toBeGreaterThan(3 * 96);
		expect(height).toBeGreaterThan(2 * 96);
		// Six pictures of noise colours on white: far more colours than labels alone would have.
		const raw = await sharp(png).removeAlpha().raw().toBuffer();
		const colours = new Set(Array.from({ length: raw.length / 3 }, (_, i) => raw.readUIntBE(i * 3, 3)));
		expect(colours.size).toBeGreaterThan(300);
		await page.locator('[data-cell="1,0"]').getByRole('button').click();
		await page.getByRole('dialog').getByText('12', { exact: true }).waitFor();
		expect(failures).toEqual([]);
		await page.context().close();
	});

	it('composes a workflow, shows its graph by its address, and cancels a step with what depends on it', async () => {
		const { page, failures } = await openStudio(browser, gateway);
		await page.getByRole('link', { name: 'Flows' }).click();
		expect(await page.getByRole('button', { name: 'Start the workflow' }).isDisabled()).toBe(true);
		await page.getByLabel('Step 1', { exact: true }).getByRole('textbox').fill('a red house');
		await page.getByLabel('Step 2', { exact: true }).getByRole('textbox').fill('a red house in the rain');
		await page.getByLabel('Name').fill('rain comes');
		await page.getByRole('button', { name: 'Start the workflow' }).click();
		await page.locator('[data-workflow-state="succeeded"]').waitFor({ timeout: 60_000 });
		const first = await read(idOf(page.url()));
		expect(first.jobs.map(({ key, request }) => `${key} ${request.task}`)).toEqual(['step-1 txt2img', 'step-2 img2img']);
		expect(await page.locator('[data-node-key] img[data-state=done]').count()).toBe(2);

		const made = await gateway.api<{ id: string }>('POST', '/api/v1/workflows', {
			name: 'never ends',
			jobs: [
				{ key: 'long', prompt: 'a long one', steps: 150, width: 1024, height: 1024 },
				{ key: 'next', prompt: 'after it', initImage: { job: 'long' } },
				{ key: 'last', prompt: 'after that', initImage: { job: 'next' } },
				{ key: 'free', prompt: 'on its own', steps: 2 },
			],
		});
		await page.goto(`${gateway.url}/#/workflow/${made.body.id}`);
		await page.locator('[data-node-key="free"][data-state="succeeded"]').waitFor({ timeout: 60_000 });
		expect(await page.locator('svg path[stroke-dasharray]').count()).toBe(2);
		await page.locator('[data-node-key="next"]').getByRole('button').click();
		const dialog = page.getByRole('dialog');
		expect(await dialog.textContent()).toContain('last');
		await dialog.getByRole('button', { name: 'Cancel them' }).click();
		await page.locator('[data-node-key="last"][data-state="canceled"]').waitFor();
		await page.locator('[data-node-key="next"][data-state="canceled"]').waitFor();
		expect(['queued', 'running']).toContain((await read(made.body.id)).jobs.find(({ key }) => key === 'long')?.state);
		await page.getByRole('button', { name: 'Cancel the rest' }).click();
		await until('it ends', async () => ((await read(made.body.id)).state === 'canceled' ? true : undefined));
		await page.getByRole('link', { name: 'All workflows' }).click();
		await page.locator(`[data-workflow="${made.body.id}"]`).getByText('never ends').waitFor();
		expect(failures).toEqual([]);
		await page.context().close();
	});
});
