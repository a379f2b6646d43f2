import { afterAll, beforeAll, expect, it } from 'vitest';
import { startTestGateway, type TestGateway } from '../lib/gateway.ts';
import { startTestNode, type TestNode } from '../lib/node.ts';

let gateway: TestGateway;
let node: TestNode;

beforeAll(async () => {
	gateway = await startTestGateway();
	node = await startTestNode(gateway, { name: 'a', stepMs: 120 });
});
afterAll(async () => {
	await node.stop();
	await gateway.stop();
});

it('cancels a queued job without ever running it, and a running one within a step; the slot takes the next', async () => {
	const running = await gateway.submit({ prompt: 'a', seed: 1, steps: 100 });
	await node.sawEvent('runs', (event) => event.jobId === running.id && event.event === 'step');
	const queued = await gateway.submit({ prompt: 'b', seed: 2, steps: 5 });
	const next = await gateway.submit({ prompt: 'c', seed: 3, steps: 5 });

	expect((await gateway.api('POST', `/api/v1/jobs/${queued.id}/cancel`)).status).toBe(200);
	expect((await gateway.job(queued.id)).state).toBe('canceled');

	const canceledAt = Date.now();
	expect((await gateway.api('POST', `/api/v1/jobs/${running.id}/cancel`)).status).toBe(200);
	const view = await gateway.jobEnded(next.id);
	expect(view.state).toBe('succeeded');
	expect((await gateway.job(running.id)).state).toBe('canceled');
	const log = node.engineLog();
	const stepsAfter = log.filter((event) => event.jobId === running.id && event.event === 'step' && event.at > canceledAt);
	expect(stepsAfter.length).toBeLessThanOrEqual(1);
	expect(log.some((event) => event.jobId === queued.id)).toBe(false);
	// A job that has ended stays as it is.
	expect((await gateway.api('POST', `/api/v1/jobs/${next.id}/cancel`)).status).toBe(409);
	expect(gateway.objects().some((key) => key.includes(running.id))).toBe(false);
});
