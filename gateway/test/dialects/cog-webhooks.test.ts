/** A prediction's own webhook is kept and tried like any other. */
import { env } from 'cloudflare:workers';
import { evictDurableObject, runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import { call, cleanUp, WS } from '../http/harness.ts';
import { until } from '../pool/harness.ts';
import { paint } from './harness.ts';

interface Letter {
	url: string;
	id: string | null;
	redirect: string | undefined;
	body: { id: string; status: string; output: string[] | null; metrics: object };
}
interface Delivery {
	id: string;
	attempts: object[];
	payload: object;
}
let sent: Letter[] = [];
let answer: () => Response = () => new Response(null, { status: 204 });
const HOOK = 'https://hooks.example.com/prediction';

beforeEach(() => {
	sent = [];
	answer = () => new Response(null, { status: 204 });
	vi.spyOn(globalThis, 'fetch').mockImplementation(async (input, init) => {
		const id = new Headers(init?.headers).get('webhook-id');
		sent.push({ url: input as string, id, redirect: init?.redirect, body: JSON.parse(init?.body as string) as Letter['body'] });
		return answer();
	});
});
afterEach(async () => {
	vi.restoreAllMocks();
	await cleanUp();
});

const stub = () => env.DELIVERY.getByName(WS);
const predict = (json: object, path = '/v1/predictions', headers: Record<string, string> = {}): Promise<Response> =>
	call(path, { json: { input: { prompt: 'a fox' }, ...json }, headers });
const madeId = async (response: Response): Promise<string> => {
	expect(response.status).toBeLessThan(300);
	return (await response.json<{ id: string }>()).id;
};
const told = (count: number): Promise<unknown> =>
	until(async () => {
		await runDurableObjectAlarm(stub());
		return sent.length >= count;
	}, `${count} letters`);
const hurry = (): Promise<unknown> =>
	runInDurableObject(stub(), (_instance, state) => state.storage.sql.exec("UPDATE deliveries SET next_at = 0 WHERE state = 'pending'"));
const rows = (table: string): Promise<Record<string, unknown>[]> =>
	runInDurableObject(stub(), (_instance, state) => state.storage.sql.exec(`SELECT * FROM ${table}`).toArray());

it('tells of the beginning and of the end, once each, with addresses that work', async () => {
	await paint();
	const id = await madeId(await predict({ version: 'storybook', webhook: HOOK }));
	await told(2);
	await runDurableObjectAlarm(stub());
	expect(sent.map(({ url, id: message, redirect, body }) => [url, message, redirect, body.id, body.status])).toEqual([
		[HOOK, `msg_${id}_start`, 'manual', id, 'starting'],
		[HOOK, `msg_${id}_completed`, 'manual', id, 'succeeded'],
	]);
	const [url = ''] = sent[1]?.body.output ?? [];
	expect(url).toMatch(/^https:/);
	const picture = await call(new URL(url).pathname, { key: null });
	expect(picture.status).toBe(200);
	await picture.arrayBuffer();
});

it('goes on for a receiver that is down, across an eviction, with the same id', async () => {
	answer = () => new Response(null, { status: 500 });
	await paint();
	const id = await madeId(await predict({ webhook: HOOK, webhook_events_filter: ['completed'] }));
	await told(1);
	await evictDurableObject(stub());
	answer = () => new Response('ok');
	// Its own clock may have tried in between: what counts is that it goes on until somebody answers.
	const before = sent.length;
	await hurry();
	await told(before + 1);
	expect([...new Set(sent.map(({ id: message, body }) => `${message} ${body.status}`))]).toEqual([`msg_${id}_completed succeeded`]);
	const [row] = (await rows('deliveries')).filter(({ message_id: message }) => message === `msg_${id}_completed`);
	expect(row).toMatchObject({ state: 'delivered', tries: sent.length });
});

const dead = async (): Promise<{ data: Delivery[] }> => (await call('/api/v1/webhooks/predictions/deliveries?state=dead')).json();

it('shows a letter that was given up where its owner looks, and sends it again', async () => {
	answer = () => new Response(null, { status: 410 });
	await paint();
	const id = await madeId(await predict({ webhook: `${HOOK}?token=secret`, webhook_events_filter: ['completed'] }));
	await told(1);
	await until(async () => (await dead()).data.length === 1, 'it is dead');
	const [letter] = (await dead()).data;
	expect(letter).toMatchObject({ webhookId: 'predictions', url: `${HOOK}?token=secret`, type: 'prediction.completed', state: 'dead' });
	expect(letter?.attempts).toEqual([expect.objectContaining({ status: 410, error: 'the receiver answered 410' })]);
	expect(letter?.payload).toMatchObject({ type: 'prediction.completed', data: { id, status: 'succeeded' } });
	const { logs } = await (await call(`/v1/predictions/${id}`)).json<{ logs: string }>();
	expect(logs).toContain('webhook at hooks.example.com, prediction.completed: the receiver answered 410, after 1 try; given up.');
	expect(logs).not.toContain('secret');

	answer = () => new Response(null, { status: 204 });
	const path = `/api/v1/webhooks/predictions/deliveries/${letter?.id ?? ''}/redeliver`;
	expect(logs).toContain(`POST ${path}`);
	expect((await call(path, { method: 'POST' })).status).toBe(202);
	await told(2);
	await until(async () => (await dead()).data.length === 0, 'it was delivered');
	expect((await (await call(`/v1/predictions/${id}`)).json<{ logs: string }>()).logs).toBe('');
	// A webhook that somebody registered does not answer for it, nor the other way round.
	expect((await call(path.replace('predictions', 'wh_00000000000000000000000000'), { method: 'POST' })).status).toBe(404);
});

it('hears of a job that had ended before anybody waited, and of a repeat only once', async () => {
	await paint();
	const json = { input: { prompt: 'a fox' }, webhook: HOOK, webhook_events_filter: ['completed'] };
	for (let i = 0; i < 2; i++) expect((await call('/predictions/mine-7', { method: 'PUT', json })).status).toBe(200);
	const before = await (await call('/predictions/mine-7')).json<{ status: string }>();
	expect(before.status).toBe('succeeded');
	await told(1);
	await runDurableObjectAlarm(stub());
	expect(sent).toHaveLength(1);
	expect(sent[0]?.body).toMatchObject({ id: 'mine-7', status: 'succeeded' });
	// Cog's own answer has the picture inside; a letter has its address.
	expect(sent[0]?.body.output?.[0]).toMatch(/^https:/);
});

it('asks only for what the filter names, and tells of a cancel', async () => {
	const quiet = await madeId(await predict({ webhook: HOOK, webhook_events_filter: ['start'] }));
	const id = await madeId(await predict({ webhook: HOOK, webhook_events_filter: ['output', 'logs'] }));
	await told(1);
	for (const one of [quiet, id]) expect((await call(`/v1/predictions/${one}/cancel`, { method: 'POST' })).status).toBe(200);
	await told(2);
	await runDurableObjectAlarm(stub());
	expect(sent.map(({ id: message, body }) => [message, body.status])).toEqual([
		[`msg_${quiet}_start`, 'starting'],
		[`msg_${id}_completed`, 'canceled'],
	]);
});

it.each(['http://hooks.example.com/x', 'https://127.0.0.1/x', 'https://[::1]/x', 'https://10.0.0.8/x'])(
	'refuses %s before anything is made',
	async (webhook) => {
		const before = (await (await call('/api/v1/jobs')).json<{ data: object[] }>()).data.length;
		const response = await predict({ webhook });
		expect(response.status).toBe(422);
		expect(JSON.stringify(await response.json())).toContain('the address is refused');
		expect((await (await call('/api/v1/jobs')).json<{ data: object[] }>()).data).toHaveLength(before);
		expect(sent).toEqual([]);
	},
);

it('forgets who has been told after a week', async () => {
	await paint();
	await madeId(await predict({ webhook: HOOK, webhook_events_filter: ['completed'] }));
	await told(1);
	await runInDurableObject(stub(), (_instance, state) => {
		state.storage.sql.exec('UPDATE callbacks SET created_at = 1');
		state.storage.sql.exec('UPDATE deliveries SET finished_at = 1 WHERE finished_at IS NOT NULL');
	});
	await runInDurableObject(stub(), (instance) => instance.alarm());
	expect(await rows('callbacks')).toEqual([]);
});
