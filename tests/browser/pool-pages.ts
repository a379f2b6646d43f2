/**
 * The pool's pages with something on each, for tests and pictures.
 * @module
 */
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Page } from 'playwright-core';
import type { TestGateway } from '../lib/gateway.ts';

/** Tabs by their names, each with what is there once it has loaded. */
export const POOL_TABS: readonly (readonly [string, string])[] = [
	['Dashboard', '[data-testid="gantt"] li'],
	['Alerts', '[data-alert]'],
	['Reports', '[data-report]'],
	['Ledger', '[data-action]'],
	['Usage', '[data-reservation]'],
	['Keys', '[data-key]'],
	['Webhooks', '[data-hook]'],
	['Members', '[data-invitation]'],
	['Workspace', '[data-workspace-entry]'],
	['Join tokens', '[data-token]'],
];

export interface Letter {
	headers: Record<string, string | string[] | undefined>;
	body: string;
}

/** A receiver of webhooks; answers `status`, which a test may change. */
export const startReceiver = async (): Promise<{
	url: string;
	letters: Letter[];
	answer: { status: number };
	stop: () => Promise<void>;
}> => {
	const letters: Letter[] = [];
	const answer = { status: 204 };
	const server = createServer((request, response) => {
		const parts: Buffer[] = [];
		request.on('data', (part: Buffer) => parts.push(part));
		request.on('end', () => {
			letters.push({ headers: request.headers, body: Buffer.concat(parts).toString() });
			response.writeHead(answer.status).end();
		});
	});
	await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
	return {
		url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`,
		letters,
		answer,
		stop: async () => {
			server.closeAllConnections();
			await new Promise((resolve) => server.close(resolve));
		},
	};
};

const must = async (gateway: TestGateway, path: string, body: object): Promise<Record<string, unknown>> => {
	const answer = await gateway.api('POST', `/api/v1${path}`, body);
	if (answer.status >= 300) throw new Error(`${path} answered ${answer.status}: ${JSON.stringify(answer.body)}`);
	return answer.body;
};

/** Two people: the owner, and a member. */
const addPeople = async (gateway: TestGateway): Promise<void> => {
	const owner = await must(gateway, '/invitations/owner-link', {});
	await must(gateway, '/accounts', {
		email: 'ada@example.com',
		password: 'correct horse battery',
		name: 'Ada',
		invitation: owner['token'],
	});
	const { token } = await must(gateway, '/invitations', { role: 'member' });
	await must(gateway, '/accounts', { email: 'ben@example.com', password: 'correct horse battery', name: 'Ben', invitation: token });
	await must(gateway, '/invitations', { role: 'viewer', email: 'cleo@example.com' });
};

/** A bit of everything: keys, people, a webhook, a token, a reservation, and a job that no machine can make. */
export const populate = async (gateway: TestGateway, hook: string): Promise<void> => {
	await addPeople(gateway);
	await must(gateway, '/keys', {
		name: 'Nightly batch',
		scopes: ['jobs:read', 'jobs:write'],
		limits: { day: { images: 500 }, queued: 20 },
	});
	await must(gateway, '/keys', { name: 'Monitoring', scopes: ['supervisor:read', 'audit:read'] });
	const { id } = await must(gateway, '/webhooks', { url: hook, events: ['job.*', 'alert.*'], description: 'Tells the chat' });
	await must(gateway, `/webhooks/${String(id)}/test`, {});
	await must(gateway, '/join-tokens', { maxUses: 5, labels: ['lab', 'room-2'], approval: true });
	await must(gateway, '/resources/allocate', { images: 40, megapixelSteps: 100, note: 'Exhibition on Friday' });
	await must(gateway, '/workspaces', { name: 'The attic', id: 'attic' });
};

/** Somebody says that a picture should not be there. */
export const reportOne = async (gateway: TestGateway): Promise<void> => {
	const { data } = (await gateway.api<{ data: { id: string }[] }>('GET', '/api/v1/images?limit=1')).body;
	await must(gateway, `/images/${data[0]?.id}/report`, { reason: 'copyright', detail: 'The castle on it is on the cover of my book.' });
};

interface Window {
	metric: string;
	used: number;
	reserved: number;
}

/** How much of the quota is to be used: enough for an alert. */
const NEARLY_ALL = 0.93;

/** Sets a limit for the month that is nearly reached with what is made and reserved, which is an alert. */
export const useUpQuota = async (gateway: TestGateway): Promise<void> => {
	const { workspaceId } = (await gateway.api<{ workspaceId: string }>('GET', '/api/v1/auth/me')).body;
	const limit = async (images: number): Promise<void> => {
		const answer = await gateway.api('PUT', `/api/v1/workspaces/${workspaceId}/limits`, { month: { images } });
		if (answer.status !== 200) throw new Error(`limits answered ${answer.status}: ${JSON.stringify(answer.body)}`);
	};
	await limit(1_000_000);
	const { windows } = (await gateway.api<{ windows: Window[] }>('GET', '/api/v1/resources/quotas')).body;
	const month = windows.find(({ metric }) => metric === 'images');
	await limit(Math.ceil(((month?.used ?? 0) + (month?.reserved ?? 0)) / NEARLY_ALL));
};

export const openTab = async (page: Page, name: string, there: string): Promise<void> => {
	await page.getByRole('navigation', { name: 'Parts of the pool' }).getByRole('link', { name, exact: false }).click();
	await page.locator(there).first().waitFor();
};

export const openPool = async (page: Page): Promise<void> => {
	await page.getByRole('link', { name: 'Pool', exact: true }).first().click();
	await page.getByRole('heading', { name: 'Machines', exact: true }).waitFor();
};

/** Goes through all of the pool's pages, and calls `look` on each. */
export const walkPool = async (page: Page, look: (name: string) => Promise<void>): Promise<void> => {
	await openPool(page);
	await page.locator('article[data-node]').first().waitFor();
	await page
		.getByRole('link', { name: /^Details/ })
		.first()
		.click();
	await page.getByRole('heading', { name: 'History' }).waitFor();
	await look('node');
	for (const [name, there] of POOL_TABS) {
		await openTab(page, name, there);
		await look(name.toLowerCase().replaceAll(' ', '-'));
	}
};
