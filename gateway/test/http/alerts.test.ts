import { env } from 'cloudflare:workers';
import { evictDurableObject, runInDurableObject } from 'cloudflare:test';
import { ALERT_LIMITS } from '@limner/shared';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { addKey, call, cleanUp, submit, WS } from './harness.ts';

interface Alert {
	id: string;
	kind: string;
	severity: string;
	state: string;
	subject: string;
	acknowledgedBy?: string;
}

let bodies: string[] = [];
beforeEach(() => {
	bodies = [];
	vi.spyOn(globalThis, 'fetch').mockImplementation(async (_input, init) => {
		bodies.push(init?.body as string);
		return new Response(null);
	});
});
afterEach(async () => {
	vi.restoreAllMocks();
	await cleanUp();
});

/** Reads alerts with a fresh look: an object remembers its last one for a moment. */
const alerts = async (query = ''): Promise<Alert[]> => {
	await evictDurableObject(env.DELIVERY.getByName(WS));
	return (await (await call(`/api/v1/alerts${query}`)).json<{ data: Alert[] }>()).data;
};
const age = (jobId: string, ms: number): Promise<void> =>
	runInDurableObject(env.WORKSPACE.getByName(WS), (_instance, state) => {
		state.storage.sql.exec('UPDATE jobs SET created_at = created_at - ? WHERE id = ?', ms, jobId);
	}).then(() => evictDurableObject(env.WORKSPACE.getByName(WS)));

describe('/api/v1/alerts', () => {
	it('raises for a job that waits too long, tells the webhook, is acknowledged, and resolves itself', async () => {
		const hook = await (
			await call('/api/v1/webhooks', { json: { url: 'https://hooks.example.com/', events: ['alert.*'] } })
		).json<{ id: string }>();
		const job = await submit({});
		expect((await alerts('?state=raised')).filter(({ kind }) => kind === 'queue-age')).toEqual([]);
		await age(job.id, ALERT_LIMITS.queueAgeMs);
		const [alert] = (await alerts()).filter(({ kind }) => kind === 'queue-age');
		expect(alert).toMatchObject({ severity: 'P3', state: 'raised' });
		await expect
			.poll(() => bodies.some((body) => body.includes('alert.raised') && body.includes(alert!.id)), { timeout: 20_000 })
			.toBe(true);

		const taken = await (await call(`/api/v1/alerts/${alert!.id}/acknowledge`, { method: 'POST' })).json<Alert>();
		expect(taken).toMatchObject({ state: 'acknowledged', acknowledgedBy: 'key:boot' });
		await expect.poll(() => bodies.some((body) => body.includes('alert.acknowledged')), { timeout: 20_000 }).toBe(true);

		await call(`/api/v1/jobs/${job.id}/cancel`, { method: 'POST' });
		await expect.poll(async () => (await alerts('?state=resolved')).some(({ id }) => id === alert!.id), { timeout: 25_000 }).toBe(true);
		expect((await call(`/api/v1/alerts/${alert!.id}/acknowledge`, { method: 'POST' })).status).toBe(409);
		await call(`/api/v1/webhooks/${hook.id}`, { method: 'DELETE' });
	}, 90_000);

	it('needs its scopes, and knows no foreign ids', async () => {
		const key = await addKey('narrow3', ['supervisor:read']);
		expect((await call('/api/v1/alerts', { key })).status).toBe(200);
		const none = `alr_${'0'.repeat(26)}`;
		expect((await call(`/api/v1/alerts/${none}/acknowledge`, { method: 'POST', key })).status).toBe(403);
		expect((await call(`/api/v1/alerts/${none}/resolve`, { method: 'POST' })).status).toBe(404);
		expect((await call('/api/v1/alerts?severity=P9')).status).toBe(422);
	});
});
