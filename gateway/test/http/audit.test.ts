import { env } from 'cloudflare:workers';
import { runInDurableObject } from 'cloudflare:test';
import { verifyExport, type AuditVerdict } from '@limner/shared';
import { afterEach, describe, expect, it } from 'vitest';
import { sha256Hex } from '../../src/lib/canonical.ts';
import { addKey, call, cleanUp, enrol, joinNode, problemOf, submit, WS } from './harness.ts';

interface Event {
	id: string;
	at: string;
	type: string;
	who: string;
	action: string;
	target: string;
	detail: Record<string, unknown>;
	unsealed: boolean;
}
interface Page {
	data: Event[];
	nextCursor: string | null;
}

const audit = async (query = ''): Promise<Page> => (await call(`/api/v1/audit${query}`)).json();
const verify = async (change: (text: string) => string = (text) => text): Promise<AuditVerdict> => {
	const response = await call('/api/v1/audit/export');
	expect(response.headers.get('content-type')).toContain('application/jsonl');
	return verifyExport(change(await response.text()).split('\n'), sha256Hex);
};

afterEach(cleanUp);

describe('GET /api/v1/audit', () => {
	it('tells what operators did, and filters it', async () => {
		const { enrolled } = await enrol();
		const token = await (await call('/api/v1/join-tokens', { json: {} })).json<{ id: string }>();
		await call(`/api/v1/join-tokens/${token.id}`, { method: 'DELETE' });
		const node = await joinNode();
		const paused = await call(`/api/v1/supervisor/workers/${node.identity.id}/pause`, { method: 'POST' });
		expect(paused.status).toBe(200);

		const all = await audit('?limit=200');
		expect(all.data.map((event) => event.action)).toEqual(expect.arrayContaining(['join-token.create', 'join-token.revoke', 'node.pause']));
		const paths = (await audit('?action=node.*')).data;
		expect(paths).toMatchObject([
			{ type: 'action', who: 'key:boot', action: 'node.pause', target: node.identity.id, detail: { mode: 'paused' }, unsealed: false },
		]);
		expect((await audit(`?target=${token.id}`)).data.map((event) => event.action)).toEqual(['join-token.revoke', 'join-token.create']);
		expect((await audit(`?target=${enrolled.nodeId}`)).data).toEqual([]);
		expect((await audit('?who=key:nobody')).data).toEqual([]);
		const later = new Date(Date.now() + 60_000).toISOString();
		expect((await audit(`?from=${later}`)).data).toEqual([]);
		expect((await audit(`?to=${later}&limit=1`)).data).toHaveLength(1);
		expect((await problemOf(await call('/api/v1/audit?action=drop table'))).code).toBe('validation_failed');
	});

	it('pages without gaps or doubles', async () => {
		for (let i = 0; i < 3; i++) await call('/api/v1/join-tokens', { json: {} });
		const all = (await audit('?type=action&limit=200')).data.map((event) => event.id);
		const paged: string[] = [];
		for (let cursor: string | null = ''; cursor !== null;) {
			const page: Page = await audit(`?type=action&limit=2${cursor === '' ? '' : `&cursor=${cursor}`}`);
			paged.push(...page.data.map((event) => event.id));
			cursor = page.nextCursor;
		}
		expect(paged).toEqual(all);
		expect(all.length).toBeGreaterThan(2);
	});

	it('shows the history of an open job as unsealed, and sealed once it is settled', async () => {
		const job = await submit({});
		const open = (await audit(`?target=${job.id}`)).data;
		expect(open.length).toBeGreaterThan(0);
		expect(open.every((event) => event.unsealed && event.type === 'history')).toBe(true);
		await call(`/api/v1/jobs/${job.id}/cancel`, { method: 'POST' });
		await expect
			.poll(async () => (await audit(`?target=${job.id}`)).data.some((event) => event.type === 'settle'), { timeout: 8000 })
			.toBe(true);
		const ended = (await audit(`?target=${job.id}`)).data;
		expect(ended.filter((event) => event.type === 'history').map((event) => [event.action, event.unsealed])).toEqual(
			expect.arrayContaining([
				['job.canceled', false],
				['job.queued', false],
			]),
		);
	});

	it('needs audit:read', async () => {
		const key = await addKey('narrow1', ['jobs:read']);
		for (const path of ['/api/v1/audit', '/api/v1/audit/export']) {
			expect((await call(path, { key })).status).toBe(403);
			expect((await call(path, { key: null })).status).toBe(401);
		}
	});
});

describe('GET /api/v1/audit/export', () => {
	it('verifies, and turns red when a row of the database was changed', async () => {
		await call('/api/v1/join-tokens', { json: {} });
		await submit({});
		const good = await verify();
		expect(good).toMatchObject({ ok: true, workspace: WS, unsealed: 1 });
		expect((await verify((text) => text.replace('join-token.create', 'join-token.CREATE'))).ok).toBe(false);

		const stub = env.WORKSPACE.getByName(WS);
		const { seq, entries } = await runInDurableObject(stub, (_instance, state) =>
			state.storage.sql.exec<{ seq: number; entries: string }>('SELECT seq, entries FROM ledger ORDER BY seq DESC LIMIT 1').one(),
		);
		const write = (text: string): Promise<void> =>
			runInDurableObject(stub, (_instance, state) => {
				state.storage.sql.exec('UPDATE ledger SET entries = ? WHERE seq = ?', text, seq);
			});
		await write(entries.replace('key:boot', 'key:root'));
		expect(await verify()).toMatchObject({ ok: false, seq, why: expect.stringContaining('changed') });
		await write(entries);
		expect((await verify()).ok).toBe(true);
	});
});
