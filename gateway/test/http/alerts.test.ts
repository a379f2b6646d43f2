import { env } from 'cloudflare:workers';
import { evictDurableObject, runInDurableObject } from 'cloudflare:test';
import { ALERT_LIMITS, DEFAULT_ALERT_RULES, type AlertRules } from '@limner/shared';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { withVar } from '../tenancy/harness.ts';
import { addKey, call, cleanUp, submit, WS } from './harness.ts';

interface Alert {
	id: string;
	kind: string;
	severity: string;
	state: string;
	subject: string;
	acknowledgedBy?: string;
	raisedAt: string;
	escalatesAt?: string;
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

const rules = async (): Promise<{ effective: AlertRules; own: object }> => (await call('/api/v1/alerts/rules')).json();

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

	it('goes by the rules of the workspace, over those of the operator, over the defaults', async () => {
		expect(await rules()).toEqual({ effective: DEFAULT_ALERT_RULES, own: {} });
		const own = { queueAge: { afterMs: 60_000, severity: 'P4' }, escalateAfterMs: { P4: 60_000 } };
		const put = await call('/api/v1/alerts/rules', { method: 'PUT', json: own });
		expect(put.status).toBe(200);
		const job = await submit({});
		await age(job.id, 60_000);
		const [alert] = (await alerts('?state=raised')).filter(({ kind }) => kind === 'queue-age');
		expect(alert).toMatchObject({ severity: 'P4' });
		expect(Date.parse(alert!.escalatesAt!) - Date.parse(alert!.raisedAt)).toBe(60_000);
		await withVar('ALERT_RULES', '{"queueAge":{"worseSeverity":"P1","afterMs":1000},"poison":{"enabled":false}}', async () => {
			await evictDurableObject(env.DELIVERY.getByName(WS));
			const { effective } = await rules();
			expect(effective.queueAge).toMatchObject({ afterMs: 60_000, severity: 'P4', worseSeverity: 'P1' });
			expect(effective.poison.enabled).toBe(false);
		});
		// A setting that cannot be read switches nothing off.
		await withVar('ALERT_RULES', 'nonsense', async () => expect((await rules()).effective.queueAge.afterMs).toBe(60_000));
		expect((await call('/api/v1/alerts/rules', { method: 'PUT', json: { queueAge: { afterMs: 0 } } })).status).toBe(422);
		expect((await call('/api/v1/alerts/rules', { method: 'PUT', json: { queue: {} } })).status).toBe(422);
		expect((await call('/api/v1/alerts/rules', { method: 'PUT', json: {}, key: await addKey('rules1', ['supervisor:read']) })).status).toBe(
			403,
		);
		await call('/api/v1/alerts/rules', { method: 'PUT', json: {} });
		expect((await rules()).own).toEqual({});
	}, 60_000);

	it('needs its scopes, and knows no foreign ids', async () => {
		const key = await addKey('narrow3', ['supervisor:read']);
		expect((await call('/api/v1/alerts', { key })).status).toBe(200);
		const none = `alr_${'0'.repeat(26)}`;
		expect((await call(`/api/v1/alerts/${none}/acknowledge`, { method: 'POST', key })).status).toBe(403);
		expect((await call(`/api/v1/alerts/${none}/resolve`, { method: 'POST' })).status).toBe(404);
		expect((await call('/api/v1/alerts?severity=P9')).status).toBe(422);
	});
});
