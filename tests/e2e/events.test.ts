import { afterAll, beforeAll, expect, it } from 'vitest';
import { startTestGateway, type TestGateway } from '../lib/gateway.ts';
import { startTestNode, type TestNode } from '../lib/node.ts';
import { SseReader } from '../lib/sse.ts';

let gateway: TestGateway;
let node: TestNode;

beforeAll(async () => {
	gateway = await startTestGateway();
	node = await startTestNode(gateway, { name: 'a', stepMs: 100 });
});
afterAll(async () => {
	await node.stop();
	await gateway.stop();
});

const IN_ORDER = ['queued', 'assigned', 'image', 'succeeded'];

it('delivers each durable event exactly once across a dropped connection, then live', async () => {
	const job = await gateway.submit({ prompt: 'a', seed: 1, steps: 30 });
	const path = `/api/v1/jobs/${job.id}/events`;
	const first = SseReader.open(gateway, path);
	await first.saw('progress');
	first.cut();
	const lastId = first.durable.at(-1)?.id ?? '0';
	const second = SseReader.open(gateway, path, { 'last-event-id': lastId });
	await second.finished();
	expect([...first.durable, ...second.durable].map((event) => event.event)).toEqual(IN_ORDER);
	expect(second.events.some((event) => event.event === 'progress')).toBe(true);
	const image = second.events.find((event) => event.event === 'image')?.data['image'] as { url: string } | undefined;
	expect((await fetch(image?.url ?? '')).status).toBe(200);

	// After the end the whole history is still there, with the same ids.
	const replay = SseReader.open(gateway, path);
	await replay.finished();
	expect(replay.durable.map((event) => event.event)).toEqual(IN_ORDER);
	expect(replay.durable.map((event) => event.id)).toEqual(['1', '2', '3', '4']);
});

it('goes on by itself for a client whose gateway was restarted', async () => {
	const job = await gateway.submit({ prompt: 'a', seed: 2, steps: 40 });
	const first = SseReader.open(gateway, `/api/v1/jobs/${job.id}/events`);
	await first.saw('progress');
	await gateway.crash();
	await first.finished();
	const second = SseReader.open(gateway, `/api/v1/jobs/${job.id}/events`, { 'last-event-id': first.durable.at(-1)?.id ?? '0' });
	await second.finished();
	expect([...first.durable, ...second.durable].map((event) => event.event)).toEqual(IN_ORDER);
});

it('shows previews only to those who watch', async () => {
	const job = await gateway.submit({ prompt: 'a', seed: 4, steps: 30 });
	const reader = SseReader.open(gateway, `/api/v1/jobs/${job.id}/events`);
	const preview = await reader.saw('preview');
	const bytes = Buffer.from(String(preview.data['base64']), 'base64');
	expect(bytes.subarray(0, 2).toString('hex')).toBe('ffd8');
	await reader.finished();
});
