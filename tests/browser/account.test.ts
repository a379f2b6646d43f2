import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTestGateway, type TestGateway } from '../lib/gateway.ts';
import { until } from '../lib/until.ts';
import { startBrowser } from './browser.ts';

let browser: Browser;
let gateway: TestGateway;

beforeAll(async () => {
	[browser, gateway] = await Promise.all([startBrowser(), startTestGateway()]);
});
afterAll(async () => {
	await browser?.close();
	await gateway?.stop();
});

const EMAIL = 'ada@example.com';
const PASSWORD = 'correct horse battery';

const link = async (path: string, body: unknown): Promise<string> => {
	const made = await gateway.api<{ url: string }>('POST', `/api/v1${path}`, body);
	expect(made.status).toBe(201);
	return made.body.url;
};
const freshPage = async (): Promise<Page> => {
	const context = await browser.newContext();
	await context.addInitScript(`localStorage.setItem('limner.toured', 'true')`);
	return context.newPage();
};
const inside = (page: Page): Promise<void> => page.getByLabel('What should the picture show?').waitFor();
/** Not `waitForFunction`: the page's Content-Security-Policy forbids what that does. */
const holds = (page: Page, what: string, test: string): Promise<unknown> =>
	until(what, async () =>
		(await page.evaluate(`JSON.parse(localStorage.getItem('limner.session')).${test}`)) === true ? true : undefined,
	);
const renewed = (page: Page): Promise<unknown> => holds(page, 'a new token', 'expiresAt > Date.now()');
const signOut = async (page: Page): Promise<void> => {
	await page.getByRole('link', { name: 'Settings' }).click();
	await page.getByRole('button', { name: 'Sign out' }).click();
	await page.getByRole('heading', { name: 'Sign in' }).waitFor();
};
const signIn = async (page: Page, password: string): Promise<void> => {
	await page.getByText('With an account').click();
	await page.getByLabel('E-mail address').fill(EMAIL);
	await page.getByLabel('Password', { exact: true }).fill(password);
	await page.getByRole('button', { name: 'Sign in' }).click();
};

describe('accounts in the studio', () => {
	it('joins by the first owner’s link, signs in and out, renews its token, and sets a forgotten password', async () => {
		const page = await freshPage();
		await page.goto(await link('/invitations/owner-link', {}));
		await page.getByLabel('E-mail address').fill(EMAIL);
		expect(await page.getByRole('button', { name: 'Join', exact: true }).isDisabled()).toBe(true);
		await page.getByLabel('Password, at least 10 characters').fill(PASSWORD);
		await page.getByRole('button', { name: 'Join', exact: true }).click();
		await inside(page);
		expect(page.url()).not.toContain('invitation');
		await signOut(page);

		await signIn(page, 'wrong password');
		expect(await page.getByRole('alert').textContent()).toContain('no account with this address and password');
		await page.getByLabel('Password', { exact: true }).fill(PASSWORD);
		await page.getByRole('button', { name: 'Sign in' }).click();
		await inside(page);
		await page.getByRole('link', { name: 'Settings' }).click();
		expect(await page.getByLabel('Workspace').locator('option').allTextContents()).toEqual(['main (owner)']);

		// An access token that is over: the page renews it and nobody notices.
		await page.evaluate(`{
			const had = JSON.parse(localStorage.getItem('limner.session'));
			localStorage.setItem('limner.session', JSON.stringify({ ...had, accessToken: 'over', expiresAt: 0 }));
		}`);
		await page.reload();
		await page.getByText(EMAIL).waitFor();
		await renewed(page);
		await signOut(page);
		expect(await page.evaluate(`localStorage.getItem('limner.session')`)).toBeNull();

		// The old address of such links leads to the same place.
		const reset = await link('/accounts/reset-links', { email: EMAIL });
		await page.goto(reset.replace('/#', '/account.html#'));
		await page.getByRole('heading', { name: 'Set a new password' }).waitFor();
		await page.getByLabel('Password, at least 10 characters').fill('another horse battery');
		await page.getByRole('button', { name: 'Set the password' }).click();
		await signIn(page, 'another horse battery');
		await inside(page);
		await page.context().close();
	});

	it('joins another workspace with an account that exists, and changes between them', async () => {
		const made = await gateway.api<{ id: string }>('POST', '/api/v1/workspaces', { id: 'attic', name: 'The attic' });
		expect(made.status).toBe(201);
		const page = await freshPage();
		await page.goto(await link('/invitations/owner-link', { workspaceId: 'attic' }));
		await page.getByRole('heading', { name: 'Join The attic' }).waitFor();
		await page.getByText('I have an account').click();
		await page.getByLabel('E-mail address').fill(EMAIL);
		await page.getByLabel('Password', { exact: true }).fill('another horse battery');
		await page.getByRole('button', { name: 'Join', exact: true }).click();
		await inside(page);
		await page.getByRole('link', { name: 'Settings' }).click();
		const workspace = page.getByLabel('Workspace');
		expect(await workspace.inputValue()).toBe('attic');
		// By their names, which come a moment after the ids.
		await until('the name', async () => (await workspace.locator('option').allTextContents()).includes('The attic (owner)') || undefined);
		await workspace.selectOption('main');
		await holds(page, 'the other workspace', `workspaceId === 'main'`);
		// It stays there when the token is renewed.
		await page.evaluate(`{
			const had = JSON.parse(localStorage.getItem('limner.session'));
			localStorage.setItem('limner.session', JSON.stringify({ ...had, expiresAt: 0 }));
		}`);
		await page.reload();
		await renewed(page);
		expect(await page.getByLabel('Workspace').inputValue()).toBe('main');
		await page.context().close();
	});

	it('shows where one is signed in, and signs out there', async () => {
		const [here, there] = [await freshPage(), await freshPage()];
		for (const page of [here, there]) {
			await page.goto(gateway.url);
			await signIn(page, 'another horse battery');
			await inside(page);
		}
		await here.getByRole('link', { name: 'Settings' }).click();
		await here.getByText('Where you are signed in').click();
		await here.locator('[data-session="true"]').getByText('Chrome on Linux').waitFor();
		await here.getByRole('button', { name: 'Sign out everywhere else' }).click();
		await here.locator('[data-session="false"]').first().waitFor({ state: 'detached' });
		// What its page asks next is refused, and it shows the way in.
		await there.getByRole('heading', { name: 'Sign in' }).waitFor();
		await here.getByText(EMAIL).waitFor();
		expect(await here.locator('[data-session]').count()).toBe(1);
		await Promise.all([here.context().close(), there.context().close()]);
	});
});
