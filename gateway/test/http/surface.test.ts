import { createExecutionContext, waitOnExecutionContext } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { TIMING } from '@limner/shared';
import { describe, expect, it, vi } from 'vitest';
import { BUILT_IN_MODELS } from '../../src/lib/catalog.ts';
import { createApp } from '../../src/app.ts';
import { addKey, call, KEY, submit } from './harness.ts';

/** One request against the app with another environment, and every line that it logged. */
const logged = async (change: Partial<Cloudflare.Env>, ...requests: Request[]): Promise<{ lines: string[]; answers: Response[] }> => {
	const lines: string[] = [];
	const spy = vi.spyOn(console, 'log').mockImplementation((line: string) => {
		lines.push(line);
	});
	const answers: Response[] = [];
	try {
		for (const request of requests) {
			const context = createExecutionContext();
			answers.push(await createApp().fetch(request, { ...env, ...change }, context));
			await waitOnExecutionContext(context);
		}
	} finally {
		spy.mockRestore();
	}
	return { lines, answers };
};
const info = { LOG_LEVEL: 'info' } as unknown as Partial<Cloudflare.Env>;
const at = (path: string, init: RequestInit = {}): Request =>
	new Request(`https://limner.example${path}`, { ...init, headers: { authorization: `Bearer ${KEY}`, ...(init.headers as object) } });

/** A request with a key that no other test has used: the isolate remembers keys for a second. */
const withKey = (id: string): Request =>
	new Request('https://limner.example/api/v1/jobs', { headers: { 'x-api-key': `lk_test_${id}_0123456789abcdef0123456789abcdef` } });

describe('logs', () => {
	it('are one object a request, with its trace, and hold no secret', async () => {
		const trace = '4bf92f3577b34da6a3ce929d0e0e4736';
		const { lines, answers } = await logged(
			info,
			at('/api/v1/jobs?limit=1', { headers: { traceparent: `00-${trace}-00f067aa0ba902b7-01` } }),
			at('/api/v1/objects/SECRET.TICKET'),
			at('/api/v1/results/SECRET.TICKET/url', { method: 'POST' }),
			at('/api/v1/jobs/x/events?ticket=SECRET.TICKET'),
			at('/api/v1/jobs', { method: 'POST', body: '{', headers: { 'content-type': 'application/json' } }),
		);
		expect(lines).toHaveLength(5);
		const parsed = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
		for (const [i, line] of parsed.entries()) {
			expect(line).toMatchObject({
				level: 'info',
				msg: 'request',
				traceId: expect.stringMatching(/^[0-9a-f]{32}$/),
				status: answers[i]?.status,
			});
			expect(line['requestId']).toBe(answers[i]?.headers.get('x-request-id'));
		}
		expect(parsed[0]).toMatchObject({ traceId: trace, path: '/api/v1/jobs', ws: 'test', keyId: 'boot', method: 'GET' });
		expect(lines.join('\n')).not.toMatch(/SECRET|0123456789abcdef0123456789abcdef|limit=1/);
	});

	it('tell what is our fault, and the caller nothing of it', async () => {
		const broken = { ...info, WORKSPACE: { getByName: () => ({ authenticate: () => Promise.reject(new Error('inner detail')) }) } };
		const { lines, answers } = await logged(broken as unknown as Partial<Cloudflare.Env>, withKey('broken'));
		expect(answers[0]?.status).toBe(500);
		expect(await answers[0]?.text()).not.toContain('inner detail');
		const parsed = lines.map((line) => JSON.parse(line) as Record<string, unknown>);
		expect(parsed).toMatchObject([
			{ level: 'error', msg: 'request failed', detail: 'inner detail' },
			{ level: 'error', msg: 'request' },
		]);
		expect(parsed[0]?.['traceId']).toBe(parsed[1]?.['traceId']);
	});
});

const failing = (error: Error, times: number) => {
	let calls = 0;
	const stub = {
		authenticate: async () => {
			calls++;
			if (calls <= times) throw error;
			return { ok: true, principal: { ws: 'test', keyId: 'k', scopes: ['admin'], weight: 1 } };
		},
		listJobs: async () => ({ data: [], nextCursor: null }),
	};
	const change = { WORKSPACE: { getByName: () => stub } } as unknown as Partial<Cloudflare.Env>;
	return { change, calls: () => calls };
};

describe('Durable Objects that are away', () => {
	it('are asked once more when they only restarted', async () => {
		const { change, calls } = failing(Object.assign(new Error('reset'), { retryable: true }), 1);
		const { answers } = await logged(change, withKey('restarted'));
		expect([answers[0]?.status, calls()]).toEqual([200, 2]);
	});
	it('are left alone when they have too much to do', async () => {
		const { change, calls } = failing(Object.assign(new Error('busy'), { retryable: true, overloaded: true }), 9);
		const { answers } = await logged(change, withKey('overloaded'));
		expect([answers[0]?.status, calls()]).toEqual([503, 1]);
		expect(answers[0]?.headers.get('retry-after')).toBe('1');
	});
	it('are not asked again about a key within a second', async () => {
		const { change, calls } = failing(new Error('unused'), 0);
		await logged(change, withKey('cached'), withKey('cached'), withKey('cached'));
		expect(calls()).toBe(1);
		await new Promise((resolve) => setTimeout(resolve, TIMING.keyCacheMs));
		await logged(change, withKey('cached'));
		expect(calls()).toBe(2);
	});
});

const bad = (): Request => new Request('https://limner.example/api/v1/jobs', { headers: { 'cf-connecting-ip': '192.0.2.1' } });

describe('rate limits', () => {
	it('refuse with a time to come back', async () => {
		const none = { limit: () => Promise.resolve({ success: false }) };
		const { answers } = await logged({ KEY_LIMIT: none, ADDRESS_LIMIT: none }, at('/api/v1/jobs'));
		expect(answers[0]?.status).toBe(429);
		expect(answers[0]?.headers.get('retry-after')).toBe('60');
	});
	it('count an address only when its key is wrong', async () => {
		const keys: string[] = [];
		const counting = { limit: ({ key }: { key: string }) => Promise.resolve({ success: keys.push(key) < 2 }) };
		const change = { ADDRESS_LIMIT: counting } as unknown as Partial<Cloudflare.Env>;
		const { answers } = await logged(change, at('/api/v1/jobs'), bad(), bad());
		expect(answers.map((answer) => answer.status)).toEqual([200, 401, 429]);
		expect(keys).toEqual(['192.0.2.1', '192.0.2.1']);
	});
});

describe('operations', () => {
	it('is healthy without asking anybody, and ready when all answer', async () => {
		expect(await (await call('/health', { key: null })).json()).toMatchObject({ status: 'ok' });
		expect(await (await call('/ready', { key: null })).json()).toMatchObject({ status: 'ready', checks: { pool: expect.any(Number) } });
	});
	it('shows metrics to those who may see them', async () => {
		const watcher = await addKeyAfterFirst('watcher', ['supervisor:read']);
		const text = await (await call('/metrics', { key: watcher })).text();
		expect(text).toContain('# TYPE limner_pool_granted_total counter');
		expect(await (await call('/api/v1/supervisor/metrics', { key: watcher })).json()).toMatchObject({ total: { slots: 0 } });
		expect(await (await call('/api/v1/resources/usage')).json()).toMatchObject({ workspaceId: 'test', images: 0 });
		expect((await call('/metrics', { key: null })).status).toBe(401);
	});
	it('lists models and schedulers', async () => {
		const models = await (await call('/api/v1/models')).json<{ data: object[] }>();
		const [native] = BUILT_IN_MODELS.map(({ nativeWidth }) => nativeWidth);
		expect(models.data).toContainEqual(expect.objectContaining({ name: 'storybook', isDefault: true, nativeWidth: native }));
		expect(models.data).toHaveLength(BUILT_IN_MODELS.length);
		const schedulers = await (await call('/api/v1/schedulers')).json<{ data: { name: string }[] }>();
		expect(schedulers.data.map((scheduler) => scheduler.name)).toContain('ddim');
	});
	it('describes itself', async () => {
		const document = await (
			await call('/openapi.json', { key: null })
		).json<{
			openapi: string;
			paths: Record<string, Record<string, { responses: Record<string, unknown>; operationId: string }>>;
		}>();
		expect(document.openapi).toBe('3.1.0');
		const operations = Object.values(document.paths).flatMap((path) => Object.values(path));
		expect(operations.length).toBeGreaterThan(20);
		expect(new Set(operations.map((operation) => operation.operationId)).size).toBe(operations.length);
		for (const operation of operations) expect(operation.responses).toHaveProperty('500');
		const page = await call('/docs', { key: null });
		expect(page.headers.get('content-security-policy')).toContain('sha256-');
		const html = await page.text();
		expect(html).toContain('/api/v1/jobs/{id}/events');
		expect(html).not.toContain('<script');
	});
});

const addKeyAfterFirst = async (id: string, scopes: string[]): Promise<string> => {
	await submit();
	return addKey(id, scopes);
};
