import sharp from 'sharp';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestGateway, type TestGateway } from '../lib/gateway.ts';
import { startTestNode, type TestNode } from '../lib/node.ts';
import { until } from '../lib/until.ts';
import { openStudio, startBrowser } from './browser.ts';
import { nativePx } from '../../node-agent/src/models/embedded.test-lib.ts';

const SIDE = nativePx();

let browser: Browser;
let gateway: TestGateway;
let node: TestNode;

beforeAll(async () => {
	[browser, gateway] = await Promise.all([startBrowser(), startTestGateway()]);
	node = await startTestNode(gateway, { name: 'storybook', engine: 'onnx' });
});
afterAll(async () => {
	await browser?.close();
	await node?.stop();
	await gateway?.stop();
});

const make = async (page: Page, prompt: string): Promise<string> => {
	await page.getByLabel('What should the picture show?').fill(prompt);
	await page.getByRole('button', { name: 'Make a picture' }).click();
	const tile = page.locator('article[data-job^="job_"]').first();
	await tile.waitFor();
	return (await tile.getAttribute('data-job')) ?? '';
};

const finished = (page: Page, job: string): Promise<void> =>
	page.locator(`article[data-job="${job}"][data-status="succeeded"]`).waitFor({ timeout: 60_000 });
const rgb = (bytes: Uint8Array): Promise<Buffer> => sharp(bytes).removeAlpha().raw().toBuffer();
/** Where two pictures differ. */
const changedPixels = (before: Buffer, after: Buffer, width: number): [x: number, y: number][] => {
	const changed: [number, number][] = [];
	for (let at = 0; at < before.length; at += 3) {
		if (before.compare(after, at, at + 3, at, at + 3) !== 0) changed.push([(at / 3) % width, Math.floor(at / 3 / width)]);
	}
	return changed;
};
const imageBytes = async (job: string): Promise<Uint8Array> => {
	const response = await fetch(`${gateway.url}/api/v1/jobs/${job}/images/0`, { headers: { authorization: `Bearer ${gateway.key}` } });
	expect(response.status).toBe(200);
	return new Uint8Array(await response.arrayBuffer());
};

describe('the studio', () => {
	it('refuses a key that is none, in words, and signs in with a good one', async () => {
		const context = await browser.newContext();
		await context.addInitScript(`localStorage.setItem('limner.toured', 'true')`);
		const page = await context.newPage();
		await page.goto(gateway.url);
		await page.getByLabel('API key').fill('lk_main_nonsense');
		await page.getByRole('button', { name: 'Sign in' }).click();
		expect(await page.getByRole('alert').textContent()).toMatch(/does not know this key|not/);
		await page.getByLabel('API key').fill(gateway.key);
		await page.getByRole('button', { name: 'Sign in' }).click();
		await page.getByLabel('What should the picture show?').waitFor();
		expect(page.url()).not.toContain(gateway.key);
		await page.context().close();
	});

	it('goes from an example to a picture with one click, and recalls its settings', async () => {
		const { page, failures } = await openStudio(browser, gateway);
		expect(await page.getByRole('button', { name: 'Make a picture' }).isDisabled()).toBe(true);
		expect(await page.locator('#why-not').textContent()).toContain('Write what the picture should show.');
		await page.getByRole('button', { name: 'a lighthouse on a cliff at sunset' }).click();
		const tile = page.locator('article[data-status="succeeded"]');
		await tile.waitFor({ timeout: 60_000 });
		expect(await tile.locator('img').evaluate((image: { naturalWidth: number }) => image.naturalWidth)).toBe(SIDE);
		await page.getByRole('link', { name: 'Gallery', exact: true }).first().click();
		await page.getByTestId('grid').getByRole('button', { name: 'a lighthouse on a cliff at sunset' }).click();
		await page.getByRole('button', { name: 'Use all settings' }).click();
		const seed = await page.getByLabel('Seed', { exact: true }).inputValue();
		expect(seed).toMatch(/^\d+$/);
		await page.getByRole('button', { name: 'Make a picture' }).click();
		await until(
			'two pictures',
			async () => ((await page.locator('article[data-status="succeeded"]').count()) === 2 ? true : undefined),
			60_000,
		);
		// The gallery hears of a picture when the pool has settled with the workspace.
		const images = await until('both in the gallery', async () => {
			const { body } = await gateway.api<{ data: { sha256: string; seed: number }[] }>('GET', '/api/v1/images');
			return body.data.length === 2 ? body.data : undefined;
		});
		expect(images.map((image) => String(image.seed))).toEqual([seed, seed]);
		expect(new Set(images.map((image) => image.sha256)).size).toBe(1);
		expect(failures).toEqual([]);
		await page.context().close();
	});

	it('cancels, and shows a job again after a reload', async () => {
		const { page } = await openStudio(browser, gateway);
		// Large and long: nothing that ends by itself here.
		const job = await gateway.submit({ prompt: 'a castle', width: 512, height: 512, steps: 150 });
		await page.locator(`article[data-job="${job.id}"]`).waitFor();
		await page.reload();
		const tile = page.locator(`article[data-job="${job.id}"]`);
		await tile.waitFor();
		await tile.getByRole('button', { name: 'Cancel' }).click();
		await page.locator(`article[data-job="${job.id}"][data-status="canceled"]`).waitFor();
		expect((await gateway.jobEnded(job.id)).state).toBe('canceled');
		await page.context().close();
	});

	it('fills a mask that was drawn by mouse, and leaves everything else as it was', async () => {
		const { page, failures } = await openStudio(browser, gateway);
		const first = await make(page, 'a cottage in a meadow');
		await finished(page, first);
		await page.getByRole('link', { name: 'Gallery', exact: true }).first().click();
		await page.getByTestId('grid').getByRole('button', { name: 'a cottage in a meadow' }).first().click();
		await page.getByRole('button', { name: 'Use as source' }).click();
		await page.getByRole('button', { name: 'Rectangle (R)' }).click();
		const box = (await page.getByTestId('picture').boundingBox())!;
		await page.mouse.move(box.x + box.width * 0.25, box.y + box.height * 0.25);
		await page.mouse.down();
		await page.mouse.move(box.x + box.width * 0.75, box.y + box.height * 0.75, { steps: 5 });
		await page.mouse.up();
		await page.getByLabel('What should the picture show?').fill('a red rocket');
		await page.getByRole('button', { name: 'Fill the marked area' }).click();
		await page.getByTestId('candidate').waitFor({ timeout: 60_000 });
		const jobs = await gateway.api<{ data: { id: string; request: object }[] }>('GET', '/api/v1/jobs?limit=1');
		expect(jobs.body.data[0]?.request).toMatchObject({ task: 'inpaint', model: 'storybook-inpaint', strength: 1 });
		const [before, after] = await Promise.all([rgb(await imageBytes(first)), rgb(await imageBytes(jobs.body.data[0]!.id))]);
		const changed = changedPixels(before, after, SIDE);
		// The mark's edges fall between pixels.
		expect(changed.filter(([x, y]) => Math.min(x, y) < SIDE / 4 - 1 || Math.max(x, y) > (SIDE * 3) / 4)).toEqual([]);
		expect(changed.length).toBeGreaterThan((SIDE * SIDE) / 8);
		expect(failures).toEqual([]);
		await page.context().close();
	});

	it('shows the machines, and asks before it pauses one', async () => {
		const { page } = await openStudio(browser, gateway);
		await page.getByRole('link', { name: 'Pool' }).click();
		const card = page.locator('article[data-node]');
		await card.getByRole('button', { name: 'Pause' }).click();
		await page.getByRole('dialog').getByRole('button', { name: 'Pause' }).click();
		await page.locator('article[data-node][data-mode="paused"]').waitFor();
		await card.getByRole('button', { name: 'Resume' }).click();
		await page.locator('article[data-node][data-mode="active"]').waitFor();
		expect(await card.getByRole('button', { name: 'Resume' }).count()).toBe(0);
		await page.context().close();
	});

	it('works on a phone: prompt, settings in a sheet, a picture', async () => {
		const { page } = await openStudio(browser, gateway, { viewport: { width: 390, height: 844 }, hasTouch: true, isMobile: true });
		await page.getByRole('button', { name: 'More settings' }).tap();
		await page.getByRole('dialog').getByLabel('Seed', { exact: true }).fill('12');
		await page.keyboard.press('Escape');
		const job = await make(page, 'a barn on a hill');
		await finished(page, job);
		expect((await gateway.job(job)).images[0]?.seed).toBe(12);
		const wide = await page.evaluate('document.documentElement.scrollWidth');
		expect(wide).toBeLessThanOrEqual(390);
		await page.context().close();
	});

	it('leads from the first visit to a picture with one click, once, by keyboard as well', async () => {
		const { page, failures } = await openStudio(browser, gateway, { tour: true });
		const dialog = page.getByRole('dialog', { name: 'Welcome to Limner' });
		await dialog.waitFor();
		expect(await dialog.textContent()).toContain('1 of 4');
		// What has the focus is inside of the dialog, and Tab does not leave it.
		for (let i = 0; i < 8; i++) {
			await page.keyboard.press('Tab');
			expect(await page.evaluate(`document.querySelector('[role=dialog]').contains(document.activeElement)`)).toBe(true);
		}
		await page.getByRole('button', { name: 'Next' }).press('Enter');
		await page.getByRole('dialog', { name: 'Start from a picture' }).waitFor();
		await page.getByRole('button', { name: 'Make my first picture' }).press('Enter');
		await page.locator('article[data-status="succeeded"] img').first().waitFor({ timeout: 60_000 });
		expect(await page.getByRole('dialog').count()).toBe(0);
		await page.reload();
		await page.getByRole('combobox').first().waitFor();
		expect(await page.getByRole('dialog').count()).toBe(0);
		await page.getByRole('link', { name: 'Settings' }).click();
		await page.getByRole('button', { name: 'Show the tour again' }).click();
		await page.getByRole('dialog', { name: 'Welcome to Limner' }).waitFor();
		await page.keyboard.press('Escape');
		await page.getByRole('dialog').waitFor({ state: 'detached' });
		expect(await page.evaluate(`localStorage.getItem('limner.toured')`)).toBe('true');
		expect(failures).toEqual([]);
		await page.context().close();
	});
});
