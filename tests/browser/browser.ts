/**
 * Debian's Chromium, and a signed-in page of a test gateway's studio.
 * @module
 */
import { existsSync } from 'node:fs';
import { chromium, type Browser, type BrowserContextOptions, type Page } from 'playwright-core';
import type { TestGateway } from '../lib/gateway.ts';

const PATHS = [process.env['CHROMIUM_PATH'] ?? '', '/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

export const startBrowser = async (): Promise<Browser> => {
	const executablePath = PATHS.find((path) => path !== '' && existsSync(path));
	if (executablePath === undefined) throw new Error('No Chromium here: install the package chromium, or set CHROMIUM_PATH.');
	return chromium.launch({
		executablePath,
		// Without these it calls its maker's hosts at every start.
		args: [
			'--no-sandbox',
			'--disable-gpu',
			'--disable-quic',
			'--no-first-run',
			'--disable-background-networking',
			'--disable-component-update',
			'--disable-sync',
		],
	});
};

/** A page in a fresh profile, signed in by the link that `npm start` prints; past the tour unless it is asked for. Errors of the page fail the test that looks at `failures`. */
export const openStudio = async (
	browser: Browser,
	gateway: TestGateway,
	{ tour = false, ...options }: BrowserContextOptions & { tour?: boolean } = {},
): Promise<{ page: Page; failures: string[] }> => {
	const context = await browser.newContext({ viewport: { width: 1280, height: 860 }, ...options });
	if (!tour) await context.addInitScript(`localStorage.setItem('limner.toured', 'true')`);
	const page = await context.newPage();
	const failures: string[] = [];
	page.on('pageerror', (error) => failures.push(error.message));
	page.on('console', (message) => {
		if (message.type() === 'error' && /Content Security Policy|Warning:/.test(message.text())) failures.push(message.text());
	});
	await page.goto(`${gateway.url}/#key=${gateway.key}`);
	await page.getByLabel('What should the picture show?').waitFor();
	return { page, failures };
};
