import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { JobView } from '@limner/shared';
import { readTree, startHub, type TestHub } from '../../node-agent/src/models/hub-server.test-lib.ts';
import { startTestGateway, type TestGateway } from '../lib/gateway.ts';
import { startTestNode, type TestNode } from '../lib/node.ts';
import { MOCK_MODEL } from '../../node-agent/src/node/mock.ts';

const REPO = 'painter/little-lcm';
let gateway: TestGateway;
let hub: TestHub;
let one: TestNode;
let two: TestNode;
const ids = new Map<string, string>();

beforeAll(async () => {
	hub = await startHub(REPO, readTree(join(import.meta.dirname, '../reference/models/lcm')));
	process.env['HF_ENDPOINT'] = hub.url;
	gateway = await startTestGateway();
	one = await startTestNode(gateway, { name: 'one', stepMs: 5 });
	two = await startTestNode(gateway, { name: 'two', stepMs: 5 });
	for (const { id, name } of await gateway.workers()) ids.set(name, id);
});
afterAll(async () => {
	await one.stop();
	await two.stop();
	await gateway.stop();
	hub.close();
	delete process.env['HF_ENDPOINT'];
});

const done = async (body: Record<string, unknown>): Promise<JobView> => {
	const view = await gateway.jobEnded((await gateway.submit(body)).id);
	expect(view.state, JSON.stringify([view.error, view.history])).toBe('succeeded');
	return view;
};
const report = (view: JobView): Record<string, unknown> => view.results?.at(-1)?.data ?? {};

const modelsOf = async (name: string): Promise<string[]> => {
	const { body } = await gateway.api<{ models: { name: string }[] }>('GET', `/api/v1/supervisor/workers/${ids.get(name) ?? ''}`);
	return body.models.map((model) => model.name);
};

it('a benchmark measures steps on a slot', async () => {
	const data = report(await done({ taskType: 'RESEARCH', steps: 4, repeat: 2, nodeId: ids.get('one') }));
	expect(data).toMatchObject({ model: MOCK_MODEL, steps: 4, engine: 'mock' });
	expect(data['runs']).toHaveLength(2);
	expect(data['sPerStep']).toBeGreaterThanOrEqual(0.004);
});

it('a canary picture is the same again', async () => {
	const body = { taskType: 'HEARTBEAT', nodeId: ids.get('one') };
	const first = await done(body);
	expect(report(first)).toMatchObject({ matches: null });
	expect(first.images).toHaveLength(1);
	expect(report(await done(body))).toMatchObject({ matches: true, pixelSha256: report(first)['pixelSha256'] });
});

it('a probe tells what a node is and whether it reaches the model source', async () => {
	const data = report(await done({ taskType: 'DISCOVERY', nodeId: ids.get('two') }));
	expect(data).toMatchObject({ engine: 'mock', modelSource: { endpoint: hub.url } });
	expect(data['taskTypes']).toEqual(['RESEARCH', 'HEARTBEAT', 'DISCOVERY', 'INGEST', 'MIGRATION']);
});

it('a model is pulled by one node, moves to the other, and is gone where it was', async () => {
	const pulled = await done({ taskType: 'INGEST', source: REPO, nodeId: ids.get('one') });
	expect(report(pulled)).toMatchObject({ model: 'little-lcm' });
	expect(await modelsOf('one')).toContain('little-lcm');
	const moved = await done({ taskType: 'MIGRATION', model: 'little-lcm', from: ids.get('one'), to: ids.get('two') });
	expect(moved.results?.map(({ nodeId }) => nodeId)).toEqual([ids.get('two'), ids.get('one')]);
	expect(report(moved)).toMatchObject({ model: 'little-lcm', removed: true });
	expect(await modelsOf('two')).toContain('little-lcm');
	expect(await modelsOf('one')).not.toContain('little-lcm');
});

it('needs the right to look after machines', async () => {
	const { status, body } = await gateway.api<{ code: string }>('POST', '/api/v1/jobs', { taskType: 'INGEST' });
	expect([status, body.code]).toEqual([422, 'validation_failed']);
});

it('a job goes to the node that it prefers', async () => {
	for (const name of ['one', 'two', 'one']) {
		const view = await done({ prompt: 'x', steps: 2, preferNode: ids.get(name) });
		expect(view.images[0]?.nodeId).toBe(ids.get(name));
	}
});
