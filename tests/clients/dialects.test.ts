/** Unmodified clients of other services against a running gateway: each job is looked up at the engine and in its picture. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import OpenAI, { toFile } from 'openai';
import Replicate from 'replicate';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { projectRoot } from '../../node-agent/src/cli/up/project.ts';
import { startTestGateway, type TestGateway } from '../lib/gateway.ts';
import { startTestNode, type TestNode } from '../lib/node.ts';
import { until } from '../lib/until.ts';

let gateway: TestGateway;
let node: TestNode;
let folder = '';
beforeAll(async () => {
	folder = mkdtempSync(join(tmpdir(), 'limner-clients-'));
	gateway = await startTestGateway();
	node = await startTestNode(gateway, { name: 'storybook', engine: 'onnx' });
});
afterAll(async () => {
	await node?.stop();
	await gateway?.stop();
	rmSync(folder, { recursive: true, force: true });
});

const openai = (): OpenAI => new OpenAI({ apiKey: gateway.key, baseURL: `${gateway.url}/v1`, maxRetries: 0 });
const stepsOf = (of: TestNode, jobId: string): number => of.engineLog().filter((one) => one.jobId === jobId && one.event === 'step').length;
const decode = (base64: string | undefined): Buffer => Buffer.from(base64 ?? '', 'base64');
const gray = async (picture: Buffer): Promise<Buffer> => sharp(picture).resize(64, 64, { fit: 'fill' }).grayscale().raw().toBuffer();

const mean = (values: Buffer): number => values.reduce((sum, value) => sum + value, 0) / values.length;

/** Pearson's correlation of two pictures' brightness. */
const correlation = async (one: Buffer, other: Buffer): Promise<number> => {
	const [a, b] = await Promise.all([gray(one), gray(other)]);
	const [ma, mb] = [mean(a), mean(b)];
	let [top, sa, sb] = [0, 0, 0];
	a.forEach((value, i) => {
		const [da, db] = [value - ma, (b[i] ?? 0) - mb];
		top += da * db;
		sa += da * da;
		sb += db * db;
	});
	return top / Math.sqrt(sa * sb);
};

const PROMPT = 'a red castle in the mountains in the snow';

it('openai (npm): generates, streams partial pictures, edits what resembles its input', async () => {
	const client = openai();
	const extra = { seed: 5, steps: 12 };
	const { data: made, response } = await client.images
		.generate({ model: 'gpt-image-1', prompt: PROMPT, size: '1024x1024', ...extra })
		.withResponse();
	const picture = decode(made.data?.[0]?.b64_json);
	expect(await sharp(picture).metadata()).toMatchObject({ format: 'png', width: 128, height: 128 });
	expect(stepsOf(node, response.headers.get('limner-job') ?? '')).toBe(12);

	const stream = await client.images.generate({
		model: 'gpt-image-1',
		prompt: PROMPT,
		stream: true,
		partial_images: 2,
		...extra,
		steps: 40,
	} as never);
	const seen: { type: string; b64_json: string }[] = [];
	for await (const event of stream as unknown as AsyncIterable<{ type: string; b64_json: string }>) seen.push(event);
	expect(seen.at(-1)?.type).toBe('image_generation.completed');
	expect(seen[0]?.type).toBe('image_generation.partial_image');
	expect(decode(seen[0]?.b64_json).equals(decode(seen.at(-1)?.b64_json))).toBe(false);

	const image = await toFile(picture, 'castle.png', { type: 'image/png' });
	const edited = await client.images.edit({
		image,
		prompt: 'a red castle at night',
		output_format: 'webp',
		input_fidelity: 'high',
	} as never);
	const result = decode((edited as OpenAI.ImagesResponse).data?.[0]?.b64_json);
	expect(await sharp(result).metadata()).toMatchObject({ format: 'webp' });
	expect(await correlation(picture, result)).toBeGreaterThan(0.5);
	await expect(client.images.generate({ model: 'no-such', prompt: 'x' })).rejects.toMatchObject({ status: 404, code: 'model_not_found' });
	expect((await client.models.list()).data.map(({ id }) => id)).toContain('storybook');
});

it('replicate (npm): runs a model, and cancels', async () => {
	const replicate = new Replicate({ auth: gateway.key, baseUrl: `${gateway.url}/v1`, useFileOutput: false });
	const output = (await replicate.run('limner/storybook', { input: { prompt: PROMPT, num_inference_steps: 4, seed: 3 } })) as string[];
	const picture = Buffer.from(await (await fetch(output[0] ?? '')).arrayBuffer());
	expect(await sharp(picture).metadata()).toMatchObject({ format: 'png', width: 128 });
	const slow = await replicate.predictions.create({ model: 'limner/storybook', input: { prompt: PROMPT, num_inference_steps: 150 } });
	expect((await replicate.predictions.cancel(slow.id)).status).toBe('canceled');
});

it('a client that hangs up stops its engine within a step, and the next one is served', async () => {
	const abort = new AbortController();
	const before = new Set(node.engineLog().map(({ jobId }) => jobId));
	const answer = openai()
		.images.generate({ model: 'gpt-image-1', prompt: 'hang up', steps: 150 } as never, { signal: abort.signal })
		.catch(() => undefined);
	const step = await node.sawEvent('runs', (event) => !before.has(event.jobId) && event.event === 'step');
	abort.abort();
	await answer;
	const view = await gateway.jobEnded(step.jobId);
	expect(view.state).toBe('canceled');
	await node.sawEvent('stops', (event) => event.jobId === step.jobId && event.event === 'end');
	const canceledAt = view.history.at(-1)?.at ?? 0;
	const late = node.engineLog().filter((event) => event.jobId === step.jobId && event.event === 'step' && event.at > canceledAt);
	expect(late.length).toBeLessThanOrEqual(1);
	expect((await openai().images.generate({ model: 'gpt-image-1', prompt: 'next', steps: 2 } as never)).data).toHaveLength(1);
});

it('100 parallel calls through 4 slots all get their picture', async () => {
	const crowd = await startTestNode(gateway, { name: 'crowd', stepMs: 2, slots: 4 });
	await node.kill();
	await until('the storybook node is gone', async () =>
		(await gateway.workers()).some((one) => one.name === 'storybook' && one.link === 'online') ? undefined : true,
	);
	const client = openai();
	const all = await Promise.all(
		Array.from({ length: 100 }, (_, seed) => client.images.generate({ model: 'gpt-image-1', prompt: 'crowd', seed, steps: 2 } as never)),
	);
	expect(new Set(all.map(({ data }) => data?.[0]?.b64_json)).size).toBe(100);
	await crowd.stop();
}, 300_000);

/** Python's clients, in an environment of their own. */
const python = (): string => {
	const venv = join(folder, 'venv');
	try {
		execFileSync('python3', ['-m', 'venv', venv], { stdio: 'pipe' });
		execFileSync(join(venv, 'bin/pip'), ['install', '-q', '-r', join(projectRoot(), 'tests/clients/requirements.txt')], { stdio: 'pipe' });
	} catch (error) {
		throw new Error('the Python clients could not be installed: Python 3 with venv and PyPI are needed', { cause: error });
	}
	return join(venv, 'bin/python');
};

it('openai and webuiapi (PyPI), KServe v1 and v2 as documented', async () => {
	node = await startTestNode(gateway, { name: 'storybook-2', engine: 'onnx' });
	const env = { ...process.env, LIMNER_URL: gateway.url, LIMNER_API_KEY: gateway.key };
	const report = execFileSync(python(), [join(projectRoot(), 'tests/clients/clients.py')], { env, encoding: 'utf8' });
	expect(JSON.parse(report)).toEqual({ openai: 'ok', webuiapi: 'ok', kserve_v1: 'ok', kserve_v2: 'ok' });
}, 600_000);
