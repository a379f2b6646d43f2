import { afterAll, beforeAll, expect, it } from 'vitest';
import { startTestGateway, type TestGateway } from '../lib/gateway.ts';
import { startTestNode, type TestNode } from '../lib/node.ts';
import { sleep, until } from '../lib/until.ts';

const IDLE_MS = 60_000;

interface Metrics {
	wakeups: Record<string, number>;
	rowsWritten: Record<string, number>;
}

let gateway: TestGateway;
let node: TestNode;
beforeAll(async () => {
	gateway = await startTestGateway();
	node = await startTestNode(gateway, { name: 'a', stepMs: 5 });
});
afterAll(async () => {
	await node.stop();
	await gateway.stop();
});

const metrics = async (): Promise<Metrics> => {
	const body = (await gateway.api<Record<string, unknown>>('GET', '/api/v1/supervisor/metrics')).body;
	const found = (body['shards'] as Metrics[] | undefined)?.[0] ?? (body as unknown as Metrics);
	return found;
};

it('spends at most 4 rows of the Pool on a job with one picture', async () => {
	const warm = await gateway.submit({ prompt: 'warm', seed: 0, steps: 2 });
	await gateway.jobEnded(warm.id);
	await sleep(500);
	const jobs = 10;
	const before = (await metrics()).rowsWritten['live'] ?? 0;
	for (let i = 0; i < jobs; i++) {
		const job = await gateway.submit({ prompt: 'row', seed: i, steps: 2 });
		await gateway.jobEnded(job.id);
	}
	const after = await until('the rows are counted', async () => (await metrics()).rowsWritten['live']);
	// The fourth row, the deletion, comes minutes later.
	expect((after - before) / jobs).toBeLessThanOrEqual(3);
});

it('is not woken by the heartbeat of an idle node in 60 s', { timeout: 120_000 }, async () => {
	await sleep(2000);
	const before = await metrics();
	await sleep(IDLE_MS);
	const after = await metrics();
	// An object that slept in between starts counting anew. Pings that wake it come every 4 s, so it could not have slept,
	// and its counter would not be 0.
	const [was, is] = [before.wakeups['frame'] ?? 0, after.wakeups['frame'] ?? 0];
	expect(is < was ? is : is - was).toBe(0);
	expect((await gateway.workers())[0]?.link).toBe('online');
});
