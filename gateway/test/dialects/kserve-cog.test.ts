import { afterEach, describe, expect, it } from 'vitest';
import { call, cleanUp } from '../http/harness.ts';
import { until } from '../pool/harness.ts';
import { makePng } from '../storage/pictures.ts';
import { base64, fail, paint } from './harness.ts';

afterEach(cleanUp);

const PNG = base64(makePng({ width: 64, height: 64 }));
const answerOf = async (response: Response): Promise<{ status: number; body: Record<string, unknown> }> => ({
	status: response.status,
	body: await response.json(),
});
const post = async (path: string, json: object, headers: Record<string, string> = {}) => answerOf(await call(path, { json, headers }));

const get = async (path: string, key?: null) => answerOf(await call(path, key === null ? { key } : {}));
const put = () => call('/predictions/mine', { method: 'PUT', json: { input: { prompt: 'x' } }, headers: { prefer: 'respond-async' } });

describe('KServe v1', () => {
	it('leaves nothing running when one of several instances fails', async () => {
		let failed = false;
		const { node } = await paint((task) => {
			if (task.spec.prompt !== 'bad') return !failed;
			fail(node, task, 'no such thing');
			failed = true;
			return false;
		});
		const instances = [{ prompt: 'bad' }, { prompt: 'slow' }, { prompt: 'slow' }];
		expect((await post('/v1/models/storybook:predict', { instances })).status).toBe(400);
		await until(async () => {
			const { data } = await (await call('/api/v1/jobs')).json<{ data: { state: string }[] }>();
			return data.every(({ state }) => ['failed', 'canceled', 'succeeded'].includes(state));
		}, 'all have ended');
	});

	it('predicts one picture for each instance', async () => {
		const { tasks } = await paint();
		const { status, body } = await post('/v1/models/storybook:predict', {
			instances: [
				{ prompt: 'a fox' },
				{ prompt: 'a hen', image: { bytesBase64Encoded: PNG }, mask: { image: { bytesBase64Encoded: PNG } } },
			],
			parameters: { sampleCount: 1, seed: 3, steps: 2, guidanceScale: 1 },
		});
		expect(status).toBe(200);
		expect(body['predictions']).toMatchObject([{ mimeType: 'image/png', seed: 3 }, { seed: 3 }]);
		expect(tasks.map(({ spec }) => spec.task).toSorted()).toEqual(['inpaint', 'txt2img']);
	});

	it('takes an instance that is no list, as Open WebUI sends it', async () => {
		await paint();
		expect((await post('/v1/models/gpt-image-1:predict', { instances: { prompt: 'a fox' }, parameters: { sampleCount: 1 } })).status).toBe(
			200,
		);
	});

	it('refuses in its own words', async () => {
		expect(await post('/v1/models/storybook:predict', {})).toEqual({ status: 400, body: { error: 'Expected "instances" to be a list' } });
		expect(await post('/v1/models/nope:predict', { instances: [{ prompt: 'x' }] })).toMatchObject({
			status: 404,
			body: { error: expect.stringContaining('nope does not exist') as string },
		});
		expect((await post('/v1/models/storybook:predict', { instances: [{ prompt: 'x', lora: 1 }] })).status).toBe(400);
	});
});

describe('KServe v2', () => {
	it('infers from tensors and parameters', async () => {
		const { tasks } = await paint();
		const { status, body } = await post('/v2/models/storybook/infer', {
			id: 'r1',
			parameters: { seed: 9, n: 2 },
			inputs: [
				{ name: 'prompt', shape: [1], datatype: 'BYTES', data: ['a fox'] },
				{ name: 'steps', shape: [1], datatype: 'INT32', data: [3] },
			],
		});
		expect(status).toBe(200);
		expect(body).toMatchObject({
			model_name: 'storybook',
			id: 'r1',
			outputs: [
				{ name: 'image', shape: [2], datatype: 'BYTES', parameters: { content_type: 'image/png' } },
				{ name: 'seed', data: [9, 10] },
			],
		});
		expect(tasks[0]!.spec).toMatchObject({ prompt: 'a fox', steps: 3 });
	});

	it('describes itself, and tells whether it is ready', async () => {
		expect(await get('/v2', null)).toMatchObject({ status: 200, body: { name: 'limner' } });
		expect(await get('/v2/health/live', null)).toEqual({ status: 200, body: { live: true } });
		expect(await get('/v2/health/ready', null)).toEqual({ status: 200, body: { ready: true } });
		await paint();
		expect(await get('/v2/models')).toMatchObject({ body: { models: expect.arrayContaining(['storybook']) as string[] } });
		expect(await get('/v2/models/storybook')).toMatchObject({
			body: { platform: 'limner', outputs: [{ name: 'image' }, { name: 'seed' }] },
		});
		expect((await get('/v2/models/nope/ready')).status).toBe(404);
	});

	it.each([
		[[{ name: 'lora', shape: [1], datatype: 'BYTES', data: ['x'] }], 'the input lora is unknown'],
		[[{ name: 'prompt', shape: [2], datatype: 'BYTES', data: ['x', 'y'] }], 'must have the shape [1]'],
		[[{ name: 'prompt', shape: [1], datatype: 'INT32', data: [1] }], 'must have the datatype BYTES'],
		[[{ name: 'seed', shape: [1], datatype: 'INT64', data: [1] }], '/prompt'],
	])('refuses %j', async (inputs, words) => {
		const { status, body } = await post('/v2/models/storybook/infer', { inputs });
		expect([status, body['error']]).toEqual([400, expect.stringContaining(words)]);
	});
});

describe('Cog', () => {
	it('answers with the files when the prediction has ended', async () => {
		const { tasks } = await paint();
		const { status, body } = await post('/predictions', { input: { prompt: 'a fox', num_outputs: 2, num_inference_steps: 3, seed: 1 } });
		expect([status, body['status']]).toEqual([200, 'succeeded']);
		expect(body['output']).toEqual([expect.stringMatching(/^data:image\/png;base64,/), expect.stringMatching(/^data:image\/png;base64,/)]);
		expect(body['metrics']).toMatchObject({ predict_time: expect.any(Number) as number });
		expect(tasks[0]!.spec).toMatchObject({ steps: 3, n: 2 });
	});

	it('makes one job for an id, attaches to it, and cancels it', async () => {
		const { tasks } = await paint(() => false);
		const [first, second] = [await answerOf(await put()), await answerOf(await put())];
		expect(first).toMatchObject({ status: 202, body: { id: 'mine', status: 'starting' } });
		expect(second.body['urls']).toEqual(first.body['urls']);
		expect(await post('/predictions/mine/cancel', {})).toMatchObject({ status: 200, body: { status: 'canceled' } });
		expect(await answerOf(await call('/predictions/mine'))).toMatchObject({ body: { status: 'canceled' } });
		expect(new Set(tasks.map(({ jobId }) => jobId)).size).toBe(1);
	});

	it('tells failures and refusals', async () => {
		await paint((task, node) => {
			fail(node, task, 'No.');
			return false;
		});
		expect(await post('/predictions', { input: { prompt: 'x' } })).toMatchObject({
			status: 200,
			body: { status: 'failed', error: 'No.', output: null },
		});
		expect(await post('/predictions', { input: { prompt: 'x', lora: 'y' } })).toMatchObject({
			status: 422,
			body: { detail: expect.stringContaining('lora') as string },
		});
		expect((await answerOf(await call('/predictions/none'))).status).toBe(404);
	});
});

describe('Replicate', () => {
	it('creates at once, waits when asked, and hands out addresses', async () => {
		await paint();
		const made = await post('/v1/models/limner/storybook/predictions', { input: { prompt: 'x' } }, { prefer: 'wait=30' });
		expect(made).toMatchObject({ status: 201, body: { status: 'succeeded', model: 'storybook' } });
		const [url] = made.body['output'] as string[];
		const picture = await call(new URL(url!).pathname, { key: null });
		expect(picture.status).toBe(200);
		await picture.arrayBuffer();
		const quick = await post('/v1/predictions', { version: 'storybook', input: { prompt: 'x' } });
		expect(quick.status).toBe(201);
		expect(quick.body['urls']).toMatchObject({ get: expect.stringContaining('/v1/predictions/job_') as string });
	});
});
