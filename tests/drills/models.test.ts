import { cpSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { projectRoot } from '../../node-agent/src/cli/up/project.ts';
import { startTestGateway, type TestGateway } from '../lib/gateway.ts';
import { startTestNode, type TestNode } from '../lib/node.ts';
import { until } from '../lib/until.ts';

let gateway: TestGateway;
let node: TestNode;
const folder = mkdtempSync(join(tmpdir(), 'limner-models-'));
const PARTS = ['model_index.json', 'scheduler', 'tokenizer', 'text_encoder', 'unet', 'vae_decoder', 'vae_encoder'];

/** A copy of the embedded model under another name. */
const put = (name: string): void => {
	const from = join(projectRoot(), 'models/storybook');
	for (const part of PARTS) cpSync(join(from, part), join(folder, name, part), { recursive: true });
	writeFileSync(join(folder, name, 'limner.json'), JSON.stringify({ name }));
};

beforeAll(async () => {
	put('first');
	gateway = await startTestGateway();
	node = await startTestNode(gateway, { name: 'keeper', engine: 'onnx', args: ['--models', folder] });
});
afterAll(async () => {
	await node.stop();
	await gateway.stop();
	rmSync(folder, { recursive: true, force: true });
});

const offered = async (): Promise<string[]> => {
	const { data } = (await gateway.api<{ data: { name: string; nodes: number }[] }>('GET', '/api/v1/models')).body;
	return data.filter(({ nodes }) => nodes > 0).map(({ name }) => name);
};

const LOOK_MS = 60_000;

it('offers a model that comes while the node runs, draws with it, and offers it no longer when it is gone', async () => {
	expect(await offered()).toEqual(['first']);
	put('second');
	await until('second is offered', async () => ((await offered()).includes('second') ? true : undefined), LOOK_MS);
	const job = await gateway.submit({ prompt: 'a red castle', model: 'second', steps: 1 });
	const ended = await gateway.jobEnded(job.id);
	expect(ended.state, JSON.stringify(ended.error)).toBe('succeeded');
	expect(ended.images[0]?.meta).toMatchObject({ model: 'second', engine: 'onnx', device: expect.stringMatching(/./) as string });
	rmSync(join(folder, 'first'), { recursive: true });
	await until('first is gone', async () => ((await offered()).includes('first') ? undefined : true), LOOK_MS);
	expect(await offered()).toEqual(['second']);
});

it('refuses a second node on the same state folder in a sentence, and the first one works on', async () => {
	const twin = await startTestNode(gateway, { name: 'twin', engine: 'onnx', stateDir: node.stateDir, noWait: true });
	await until('the twin ends', () => (twin.exited ? true : undefined), LOOK_MS);
	expect(twin.process.exitCode).toBe(1);
	expect(twin.output).toMatch(new RegExp(`^limner: Another limner node \\(process ${node.process.pid}\\) uses .*--state-dir`));
	const job = await gateway.submit({ prompt: 'a red castle', model: 'second', steps: 1 });
	expect((await gateway.jobEnded(job.id)).state).toBe('succeeded');
});
