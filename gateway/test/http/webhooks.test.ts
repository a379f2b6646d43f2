import { env } from 'cloudflare:workers';
import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { DELIVERY_LIMITS } from '@limner/shared';
import { Webhook } from 'standardwebhooks';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { addKey, call, cleanUp, problemOf, submit, WS } from './harness.ts';

interface Hook {
	id: string;
	url: string;
	secret: string;
	events: string[];
	enabled: boolean;
	pending: number;
	dead: number;
	disabledReason?: string;
}
interface Sent {
	url: string;
	headers: Headers;
	body: string;
	redirect: string | undefined;
}
interface Delivery {
	id: string;
	type: string;
	state: string;
	attempts: { status?: number; error?: string }[];
	payload: { type: string; data: Record<string, unknown> };
}

let sent: Sent[] = [];
let answer: (url: string) => Response | Promise<Response> = () => new Response(null, { status: 204 });
const URL_A = 'https://hooks.example.com/a';

beforeEach(() => {
	sent = [];
	answer = () => new Response(null, { status: 204 });
	vi.spyOn(globalThis, 'fetch').mockImplementation(async (input, init) => {
		const url = input as string;
		sent.push({ url, headers: new Headers(init?.headers), body: init?.body as string, redirect: init?.redirect });
		return answer(url);
	});
});
afterEach(async () => {
	vi.restoreAllMocks();
	for (const { id } of await hooks()) await call(`/api/v1/webhooks/${id}`, { method: 'DELETE' });
	await cleanUp();
});

const stub = () => env.DELIVERY.getByName(WS);
const alarm = (): Promise<boolean> => runDurableObjectAlarm(stub());
const make = async (json: object = {}): Promise<Hook> => {
	const response = await call('/api/v1/webhooks', { json: { url: URL_A, ...json } });
	expect(response.status).toBe(201);
	return response.json();
};
const hooks = async (): Promise<Hook[]> => (await (await call('/api/v1/webhooks')).json<{ data: Hook[] }>()).data;
const deliveries = async (id: string, query = ''): Promise<Delivery[]> =>
	(await (await call(`/api/v1/webhooks/${id}/deliveries${query}`)).json<{ data: Delivery[] }>()).data;
/** Lets the alarm run until the webhook has been told of an event. */
const told = async (type: string): Promise<Sent> => {
	await expect
		.poll(
			async () => {
				await alarm();
				return sent.some(({ body }) => body.includes(`"${type}"`));
			},
			{ timeout: 8000 },
		)
		.toBe(true);
	return sent.find(({ body }) => body.includes(`"${type}"`))!;
};

describe('/api/v1/webhooks', () => {
	it('shows the secret once and never again', async () => {
		const hook = await make();
		expect(hook.secret).toMatch(/^whsec_/);
		const read = await (await call(`/api/v1/webhooks/${hook.id}`)).text();
		expect(read).not.toContain('whsec_');
		expect(JSON.stringify(await hooks())).not.toContain('whsec_');
	});

	it('tells of a job that ended, signed, and of nothing that was not asked for', async () => {
		const hook = await make({ events: ['job.canceled'] });
		const job = await submit({});
		await call(`/api/v1/jobs/${job.id}/cancel`, { method: 'POST' });
		const letter = await told('job.canceled');
		expect(letter).toMatchObject({ url: URL_A, redirect: 'manual' });
		const headers = Object.fromEntries(letter.headers);
		const payload = new Webhook(hook.secret).verify(letter.body, headers) as { type: string; data: { id: string; state: string } };
		expect(payload).toMatchObject({ type: 'job.canceled', data: { id: job.id, state: 'canceled' } });
		await alarm();
		// Making the webhook itself is an action in the ledger: it was not asked for.
		expect(sent.map(({ body }) => (JSON.parse(body) as { type: string }).type)).toEqual(['job.canceled']);
		expect(await deliveries(hook.id)).toMatchObject([{ type: 'job.canceled', state: 'delivered', attempts: [{ status: 204 }] }]);
	});

	it('tries again with the same id after a failure, across an eviction, and stops at success', async () => {
		answer = () => new Response(null, { status: 500 });
		const hook = await make({ events: ['job.*'] });
		const job = await submit({});
		await call(`/api/v1/jobs/${job.id}/cancel`, { method: 'POST' });
		const first = await told('job.canceled');
		expect(await deliveries(hook.id, '?state=pending')).toMatchObject([{ attempts: [{ status: 500, error: expect.any(String) }] }]);
		await evictDurableObject(stub());
		answer = () => new Response('ok');
		await runInDurableObject(stub(), (_instance, state) =>
			state.storage.sql.exec("UPDATE deliveries SET next_at = 0 WHERE state = 'pending'"),
		);
		await runInDurableObject(stub(), (_instance, state) => state.storage.setAlarm(Date.now()));
		await expect.poll(async () => (await deliveries(hook.id))[0]?.state, { timeout: 8000 }).toBe('delivered');
		const count = sent.length;
		expect(count).toBeGreaterThan(1);
		expect(new Set(sent.map(({ headers }) => headers.get('webhook-id')))).toEqual(new Set([first.headers.get('webhook-id')]));
		await alarm();
		expect(sent).toHaveLength(count);
	});

	it('gives up after a day, keeps the dead letter, and delivers it again on demand', async () => {
		answer = () => Promise.reject(new Error('connection refused'));
		const hook = await make({ events: ['job.*'] });
		const job = await submit({});
		await call(`/api/v1/jobs/${job.id}/cancel`, { method: 'POST' });
		await told('job.canceled');
		await runInDurableObject(stub(), (_instance, state) => {
			state.storage.sql.exec('UPDATE deliveries SET next_at = 0, round_at = ?', Date.now() - DELIVERY_LIMITS.giveUpMs);
			return state.storage.setAlarm(Date.now());
		});
		await expect.poll(async () => (await deliveries(hook.id, '?state=dead')).length, { timeout: 8000 }).toBe(1);
		const [dead] = await deliveries(hook.id, '?state=dead');
		expect(dead).toMatchObject({ attempts: [{ error: 'connection refused' }, { error: 'connection refused' }] });
		expect((await hooks())[0]).toMatchObject({ dead: 1, pending: 0 });
		answer = () => new Response(null);
		const again = await call(`/api/v1/webhooks/${hook.id}/deliveries/${dead!.id}/redeliver`, { method: 'POST' });
		expect(again.status).toBe(202);
		await expect.poll(async () => (await deliveries(hook.id))[0]?.state, { timeout: 8000 }).toBe('delivered');
	});

	it('sends a test at once and says what came of it; a redirect is a failure', async () => {
		const hook = await make();
		answer = () => new Response(null, { status: 302, headers: { location: 'http://169.254.169.254/' } });
		const test = await (await call(`/api/v1/webhooks/${hook.id}/test`, { method: 'POST' })).json<Delivery>();
		expect(test).toMatchObject({
			type: 'webhook.test',
			state: 'pending',
			attempts: [{ status: 302, error: expect.stringContaining('redirect') }],
		});
		expect(sent.every(({ url }) => url === URL_A)).toBe(true);
	});

	it('signs with both secrets after a rotation', async () => {
		const hook = await make();
		const rotated = await (await call(`/api/v1/webhooks/${hook.id}/rotate-secret`, { method: 'POST' })).json<Hook>();
		expect(rotated.secret).not.toBe(hook.secret);
		await call(`/api/v1/webhooks/${hook.id}/test`, { method: 'POST' });
		const letter = sent.at(-1)!;
		for (const secret of [hook.secret, rotated.secret]) {
			expect(new Webhook(secret).verify(letter.body, Object.fromEntries(letter.headers))).toMatchObject({ type: 'webhook.test' });
		}
	});

	it('switches off a receiver that says 410, and on again by hand', async () => {
		const hook = await make();
		answer = () => new Response(null, { status: 410 });
		await call(`/api/v1/webhooks/${hook.id}/test`, { method: 'POST' });
		expect((await hooks())[0]).toMatchObject({ enabled: false, disabledReason: expect.stringContaining('410') });
		const on = await (await call(`/api/v1/webhooks/${hook.id}`, { method: 'PATCH', json: { enabled: true } })).json<Hook>();
		expect(on.enabled).toBe(true);
		expect(on).not.toHaveProperty('disabledReason');
	});

	it('judges the address again at delivery', async () => {
		const hook = await make();
		await runInDurableObject(stub(), (_instance, state) => state.storage.sql.exec("UPDATE webhooks SET url = 'https://127.1/'"));
		const test = await (await call(`/api/v1/webhooks/${hook.id}/test`, { method: 'POST' })).json<Delivery>();
		expect(test.attempts[0]?.error).toContain('refused');
		expect(sent).toEqual([]);
	});

	it.each([
		'http://example.com/',
		'https://127.0.0.1/',
		'https://2130706433/',
		'https://[::ffff:127.0.0.1]/',
		'https://localhost/',
		'https://a:b@example.com/',
	])('refuses %s', async (url) => {
		const response = await call('/api/v1/webhooks', { json: { url } });
		expect(response.status).toBe(422);
		expect((await problemOf(response)).errors?.[0]?.pointer).toBe('/url');
	});

	it('refuses unknown events, too many webhooks, strangers and narrow keys', async () => {
		expect((await call('/api/v1/webhooks', { json: { url: URL_A, events: ['job.done'] } })).status).toBe(422);
		const narrow = await addKey('narrow2', ['webhooks:read']);
		expect((await call('/api/v1/webhooks', { key: narrow, json: { url: URL_A } })).status).toBe(403);
		expect((await call('/api/v1/webhooks', { key: null })).status).toBe(401);
		expect((await call(`/api/v1/webhooks/wh_${'0'.repeat(26)}`)).status).toBe(404);
		for (let i = 0; i < DELIVERY_LIMITS.webhooksMax; i++) await make();
		expect((await call('/api/v1/webhooks', { json: { url: URL_A } })).status).toBe(409);
	});

	it('does not let a slow receiver hold up the others, nor the workspace', async () => {
		const slow = Promise.withResolvers<Response>();
		answer = (url) => (url.endsWith('/slow') ? slow.promise : new Response(null));
		await make({ url: 'https://hooks.example.com/slow', events: ['job.*'] });
		await make({ url: 'https://hooks.example.com/fast', events: ['job.*'] });
		const job = await submit({});
		await call(`/api/v1/jobs/${job.id}/cancel`, { method: 'POST' });
		await expect.poll(async () => (await (await call(`/api/v1/jobs/${job.id}`)).json<{ state: string }>()).state).toBe('canceled');
		await expect.poll(() => sent.some(({ url }) => url.endsWith('/slow')), { timeout: 8000 }).toBe(true);
		await expect.poll(() => sent.some(({ url }) => url.endsWith('/fast')), { timeout: 8000 }).toBe(true);
		// While that receiver is still silent the workspace goes on taking jobs.
		expect((await submit({})).state).toBe('queued');
		slow.resolve(new Response(null));
	});
});
