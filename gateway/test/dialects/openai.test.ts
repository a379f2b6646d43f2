import type { JobView } from '@limner/shared';
import { afterEach, describe, expect, it } from 'vitest';
import { call, cleanUp, eventsOf, KEY } from '../http/harness.ts';
import { makePng } from '../storage/pictures.ts';
import { base64, fail, jobOf, paint } from './harness.ts';

afterEach(cleanUp);

const generate = (json: object, options: object = {}) =>
	call('/v1/images/generations', { json: { prompt: 'a red castle', ...json }, ...options });
const errorOf = async (response: Response) => ({
	status: response.status,
	...(await response.json<{ error: Record<string, unknown> }>()).error,
});
const drawnWith = async (json: object): Promise<string> => (await (await call('/api/v1/jobs', { json })).json<JobView>()).request.model;
const PNG = makePng({ width: 64, height: 96 });
const form = (fields: Record<string, string | Blob | Blob[]>): FormData => {
	const out = new FormData();
	for (const [name, value] of Object.entries(fields)) for (const one of [value].flat()) out.append(name, one);
	return out;
};
const file = (): File => new File([PNG], 'p.png', { type: 'image/png' });

describe('generations', () => {
	it('answers pictures in the shape that the SDKs read, and tells what was changed', async () => {
		const { tasks } = await paint();
		const response = await generate({
			model: 'gpt-image-1',
			n: 2,
			size: '1536x1024',
			quality: 'low',
			output_format: 'webp',
			output_compression: 40,
		});
		expect(response.status).toBe(200);
		const body = await response.json<{ data: { b64_json: string }[] }>();
		expect(body).toMatchObject({
			background: 'opaque',
			// The test's node knows no WebP, and the answer says so.
			output_format: 'png',
			size: '160x104',
			quality: 'low',
			usage: { input_tokens: 3, output_tokens: 40, total_tokens: 43, input_tokens_details: { text_tokens: 3, image_tokens: 0 } },
		});
		expect(body.data).toHaveLength(2);
		expect(Buffer.from(body.data[0]!.b64_json, 'base64').subarray(1, 4).toString()).toBe('PNG');
		expect(response.headers.get('limner-warning')).toContain('1536x1024 was changed to 160x104');
		expect(response.headers.get('openai-version')).toBe('2020-10-01');
		expect(response.headers.get('x-request-id')).toBeTruthy();
		expect(tasks[0]!.spec).toMatchObject({
			model: 'storybook',
			steps: 2,
			width: 160,
			height: 104,
			outputFormat: 'webp',
			outputQuality: 40,
		});
		expect((await jobOf(response.headers.get('limner-job')!)).state).toBe('succeeded');
	});

	it('answers addresses that work without a key', async () => {
		await paint();
		const body = await (await generate({ response_format: 'url' })).json<{ data: { url: string }[] }>();
		const { pathname } = new URL(body.data[0]!.url);
		const picture = await call(pathname, { key: null });
		expect([picture.status, picture.headers.get('content-type')]).toEqual([200, 'image/png']);
		await picture.arrayBuffer();
	});

	it('streams partial pictures of the first steps, then the result', async () => {
		await paint(async (task, node) => {
			if (task.watched !== true) await node.frame('watch');
			for (const step of [1, 2, 3, 4]) {
				node.preview(task, step, new Uint8Array([0xff, 0xd8, step]));
				// Previews that come faster than the pool passes them on replace each other.
				await new Promise((resolve) => setTimeout(resolve, 250));
			}
		});
		const response = await generate({ stream: true, partial_images: 2, steps: 4 });
		expect(response.headers.get('content-type')).toContain('text/event-stream');
		const events = [];
		for await (const event of eventsOf(response)) events.push(event);
		const last = events.at(-1)!;
		expect(last.event).toBe('image_generation.completed');
		expect(last.data).toMatchObject({ type: 'image_generation.completed', size: '128x128', usage: { output_tokens: 16 } });
		expect(events.length).toBeGreaterThanOrEqual(2);
		for (const partial of events.slice(0, -1)) {
			expect(partial.event).toBe('image_generation.partial_image');
			const step = Buffer.from((partial.data as { b64_json: string }).b64_json, 'base64')[2]!;
			expect(step / 4).toBeLessThanOrEqual(0.6);
		}
	});

	it('tells a failure in the stream', async () => {
		await paint((task, node) => {
			fail(node, task, 'The prompt is not for this model.');
			return false;
		});
		const events = [];
		for await (const event of eventsOf(await generate({ stream: true }))) events.push(event);
		expect(events).toMatchObject([
			{ event: 'error', data: { error: { message: 'The prompt is not for this model.', code: 'job_invalid' } } },
		]);
	});

	it('tells a failure with its own status, and that no repeat helps', async () => {
		await paint((task, node) => {
			fail(node, task, 'The prompt is not for this model.');
			return false;
		});
		const response = await generate({});
		expect(response.headers.get('x-should-retry')).toBe('false');
		expect(await errorOf(response)).toEqual({
			status: 400,
			message: 'The prompt is not for this model.',
			type: 'invalid_request_error',
			param: null,
			code: 'job_invalid',
		});
	});

	it.each([
		[{ model: 'no-such' }, 404, 'model_not_found', 'model'],
		[{ n: 11 }, 400, 'invalid_value', 'n'],
		[{ size: 'big' }, 400, 'invalid_value', 'size'],
		[{ lora: 'x' }, 400, 'unknown_parameter', 'lora'],
		[{ background: 'transparent' }, 400, 'invalid_value', 'background'],
		[{ partial_images: 2 }, 400, 'invalid_value', 'partial_images'],
		[{ prompt: '' }, 400, 'invalid_value', 'prompt'],
	])('refuses %j in the words of OpenAI', async (json, status, code, param) => {
		expect(await errorOf(await generate(json))).toMatchObject({ status, code, param, type: 'invalid_request_error' });
	});

	it('needs a key, as bearer or as password', async () => {
		expect(await errorOf(await generate({}, { key: null }))).toMatchObject({ status: 401, code: 'invalid_api_key' });
		const headers = { authorization: `Basic ${btoa(`me:${KEY}`)}` };
		expect((await call('/v1/models', { key: null, headers })).status).toBe(200);
	});

	it('cancels the job of a caller that hangs up', async () => {
		const seen = Promise.withResolvers<string>();
		const { node } = await paint((task) => {
			seen.resolve(task.jobId);
			return false;
		});
		const abort = new AbortController();
		const answer = generate({}, { signal: abort.signal }).catch(() => undefined);
		const jobId = await seen.promise;
		abort.abort();
		expect(await node.frame('cancel')).toMatchObject({ jobId });
		await answer;
		expect((await jobOf(jobId)).state).toBe('canceled');
	});
});

describe('response_format', () => {
	it.each([
		['dall-e-3', undefined, 'url'],
		['dall-e-3', 'b64_json', 'b64_json'],
		['gpt-image-1', undefined, 'b64_json'],
		['gpt-image-1', 'url', 'url'],
		[undefined, undefined, 'b64_json'],
	])('%s, asked for %s: %s, as OpenAI does', async (model, response_format, field) => {
		await paint();
		const json = { prompt: 'x', ...(model === undefined ? {} : { model }), ...(response_format === undefined ? {} : { response_format }) };
		const { data } = await (await call('/v1/images/generations', { json })).json<{ data: object[] }>();
		expect(data.map((picture) => Object.keys(picture))).toEqual([[field]]);
	});
});

describe('edits and variations', () => {
	it('edits the first of several pictures, with a mask, at the shape of the picture', async () => {
		const { tasks } = await paint();
		const body = form({ 'image[]': [file(), file()], mask: file(), prompt: 'snow', n: '1', input_fidelity: 'high', strength: '0.7' });
		const response = await call('/v1/images/edits', { body });
		expect(response.status).toBe(200);
		expect(response.headers.get('limner-warning')).toContain('only the first of 2 pictures');
		expect(await response.json()).toMatchObject({ size: '104x160', usage: { input_tokens_details: { image_tokens: 6 } } });
		expect(tasks[0]!.spec).toMatchObject({ task: 'inpaint', strength: 0.7, width: 104, height: 160 });
		expect(tasks[0]!.inputs.map(({ role }) => role)).toEqual(['init', 'mask']);
	});

	it('repaints with the model that was trained for it, unless a model is named', async () => {
		const { tasks } = await paint(undefined, ['storybook', 'storybook-inpaint']);
		let job = '';
		const edit = async (fields: Record<string, string | Blob>): Promise<string | undefined> => {
			const response = await call('/v1/images/edits', { body: form({ image: file(), prompt: 'snow', n: '1', ...fields }) });
			expect(response.status).toBe(200);
			await response.arrayBuffer();
			job = response.headers.get('limner-job') ?? '';
			return tasks.at(-1)?.spec.model;
		};
		expect(await edit({ mask: file() })).toBe('storybook-inpaint');
		expect(await edit({ mask: file(), model: 'gpt-image-1' })).toBe('storybook-inpaint');
		expect(await edit({ mask: file(), model: 'storybook' })).toBe('storybook');
		expect(await edit({})).toBe('storybook');
		const masked = { prompt: 'snow', initImage: { job }, maskImage: { job } };
		expect(await drawnWith(masked)).toBe('storybook-inpaint');
		expect(await drawnWith({ ...masked, model: 'storybook' })).toBe('storybook');
	});

	it('takes the JSON form with data: URLs, and fetches nothing', async () => {
		const { tasks } = await paint();
		const images = [{ image_url: `data:image/png;base64,${base64(PNG)}` }];
		const response = await call('/v1/images/edits', { json: { prompt: 'snow', images, size: '128x128' } });
		expect(response.status).toBe(200);
		await response.arrayBuffer();
		expect(tasks[0]!.spec).toMatchObject({ task: 'img2img', strength: 0.65, width: 128, height: 128 });
		const remote = await call('/v1/images/edits', { json: { prompt: 'snow', images: [{ image_url: 'https://x.example/p.png' }] } });
		expect(await errorOf(remote)).toMatchObject({ status: 400, param: 'images[0].image_url' });
	});

	it('varies a picture without words', async () => {
		const { tasks } = await paint();
		const response = await call('/v1/images/variations', { body: form({ image: file(), n: '2', size: '64x64' }) });
		expect((await response.json<{ data: unknown[] }>()).data).toHaveLength(2);
		expect(tasks[0]!.spec).toMatchObject({ task: 'img2img', prompt: ' ', guidance: 1, strength: 0.6, n: 2 });
	});

	it.each([
		['/v1/images/edits', { prompt: 'x' }, 'image'],
		['/v1/images/edits', { image: file(), prompt: 'x', n: 'many' }, 'n'],
		['/v1/images/variations', { image: [file(), file()] }, 'image'],
		['/v1/images/variations', { image: file(), prompt: 'x' }, 'prompt'],
	])('%s refuses %j by name', async (path, fields, param) => {
		expect(await errorOf(await call(path, { body: form(fields as Record<string, string>) }))).toMatchObject({ status: 400, param });
	});
});

describe('models', () => {
	it('lists models and aliases for OpenAI and KServe in one body', async () => {
		const list = await (await call('/v1/models')).json<{ object: string; data: { id: string; root: string }[]; models: string[] }>();
		expect(list.object).toBe('list');
		expect(list.models).toContain('storybook');
		expect(list.data).toContainEqual(expect.objectContaining({ id: 'dall-e-3', root: 'storybook', object: 'model', owned_by: 'limner' }));
		expect(await (await call('/v1/models/gpt-image-1')).json()).toMatchObject({
			id: 'gpt-image-1',
			name: 'gpt-image-1',
			root: 'storybook',
		});
		expect(await errorOf(await call('/v1/models/nope'))).toMatchObject({ status: 404, code: 'model_not_found' });
	});
});
