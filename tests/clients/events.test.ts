/** What the gateway tells by itself: `eventsource` follows a job, `standardwebhooks` verifies what a webhook got. */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { EventSource } from 'eventsource';
import { Webhook, WebhookVerificationError } from 'standardwebhooks';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startTestGateway, type TestGateway } from '../lib/gateway.ts';
import { startTestNode, type TestNode } from '../lib/node.ts';
import { until } from '../lib/until.ts';

let gateway: TestGateway;
let node: TestNode;
let server: Server;
const letters: { headers: Record<string, string>; body: string }[] = [];

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
	node = await startTestNode(gateway, { name: 'teller', stepMs: 20 });
});
afterAll(async () => {
	await node?.stop();
	await gateway?.stop();
	server?.close();
});

const DURABLE = ['queued', 'assigned', 'requeued', 'image', 'succeeded', 'failed', 'canceled', 'expired'];
const PASSING = ['position', 'waiting', 'loading', 'progress', 'preview'];

interface Seen {
	durable: { event: string; id: number }[];
	passing: string[];
}

/** Follows a job with the client as it is, until a terminal event; the client connects again by itself. */
const followed = (source: EventSource): Promise<Seen> =>
	new Promise((resolve, reject) => {
		const seen: Seen = { durable: [], passing: [] };
		for (const event of PASSING) source.addEventListener(event, () => seen.passing.push(event));
		for (const event of DURABLE) {
			source.addEventListener(event, ({ lastEventId }) => {
				seen.durable.push({ event, id: Number(lastEventId) });
				if (!['succeeded', 'failed', 'canceled', 'expired'].includes(event)) return;
				source.close();
				resolve(seen);
			});
		}
		source.addEventListener('error', ({ code, message }) => {
			if (code !== undefined && code !== 204) reject(new Error(`${code} ${message ?? ''}`));
		});
	});

it('eventsource: follows a job with a key, and with a ticket as a browser would', async () => {
	const job = await gateway.submit({ prompt: 'followed', steps: 30 });
	const headers = { authorization: `Bearer ${gateway.key}` };
	const ticket = await gateway.api<{ url: string }>('POST', `/api/v1/jobs/${job.id}/stream-ticket`);
	const withKey = new EventSource(`${gateway.url}/api/v1/jobs/${job.id}/events`, {
		fetch: (url, init) => fetch(url, { ...init, headers: { ...init.headers, ...headers } }),
	});
	const withTicket = new EventSource(new URL(ticket.body.url, gateway.url));
	const [one, other] = await Promise.all([followed(withKey), followed(withTicket)]);
	expect(one.durable.map(({ event }) => event)).toEqual(['queued', 'assigned', 'image', 'succeeded']);
	expect(other.durable).toEqual(one.durable);
	expect(one.passing).toContain('progress');
	expect(node.engineLog().filter(({ jobId, event }) => jobId === job.id && event === 'step')).toHaveLength(30);
});

/** The body up to the piece with a text in it; then the connection is gone. */
const breakAfter = (response: Response, text: string): ReadableStream<Uint8Array> => {
	const reader = response.body?.getReader();
	return new ReadableStream({
		async pull(controller) {
			const { done, value } = (await reader?.read()) ?? { done: true, value: undefined };
			if (done) return controller.close();
			controller.enqueue(value);
			if (!Buffer.from(value).toString().includes(text)) return undefined;
			await reader?.cancel();
			await new Promise((resolve) => setTimeout(resolve, 50));
			return controller.error(new TypeError('the connection broke'));
		},
	});
};

it('eventsource: connects again after its connection broke, and misses and repeats nothing', async () => {
	const job = await gateway.submit({ prompt: 'broken off', steps: 60, n: 3 });
	const asked: (string | null)[] = [];
	const source = new EventSource(`${gateway.url}/api/v1/jobs/${job.id}/events`, {
		fetch: async (url, init) => {
			const headers = new Headers(init.headers);
			asked.push(headers.get('last-event-id'));
			headers.set('authorization', `Bearer ${gateway.key}`);
			const response = await fetch(url, { ...init, headers });
			return asked.length > 1 ? response : new Response(breakAfter(response, 'event: image'), response);
		},
	});
	const seen = followed(source);
	const { durable } = await seen;
	expect(asked.length).toBeGreaterThan(1);
	expect(Number(asked[1])).toBeGreaterThan(0);
	expect(durable.filter(({ event }) => event === 'image')).toHaveLength(3);
	const ids = durable.map(({ id }) => id);
	expect(ids).toEqual([...new Set(ids)].toSorted((a, b) => a - b));
	expect(durable.at(-1)?.event).toBe('succeeded');
}, 120_000);

it('standardwebhooks: verifies what a webhook got, and nothing else', async () => {
	const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/hook`;
	const hook = await gateway.api<{ secret: string }>('POST', '/api/v1/webhooks', { url, events: ['job.*'] });
	expect(hook.status).toBe(201);
	const job = await gateway.submit({ prompt: 'told', steps: 3 });
	await gateway.jobEnded(job.id);
	const letter = await until('the webhook', () => Promise.resolve(letters.find(({ body }) => body.includes(job.id))), 60_000);
	const verifier = new Webhook(hook.body.secret);
	expect(verifier.verify(letter.body, letter.headers)).toMatchObject({ type: 'job.succeeded', data: { id: job.id } });
	expect(() => verifier.verify(letter.body.replace('succeeded', 'failed'), letter.headers)).toThrow(WebhookVerificationError);
	expect(() => verifier.verify(letter.body, { ...letter.headers, 'webhook-timestamp': '1' })).toThrow(WebhookVerificationError);
	expect(() => new Webhook('whsec_AAAA').verify(letter.body, letter.headers)).toThrow(WebhookVerificationError);
});
