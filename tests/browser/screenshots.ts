/**
 * `npm run screenshots`: each page of the studio, on a desktop and on a phone, light and dark, into docs/images.
 * @module
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Browser, BrowserContextOptions, Page } from 'playwright-core';
import sharp from 'sharp';
import { startTestGateway, type TestGateway } from '../lib/gateway.ts';
import { startTestNode } from '../lib/node.ts';
import { until } from '../lib/until.ts';
import { openStudio, startBrowser } from './browser.ts';
import { openTab, populate, reportOne, startReceiver, useUpQuota, walkPool } from './pool-pages.ts';

const OUT = join(import.meta.dirname, '../../docs/images');
const PROMPTS = [
	'a red castle in the mountains in the snow',
	'a lighthouse on a cliff at sunset',
	'a yellow hot air balloon over the sea',
	'a cottage in a forest at night under a full moon',
	'an orange tent in the desert at dusk',
	'a white church on a hill at dawn',
	'a blue barn in a meadow with flowers',
	'a pine tree by a lake in the fog',
];
const SCREENS = [
	{ name: 'desktop', options: { viewport: { width: 1280, height: 800 } } },
	{ name: 'phone', options: { viewport: { width: 390, height: 844 }, deviceScaleFactor: 2, isMobile: true, hasTouch: true } },
] as const;
type Options = BrowserContextOptions;
const THEMES = ['light', 'dark'] as const;

/** Pictures of the page itself: few colours, so a palette keeps them small. */
const shoot = async (page: Page, name: string): Promise<void> => {
	await page.waitForTimeout(700);
	await sharp(await page.screenshot())
		.png({ palette: true, quality: 100, effort: 10 })
		.toFile(join(OUT, `${name}.png`));
	console.log(`docs/images/${name}.png`);
};

const hasPictures = async (gateway: TestGateway): Promise<boolean> =>
	(await gateway.api<{ data: unknown[] }>('GET', '/api/v1/images?limit=1')).body.data.length > 0;

const open = async (page: Page, name: string): Promise<void> => {
	await page.getByRole('link', { name, exact: true }).first().click();
};

/** Workflows that the pages show: a finished grid, and one whose last picture is still to come. */
interface Flows {
	grid: string;
	chain: string;
}

const submitFlows = async (gateway: TestGateway): Promise<Flows> => {
	const submit = async (body: unknown): Promise<string> => (await gateway.api<{ id: string }>('POST', '/api/v1/workflows', body)).body.id;
	const labels = ['grid', 'x:steps', 'y:seed'];
	const cells = [1, 2, 3].flatMap((seed, j) => [6, 12, 20, 30].map((steps, i) => ({ key: `x${i}-y${j}`, seed, steps })));
	const grid = await submit({ jobs: cells.map((cell) => ({ ...cell, prompt: PROMPTS[2], labels })) });
	const chain = await submit({
		name: 'a cottage through the seasons',
		jobs: [
			{ key: 'cottage', prompt: 'a cottage in a meadow at dawn', seed: 5 },
			{ key: 'winter', prompt: 'a cottage in the snow', seed: 5, initImage: { job: 'cottage' }, strength: 0.7 },
			{ key: 'night', prompt: 'a cottage at night under a full moon', seed: 5, initImage: { job: 'cottage' }, strength: 0.7 },
			{
				key: 'winter-night',
				prompt: 'a cottage in the snow at night',
				seed: 5,
				initImage: { job: 'winter' },
				strength: 0.7,
				dependsOn: ['night'],
			},
		],
	});
	return { grid, chain };
};

const flowPages = async (page: Page, suffix: string, gateway: TestGateway, { grid, chain }: Flows): Promise<void> => {
	await page.goto(`${gateway.url}/#/grid/${grid}`);
	await page.locator('[data-workflow-state="succeeded"]').waitFor({ timeout: 120_000 });
	await shoot(page, `studio-grid-${suffix}`);
	await page.goto(`${gateway.url}/#/workflow/${chain}`);
	await page.locator('[data-workflow-state="succeeded"]').waitFor({ timeout: 120_000 });
	await shoot(page, `studio-workflow-${suffix}`);
};

/** What somebody sees who comes for the first time. */
const arrival = async (browser: Browser, gateway: TestGateway, suffix: string, options: Options): Promise<void> => {
	const { page } = await openStudio(browser, gateway, { ...options, tour: true });
	await page.getByRole('button', { name: 'Make my first picture' }).waitFor();
	await shoot(page, `studio-tour-${suffix}`);
	await page.keyboard.press('Escape');
	await open(page, 'Settings');
	await page.getByRole('button', { name: 'Sign out' }).click();
	await page.getByText('With an account').click();
	await shoot(page, `studio-signin-${suffix}`);
	await page.context().close();
};

const tour = async (page: Page, suffix: string, gateway: TestGateway): Promise<void> => {
	const prompt = page.getByLabel('What should the picture show?');
	await prompt.fill(PROMPTS[0] ?? '');
	const job = await gateway.submit({ prompt: 'a windmill in a meadow at sunset', steps: 120, n: 2, seed: 4 });
	await page.locator(`article[data-job="${job.id}"] img[data-state="preview"]`).first().waitFor({ timeout: 60_000 });
	await shoot(page, `studio-create-${suffix}`);
	await open(page, 'Pool');
	await page.locator('article[data-node]').first().waitFor();
	await shoot(page, `studio-pool-${suffix}`);
	await gateway.api('POST', `/api/v1/jobs/${job.id}/cancel`);
	await open(page, 'Gallery');
	await page.getByTestId('grid').getByRole('button').first().waitFor();
	await shoot(page, `studio-gallery-${suffix}`);
	await page.getByTestId('grid').getByRole('button').first().click();
	await page.getByRole('button', { name: 'Use as source' }).waitFor();
	await shoot(page, `studio-picture-${suffix}`);
	await page.getByRole('button', { name: 'Use as source' }).click();
	const box = await page.getByTestId('picture').boundingBox();
	if (box !== null) {
		await page.mouse.move(box.x + box.width * 0.35, box.y + box.height * 0.5);
		await page.mouse.down();
		await page.mouse.move(box.x + box.width * 0.65, box.y + box.height * 0.6, { steps: 8 });
		await page.mouse.up();
	}
	await shoot(page, `studio-edit-${suffix}`);
	await open(page, 'Settings');
	await shoot(page, `studio-settings-${suffix}`);
};

/** @param screens none with `npm run screenshots -- pool`, which makes the pictures of the pool's pages only */
const run = async (browser: Browser, gateway: TestGateway, screens: readonly (typeof SCREENS)[number][]): Promise<void> => {
	// First, so that the gallery begins with the single pictures.
	const flows = await submitFlows(gateway);
	const jobs = [];
	for (const [seed, prompt] of PROMPTS.entries()) jobs.push(await gateway.submit({ prompt, seed, n: 3 }));
	for (const job of jobs) await gateway.jobEnded(job.id, 120_000);
	for (const { name, options } of screens) {
		for (const colorScheme of THEMES) {
			const { page } = await openStudio(browser, gateway, { ...options, colorScheme });
			await tour(page, `${name}-${colorScheme}`, gateway);
			await flowPages(page, `${name}-${colorScheme}`, gateway, flows);
			await page.context().close();
			await arrival(browser, gateway, `${name}-${colorScheme}`, { ...options, colorScheme });
		}
	}
};

/** What the settings show of an account. */
const accountPage = async (browser: Browser, gateway: TestGateway, suffix: string, options: Options): Promise<void> => {
	const context = await browser.newContext(options);
	await context.addInitScript(`localStorage.setItem('limner.toured', 'true')`);
	const page = await context.newPage();
	await page.goto(gateway.url);
	await page.getByText('With an account').click();
	await page.getByLabel('E-mail address').fill('ada@example.com');
	await page.getByLabel('Password', { exact: true }).fill('correct horse battery');
	await page.getByRole('button', { name: 'Sign in' }).click();
	await open(page, 'Settings');
	await page.getByText('Where you are signed in').click();
	await page.locator('[data-session]').first().waitFor();
	await shoot(page, `studio-account-${suffix}`);
	await context.close();
};

/** The pool's own pages. Last: they need a quota that is used up. */
const poolPages = async (browser: Browser, gateway: TestGateway, hook: string): Promise<void> => {
	await populate(gateway, hook);
	await gateway.jobEnded((await gateway.submit({ prompt: 'a stone castle by the sea', seed: 8 })).id);
	await until('it is in the gallery', async () => (await hasPictures(gateway)) || undefined);
	await reportOne(gateway);
	for (const prompt of PROMPTS.slice(0, 3)) await gateway.submit({ prompt, steps: 150, n: 16 });
	await useUpQuota(gateway);
	for (const { name, options } of SCREENS) {
		for (const colorScheme of THEMES) {
			const { page } = await openStudio(browser, gateway, { ...options, colorScheme });
			await walkPool(page, (part) => shoot(page, `studio-pool-${part}-${name}-${colorScheme}`));
			await openTab(page, 'Alerts', '[data-alert]');
			await page.getByRole('button', { name: 'Rules' }).click();
			await page.locator('[data-rule]').first().waitFor();
			await shoot(page, `studio-pool-rules-${name}-${colorScheme}`);
			await page.context().close();
			await accountPage(browser, gateway, `${name}-${colorScheme}`, { ...options, colorScheme });
		}
	}
};

mkdirSync(OUT, { recursive: true });
const receiver = await startReceiver();
const [browser, gateway] = await Promise.all([startBrowser(), startTestGateway({ WEBHOOK_ALLOW_PRIVATE: 'true', SIGNUP: 'invite' })]);
const node = await startTestNode(gateway, { name: 'workshop', engine: 'onnx' });
try {
	await run(browser, gateway, process.argv.slice(2).includes('pool') ? [] : SCREENS);
	await poolPages(browser, gateway, receiver.url);
} finally {
	await browser.close();
	await node.stop();
	await gateway.stop();
	await receiver.stop();
}
