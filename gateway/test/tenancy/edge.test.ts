import { env } from 'cloudflare:workers';
import { runInDurableObject } from 'cloudflare:test';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { seal, unseal } from '../../src/lib/replay.ts';
import { call } from '../http/harness.ts';
import { ask, newMember, newTenant, PASSWORD, withVar } from './harness.ts';

const make = (token: string, name: string, key: string) =>
	ask('POST', '/keys', token, { name, scopes: ['jobs:read'] }, { 'idempotency-key': key });

const preflight = (origin: string) =>
	call('/api/v1/jobs', { method: 'OPTIONS', key: null, headers: { origin, 'access-control-request-method': 'POST' } });

describe('Idempotency-Key on routes with awaited effects', () => {
	it('gives the first answer again, the secret in it too, and keeps it encrypted', async () => {
		const { token, ws } = await newTenant();
		const first = await make(token, 'a', 'one');
		const again = await ask('POST', '/keys', token, { scopes: ['jobs:read'], name: 'a' }, { 'idempotency-key': 'one' });
		expect([first.status, again.status, again.headers.get('idempotency-replayed')]).toEqual([201, 201, 'true']);
		expect(again.body).toEqual(first.body);
		expect((await ask('GET', '/keys', token)).body.data).toHaveLength(1);
		const stored = await runInDurableObject(env.WORKSPACE.getByName(ws), (_instance, state) =>
			JSON.stringify(state.storage.sql.exec('SELECT * FROM replies').toArray()),
		);
		expect(stored).not.toContain(first.body.key.split('_')[3]);
		expect(stored).not.toContain(first.body.id);
	});

	it('refuses another body, and is of one caller', async () => {
		const { token } = await newTenant();
		const admin = await newMember(token, 'admin');
		const first = await make(token, 'a', 'one');
		expect(await make(token, 'b', 'one')).toMatchObject({ status: 422, body: { code: 'idempotency_mismatch' } });
		const other = await make(admin.token, 'a', 'one');
		expect(other.status).toBe(201);
		expect(other.body.key).not.toBe(first.body.key);
	});

	it('works once however many come at the same time; the others wait', async () => {
		const { token } = await newTenant();
		const answers = await Promise.all(Array.from({ length: 10 }, () => make(token, 'p', 'parallel')));
		const fresh = answers.filter((answer) => answer.status === 201 && answer.headers.get('idempotency-replayed') === null);
		expect(fresh).toHaveLength(1);
		for (const answer of answers.filter(({ status }) => status !== 201)) {
			expect(answer).toMatchObject({ status: 409, body: { code: 'in_flight' } });
			expect(Number(answer.headers.get('retry-after'))).toBeGreaterThan(0);
		}
		expect((await ask('GET', '/keys', token)).body.data).toHaveLength(1);
		expect((await make(token, 'p', 'parallel')).body.key).toBe(fresh[0]?.body.key);
	});

	it('forgets what was refused, and a request that died', async () => {
		const { token, ws } = await newTenant();
		expect((await ask('POST', '/keys', token, { name: 'x', scopes: ['nothing'] }, { 'idempotency-key': 'k' })).status).toBe(422);
		expect((await make(token, 'x', 'k')).status).toBe(201);
		await env.WORKSPACE.getByName(ws).beginRequest('dead', 'hash');
		expect(await env.WORKSPACE.getByName(ws).beginRequest('dead', 'hash')).toMatchObject({ kind: 'in_flight' });
		await runInDurableObject(env.WORKSPACE.getByName(ws), (_instance, state) =>
			state.storage.sql.exec("UPDATE replies SET at = at - 61000 WHERE name = 'dead'"),
		);
		expect(await env.WORKSPACE.getByName(ws).beginRequest('dead', 'hash')).toMatchObject({ kind: 'new' });
		expect((await make(token, 'x', 'ä'.repeat(3))).status).toBe(422);
		expect((await make(token, 'x', 'k'.repeat(256))).status).toBe(422);
	});

	it('seals for one workspace with one secret', () => {
		const text = seal('secret one', 'ws', 'hello');
		expect(unseal('secret one', 'ws', text)).toBe('hello');
		expect(() => unseal('secret two', 'ws', text)).toThrow(/authenticat/i);
		expect(() => unseal('secret one', 'other', text)).toThrow(/authenticat/i);
	});
});

describe('CORS', () => {
	it('lets no other page in, and the refusal names the setting', async () => {
		const answer = await preflight('https://studio.example');
		expect(answer.status).toBe(403);
		expect(answer.headers.get('access-control-allow-origin')).toBeNull();
		expect(await answer.json()).toMatchObject({ code: 'origin_refused', detail: expect.stringContaining('CORS_ORIGINS') });
		const plain = await call('/api/v1/jobs', { headers: { origin: 'https://studio.example' } });
		expect([plain.status, plain.headers.get('access-control-allow-origin')]).toEqual([200, null]);
		await plain.text();
	});

	it('lets those of the list in', async () => {
		await withVar('CORS_ORIGINS', 'https://studio.example', async () => {
			const answer = await preflight('https://studio.example');
			expect([answer.status, answer.headers.get('access-control-allow-origin')]).toEqual([204, 'https://studio.example']);
			const read = await call('/api/v1/jobs', { headers: { origin: 'https://studio.example' } });
			expect(read.headers.get('access-control-allow-origin')).toBe('https://studio.example');
			expect(read.headers.get('access-control-allow-credentials')).toBeNull();
			expect(read.headers.get('vary')).toContain('Origin');
			expect(read.headers.get('access-control-expose-headers')).toContain('RateLimit-Remaining');
			await read.text();
		});
	});
});

describe('logs', () => {
	afterEach(() => vi.restoreAllMocks());

	it('hold no secret: canaries of every kind go through and none comes out', async () => {
		const lines: string[] = [];
		for (const method of ['log', 'info', 'warn', 'error', 'debug'] as const) {
			vi.spyOn(console, method).mockImplementation((...parts: unknown[]) => {
				lines.push(parts.map(String).join(' '));
			});
		}
		const secrets: string[] = [PASSWORD];
		await withVar('LOG_LEVEL', 'debug', async () => {
			const tenant = await newTenant();
			const key = (await ask('POST', '/keys', tenant.token, { name: 'canary', scopes: ['admin'] })).body.key;
			const join = (await ask('POST', '/join-tokens', key, {})).body.token;
			const invitation = (await ask('POST', '/invitations', tenant.token, { role: 'viewer' })).body.token;
			const reset = (await ask('POST', '/accounts/reset-links', undefined, { email: tenant.email })).body.token;
			const short = (await ask('POST', '/auth/token', null, { grant: 'key', key })).body.accessToken;
			const all = [tenant.token, tenant.refresh, key, join, invitation, reset, short];
			secrets.push(...all);
			for (const secret of all) {
				// In paths, queries, headers and bodies, where they belong and where they do not.
				for (const path of [`/jobs/${secret}`, `/jobs?cursor=${secret}`, `/jobs/x/events?ticket=${secret}`, `/keys/${secret}`]) {
					await ask('GET', path, key, undefined, { 'x-request-id': secret.slice(0, 100) });
				}
				await ask('POST', '/auth/token', null, { grant: 'key', key: secret });
				await ask('POST', '/auth/reset', null, { token: secret, password: PASSWORD });
				await ask('POST', '/jobs', secret, { prompt: 'a fox' });
				await ask('PUT', `/results/${secret}`, null, { secret });
			}
		});
		expect(lines.length).toBeGreaterThan(50);
		// The test itself must be able to see a leak.
		expect(lines.join('\n')).toContain('"path":"/api/v1/keys');
		const tails = secrets.map((secret) => secret.slice(-24));
		const leaks = lines.filter((line) => tails.some((tail) => line.includes(tail)));
		expect(leaks).toEqual([]);
	});
});
