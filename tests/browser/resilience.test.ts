import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestGateway, type TestGateway } from '../lib/gateway.ts';
import { startTestNode, type TestNode } from '../lib/node.ts';
import { until } from '../lib/until.ts';
import { openStudio, startBrowser } from './browser.ts';

let browser: Browser;
let gateway: TestGateway;
const nodes: TestNode[] = [];

beforeAll(async () => {
	[browser, gateway] = await Promise.all([startBrowser(), startTestGateway()]);
	nodes.push(...(await Promise.all(['a', 'b'].map((name) => startTestNode(gateway, { name, stepMs: 250 })))));
});
afterAll(async () => {
	await browser?.close();
	await Promise.all(nodes.map((node) => node.stop()));
	await gateway?.stop();
});

describe('the studio while things break', () => {
	it('shows in two browsers what one of them asked for, and what became of it', async () => {
		const [one, two] = await Promise.all([openStudio(browser, gateway), openStudio(browser, gateway)]);
		await one.page.getByLabel('What should the picture show?').fill('a tent in the desert');
		await one.page.getByRole('button', { name: 'Make a picture' }).click();
		const tile = one.page.locator('article[data-job^="job_"]').first();
		await tile.waitFor();
		const job = await tile.getAttribute('data-job');
		await two.page.locator(`article[data-job="${job}"]`).waitFor({ timeout: 5_000 });
		await two.page.locator(`article[data-job="${job}"]`).getByRole('button', { name: 'Cancel' }).click();
		await one.page.locator(`article[data-job="${job}"][data-status="canceled"]`).waitFor({ timeout: 10_000 });
		expect((await gateway.job(job ?? '')).state).toBe('canceled');
		await Promise.all([one.page.context().close(), two.page.context().close()]);
	});

	it('turns the card of a machine that was killed, and the job goes on elsewhere', async () => {
		const { page } = await openStudio(browser, gateway);
		const job = await gateway.submit({ prompt: 'a windmill', steps: 40 });
		const victim = await until('a node works', () =>
			nodes.find((node) => node.engineLog().some((e) => e.jobId === job.id && e.event === 'step')),
		);
		await page.getByRole('link', { name: 'Pool' }).click();
		await page.locator('article[data-node][data-link="online"]').nth(1).waitFor();
		await victim.kill();
		const card = page.locator('article[data-node]', { has: page.getByRole('heading', { name: victim.name, exact: true }) });
		await until('the card turns', async () => ((await card.getAttribute('data-link')) === 'offline' ? true : undefined), 30_000);
		expect(await card.textContent()).toContain('Its work goes to other machines');
		const view = await gateway.jobEnded(job.id);
		expect(view.state).toBe('succeeded');
		await page.locator(`[data-queued="${job.id}"]`).waitFor({ state: 'detached' });
		await page.context().close();
	});

	it('says that the gateway is away, and goes on by itself when it is back', async () => {
		const { page } = await openStudio(browser, gateway);
		const job = await gateway.submit({ prompt: 'a church', steps: 80 });
		const tile = page.locator(`article[data-job="${job.id}"]`);
		await tile.waitFor();
		const crashed = gateway.crash();
		await page.getByRole('alert').waitFor({ timeout: 30_000 });
		await crashed;
		await page.getByRole('alert').waitFor({ state: 'detached', timeout: 60_000 });
		await page.locator(`article[data-job="${job.id}"][data-status="succeeded"]`).waitFor({ timeout: 90_000 });
		expect((await gateway.job(job.id)).state).toBe('succeeded');
		await page.context().close();
	});

	it('scrolls through ten thousand pictures without a long frame', async () => {
		const { page } = await openStudio(browser, gateway);
		const [image] = await until('a picture', async () => {
			const { body } = await gateway.api<{ data: Record<string, unknown>[] }>('GET', '/api/v1/images?limit=1');
			return body.data.length > 0 ? body.data : undefined;
		});
		// The list is made up, the page, its requests and the picture are not.
		await page.route('**/api/v1/images?*', async (route) => {
			const url = new URL(route.request().url());
			const from = Number(url.searchParams.get('cursor') ?? 0);
			const limit = Number(url.searchParams.get('limit') ?? 50);
			const data = Array.from({ length: Math.min(limit, 10_000 - from) }, (_, i) => ({
				...image,
				id: `img_${from + i}`,
				createdAt: new Date(Date.now() - (from + i) * 600_000).toISOString(),
			}));
			await route.fulfill({ json: { data, nextCursor: from + limit < 10_000 ? String(from + limit) : null } });
		});
		await page.getByRole('link', { name: 'Gallery', exact: true }).first().click();
		await page.getByTestId('grid').getByRole('button').first().waitFor();
		const result = await page.evaluate<{ worst: number; median: number; tiles: number; top: number }>(`new Promise((done) => {
			const grid = document.querySelector('[data-testid=grid]');
			const frames = [];
			let last = performance.now();
			const step = (now) => {
				frames.push(now - last);
				last = now;
				grid.scrollTop += 400;
				if (frames.length < 400) requestAnimationFrame(step);
				else done({ worst: Math.max(...frames.slice(5)), median: frames.toSorted((a, b) => a - b)[200], tiles: grid.querySelectorAll('button').length, top: grid.scrollTop });
			};
			requestAnimationFrame(step);
		})`);
		console.log(`frames: median ${result.median.toFixed(0)} ms, worst ${result.worst.toFixed(0)} ms; scrolled ${result.top} px`);
		expect(result.top).toBeGreaterThan(20_000);
		// What keeps frames short: only what is on the screen is in the page.
		expect(result.tiles).toBeLessThan(120);
		await page.context().close();
	});
});
