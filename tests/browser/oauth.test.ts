/** The pages of `/oauth/authorize` in a real browser: its rules for forms, redirects and policies, and accessibility. */
import axe from 'axe-core';
import { createHash, randomBytes } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startTestGateway, type TestGateway } from '../lib/gateway.ts';
import { firstWorkspace, newOwner, PASSWORD } from '../lib/tenant.ts';
import { startBrowser } from './browser.ts';

const EMAIL = 'ada@example.com';
let browser: Browser;
let gateway: TestGateway;
let program: Server;
let workspace = '';
const returned: URLSearchParams[] = [];

beforeAll(async () => {
	[browser, gateway] = await Promise.all([startBrowser(), startTestGateway()]);
	workspace = await firstWorkspace(gateway);
	await newOwner(gateway, workspace, EMAIL);
	program = createServer((request, response) => {
		const { pathname, searchParams } = new URL(request.url ?? '', 'http://program');
		if (pathname === '/callback') returned.push(searchParams);
		response.setHeader('content-type', 'text/html').end('<title>back</title>you may close this page');
	});
	await new Promise<void>((resolve) => program.listen(0, '127.0.0.1', resolve));
});
afterAll(async () => {
	await browser?.close();
	program?.close();
	await gateway?.stop();
});

/** A page in a fresh profile at the link of a program that has just registered. */
const open = async (
	host: string,
	colorScheme: 'light' | 'dark',
): Promise<{ page: Page; errors: string[]; verifier: string; client: string }> => {
	const redirect = `http://${host}:${(program.address() as AddressInfo).port}/callback`;
	const registered = await fetch(`${gateway.url}/oauth/register`, {
		method: 'POST',
		headers: { 'content-type': 'application/json' },
		body: JSON.stringify({ client_name: 'A <b>program</b>', redirect_uris: [redirect] }),
	});
	const { client_id: client } = (await registered.json()) as { client_id: string };
	const verifier = randomBytes(32).toString('base64url');
	const query = new URLSearchParams({
		response_type: 'code',
		client_id: client,
		redirect_uri: redirect,
		code_challenge: createHash('sha256').update(verifier).digest('base64url'),
		code_challenge_method: 'S256',
		state: 'kept',
	});
	const page = await (await browser.newContext({ colorScheme })).newPage();
	const errors: string[] = [];
	page.on('console', (message) => {
		if (message.type() === 'error' && message.text().includes('Content Security Policy')) errors.push(message.text());
	});
	await page.goto(`${gateway.url}/oauth/authorize?${query.toString()}`);
	return { page, errors, verifier, client };
};

const violations = async (page: Page): Promise<string[]> => {
	await page.evaluate(axe.source);
	const { violations: found } = await page.evaluate<{ violations: { id: string; impact: string | null }[] }>('axe.run(document)');
	return found.filter(({ impact }) => impact === 'serious' || impact === 'critical').map(({ id }) => id);
};

it.each([
	['127.0.0.1', 'light'],
	['localhost', 'dark'],
] as const)('signs in, chooses, allows, and goes back to a program at %s (%s)', async (host, colours) => {
	const { page, errors, verifier, client } = await open(host, colours);
	expect(await page.getByRole('heading').textContent()).toContain('A <b>program</b>');
	expect(await violations(page)).toEqual([]);
	await page.getByLabel('E-mail address').fill(EMAIL);
	await page.getByLabel('Password').fill('not the password');
	await page.getByRole('button', { name: 'Sign in' }).click();
	await page.getByRole('alert').waitFor();
	expect(await page.getByLabel('E-mail address').inputValue()).toBe(EMAIL);
	await page.getByLabel('Password').fill(PASSWORD);
	await page.getByRole('button', { name: 'Sign in' }).click();
	await page.getByRole('button', { name: 'Allow' }).waitFor();
	expect(await violations(page)).toEqual([]);
	await page.getByLabel('Workspace').selectOption(workspace);
	await page.getByRole('button', { name: 'Allow' }).click();
	await page.waitForURL(/\/callback\?/);
	const back = returned.at(-1) ?? new URLSearchParams();
	expect([back.get('state'), back.get('iss')]).toEqual(['kept', gateway.url]);
	const redirect_uri = `${new URL(page.url()).origin}/callback`;
	const fields = {
		grant_type: 'authorization_code',
		code: back.get('code') ?? '',
		client_id: client,
		code_verifier: verifier,
		redirect_uri,
	};
	const token = await fetch(`${gateway.url}/oauth/token`, { method: 'POST', body: new URLSearchParams(fields) });
	expect(token.status).toBe(200);
	expect(errors).toEqual([]);
	await page.context().close();
});

it('goes back without a code when the person cancels', async () => {
	const { page, errors } = await open('127.0.0.1', 'light');
	await page.getByRole('button', { name: 'Cancel' }).click();
	await page.waitForURL(/\/callback\?/);
	expect(returned.at(-1)?.get('error')).toBe('access_denied');
	expect(errors).toEqual([]);
	await page.context().close();
});
