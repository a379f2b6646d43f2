import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { verifyExport } from '@limner/shared';
import { Webhook } from 'standardwebhooks';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { backup, restore, verifyBackup, type Restoration } from '../../node-agent/src/cli/backup/command.ts';
import { startTestGateway, type TestGateway } from '../lib/gateway.ts';
import { startTestNode, type TestNode } from '../lib/node.ts';
import { until } from '../lib/until.ts';

let gateway: TestGateway;
let node: TestNode;
let server: Server;
const letters: { headers: Record<string, string>; body: string }[] = [];
const folder = mkdtempSync(join(tmpdir(), 'limner-restore-'));
const sha256 = (bytes: Uint8Array | string): string => createHash('sha256').update(bytes).digest('hex');

beforeAll(async () => {
	server = createServer((request, response) => {
		const parts: Buffer[] = [];
		request.on('data', (part: Buffer) => parts.push(part));
		request.on('end', () => {
			letters.push({ headers: request.headers as Record<string, string>, body: Buffer.concat(parts).toString() });
			response.writeHead(204).end();
		});
	});
	await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
	gateway = await startTestGateway({ WEBHOOK_ALLOW_PRIVATE: 'true' });
	node = await startTestNode(gateway, { name: 'maker', engine: 'mock', stepMs: 1 });
});
afterAll(async () => {
	await node.stop();
	await gateway.stop();
	await new Promise((resolve) => server.close(resolve));
	rmSync(folder, { recursive: true, force: true });
});

const pictureOf = async (at: TestGateway, id: string): Promise<string> => {
	const response = await fetch(`${at.url}/api/v1/jobs/${id}/images/0`, { headers: { authorization: `Bearer ${at.key}` } });
	expect(response.status).toBe(200);
	return sha256(new Uint8Array(await response.arrayBuffer()));
};

interface Expected {
	made: { id: string; key: string };
	waiting: string;
	hook: string;
	parts: Restoration['parts'];
}

/** Everything but jobs, ledger and pictures: checked as its people would. */
const worksForItsMembers = async (at: TestGateway, { made, waiting, hook, parts }: Expected): Promise<void> => {
	const read = async (path: string): Promise<Record<string, unknown>> => (await at.api('GET', `/api/v1${path}`)).body;
	expect((await fetch(`${at.url}/api/v1/jobs`, { headers: { authorization: `Bearer ${made.key}` } })).status).toBe(200);
	expect(await read('/workspaces/main')).toMatchObject({ limits: { queued: 9, day: { images: 1000 } } });
	expect(await read('/alerts/rules')).toMatchObject({ own: { quota: { share: 0.5 } } });
	// What was used before counts in the same windows, and open jobs are reserved.
	const { windows } = (await read('/resources/quotas')) as {
		windows: { window: string; metric: string; used: number; reserved: number }[];
	};
	expect(windows.find((each) => each.window === 'day' && each.metric === 'images')).toMatchObject({ used: 3, reserved: 1 });
	// The hook's address is of a private network, which this gateway does not allow.
	expect(parts.left).toEqual([expect.stringContaining('webhook http://127.0.0.1')]);
	expect((await at.api('GET', `/api/v1/webhooks/${hook}`)).status).toBe(404);
	expect(parts.sameSecret).toBe(false);
	// Ada has no account here: her link makes one, and she is the owner again.
	expect(parts.invited).toMatchObject([{ email: 'ada@example.com', role: 'owner', mail: 'off' }]);
	const invitation = parts.invited[0]?.url.split('=')[1];
	const joined = await at.api<{ scopes: string[] }>('POST', '/api/v1/accounts', {
		email: 'ada@example.com',
		password: 'battery horse',
		invitation,
	});
	expect([joined.status, joined.body.scopes.includes('owner')]).toEqual([201, true]);
	// The job that waited is done by the first node that comes.
	const fresh = await startTestNode(at, { name: 'fresh', engine: 'mock', stepMs: 1 });
	try {
		expect((await at.jobEnded(waiting, 90_000)).state).toBe('succeeded');
	} finally {
		await fresh.stop();
	}
};

it('tells a webhook over real HTTP, then backs up, restores elsewhere, and finds everything as it was', async () => {
	const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`;
	const hook = await gateway.api<{ id: string; secret: string }>('POST', '/api/v1/webhooks', { url, events: ['job.*'] });
	expect(hook.status).toBe(201);
	const jobs = await Promise.all([1, 2, 3].map((seed) => gateway.submit({ prompt: 'a red castle', seed })));
	for (const { id } of jobs) expect((await gateway.jobEnded(id)).state).toBe('succeeded');

	await until('all webhooks', () => Promise.resolve(letters.length >= jobs.length ? true : undefined), 30_000);
	const told = letters.map(
		(letter) =>
			new Webhook(hook.body.secret).verify(letter.body, letter.headers) as {
				type: string;
				data: { id: string; images: { url: string }[] };
			},
	);
	expect(told.map(({ data }) => data.id).toSorted()).toEqual(jobs.map(({ id }) => id).toSorted());
	expect((await fetch(told[0]?.data.images[0]?.url ?? '')).status).toBe(200);

	// People, keys, limits, rules, and a job that nobody has begun: the node is away.
	const api = <T = Record<string, string>>(method: string, path: string, body?: unknown) => gateway.api<T>(method, `/api/v1${path}`, body);
	const ownerLink = await api('POST', '/invitations/owner-link', {});
	const invitation = ownerLink.body['token'];
	const account = { email: 'ada@example.com', password: 'correct horse battery', name: 'Ada' };
	expect((await api('POST', '/accounts', { ...account, invitation })).status).toBe(201);
	const made = await api<{ id: string; key: string }>('POST', '/keys', { name: 'ci', scopes: ['jobs:read'] });
	await api('PUT', '/workspaces/main/limits', { queued: 9, day: { images: 1000 } });
	await api('PUT', '/alerts/rules', { quota: { share: 0.5 } });
	await node.stop();
	const waiting = await gateway.submit({ prompt: 'a red castle', seed: 4 });

	const out = join(folder, 'backup');
	const manifest = await backup(gateway.url, gateway.key, out);
	expect(manifest).toMatchObject({ workspace: 'main', jobs: 3, pictures: 3, missing: [] });
	const before = await Promise.all(jobs.map(async ({ id }) => ({ view: await gateway.job(id), picture: await pictureOf(gateway, id) })));

	const other = await startTestGateway();
	try {
		const { parts } = await restore(other.url, other.key, out);
		for (const [i, { id }] of jobs.entries()) {
			const view = await other.job(id);
			expect(view.state).toBe('succeeded');
			expect(view.history).toEqual(before[i]?.view.history);
			expect(view.request).toEqual(before[i]?.view.request);
			expect(await pictureOf(other, id)).toBe(before[i]?.picture);
		}
		const ledger = await (await fetch(`${other.url}/api/v1/audit/export`, { headers: { authorization: `Bearer ${other.key}` } })).text();
		const verdict = await verifyExport(ledger.split('\n'), sha256);
		// The invitation of the owner, and the restore itself.
		expect(verdict).toMatchObject({ ok: true, head: { seq: manifest.head.seq + 2 } });
		expect(ledger).toContain('workspace.restore');
		await worksForItsMembers(other, { made: made.body, waiting: waiting.id, hook: hook.body.id, parts });
		// It works on: a job that comes now is taken and sealed after the old ones.
		expect((await other.submit({ prompt: 'a red castle' })).state).toBe('queued');
		// A second restore would mix two histories.
		await expect(restore(other.url, other.key, out)).rejects.toThrow('empty');
	} finally {
		await other.stop();
	}
}, 240_000);

it('refuses a backup that was tampered with, before anything is sent', async () => {
	const out = join(folder, 'backup');
	await verifyBackup(out);
	const spoil = async (file: string, change: (text: string) => string): Promise<void> => {
		const copy = mkdtempSync(join(folder, 'copy-'));
		cpSync(out, copy, { recursive: true });
		const path = join(copy, file);
		writeFileSync(path, change(readFileSync(path, 'latin1')), 'latin1');
		await expect(verifyBackup(copy)).rejects.toThrow(/differs|damaged|missing/);
	};
	await spoil('ledger.jsonl', (text) => text.replace('"type":"settle"', '"type":"purge"'));
	await spoil('jobs.jsonl', (text) => text.replace('a red castle', 'a blue castle'));
	const manifest = JSON.parse(readFileSync(join(out, 'manifest.json'), 'utf8')) as { files: Record<string, unknown> };
	const picture = Object.keys(manifest.files).find((path) => path.startsWith('pictures/')) ?? '';
	await spoil(picture, (text) => `${text.slice(0, 200)}X${text.slice(201)}`);
	await spoil('manifest.json', (text) => text.replace(picture, `${picture}x`));
});
