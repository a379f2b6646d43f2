/**
 * Pictures that go through the network together: each keeps the bytes that it has alone.
 */
import { fileURLToPath } from 'node:url';
import { describe, expect, test, vi } from 'vitest';
import { ModelSession } from './session.ts';
import { CancelledError, DiffusionPipeline, InvalidRequestError, type BatchOutcome, type GenerateRequest } from './pipeline.ts';

const dir = (name: string): string => fileURLToPath(new URL(`../../../tests/reference/models/${name}`, import.meta.url));
const base: GenerateRequest = {
	task: 'txt2img',
	prompt: 'a red castle',
	negativePrompt: null,
	width: 64,
	height: 64,
	steps: 3,
	guidance: 5,
	seed: 3,
	n: 1,
};
const picture = (seed: number) => ({ rgb: Uint8Array.from({ length: 64 * 64 * 3 }, (_, i) => (i * seed) % 256), width: 64, height: 64 });
const mask = { gray: Uint8Array.from({ length: 64 * 64 }, (_, i) => (i % 64 < 32 ? 255 : 0)), width: 64, height: 64 };
const bytesOf = (outcome: BatchOutcome | undefined): Uint8Array => {
	if (outcome?.ok !== true) throw new Error(`no picture: ${String(outcome?.error)}`);
	return outcome.image.rgb;
};
/** Counts the evaluations of the network that `act` takes. */
const evaluations = async (pipeline: DiffusionPipeline, requests: GenerateRequest[]): Promise<number> =>
	(await pipeline.generateBatch(requests)).timings.stepMs.length;

const FAMILIES = [
	['sd-1.5', ['txt2img', 'img2img', 'inpaint']],
	['sd-2.1-v', ['txt2img', 'img2img']],
	['sd-1.5-inpaint', ['inpaint']],
	['sd-2-inpaint', ['inpaint']],
	['sd-turbo', ['txt2img']],
	['lcm', ['txt2img', 'img2img']],
	['sdxl', ['txt2img', 'inpaint']],
	['sdxl-turbo', ['txt2img']],
	['sdxl-inpaint', ['inpaint']],
	['sd-3', ['txt2img', 'img2img', 'inpaint']],
] as const;

describe('a batch has the bytes of its pictures alone', () => {
	test.each(FAMILIES)('%s', async (name, tasks) => {
		const pipeline = await DiffusionPipeline.load(dir(name), { intraOpNumThreads: 2 });
		const alone = await DiffusionPipeline.load(dir(name), { intraOpNumThreads: 2, maxBatch: 1 });
		for (const task of tasks) {
			for (const guidance of [5, 1]) {
				const requests = [1, 2, 3].map((seed): GenerateRequest => {
					const images = task === 'txt2img' ? {} : { initImage: picture(seed), ...(task === 'inpaint' ? { maskImage: mask } : {}) };
					return { ...base, ...images, task, guidance, seed, prompt: `a red castle ${seed}`, strength: 0.8, eta: 0 };
				});
				const together = (await pipeline.generateBatch(requests)).outcomes;
				for (const [i, request] of requests.entries()) {
					const { outcomes } = await alone.generateBatch([request]);
					expect(bytesOf(together[i])).toEqual(bytesOf(outcomes[0]));
				}
			}
		}
		// the comparison of the first batch with its first picture held, so that batches stay on
		expect(pipeline.batches.maxBatch).toBe(4);
		await pipeline.release();
		await alone.release();
	});
});

describe('batches', () => {
	test('evaluate the network once for all pictures of a shape, and shapes apart', async () => {
		const pipeline = await DiffusionPipeline.load(dir('sd-1.5'), { intraOpNumThreads: 1 });
		const request = { ...base, scheduler: 'ddim' };
		expect(await evaluations(pipeline, [request, { ...request, seed: 9, prompt: 'a sea' }])).toBe(3);
		expect(await evaluations(pipeline, [request, { ...request, steps: 4 }])).toBe(3 + 4);
		expect(await evaluations(pipeline, [request, { ...request, width: 72 }])).toBe(3 + 3);
		// a long prompt in the weighted mode has other rows
		const long = { ...request, promptMode: 'weighted' as const, prompt: 'castle '.repeat(90) };
		expect(await evaluations(pipeline, [request, long])).toBe(3 + 3);
		expect((await pipeline.generate({ ...request, n: 6 })).timings.stepMs).toHaveLength(3 + 3);
		await pipeline.release();
	});

	test('end one picture without the others: cancelled, refused, or without a mark in its mask', async () => {
		const pipeline = await DiffusionPipeline.load(dir('sd-1.5'), { intraOpNumThreads: 1 });
		const request: GenerateRequest = { ...base, scheduler: 'euler_a', steps: 6, task: 'inpaint', initImage: picture(7), maskImage: mask };
		const requests = [
			request,
			{ ...request, seed: 4 },
			{ ...request, seed: 5, maskCropPadding: 8, maskImage: { ...mask, gray: new Uint8Array(64 * 64) } },
			{ ...request, seed: 6, prompt: '<lora:x>' },
			{ ...request, seed: 7 },
		];
		let step = 0;
		const seen = new Map<number, number>();
		const { outcomes } = await pipeline.generateBatch(requests, {
			onStep: (info) => {
				step = info.step;
				if (info.phase === 'denoising') seen.set(info.image, info.step);
			},
			isCancelled: (image) => image === 1 && step >= 2,
		});
		expect(outcomes.map((o) => o.ok)).toEqual([true, false, false, false, true]);
		const errors = outcomes.flatMap((o) => (o.ok ? [] : [o.error]));
		expect(errors[0]).toBeInstanceOf(CancelledError);
		expect(errors[1]).toBeInstanceOf(InvalidRequestError);
		expect(errors[2]).toBeInstanceOf(InvalidRequestError);
		expect([...seen]).toEqual([
			[0, 6],
			[1, 2],
			[4, 6],
		]);
		for (const i of [0, 4]) {
			const { outcomes: single } = await pipeline.generateBatch([requests[i] as GenerateRequest]);
			expect(bytesOf(outcomes[i])).toEqual(bytesOf(single[0]));
		}
		await pipeline.release();
	});

	test('too little memory for both halves of a picture: one after the other, the same bytes', async () => {
		const small = { used: () => 0, free: () => 1 };
		const tight = await DiffusionPipeline.load(dir('sdxl'), { intraOpNumThreads: 1, gauge: small });
		const roomy = await DiffusionPipeline.load(dir('sdxl'), { intraOpNumThreads: 1 });
		const request = { ...base, guidanceRescale: 0.5 };
		const [a, b] = [await tight.generate({ ...request, n: 2 }), await roomy.generate({ ...request, n: 2 })];
		expect(a.images.map((i) => i.rgb)).toEqual(b.images.map((i) => i.rgb));
		await tight.release();
		await roomy.release();
	});
});

/** Names of the graphs that ran, with how many rows. */
const runsDuring = async (act: () => Promise<unknown>): Promise<string[]> => {
	const spy = vi.spyOn(ModelSession.prototype, 'run');
	await act();
	const names = spy.mock.calls.map(([feeds]) => Object.entries(feeds).map(([name, tensor]) => `${name} ${tensor.dims[0] ?? ''}`)[0] ?? '');
	spy.mockRestore();
	return names;
};
const count = (names: string[], start: string): number => names.filter((name) => name.startsWith(start)).length;

describe('nothing is computed twice', () => {
	test('text is encoded once for all pictures and later requests, and no unconditional row runs at guidance up to 1', async () => {
		const pipeline = await DiffusionPipeline.load(dir('sd-1.5'), { intraOpNumThreads: 1 });
		const request = { ...base, scheduler: 'ddim', n: 3 };
		const first = await runsDuring(async () => pipeline.generate(request));
		expect(count(first, 'input_ids')).toBe(2);
		// one run of a picture alone to compare with, then six rows a step
		expect(first.filter((name) => name.startsWith('sample'))).toEqual(['sample 2', 'sample 6', 'sample 6', 'sample 6']);
		const second = await runsDuring(async () => pipeline.generate({ ...request, seed: 9 }));
		expect(count(second, 'input_ids')).toBe(0);
		expect(second.filter((name) => name.startsWith('sample'))).toEqual(['sample 6', 'sample 6', 'sample 6']);
		const unguided = await runsDuring(async () => pipeline.generate({ ...request, n: 1, guidance: 1 }));
		expect(unguided.filter((name) => name.startsWith('sample'))).toEqual(['sample 1', 'sample 1', 'sample 1']);
		await pipeline.release();
	});

	test('the input picture is encoded once for all pictures, with a draw for each', async () => {
		const pipeline = await DiffusionPipeline.load(dir('sd-1.5'), { intraOpNumThreads: 1, maxBatch: 2 });
		const request: GenerateRequest = { ...base, task: 'img2img', initImage: picture(3), n: 4 };
		const names = await runsDuring(async () => pipeline.generate(request));
		// pixels and latents are both called sample: the encoder runs on one row, the network on two for each picture
		expect(count(names, 'sample 1')).toBe(1);
		const { images } = await pipeline.generate(request);
		expect(new Set(images.map((image) => Buffer.from(image.rgb).toString('base64'))).size).toBe(4);
		await pipeline.release();
	});
});
