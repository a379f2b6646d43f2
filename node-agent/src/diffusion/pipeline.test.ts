import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { CancelledError, DiffusionPipeline, InvalidRequestError, type GenerateRequest, type StepInfo } from './pipeline.ts';
import { fillMasked } from './pipelines/start.ts';

const dir = (name: string): string => fileURLToPath(new URL(`../../../tests/reference/models/${name}`, import.meta.url));
const base: GenerateRequest = {
	task: 'txt2img',
	prompt: 'a red castle',
	negativePrompt: null,
	width: 64,
	height: 64,
	steps: 4,
	guidance: 5,
	seed: 3,
	n: 1,
};
const image = { rgb: Uint8Array.from({ length: 64 * 64 * 3 }, (_, i) => (i * 7) % 256), width: 64, height: 64 };
const mask = { gray: Uint8Array.from({ length: 64 * 64 }, (_, i) => (i % 64 < 32 ? 255 : 0)), width: 64, height: 64 };
let sd: DiffusionPipeline;
const progress: [number, string][] = [];

beforeAll(async () => {
	sd = await DiffusionPipeline.load(dir('sd-1.5'), { intraOpNumThreads: 1, onProgress: (f, what) => progress.push([f, what]) });
});
afterAll(async () => {
	await sd.release();
});

test('loading reports its parts up to 1', () => {
	expect(progress.map(([, what]) => what)).toEqual(['text_encoder', 'unet', 'vae_decoder']);
	expect(progress.at(-1)?.[0]).toBe(1);
});

test('the same request gives the same bytes, and a batch equals single pictures with following seeds', async () => {
	const request = { ...base, scheduler: 'euler_a' };
	const [first] = (await sd.generate(request)).images;
	const batch = (await sd.generate({ ...request, n: 2 })).images;
	const [second] = (await sd.generate({ ...request, seed: 4n })).images;
	expect(batch[0]?.rgb).toEqual(first?.rgb);
	expect(batch[1]?.rgb).toEqual(second?.rgb);
	expect(batch.map((i) => i.seed)).toEqual([3n, 4n]);
	expect(first?.rgb).not.toEqual(second?.rgb);
});

test('steps are reported in order, with previews on demand, and timers run between them', async () => {
	const seen: StepInfo[] = [];
	const sizes = new Set<number>();
	let ticks = 0;
	const timer = setInterval(() => ticks++, 0);
	await sd.generate(
		{ ...base, scheduler: 'euler', steps: 12, n: 2 },
		{
			onStep(info) {
				seen.push(info);
				if (info.previewRgb !== undefined) sizes.add(info.previewRgb().rgb.length);
			},
		},
	);
	clearInterval(timer);
	expect(seen[0]?.phase).toBe('encoding');
	const denoising = seen.filter((s) => s.phase === 'denoising');
	for (const picture of [0, 1]) {
		const own = denoising.filter((s) => s.image === picture);
		expect(own.map((s) => s.step)).toEqual(Array.from({ length: 12 }, (_, i) => i + 1));
	}
	expect(denoising.every((s) => s.steps === 12)).toBe(true);
	expect(seen.filter((s) => s.phase === 'decoding').map((s) => s.image)).toEqual([0, 1]);
	expect([...sizes]).toEqual([8 * 8 * 3]);
	expect(ticks).toBeGreaterThan(5);
});

test('cancelling ends within one step, also when the wish comes from a message', async () => {
	let cancelled = false;
	const steps: number[] = [];
	const run = sd.generate(
		{ ...base, scheduler: 'euler', steps: 50 },
		{
			onStep(info) {
				steps.push(info.step);
				if (info.step === 3) setImmediate(() => (cancelled = true));
			},
			isCancelled: () => cancelled,
		},
	);
	await expect(run).rejects.toThrow(CancelledError);
	expect(Math.max(...steps)).toBeLessThanOrEqual(4);
	await expect(sd.generate(base, { isCancelled: () => true })).rejects.toThrow(/step 0/);
});

test("sizes between the network's own are made by cutting the middle out", async () => {
	const { images } = await sd.generate({ ...base, width: 72, height: 88, steps: 2 });
	expect([images[0]?.width, images[0]?.height, images[0]?.rgb.length]).toEqual([72, 88, 72 * 88 * 3]);
	const inpainted = await sd.generate({
		...base,
		task: 'inpaint',
		width: 72,
		height: 72,
		steps: 2,
		initImage: image,
		maskImage: mask,
		pasteBack: true,
	});
	expect(inpainted.images[0]?.rgb.length).toBe(72 * 72 * 3);
});

/** Colours of the right half, which the mask keeps. */
function outside(rgb: Uint8Array | undefined): number[] {
	return Array.from(rgb ?? []).filter((_, i) => Math.floor(i / 3) % 64 >= 32);
}

test('pasting back keeps every pixel outside the mask', async () => {
	const request = { ...base, task: 'inpaint' as const, initImage: image, maskImage: mask, strength: 0.8, steps: 5 };
	const pasted = (await sd.generate({ ...request, pasteBack: true })).images[0];
	const raw = (await sd.generate(request)).images[0];
	expect(outside(pasted?.rgb)).toEqual(outside(image.rgb));
	expect(outside(raw?.rgb)).not.toEqual(outside(image.rgb));
});

/** Pixels whose colours differ. */
function changed(a: Uint8Array | undefined, b: Uint8Array): Set<number> {
	return new Set(Array.from(b, (v, i) => (a?.[i] === v ? -1 : Math.floor(i / 3))).filter((p) => p >= 0));
}

test('work on the masked area touches nothing outside the mask, and a feather fades in from its border', async () => {
	const spot = { gray: Uint8Array.from({ length: 64 * 64 }, (_, i) => (i % 64 < 20 && i < 64 * 24 ? 255 : 0)), width: 64, height: 64 };
	const plain = { ...base, task: 'inpaint' as const, initImage: image, maskImage: spot, strength: 0.9, steps: 5 };
	const request = { ...plain, maskCropPadding: 4 };
	const hard = (await sd.generate(request)).images[0];
	const pixels = [...changed(hard?.rgb, image.rgb)];
	expect(pixels.every((p) => spot.gray[p] === 255)).toBe(true);
	expect(pixels.length).toBeGreaterThan(400);
	const whole = (await sd.generate({ ...plain, pasteBack: true })).images[0];
	expect(hard?.rgb).not.toEqual(whole?.rgb);
	const soft = (await sd.generate({ ...request, maskFeather: 3 })).images[0];
	// the last marked column is one pixel from a kept one: a quarter of the way from the original to the new picture
	for (let k = 0; k < 3; k++) {
		const at = (5 * 64 + 19) * 3 + k;
		const [old = 0, made = 0] = [image.rgb[at], hard?.rgb[at]];
		expect(Math.abs((soft?.rgb[at] ?? Number.NaN) - (old + (made - old) / 4))).toBeLessThanOrEqual(1);
	}
	const empty = { ...spot, gray: new Uint8Array(64 * 64) };
	await expect(sd.generate({ ...request, maskImage: empty })).rejects.toThrow(/marks nothing to repaint/);
});

test('the masked area can start from noise or nothing instead of what was there', async () => {
	const original = Float32Array.from([1, 2, 3, 4, 5, 6, 7, 8]);
	const draw = Float32Array.from([-1, -2, -3, -4, -5, -6, -7, -8]);
	const half = Float32Array.from([0, 1, 1, 0]);
	expect([...fillMasked(original, half, undefined, draw)]).toEqual([...original]);
	expect([...fillMasked(original, half, 'noise', draw)]).toEqual([1, -2, -3, 4, 5, -6, -7, 8]);
	expect([...fillMasked(original, half, 'nothing', draw)]).toEqual([1, 0, 0, 4, 5, 0, 0, 8]);

	const request = { ...base, task: 'inpaint' as const, initImage: image, maskImage: mask, strength: 0.4, steps: 5, pasteBack: true };
	const made = await Promise.all([undefined, 'noise', 'nothing'].map((maskLatents) => rgb({ ...request, maskLatents } as GenerateRequest)));
	expect(new Set(made.map((picture) => Buffer.from(picture ?? []).toString('base64'))).size).toBe(3);
	for (const picture of made) expect(outside(picture)).toEqual(outside(image.rgb));
});

const rgb = async (request: GenerateRequest): Promise<Uint8Array | undefined> => (await sd.generate(request)).images[0]?.rgb;

test('weights change the picture, in the weighted mode only', async () => {
	const weighted = { ...base, promptMode: 'weighted' as const };
	const plain = await rgb(base);
	expect(await rgb(weighted)).toEqual(plain);
	expect(await rgb({ ...weighted, prompt: '(a red castle:1)' })).toEqual(plain);
	expect(await rgb({ ...weighted, prompt: 'a (red:1.4) castle' })).not.toEqual(plain);
	expect(await rgb({ ...weighted, prompt: 'a \\(red\\) castle' })).toEqual(await rgb({ ...base, prompt: 'a (red) castle' }));
});

test('a long prompt is read whole in the weighted mode and named word by word in the plain one', async () => {
	const long = `${'castle '.repeat(75)}red forest`;
	const cut = await sd.generate({ ...base, prompt: long, negativePrompt: `${'sea '.repeat(75)}night` });
	expect(cut.warnings).toEqual([
		'The prompt is longer than the model reads; its end was ignored: "red forest". promptMode "weighted" reads all of it.',
		'The negative prompt is longer than the model reads; its end was ignored: "night". promptMode "weighted" reads all of it.',
	]);
	const whole = await sd.generate({ ...base, prompt: long, promptMode: 'weighted' });
	expect(whole.warnings).toEqual([]);
	expect(whole.images[0]?.rgb).not.toEqual(cut.images[0]?.rgb);
	const other = await sd.generate({ ...base, prompt: long.replace('forest', 'sea'), promptMode: 'weighted' });
	expect(other.images[0]?.rgb).not.toEqual(whole.images[0]?.rgb);
});

test.each(['sdxl', 'sd-3', 'lcm'])('%s reads weights and long prompts', async (name) => {
	const pipeline = await DiffusionPipeline.load(dir(name), { intraOpNumThreads: 1 });
	const request = { ...base, steps: 2, promptMode: 'weighted' as const };
	const draw = async (prompt: string): Promise<Uint8Array | undefined> => (await pipeline.generate({ ...request, prompt })).images[0]?.rgb;
	const { images } = await pipeline.generate({ ...base, steps: 2 });
	expect(await draw('a red castle')).toEqual(images[0]?.rgb);
	expect(await draw('a (red:1.5) castle')).not.toEqual(images[0]?.rgb);
	expect(await draw(`a red castle ${'castle '.repeat(80)}`)).not.toEqual(await draw(`a red castle ${'castle '.repeat(79)}sea`));
	await pipeline.release();
});

test('guidance up to 1 ignores the negative prompt', async () => {
	const plain = await sd.generate({ ...base, guidance: 1 });
	const negative = await sd.generate({ ...base, guidance: 0.5, negativePrompt: 'blurry' });
	expect(negative.images[0]?.rgb).toEqual(plain.images[0]?.rgb);
});

test('warnings name unknown words and cut prompts; timings add up', async () => {
	const { warnings, timings } = await sd.generate({ ...base, prompt: `a cyberpunk castle ${'castle '.repeat(100)}` });
	expect(warnings.join(' ')).toMatch(/never learnt: cyberpunk\..*end was ignored/);
	expect(timings.stepMs).toHaveLength(5);
	expect(timings.sessionRunMs).toBeLessThanOrEqual(timings.encodeMs + timings.denoiseMs + timings.decodeMs + 5);
});

test.each<[string, Partial<GenerateRequest>, RegExp]>([
	['odd width', { width: 65 }, /multiple of 8/],
	['no picture', { task: 'img2img' }, /needs an input picture/],
	['no mask', { task: 'inpaint', initImage: image }, /needs a mask/],
	['short picture', { task: 'img2img', initImage: { ...image, width: 65 } }, /width × height × 3/],
	['strength 0', { task: 'img2img', initImage: image, strength: 0 }, /nothing to run/],
	['strength 2', { task: 'img2img', initImage: image, strength: 2 }, /between 0 and 1/],
	['no pictures', { n: 0 }, /n must be/],
	['bad sampler', { scheduler: 'magic' }, /choose one of/],
	['no steps', { steps: 0 }, /steps must be/],
	['an add-on network', { prompt: 'a castle <lora:pixels:0.8>' }, /LoRA "pixels"/],
	['an add-on network in the negative prompt', { negativePrompt: '<lora:pixels>' }, /LoRA "pixels"/],
	['a weight out of range', { prompt: '(a castle:99)', promptMode: 'weighted' }, /weight 99/],
	['negative padding', { maskCropPadding: -1 }, /maskCropPadding/],
	['endless feather', { maskFeather: Number.POSITIVE_INFINITY }, /maskFeather/],
	['the size conditioning of another family', { originalSize: [512, 512] }, /originalSize works only with SDXL models/],
	['the text encoder of another family', { useT5: false }, /useT5 works only with SD 3 models/],
	['unsafe seed', { seed: 2 ** 60 }, /seed/],
	['negative guidance', { guidance: Number.NaN }, /guidance/],
])('%s is refused', async (_what, change, message) => {
	const run = sd.generate({ ...base, ...change });
	await expect(run).rejects.toThrow(InvalidRequestError);
	await expect(sd.generate({ ...base, ...change })).rejects.toThrow(message);
});

test('a network with mask channels only repaints', async () => {
	const inpaint = await DiffusionPipeline.load(dir('sd-1.5-inpaint'));
	await expect(inpaint.generate(base)).rejects.toThrow(/inpaint only/);
	await inpaint.release();
});

test('multistep samplers run flow models too', async () => {
	const sd3 = await DiffusionPipeline.load(dir('sd-3'));
	for (const scheduler of ['dpmpp_2m', 'unipc']) {
		const { images } = await sd3.generate({ ...base, scheduler, steps: 6 }, { onStep: () => {} });
		expect(images[0]?.latents.every(Number.isFinite)).toBe(true);
	}
	await sd3.release();
});
