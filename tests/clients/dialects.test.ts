/** Unmodified clients of other services against a running gateway: each job is looked up at the engine and in its picture. */
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import OpenAI, { toFile } from 'openai';
import Replicate from 'replicate';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { projectRoot } from '../../node-agent/src/cli/up/project.ts';
import { startTestGateway, type TestGateway } from '../lib/gateway.ts';
import { startTestNode, type TestNode } from '../lib/node.ts';
import { newWorkspaceKey } from '../lib/tenant.ts';
import { until } from '../lib/until.ts';
import { correlation, decode, download } from './pictures.ts';
import { nativePx } from '../../node-agent/src/models/embedded.test-lib.ts';

const SIDE = nativePx();

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
const PROMPT = 'a red castle in the mountains in the snow';

it('openai (npm): generates, and edits what resembles its input', async () => {
	const client = openai();
	const extra = { seed: 5, steps: 12 };
	const { data: made, response } = await client.images
		.generate({ model: 'gpt-image-1', prompt: PROMPT, size: '1024x1024', ...extra })
		.withResponse();
	const picture = decode(made.data?.[0]?.b64_json);
	expect(await sharp(picture).metadata()).toMatchObject({ format: 'png', width: SIDE, height: SIDE });
	expect(stepsOf(node, response.headers.get('limner-job') ?? '')).toBe(12);

	const image = await toFile(picture, 'castle.png', { type: 'image/png' });
	const { data: edited, response: editing } = await client.images
		.edit({
			image,
			prompt: 'a red castle at night',
			output_format: 'webp',
			input_fidelity: 'high',
			steps: 20,
			strength: 0.4,
		} as never)
		.withResponse();
	const result = decode(edited.data?.[0]?.b64_json);
	expect(stepsOf(node, editing.headers.get('limner-job') ?? '')).toBe(8);
	expect(await sharp(result).metadata()).toMatchObject({ format: 'webp' });
	expect(await correlation(picture, result)).toBeGreaterThan(0.5);
	// Its older models answer an address when nothing else is said.
	const { data: linked } = await client.images.generate({ model: 'dall-e-3', prompt: 'a fish in the sea', steps: 2 } as never);
	expect(await sharp(await download(linked?.[0]?.url ?? '')).metadata()).toMatchObject({ format: 'png', width: SIDE });
	const other = decode(
		(await client.images.generate({ model: 'gpt-image-1', prompt: 'a fish in the sea', steps: 8, seed: 77 } as never)).data?.[0]?.b64_json,
	);
	expect(await correlation(other, result)).toBeLessThan(await correlation(picture, result));
	await expect(client.images.generate({ model: 'no-such', prompt: 'x' })).rejects.toMatchObject({ status: 404, code: 'model_not_found' });
	expect((await client.models.list()).data.map(({ id }) => id)).toContain('storybook');
});

it('openai (npm): partial pictures come before 60 % of the steps, and differ from the result', async () => {
	const before = new Set(node.engineLog().map(({ jobId }) => jobId));
	const stream = await openai().images.generate({
		model: 'gpt-image-1',
		prompt: PROMPT,
		stream: true,
		partial_images: 2,
		seed: 5,
		steps: 150,
	} as never);
	const seen: { type: string; b64_json: string; stepsSoFar: number }[] = [];
	for await (const event of stream as unknown as AsyncIterable<{ type: string; b64_json: string }>) {
		seen.push({ ...event, stepsSoFar: node.engineLog().filter(({ jobId, event: what }) => !before.has(jobId) && what === 'step').length });
	}
	const final = seen.at(-1);
	expect(final).toMatchObject({ type: 'image_generation.completed', stepsSoFar: 150 });
	expect(seen[0]?.type).toBe('image_generation.partial_image');
	// It was here before the engine had done 60 % of the steps, and shows the same picture, less finished.
	expect(seen[0]?.stepsSoFar).toBeLessThan(0.6 * 150);
	expect(await correlation(decode(seen[0]?.b64_json), decode(final?.b64_json))).toBeLessThan(0.999);
});

it('replicate (npm): runs a model, and cancels', async () => {
	const replicate = new Replicate({ auth: gateway.key, baseUrl: `${gateway.url}/v1`, useFileOutput: false });
	const output = (await replicate.run('limner/storybook', { input: { prompt: PROMPT, num_inference_steps: 4, seed: 3 } })) as string[];
	const picture = await download(output[0] ?? '');
	expect(await sharp(picture).metadata()).toMatchObject({ format: 'png', width: SIDE });
	const made = await replicate.predictions.create({
		model: 'limner/storybook',
		input: {
			prompt: PROMPT,
			image: `data:image/png;base64,${picture.toString('base64')}`,
			prompt_strength: 0.4,
			num_inference_steps: 20,
			seed: 3,
		},
	});
	const changed = await replicate.wait(made, { interval: 100 });
	expect(changed.status).toBe('succeeded');
	expect(stepsOf(node, made.id)).toBe(8);
	expect(await correlation(picture, await download((changed.output as string[])[0] ?? ''))).toBeGreaterThan(0.5);
	const slow = await replicate.predictions.create({ model: 'limner/storybook', input: { prompt: PROMPT, num_inference_steps: 150 } });
	expect((await replicate.predictions.cancel(slow.id)).status).toBe('canceled');
});

it('100 parallel calls through 4 slots all get their picture, fair between two keys', async () => {
	const crowd = await startTestNode(gateway, { name: 'crowd', stepMs: 20, slots: 4, trust: 'shared' });
	await node.kill();
	await until('the storybook node is gone', async () =>
		(await gateway.workers()).some((one) => one.name === 'storybook' && one.link === 'online') ? undefined : true,
	);
	const ours = openai();
	const theirs = new OpenAI({ apiKey: await newWorkspaceKey(gateway, 'neighbours'), baseURL: `${gateway.url}/v1`, maxRetries: 0 });
	const jobs = new Map<string, 'ours' | 'theirs'>();
	const order = async (client: OpenAI, whose: 'ours' | 'theirs', seed: number): Promise<string> => {
		const { data, response } = await client.images
			.generate({ model: 'gpt-image-1', prompt: 'crowd', seed, steps: 4 } as never)
			.withResponse();
		jobs.set(response.headers.get('limner-job') ?? '', whose);
		return data.data?.[0]?.b64_json ?? '';
	};
	// All of one key's calls are in the queue before the first one of the other comes.
	const first = Array.from({ length: 50 }, (_, seed) => order(ours, 'ours', seed));
	await until('50 jobs', async () =>
		(await gateway.api<{ data: unknown[] }>('GET', '/api/v1/jobs?limit=200')).body.data.length >= 50 ? true : undefined,
	);
	const second = Array.from({ length: 50 }, (_, seed) => order(theirs, 'theirs', 1000 + seed));
	expect(new Set(await Promise.all([...first, ...second])).size).toBe(100);

	const started = crowd
		.engineLog()
		.filter(({ event }) => event === 'start')
		.map(({ jobId }) => jobs.get(jobId) ?? '');
	expect(started).toHaveLength(100);
	const from = started.indexOf('theirs');
	const both = started.slice(from, started.lastIndexOf('ours') + 1);
	// From the moment on in which both wait, each gets every second slot: nobody is ahead by more than the slots there are.
	let [lead, most] = [0, 0];
	for (const whose of both) {
		lead += whose === 'ours' ? 1 : -1;
		most = Math.max(most, Math.abs(lead));
	}
	expect(from).toBeLessThan(50);
	expect(most).toBeLessThanOrEqual(4);
	await crowd.stop();
}, 300_000);

it('a client that hangs up stops its engine within a step, and the next one is served', async () => {
	// Steps that are long against the way of a message, so that the count says something on a busy machine, too.
	const slow = await startTestNode(gateway, { name: 'slow', stepMs: 500 });
	const abort = new AbortController();
	const answer = openai()
		.images.generate({ model: 'gpt-image-1', prompt: 'hang up', steps: 150 } as never, { signal: abort.signal })
		.catch(() => undefined);
	const step = await slow.sawEvent('runs', (event) => event.event === 'step');
	const hungUpAt = Date.now();
	abort.abort();
	await answer;
	expect((await gateway.jobEnded(step.jobId)).state).toBe('canceled');
	await slow.sawEvent('stops', (event) => event.jobId === step.jobId && event.event === 'end');
	const late = slow.engineLog().filter((event) => event.jobId === step.jobId && event.event === 'step' && event.at > hungUpAt);
	expect(late.length).toBeLessThanOrEqual(1);
	expect((await openai().images.generate({ model: 'gpt-image-1', prompt: 'next', steps: 2 } as never)).data).toHaveLength(1);
	await slow.stop();
});

const widthOf = async (name: string): Promise<number> => (await sharp(join(folder, name)).metadata()).width;

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

it('openai, webuiapi and kserve (PyPI): each call runs its steps, and edits resemble their input', async () => {
	node = await startTestNode(gateway, { name: 'storybook-2', engine: 'onnx' });
	const env = { ...process.env, LIMNER_URL: gateway.url, LIMNER_API_KEY: gateway.key, LIMNER_SIDE: String(SIDE) };
	const interpreter = python();
	const report = execFileSync(interpreter, [join(projectRoot(), 'tests/clients/clients.py')], { env, encoding: 'utf8' });
	const jobs = node
		.engineLog()
		.filter(({ event }) => event === 'start')
		.map(({ jobId }) => jobId);
	expect(jobs.map((jobId) => stepsOf(node, jobId))).toEqual(JSON.parse(report.trim().split('\n').at(-1) ?? ''));
	expect(jobs.length).toBeGreaterThan(10);

	// The blocks of docs/examples.md, as they stand there but for the port.
	const [, section = ''] = readFileSync(join(projectRoot(), 'docs/examples.md'), 'utf8').split('\n## Python\n');
	const blocks = [...(section.split('\n## ')[0] ?? '').matchAll(/```text\n(.*?)```/gs)].map(([, code = '']) => code);
	for (const block of blocks) {
		const code = block.replace('port=8787', `port=${new URL(gateway.url).port}`);
		execFileSync(interpreter, ['-c', code], { env, cwd: folder, encoding: 'utf8' });
	}
	const names = ['castle.png', 'windmill.png', 'windmill-drawn-larger.png', 'windmill-enlarged.png'];
	expect(await Promise.all(names.map(widthOf))).toEqual([SIDE, SIDE, 1.5 * SIDE, 2 * SIDE]);
}, 900_000);
