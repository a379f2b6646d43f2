import { readFile } from 'node:fs/promises';
import type { Browser, CDPSession, Page } from 'playwright-core';
import sharp from 'sharp';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestGateway, type TestGateway } from '../lib/gateway.ts';
import { startTestNode, type TestNode } from '../lib/node.ts';
import { until } from '../lib/until.ts';
import { openStudio, startBrowser } from './browser.ts';
import { nativePx } from '../../node-agent/src/models/embedded.test-lib.ts';

let browser: Browser;
let gateway: TestGateway;
let node: TestNode;
const PROMPT = 'a cottage in a meadow';
const SIDE = nativePx();

beforeAll(async () => {
	[browser, gateway] = await Promise.all([startBrowser(), startTestGateway()]);
	node = await startTestNode(gateway, { name: 'storybook', engine: 'onnx' });
	const job = await gateway.submit({ prompt: PROMPT, seed: 3 });
	await gateway.jobEnded(job.id);
});
afterAll(async () => {
	await browser?.close();
	await node?.stop();
	await gateway?.stop();
});

type At = [x: number, y: number];
const touch = (cdp: CDPSession, type: 'touchStart' | 'touchMove' | 'touchEnd', ...fingers: At[]): Promise<unknown> =>
	cdp.send('Input.dispatchTouchEvent', { type, touchPoints: fingers.map(([x, y], id) => ({ x, y, id })) });

/** Moves fingers from here to there, in steps as a hand would. */
const drag = async (cdp: CDPSession, from: At[], to: At[]): Promise<void> => {
	await touch(cdp, 'touchStart', ...from);
	for (let step = 1; step <= 8; step++) {
		const now = from.map(([x, y], i): At => [x + (((to[i]?.[0] ?? x) - x) * step) / 8, y + (((to[i]?.[1] ?? y) - y) * step) / 8]);
		await touch(cdp, 'touchMove', ...now);
	}
	await touch(cdp, 'touchEnd');
};

const picture = async (page: Page): Promise<{ x: number; y: number; width: number; height: number }> =>
	(await page.getByTestId('picture').boundingBox())!;

/** Downloads the newest picture of the gallery, as a person would. */
const downloadNewest = async (page: Page, prompt: string): Promise<Buffer> => {
	await page.getByRole('link', { name: 'Gallery', exact: true }).first().click();
	await page.getByTestId('grid').getByRole('button', { name: prompt, exact: true }).first().click();
	const [file] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Download', exact: true }).click()]);
	return readFile((await file.path()) ?? '');
};
const rgb = (bytes: Uint8Array): Promise<Buffer> => sharp(bytes).removeAlpha().raw().toBuffer();
const startFrom = async (page: Page): Promise<void> => {
	await page.getByRole('button', { name: 'Use as source' }).click();
	await page.getByTestId('stage').waitFor();
};

/** How much of a saved mask is marked. */
const share = async (path: string): Promise<number> => {
	const { data } = await sharp(path).greyscale().raw().toBuffer({ resolveWithObject: true });
	return data.filter((value) => value > 127).length / data.length;
};

describe('the mask editor', () => {
	it('draws with one finger, pans and zooms with two, and changes nothing outside of the mask', async () => {
		const { page, failures } = await openStudio(browser, gateway, {
			viewport: { width: 390, height: 844 },
			hasTouch: true,
			isMobile: true,
		});
		const source = await rgb(await downloadNewest(page, PROMPT));
		await startFrom(page);
		await page.getByTestId('stage').scrollIntoViewIfNeeded();
		const cdp = await page.context().newCDPSession(page);
		const undo = page.getByRole('button', { name: 'Undo (Ctrl+Z)' });
		const before = await picture(page);
		const middle: At = [before.x + before.width / 2, before.y + before.height / 2];

		// Two fingers, one a moment after the other: nothing is drawn, the picture grows and moves.
		await touch(cdp, 'touchStart', [middle[0] - 20, middle[1]]);
		await drag(
			cdp,
			[
				[middle[0] - 20, middle[1]],
				[middle[0] + 20, middle[1]],
			],
			[
				[middle[0] - 50, middle[1] + 10],
				[middle[0] + 50, middle[1] + 10],
			],
		);
		expect(await undo.isDisabled()).toBe(true);
		const zoomed = await picture(page);
		expect(zoomed.width / before.width).toBeGreaterThan(2);
		await page.getByRole('button', { name: 'Fit to the window' }).tap();
		const fitted = await until('it fits', async () => {
			const now = await picture(page);
			return Math.abs(now.width - before.width) < 1 ? now : undefined;
		});

		// One finger: a stroke of the brush, 24 pixels of the picture wide.
		const to = (x: number, y: number): At => [fitted.x + fitted.width * x, fitted.y + fitted.height * y];
		const scrolledBefore = await page.evaluate(`document.querySelector('main').scrollTop`);
		await drag(cdp, [to(0.3, 0.5)], [to(0.7, 0.5)]);
		expect(await page.evaluate(`document.querySelector('main').scrollTop`)).toBe(scrolledBefore);
		await page.getByRole('button', { name: 'Undo (Ctrl+Z)', disabled: false }).waitFor();
		// A touch right after another would count as its second half, and not as a tap.
		await page.waitForTimeout(600);
		await page.getByRole('button', { name: 'Undo (Ctrl+Z)' }).tap();
		await page.getByRole('button', { name: 'Undo (Ctrl+Z)', disabled: true }).waitFor();
		await page.getByRole('button', { name: 'Redo (Ctrl+Shift+Z)' }).tap();

		await page.getByLabel('What should the picture show?').fill('a red rocket by touch');
		await page.getByRole('button', { name: 'Fill the marked area' }).tap();
		await page.getByTestId('candidate').waitFor({ timeout: 60_000 });
		const result = await rgb(await downloadNewest(page, 'a red rocket by touch'));
		const changed: At[] = [];
		for (let i = 0; i < result.length; i += 3) {
			if (result.compare(source, i, i + 3, i, i + 3) !== 0) changed.push([(i / 3) % SIDE, Math.floor(i / 3 / SIDE)]);
		}
		// The stroke reaches 12 pixels around its line; its soft edge ends between pixels.
		const inside = ([x, y]: At): boolean => x >= 0.3 * SIDE - 14 && x <= 0.7 * SIDE + 14 && y >= SIDE / 2 - 14 && y <= SIDE / 2 + 14;
		expect(changed.filter((at) => !inside(at))).toEqual([]);
		expect(changed.length).toBeGreaterThan(500);
		expect(failures).toEqual([]);
		await page.context().close();
	});

	it('has its tools at the keys, and gives a mask out and takes it back', async () => {
		const { page, failures } = await openStudio(browser, gateway);
		await downloadNewest(page, PROMPT);
		await startFrom(page);
		const pressed = (name: string): Promise<string | null> => page.getByRole('button', { name, exact: true }).getAttribute('aria-pressed');
		await page.keyboard.press('e');
		expect(await pressed('Eraser (E)')).toBe('true');
		await page.keyboard.press('l');
		expect(await pressed('Lasso (L)')).toBe('true');
		await page.keyboard.press('b');
		expect(await pressed('Brush (B)')).toBe('true');
		const size = page.getByRole('slider', { name: 'Brush size' });
		await page.keyboard.press(']');
		expect(await size.inputValue()).toBe('30');
		await page.keyboard.press('[');
		expect(await size.inputValue()).toBe('24');

		// Space and drag moves the picture and marks nothing.
		const box = await picture(page);
		const [x, y] = [box.x + box.width / 2, box.y + box.height / 2];
		await page.mouse.move(x, y);
		await page.keyboard.down('Space');
		await page.mouse.down();
		await page.mouse.move(x + 60, y + 30, { steps: 3 });
		await page.mouse.up();
		await page.keyboard.up('Space');
		expect((await picture(page)).x).toBeCloseTo(box.x + 60, 0);
		const undo = page.getByRole('button', { name: 'Undo (Ctrl+Z)' });
		expect(await undo.isDisabled()).toBe(true);
		await page.getByRole('button', { name: 'Fit to the window' }).click();

		await page.keyboard.press('r');
		await page.mouse.move(box.x + box.width * 0.5, box.y + box.height * 0.25);
		await page.mouse.down();
		await page.mouse.move(box.x + box.width * 0.75, box.y + box.height * 0.5, { steps: 3 });
		await page.mouse.up();
		const saved = async (): Promise<string> => {
			const [file] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Save the mask' }).click()]);
			return (await file.path()) ?? '';
		};
		const first = await saved();
		expect(await share(first)).toBeCloseTo(1 / 16, 2);
		await page.getByRole('button', { name: 'Invert' }).click();
		expect(await share(await saved())).toBeCloseTo(15 / 16, 2);
		await page.keyboard.press('Control+z');
		await page.keyboard.press('Control+z');
		expect(await undo.isDisabled()).toBe(true);
		await page.locator('input[type=file]').setInputFiles({ name: 'mask.png', mimeType: 'image/png', buffer: await readFile(first) });
		await undo.waitFor();
		expect(await share(await saved())).toBeCloseTo(1 / 16, 2);
		await page.getByRole('button', { name: 'Clear' }).click();
		expect(await share(await saved())).toBe(0);
		expect(await page.getByRole('button', { name: 'Draw it anew' }).count()).toBe(1);
		await page.getByRole('button', { name: 'Mark everything' }).click();
		expect(await share(await saved())).toBe(1);
		expect(failures).toEqual([]);
		await page.context().close();
	});
});
