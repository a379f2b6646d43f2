/**
 * A model that no node has, from the hub to a picture: told by the caller, and fetched by a node on the pool's word.
 */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { readTree, startHub, type TestHub } from '../../node-agent/src/models/hub-server.test-lib.ts';
import { startTestGateway, type TestGateway } from '../lib/gateway.ts';
import { startTestNode, type TestNode } from '../lib/node.ts';
import { until } from '../lib/until.ts';

const REPO = 'painter/little-lcm';
const MODEL = 'little-lcm';
const JOB = { prompt: 'a red castle', model: MODEL, steps: 1, width: 64, height: 64 };
const WAIT_MS = 120_000;
let gateway: TestGateway;
let hub: TestHub;
const nodes: TestNode[] = [];
/** What nodes fetch by themselves goes into the Hugging Face cache: not into that of whoever runs the tests. */
const cache = mkdtempSync(join(tmpdir(), 'limner-hf-'));

/** A node with the real engine that looks at nothing but what it pulled itself. */
const startNode = async (name: string, ...args: string[]): Promise<TestNode> => {
	const node = await startTestNode(gateway, { name, engine: 'onnx', args });
	nodes.push(node);
	return node;
};
const idOf = async (name: string): Promise<string> => (await gateway.workers()).find((worker) => worker.name === name)?.id ?? '';
/** Bodies of files that the hub has been asked for so far. */
const asked = (): number => hub.requests.length;

beforeAll(async () => {
	hub = await startHub(REPO, readTree(join(import.meta.dirname, '../reference/models/lcm')));
	Object.assign(process.env, { HF_ENDPOINT: hub.url, HF_HUB_CACHE: cache });
	gateway = await startTestGateway();
});
afterAll(async () => {
	for (const node of nodes) await node.stop();
	await gateway.stop();
	hub.close();
	delete process.env['HF_ENDPOINT'];
	delete process.env['HF_HUB_CACHE'];
	rmSync(cache, { recursive: true, force: true });
});

it('a model that nobody ever had is refused with what to do; a node is told to pull it, and draws with it', async () => {
	await startNode('first');
	const refused = await gateway.api<{ code: string; detail: string }>('POST', '/api/v1/jobs', JOB);
	expect([refused.status, refused.body.code]).toEqual([422, 'model_unknown']);
	expect(refused.body.detail).toContain('INGEST');
	const pull = await gateway.jobEnded((await gateway.submit({ taskType: 'INGEST', source: REPO })).id, WAIT_MS);
	expect(pull.state, JSON.stringify(pull.error)).toBe('succeeded');
	const view = await gateway.jobEnded((await gateway.submit(JOB)).id, WAIT_MS);
	expect(view.state, JSON.stringify([view.error, view.history])).toBe('succeeded');
	expect(view.images[0]?.meta).toMatchObject({ model: MODEL, engine: 'onnx' });
});

it('when the node that has it is away, one that may fetches it by itself, and one with --no-auto-pull does not', async () => {
	const [first] = nodes;
	await startNode('frugal', '--no-auto-pull');
	await first?.stop();
	await until('the first node is away', async () =>
		(await gateway.workers()).some(({ name, link }) => name === 'first' && link === 'offline') ? true : undefined,
	);
	const before = asked();
	const job = await gateway.submit(JOB);
	// longer than it takes until somebody is asked for so small a model
	await new Promise((resolve) => setTimeout(resolve, 6000));
	expect(asked()).toBe(before);
	expect((await gateway.job(job.id)).state).toBe('queued');
	await startNode('eager');
	const view = await gateway.jobEnded(job.id, WAIT_MS);
	expect(view.state, JSON.stringify([view.error, view.history])).toBe('succeeded');
	expect(view.images[0]?.nodeId).toBe(await idOf('eager'));
	expect(asked()).toBeGreaterThan(before);
});
