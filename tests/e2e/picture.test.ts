import { execFile } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { projectRoot } from '../../node-agent/src/cli/up/project.ts';
import { startTestGateway, type TestGateway } from '../lib/gateway.ts';
import { startTestNode, type TestNode } from '../lib/node.ts';
import { until } from '../lib/until.ts';

let gateway: TestGateway;
let node: TestNode;
const folder = mkdtempSync(join(tmpdir(), 'limner-picture-'));

beforeAll(async () => {
	gateway = await startTestGateway();
	node = await startTestNode(gateway, { name: 'painter', engine: 'onnx' });
});
afterAll(async () => {
	await node.stop();
	await gateway.stop();
	rmSync(folder, { recursive: true, force: true });
});

const prompt = 'a yellow hot air balloon over the sea';

const pixels = async (input: Buffer): Promise<string> => (await sharp(input).removeAlpha().raw().toBuffer()).toString('base64');

const make = async (body: Record<string, unknown>): Promise<{ bytes: Buffer; view: Awaited<ReturnType<TestGateway['jobEnded']>> }> => {
	const job = await gateway.submit(body);
	const view = await gateway.jobEnded(job.id);
	expect(view.state, JSON.stringify(view.error)).toBe('succeeded');
	const response = await fetch(view.images[0]?.url ?? '');
	expect(response.status).toBe(200);
	expect(response.headers.get('content-type')).toBe('image/png');
	expect(response.headers.get('x-content-type-options')).toBe('nosniff');
	return { bytes: Buffer.from(await response.arrayBuffer()), view };
};

it('makes the same bytes of the same seed, other ones of another, and the pixels of `limner generate`', async () => {
	const [one, two, other] = [await make({ prompt, seed: 7 }), await make({ prompt, seed: 7 }), await make({ prompt, seed: 8 })];
	expect(one.bytes.equals(two.bytes)).toBe(true);
	expect(one.bytes.equals(other.bytes)).toBe(false);
	const local = join(folder, 'b.png');
	await promisify(execFile)(process.execPath, [
		'--disable-warning=ExperimentalWarning',
		join(projectRoot(), 'node-agent/src/cli/main.ts'),
		'generate',
		'--prompt',
		prompt,
		'--seed',
		'7',
		'--out',
		local,
	]);
	expect(await pixels(readFileSync(local))).toBe(await pixels(one.bytes));
	const { width, height } = await sharp(one.bytes).metadata();
	expect({ width, height }).toEqual({ width: one.view.request.width, height: one.view.request.height });
});

it('keeps the request in the picture: A1111 text and JSON', async () => {
	const { bytes, view } = await make({ prompt, negativePrompt: 'night', seed: 11, steps: 6 });
	const comments = (await sharp(bytes).metadata()).comments ?? [];
	const parameters = comments.find((comment) => comment.keyword === 'parameters')?.text ?? '';
	expect(parameters).toContain(prompt);
	expect(parameters).toContain('Negative prompt: night');
	expect(parameters).toMatch(/Steps: 6, .*Seed: 11, .*Size: \d+x\d+/);
	const json = JSON.parse(comments.find((comment) => comment.keyword === 'limner')?.text ?? '{}') as Record<string, unknown>;
	expect(json).toMatchObject({ seed: 11 });
	expect(JSON.stringify(json)).toContain(view.request.model);
	expect(view.images[0]?.seed).toBe(11);
});

it('names the words that the model never learnt', async () => {
	const { view } = await make({ prompt: 'a red spaceship over the sea', seed: 1, steps: 4 });
	const warning = view.warnings.find((text) => text.includes('spaceship')) ?? '';
	expect(warning).toContain('spaceship');
	expect(warning).not.toContain('red');
});

it('makes several pictures of one job with consecutive seeds', async () => {
	const job = await gateway.submit({ prompt, seed: 20, n: 3, steps: 4 });
	const view = await gateway.jobEnded(job.id);
	expect(view.images.map((image) => image.seed)).toEqual([20, 21, 22]);
	expect(new Set(view.images.map((image) => image.sha256)).size).toBe(3);
	expect(view.usage).toMatchObject({ images: 3 });
});

it('starts from a picture: asset, strength, result of another job', async () => {
	const source = await make({ prompt, seed: 7 });
	const asset = await gateway.api<{ id: string }>('POST', '/api/v1/assets', new Uint8Array(source.bytes), { 'content-type': 'image/png' });
	expect(asset.status).toBe(201);
	const fromAsset = await make({
		prompt: 'a blue sailboat on the sea',
		task: 'img2img',
		initImage: { asset: asset.body.id },
		strength: 0.5,
		seed: 3,
	});
	const fromJob = await make({
		prompt: 'a blue sailboat on the sea',
		task: 'img2img',
		initImage: { job: source.view.id },
		strength: 0.5,
		seed: 3,
	});
	expect(await pixels(fromAsset.bytes)).toBe(await pixels(fromJob.bytes));
});

it('writes a log in which every line is JSON and has a traceId', async () => {
	const trace = '4bf92f3577b34da6a3ce929d0e0e4736';
	const job = await gateway.submit({ prompt, seed: 2, steps: 2 }, { traceparent: `00-${trace}-00f067aa0ba902b7-01` });
	await gateway.jobEnded(job.id);
	const lines = await until('the trace is in the log', () => {
		const log = gateway.log();
		return log.some((line) => line['traceId'] === trace) ? log : undefined;
	});
	expect(lines.length).toBeGreaterThan(10);
	for (const line of lines) {
		expect(typeof line['traceId'], JSON.stringify(line)).toBe('string');
		expect(JSON.stringify(line)).not.toContain(gateway.key);
	}
	expect((await gateway.job(job.id)).traceId).toBe(trace);
	const nodeLog = readFileSync(join(node.stateDir, 'node.log'), 'utf8');
	expect(nodeLog).toContain(trace);
});
