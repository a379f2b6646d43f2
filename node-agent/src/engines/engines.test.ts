import { copyFileSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { CancelledError, InferenceError, InvalidRequestError, ModelFolderError } from '../diffusion/errors.ts';
import { ModelSession } from '../diffusion/session.ts';
import { parseGpus } from '../doctor/facts.ts';
import { threadsPerSlot } from './devices.ts';
import { planDevice } from './plan.ts';
import { createMockEngine, mockPixels } from './mock/engine.ts';
import { createOnnxEngine, toEngineError } from './onnx/engine.ts';
import { readInitImage, readMaskImage } from './onnx/inputs.ts';
import { EngineCancelled, EngineError, type EngineHooks, type EngineRequest } from './types.ts';

let folder = '';
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), 'limner-engines-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const request: EngineRequest = {
	task: 'txt2img',
	prompt: 'p',
	negativePrompt: null,
	width: 64,
	height: 64,
	steps: 3,
	guidance: 1,
	seed: 1,
	pasteBack: true,
};
const hooks = (extra: Partial<EngineHooks> = {}): EngineHooks => ({
	onPhase: () => undefined,
	onStep: () => undefined,
	isCancelled: () => false,
	...extra,
});
const file = async (name: string, image: ReturnType<typeof sharp>): Promise<string> => {
	const path = join(folder, name);
	await image.toFile(path);
	return path;
};
const raw = (channels: 1 | 3 | 4, ...values: number[]): ReturnType<typeof sharp> =>
	sharp(Buffer.from(values), { raw: { width: values.length / channels, height: 1, channels } });

describe('input pictures', () => {
	it('takes transparent = repaint when a mask has any transparency, else white = repaint', async () => {
		const alpha = await file('a.png', raw(4, 255, 255, 255, 0, 255, 255, 255, 255, 0, 0, 0, 128).png());
		expect([...(await readMaskImage(alpha)).mask.gray]).toEqual([255, 0, 127]);
		const opaque = await file('b.png', raw(4, 255, 255, 255, 255, 0, 0, 0, 255).png());
		expect([...(await readMaskImage(opaque)).mask.gray]).toEqual([255, 0]);
		const gray = await file('c.png', raw(1, 0, 128, 255).toColourspace('b-w').png());
		expect([...(await readMaskImage(gray)).mask.gray]).toEqual([0, 128, 255]);
	});

	it('lays transparency on white, spreads grey over RGB, and turns a photograph upright', async () => {
		const clear = await file('a.png', raw(4, 10, 20, 30, 0, 10, 20, 30, 255).png());
		expect([...(await readInitImage(clear)).image.rgb]).toEqual([255, 255, 255, 10, 20, 30]);
		const gray = await file('b.png', raw(1, 7, 200).toColourspace('b-w').png());
		expect([...(await readInitImage(gray)).image.rgb]).toEqual([7, 7, 7, 200, 200, 200]);
		const turned = await file('c.jpg', raw(3, 1, 2, 3, 4, 5, 6).withMetadata({ orientation: 6 }).jpeg());
		expect((await readInitImage(turned)).image).toMatchObject({ width: 1, height: 2 });
	});

	it('refuses what is no picture, and a missing file, in words', async () => {
		writeFileSync(join(folder, 'x.png'), 'not a picture');
		await expect(readInitImage(join(folder, 'x.png'))).rejects.toThrow('The input picture is not a picture that can be read');
		await expect(readMaskImage(join(folder, 'x.png'))).rejects.toThrow('The mask is not a picture');
		await expect(readMaskImage(join(folder, 'none.png'))).rejects.toThrow(/none\.png cannot be read \(ENOENT\)/);
	});
});

describe('failure classes', () => {
	it.each([
		[new InvalidRequestError('x'), 'invalid'],
		[new InferenceError('bad numbers'), 'engine'],
		[new ModelFolderError('x'), 'engine'],
		[new InferenceError('std::bad_alloc'), 'oom'],
		[new Error('CUDA failure 2: out of memory'), 'oom'],
		[new RangeError('Array buffer allocation failed'), 'oom'],
		[new TypeError('x'), 'engine'],
		['text', 'engine'],
	])('%s is %s', (error, failure) => {
		expect(toEngineError(error)).toMatchObject({ failure });
	});
	it('passes cancels and engine errors on', () => {
		expect(toEngineError(new CancelledError(1, 2))).toBeInstanceOf(EngineCancelled);
		const own = new EngineError('oom', 'x');
		expect(toEngineError(own)).toBe(own);
	});
});

describe('onnx engine', () => {
	const options = { device: { kind: 'cpu', name: 'cpu' }, executionProviders: ['cpu'], intraOpNumThreads: 1 } as const;
	const models = join(import.meta.dirname, '../../../tests/reference/models');
	const model = (name: string) => ({ name, dir: join(models, name), sha256: name });

	it('keeps a model, changes it, and says in a sentence what it cannot do', async () => {
		const engine = createOnnxEngine({ ...options, executionProviders: ['cpu'] });
		expect(await engine.probe()).toEqual({ ok: true });
		await expect(engine.generate(request, {}, hooks())).rejects.toThrow('No model is loaded.');
		let loads = 0;
		await engine.load(model('sd-1.5'), () => loads++);
		const first = loads;
		expect(first).toBeGreaterThan(0);
		await engine.load(model('sd-1.5'), () => loads++);
		expect(loads).toBe(first);
		const phases: string[] = [];
		const steps: number[] = [];
		const picture = await engine.generate(
			{ ...request, scheduler: 'ddim' },
			{},
			hooks({ onPhase: (phase) => phases.push(phase), onStep: (step) => steps.push(step) }),
		);
		expect(phases).toEqual(['encoding', 'denoising', 'decoding']);
		expect(steps).toEqual([1, 2, 3]);
		expect(picture).toMatchObject({ width: 64, height: 64, latents: { shape: [1, 4, 8, 8] } });
		await expect(engine.generate({ ...request, task: 'img2img' }, {}, hooks())).rejects.toMatchObject({ failure: 'invalid' });
		await engine.load(model('lcm'), () => undefined);
		expect(engine.health().loaded).toBe('lcm');
		await expect(engine.load({ ...model('none') }, () => undefined)).rejects.toBeInstanceOf(EngineError);
		expect(engine.health().loaded).toBeUndefined();
	});

	it('makes a batch of which one has a broken input, and reads equal inputs once', async () => {
		const engine = createOnnxEngine({ ...options, executionProviders: ['cpu'] });
		await engine.load(model('sd-1.5'), () => undefined);
		const good = await file('good.png', raw(3, 1, 2, 3, 4, 5, 6).resize(64, 64, { fit: 'fill' }).png());
		const same = join(folder, 'same.png');
		copyFileSync(good, same);
		const bad = join(folder, 'bad.png');
		writeFileSync(bad, 'not a picture');
		const items = [good, bad, same].map((init) => ({ request: { ...request, task: 'img2img' as const, strength: 0.9 }, inputs: { init } }));
		const phases: [number, string][] = [];
		const outcomes = await engine.generateBatch(items, {
			onPhase: (item, phase) => phases.push([item, phase]),
			onStep: () => undefined,
			isCancelled: () => false,
		});
		expect(outcomes[1]).toMatchObject({
			failure: 'invalid',
			message: 'The input picture is not a picture that can be read (PNG, JPEG or WebP up to 4096 × 4096).',
		});
		const [first, , third] = outcomes;
		if (first instanceof Error || third instanceof Error) throw new Error('both should be pictures');
		expect(first?.rgb).toEqual(third?.rgb);
		expect(phases.filter(([, phase]) => phase === 'decoding').map(([item]) => item)).toEqual([0, 2]);
		await engine.unload();
	});

	it('at strength 0 answers the picture at another size, with Lanczos and without a step', async () => {
		const engine = createOnnxEngine({ ...options, executionProviders: ['cpu'] });
		await engine.load(model('sd-1.5'), () => undefined);
		const small = await file('small.png', raw(3, 1, 2, 3, 250, 5, 6, 9, 200, 9).resize(48, 24, { fit: 'fill' }).png());
		const onStep = vi.fn<() => void>();
		const wanted = await sharp(small).resize(128, 64, { fit: 'fill', kernel: 'lanczos3' }).raw().toBuffer();
		const large = { ...request, task: 'img2img' as const, strength: 0, width: 128, height: 64 };
		const picture = await engine.generate(large, { init: small }, hooks({ onStep }));
		expect(picture).toMatchObject({ width: 128, height: 64, inputHashes: { initImageSha256: expect.any(String) as string } });
		expect(Buffer.from(picture.rgb).equals(wanted)).toBe(true);
		expect(onStep).not.toHaveBeenCalled();
		await expect(engine.generate(large, {}, hooks())).rejects.toMatchObject({ failure: 'invalid' });
		await engine.unload();
	});

	it('keeps several models while there is room, and only the last one where there is not', async () => {
		const roomy = createOnnxEngine({ ...options, executionProviders: ['cpu'] });
		const tight = createOnnxEngine({ ...options, executionProviders: ['cpu'], modelBytes: 1 });
		for (const name of ['sd-1.5', 'lcm', 'sd-1.5']) {
			for (const engine of [roomy, tight]) await engine.load(model(name), () => undefined);
		}
		expect(roomy.health()).toMatchObject({ loaded: 'sd-1.5', held: ['lcm', 'sd-1.5'] });
		expect(tight.health()).toMatchObject({ loaded: 'sd-1.5', held: ['sd-1.5'] });
		let loads = 0;
		await roomy.load(model('lcm'), () => loads++);
		expect(loads).toBe(0);
		await roomy.unload();
		await tight.unload();
		expect(roomy.health().held).toEqual([]);
	});

	it('drops its sessions when memory runs out, and makes the next picture', async () => {
		const engine = createOnnxEngine({ ...options, executionProviders: ['cpu'] });
		await engine.load(model('sd-1.5'), () => undefined);
		const spy = vi
			.spyOn(ModelSession.prototype, 'run')
			.mockRejectedValue(new InferenceError('Running x failed: Failed to allocate memory for requested buffer of size 9'));
		const failed = engine.generate(request, {}, hooks());
		await expect(failed).rejects.toMatchObject({ failure: 'oom', message: expect.stringContaining('ran out of memory') as string });
		expect(engine.health()).toMatchObject({ loaded: undefined, held: [] });
		spy.mockRestore();
		await engine.load(model('sd-1.5'), () => undefined);
		expect((await engine.generate(request, {}, hooks())).width).toBe(64);
		await engine.unload();
	});

	it('stops between steps', async () => {
		const engine = createOnnxEngine({ ...options, executionProviders: ['cpu'] });
		await engine.load(model('sd-1.5'), () => undefined);
		let done = 0;
		const run = engine.generate({ ...request, steps: 20 }, {}, hooks({ onStep: (step) => (done = step), isCancelled: () => done >= 3 }));
		await expect(run).rejects.toBeInstanceOf(EngineCancelled);
		expect(done).toBe(3);
		await engine.unload();
	});
});

describe('mock engine', () => {
	it('depends on the request alone', async () => {
		const engine = createMockEngine({ stepMs: 0, loadMs: 0 });
		await engine.load({ name: 'm', dir: '', sha256: 'a' }, () => undefined);
		const picture = await engine.generate(request, {}, hooks());
		expect(Buffer.compare(picture.rgb, mockPixels(request))).toBe(0);
		expect(Buffer.compare(mockPixels(request), mockPixels({ ...request, seed: 2 }))).not.toBe(0);
		await expect(engine.generate(request, {}, hooks({ isCancelled: () => true }))).rejects.toBeInstanceOf(EngineCancelled);
	});
});

describe('devices', () => {
	it('shares the cores out and leaves every slot one', () => {
		expect([threadsPerSlot('cpu', 8, 1), threadsPerSlot('cpu', 8, 3), threadsPerSlot('cpu', 2, 16), threadsPerSlot('cuda', 64, 1)]).toEqual(
			[8, 2, 1, 2],
		);
	});
	it('reads nvidia-smi', () => {
		expect(parseGpus('NVIDIA H100 80GB HBM3, 81559, GPU-1, 580.95.05\nTesla T4, 15360, GPU-2, 580.95.05\n')).toEqual([
			{ name: 'NVIDIA H100 80GB HBM3', memoryBytes: 81_559 * 1024 ** 2, uuid: 'GPU-1', driver: '580.95.05' },
			{ name: 'Tesla T4', memoryBytes: 15_360 * 1024 ** 2, uuid: 'GPU-2', driver: '580.95.05' },
		]);
		expect(parseGpus('No devices were found')).toEqual([]);
	});
	it('plans a device that works, and refuses an unknown one', async () => {
		expect(await planDevice('cpu')).toMatchObject({ device: { kind: 'cpu' }, executionProviders: ['cpu'], defaultSlots: 1 });
		await expect(planDevice('toaster')).rejects.toThrow('There is no device "toaster"; choose auto, or one or more of cuda');
	});
});
