import { afterEach, describe, expect, it } from 'vitest';
import { call, cleanUp, KEY } from '../http/harness.ts';
import { until } from '../pool/harness.ts';
import { bytesOf, chunk, makePng } from '../storage/pictures.ts';
import { base64, fail, paint } from './harness.ts';

afterEach(cleanUp);

const sd = (path: string, json?: object) => call(`/sdapi/v1/${path}`, json === undefined ? {} : { json });
const bodyOf = async <T>(response: Promise<Response>): Promise<T> => (await response).json();
interface Made {
	images: string[];
	parameters: Record<string, unknown>;
	info: string;
}
interface Progress {
	progress: number;
	state: Record<string, unknown>;
	current_task: string | null;
	current_image: string | null;
}
const PNG = base64(makePng({ width: 64, height: 64 }));

describe('txt2img', () => {
	it('answers pictures, the parameters, and info as a text of JSON', async () => {
		const { tasks } = await paint();
		const request = {
			prompt: 'a (red:1.2) castle',
			negative_prompt: 'fog',
			seed: 5,
			n_iter: 2,
			steps: 3,
			cfg_scale: 6,
			width: 128,
			height: 128,
		};
		const made = await bodyOf<Made>(
			sd('txt2img', { ...request, sampler_name: 'DPM++ 2M', scheduler: 'Karras', styles: [], script_name: null }),
		);
		expect(made.images).toHaveLength(2);
		expect(made.parameters).toMatchObject({ seed: 5, sampler_name: 'DPM++ 2M' });
		const info = JSON.parse(made.info) as Record<string, unknown>;
		expect(info).toMatchObject({
			seed: 5,
			all_seeds: [5, 6],
			steps: 3,
			cfg_scale: 6,
			sampler_name: 'DPM++ 2M Karras',
			sd_model_name: 'storybook',
		});
		expect((info['infotexts'] as string[])[1]).toContain(
			'Negative prompt: fog\nSteps: 3, Sampler: DPM++ 2M Karras, CFG scale: 6, Seed: 6, Size: 128x128',
		);
		expect(tasks[0]!.spec).toMatchObject({ promptMode: 'weighted', scheduler: 'dpmpp_2m_karras' });
	});

	it('takes what webuiapi sends for a plain picture', async () => {
		await paint();
		const defaults = {
			enable_hr: false,
			hr_scale: 2,
			hr_upscaler: 'Latent',
			subseed: -1,
			subseed_strength: 0,
			seed: -1,
			s_churn: 0,
			s_noise: 1,
		};
		const response = await sd('txt2img', {
			...defaults,
			prompt: '',
			width: 512,
			height: 512,
			alwayson_scripts: {},
			script_args: [],
			override_settings: {},
		});
		expect([response.status, response.headers.get('limner-warning')]).toEqual([
			200,
			expect.stringContaining('512x512 was changed to 128x128'),
		]);
		await response.arrayBuffer();
	});

	it.each([
		[{ prompt: 'x <lora:anime:0.8>' }, 'lora:anime'],
		[{ prompt: 'x', enable_hr: true, hr_upscaler: 'Latent' }, 'hr_upscaler Latent does not exist here; there is: Lanczos'],
		[{ prompt: 'x', enable_hr: true, hr_checkpoint_name: 'other' }, 'hr_checkpoint_name'],
		[{ prompt: 'x', enable_hr: true, firstphase_width: 64 }, 'firstphase_width is not possible here'],
		[{ prompt: 'x', enable_hr: true, hr_resize_x: 256, hr_resize_y: 512 }, 'must have the shape of the first pass, 128x128'],
		[{ prompt: 'x', enable_hr: true, hr_resize_x: 4096 }, 'at most 2048'],
		[{ prompt: 'x', enable_hr: true, denoising_strength: 0 }, 'above 0'],
		[{ prompt: 'x', enable_hr: true, denoising_strength: 0.1, hr_second_pass_steps: 16 }, 'at most 15 steps, not 16'],
		[{ prompt: 'x', enable_hr: true, hr_prompt: '<lora:anime:1>' }, 'lora:anime'],
		[{ prompt: 'x', alwayson_scripts: { controlnet: {} } }, 'alwayson_scripts'],
		[{ prompt: 'x', sampler_name: 'Restart' }, 'the sampler Restart does not exist'],
		[{ prompt: 'x', sampler_name: 'DDIM', scheduler: 'Karras' }, 'the schedule Karras does not exist for the sampler DDIM'],
		[{ prompt: 'x', override_settings: { sd_model_checkpoint: 'nope' } }, 'nope does not exist'],
		[{ prompt: 'x', batch_size: 5, n_iter: 5 }, 'at most 16'],
		[{ prompt: 'x', foo: 1 }, 'is not a known field'],
	])('refuses %j in words', async (json, words) => {
		const response = await sd('txt2img', json);
		expect(response.status).toBe(422);
		expect(JSON.stringify(await response.json())).toContain(words);
	});

	it('takes a key as the password, and asks for one', async () => {
		const asked = await call('/sdapi/v1/samplers', { key: null });
		expect([asked.status, asked.headers.get('www-authenticate')]).toEqual([401, 'Basic realm="limner"']);
		expect(await asked.json()).toMatchObject({ error: 'unauthorized' });
		expect((await call('/sdapi/v1/samplers', { key: null, headers: { authorization: `Basic ${btoa(`user:${KEY}`)}` } })).status).toBe(200);
	});
});

describe('hires fix', () => {
	const asked = {
		prompt: 'a castle',
		enable_hr: true,
		hr_upscaler: 'Lanczos',
		seed: 5,
		steps: 6,
		denoising_strength: 0.7,
		width: 128,
		height: 96,
	};

	it('draws each picture again from the first pass, larger, with its own seed', async () => {
		const { tasks } = await paint();
		const response = await sd('txt2img', { ...asked, batch_size: 2, hr_scale: 2, hr_prompt: 'a castle at dawn', hr_second_pass_steps: 10 });
		expect([response.status, response.headers.get('limner-job')?.split(', ')]).toEqual([200, expect.objectContaining({ length: 3 })]);
		const made = await response.json<Made>();
		expect(made.images.map((image) => Buffer.from(image, 'base64').readUInt32BE(16))).toEqual([256, 256]);
		const [first, ...seconds] = tasks.map(({ spec, seed, inputs }) => ({ ...spec, own: seed, inputs: inputs.map(({ role }) => role) }));
		expect(first).toMatchObject({ task: 'txt2img', width: 128, height: 96, steps: 6, own: 5, inputs: [] });
		expect(tasks).toHaveLength(4);
		// 15 steps at a strength of 0.7 are the 10 that were asked for.
		const second = { task: 'img2img', width: 256, height: 192, steps: 15, strength: 0.7, prompt: 'a castle at dawn', inputs: ['init'] };
		expect(seconds.slice(1).toSorted((a, b) => a.own - b.own)).toEqual([
			expect.objectContaining({ ...second, own: 5 }),
			expect.objectContaining({ ...second, own: 6 }),
		]);
		const info = JSON.parse(made.info) as {
			all_seeds: number[];
			infotexts: string[];
			extra_generation_params: object;
			denoising_strength: number;
		};
		expect(info).toMatchObject({
			all_seeds: [5, 6],
			denoising_strength: 0.7,
			extra_generation_params: { 'Hires upscale': 2, 'Hires steps': 10, 'Hires upscaler': 'Lanczos', 'Hires prompt': 'a castle at dawn' },
		});
		expect(info.infotexts[1]).toContain('Seed: 6, Size: 128x96');
		expect(info.infotexts[1]).toContain('Denoising strength: 0.7, Hires upscale: 2, Hires steps: 10, Hires upscaler: Lanczos');
	});

	it('is one task to the client: progress over both passes, and an interrupt that stops both', async () => {
		const seen = Promise.withResolvers<void>();
		const { node } = await paint((task) => {
			if (task.spec.task === 'txt2img') return true;
			node.progress(task, 3);
			seen.resolve();
			return false;
		});
		const answer = sd('txt2img', { ...asked, force_task_id: 'both', hr_resize_x: 200 });
		await seen.promise;
		await until(
			async () => (await bodyOf<Progress>(sd('progress?skip_current_image=true'))).state['sampling_step'] === 3,
			'the second pass',
		);
		const progress = await bodyOf<Progress>(sd('progress?skip_current_image=true'));
		expect(progress).toMatchObject({ current_task: 'both', state: { job_count: 2, job_no: 1, job: 'scripts_txt2img' } });
		expect(progress.progress).toBeGreaterThan(0.5);
		const task = () => bodyOf(call('/internal/progress', { json: { id_task: 'both', id_live_preview: -1, live_preview: false } }));
		expect(await task()).toMatchObject({ active: true, completed: false });
		await sd('interrupt', {}).then((response) => response.text());
		expect((await bodyOf<Made>(answer)).images).toEqual([]);
		await until(async () => ((await task()) as { completed: boolean }).completed, 'the task is over');
	});

	it('tells why the first pass failed, and leaves nothing open', async () => {
		const { node, tasks } = await paint((task) => {
			fail(node, task, 'the first pass broke');
			return false;
		});
		const response = await sd('txt2img', asked);
		expect([response.status, JSON.stringify(await response.json())]).toEqual([400, expect.stringContaining('the first pass broke')]);
		expect(tasks).toHaveLength(1);
		await until(async () => (await bodyOf<{ size: number }>(call('/internal/pending-tasks'))).size === 0, 'nothing open');
	});

	it('gives a repeat with the same idempotency key the same pictures', async () => {
		const { tasks } = await paint();
		const { seed: _none, ...json } = asked;
		const twice = () => call('/sdapi/v1/txt2img', { json, headers: { 'idempotency-key': 'hires-1' } });
		const [one, two] = [await twice(), await twice()];
		expect(one.headers.get('limner-job')).toBe(two.headers.get('limner-job'));
		expect((await one.json<Made>()).info).toEqual((await two.json<Made>()).info);
		expect(tasks).toHaveLength(2);
	});
});

describe('extras', () => {
	// As webuiapi sends it.
	const asked = {
		resize_mode: 0,
		show_extras_results: true,
		gfpgan_visibility: 0,
		codeformer_visibility: 0,
		codeformer_weight: 0,
		upscaling_resize: 2,
		upscaling_resize_w: 512,
		upscaling_resize_h: 512,
		upscaling_crop: true,
		upscaler_1: 'Lanczos',
		upscaler_2: 'None',
		extras_upscaler_2_visibility: 0,
		upscale_first: false,
	};

	it('enlarge pictures without drawing, and give back what needs nothing', async () => {
		const { tasks } = await paint();
		const one = await sd('extra-single-image', { ...asked, image: PNG });
		const { image, html_info: info } = await one.json<{ image: string; html_info: string }>();
		expect([one.status, Buffer.from(image, 'base64').readUInt32BE(16), info]).toEqual([200, 128, 'Postprocess upscaler: Lanczos']);
		expect(tasks[0]!.spec).toMatchObject({ task: 'img2img', strength: 0, steps: 1, width: 128, height: 128 });
		expect(await bodyOf(sd('extra-single-image', { ...asked, upscaler_1: 'None', image: `data:image/png;base64,${PNG}` }))).toEqual({
			html_info: '',
			image: PNG,
		});
		const wide = base64(makePng({ width: 96, height: 64 }));
		const imageList = [{ data: PNG, name: 'a.png' }, { data: wide }];
		const many = await bodyOf<{ images: string[] }>(sd('extra-batch-images', { ...asked, upscaling_resize: 3, imageList }));
		expect(many.images.map((each) => Buffer.from(each, 'base64').readUInt32BE(16))).toEqual([192, 288]);
		expect(tasks).toHaveLength(3);
	});

	it.each([
		[{ upscaler_1: 'R-ESRGAN 4x+' }, 'upscaler_1 R-ESRGAN 4x+ does not exist here; there is: Lanczos'],
		[{ gfpgan_visibility: 0.5 }, 'gfpgan_visibility is not possible here'],
		[{ upscaler_2: 'Lanczos', extras_upscaler_2_visibility: 0.5 }, 'extras_upscaler_2_visibility'],
		[{ upscaling_resize: 8, image: base64(makePng({ width: 512, height: 64 })) }, 'sides have 64 to 2048 pixels'],
		[{ resize_mode: 1, upscaling_resize_w: 512, upscaling_resize_h: 256 }, 'nothing is cut here'],
		[{ image: 'https://example.com/a.png' }, 'fetches no pictures'],
	])('refuse %j in words', async (json, words) => {
		const response = await sd('extra-single-image', { ...asked, image: PNG, ...json });
		expect([response.status, JSON.stringify(await response.json())]).toEqual([422, expect.stringContaining(words)]);
	});
});

describe('img2img', () => {
	it('repaints what the mask shows, with its blur, fill, padding and direction', async () => {
		const { tasks } = await paint();
		const mask = {
			mask: PNG,
			mask_blur: 8,
			inpainting_fill: 0,
			inpaint_full_res: true,
			inpaint_full_res_padding: 16,
			inpainting_mask_invert: 1,
		};
		const made = await bodyOf<Made>(sd('img2img', { prompt: 'snow', init_images: [PNG], denoising_strength: 0.6, ...mask }));
		expect(made.parameters).toMatchObject({ init_images: null, mask: null });
		expect(tasks[0]!.spec).toMatchObject({
			task: 'inpaint',
			strength: 0.6,
			maskFeather: 8,
			maskFill: 'around',
			maskCropPadding: 16,
			maskInvert: true,
		});
	});

	it.each([
		[undefined, 'around'],
		[1, 'original'],
		[2, 'noise'],
		[3, 'nothing'],
	])('inpainting_fill %s starts from: %s', async (fill, maskFill) => {
		const { tasks } = await paint();
		await bodyOf<Made>(
			sd('img2img', { prompt: 'x', init_images: [PNG], mask: PNG, ...(fill === undefined ? {} : { inpainting_fill: fill }) }),
		);
		expect(tasks[0]!.spec).toMatchObject({ task: 'inpaint', maskFill });
	});

	it('needs one picture, and a fill that exists', async () => {
		expect((await sd('img2img', { prompt: 'x' })).status).toBe(422);
		const response = await sd('img2img', { prompt: 'x', init_images: [PNG], mask: PNG, inpainting_fill: 4 });
		expect([response.status, JSON.stringify(await response.json())]).toEqual([422, expect.stringContaining('inpainting_fill')]);
	});
});

describe('progress and interrupt', () => {
	it('tells how far the job of a task is, and stops it', async () => {
		const seen = Promise.withResolvers<void>();
		const { node } = await paint((task) => {
			node.progress(task, 2);
			seen.resolve();
			return false;
		});
		const idle = await bodyOf<Progress>(sd('progress'));
		expect(idle).toMatchObject({ progress: 0, state: { job_count: 0 }, current_image: null });
		const answer = sd('txt2img', { prompt: 'x', steps: 4, force_task_id: 'mine' });
		await seen.promise;
		await until(
			async () => (await bodyOf<Progress>(sd('progress?skip_current_image=true'))).state['sampling_step'] === 2,
			'the second step',
		);
		const progress = await bodyOf<Progress>(sd('progress?skip_current_image=true'));
		expect(progress).toMatchObject({ current_task: 'mine', state: { sampling_steps: 4, job_count: 1, job: 'scripts_txt2img' } });
		expect(progress.progress).toBeCloseTo(0.51);
		const internal = (id: string) =>
			bodyOf(call('/internal/progress', { json: { id_task: id, id_live_preview: -1, live_preview: false } }));
		expect(await internal('mine')).toMatchObject({ active: true, completed: false, progress: progress.progress });
		expect(await internal('other')).toMatchObject({ active: false, queued: false, completed: false });
		// What earlier tests cancelled stays listed until its workspace has heard of it.
		await until(async () => (await bodyOf<{ size: number }>(call('/internal/pending-tasks'))).size === 1, 'one open task');
		expect(await bodyOf(call('/internal/pending-tasks'))).toEqual({ size: 1, tasks: ['mine'] });
		expect(await bodyOf(sd('interrupt', {}))).toEqual({});
		expect((await bodyOf<Made>(answer)).images).toEqual([]);
		await until(async () => ((await internal('mine')) as { completed: boolean }).completed, 'the task is over');
	});
});

describe('lists', () => {
	it('tell only what is true', async () => {
		expect(await bodyOf(sd('sd-models'))).toContainEqual(expect.objectContaining({ title: 'storybook', model_name: 'storybook' }));
		const samplers = await bodyOf<{ name: string }[]>(sd('samplers'));
		expect(samplers.map(({ name }) => name)).toContain('DPM++ 2M');
		expect(samplers.map(({ name }) => name)).not.toContain('DPM++ 2M Karras');
		expect((await bodyOf<{ name: string }[]>(sd('schedulers'))).map(({ name }) => name)).toEqual([
			'automatic',
			'karras',
			'exponential',
			'beta',
		]);
		expect((await bodyOf<{ name: string }[]>(sd('upscalers'))).map(({ name }) => name)).toEqual(['None', 'Lanczos']);
		expect(await bodyOf(sd('latent-upscale-modes'))).toEqual([]);
		for (const path of ['loras', 'hypernetworks', 'sd-vae', 'face-restorers', 'prompt-styles']) expect(await bodyOf(sd(path))).toEqual([]);
		expect(await bodyOf(sd('memory'))).toMatchObject({ cuda: { error: expect.any(String) as string } });
		expect(await bodyOf(sd('cmd-flags'))).toMatchObject({ api: true });
	});

	it('keep settings that mean something, and refuse the rest', async () => {
		expect((await sd('options', { samples_format: 'webp', sd_model_checkpoint: 'storybook' })).status).toBe(200);
		expect(await bodyOf(sd('options'))).toMatchObject({ samples_format: 'webp', sd_model_checkpoint: 'storybook' });
		const { tasks } = await paint();
		await bodyOf(sd('txt2img', { prompt: 'x' }));
		expect(tasks[0]!.spec.outputFormat).toBe('webp');
		expect((await sd('options', { sd_vae: 'other.pt' })).status).toBe(422);
		expect((await sd('options', { samples_format: 'png' })).status).toBe(200);
	});

	it('read the text of a PNG', async () => {
		const text = 'a fox\nNegative prompt: fog\nSteps: 4, Sampler: Euler a, Seed: 7';
		const png = makePng({ width: 8, height: 8, before: [chunk('tEXt', bytesOf(`parameters\0${text}`))] });
		expect(await bodyOf(sd('png-info', { image: base64(png) }))).toEqual({
			info: text,
			items: { parameters: text },
			parameters: { Prompt: 'a fox', 'Negative prompt': 'fog', Steps: '4', Sampler: 'Euler a', Seed: '7' },
		});
		expect(await bodyOf(sd('png-info', { image: PNG }))).toEqual({ info: '', items: {}, parameters: {} });
	});
});
