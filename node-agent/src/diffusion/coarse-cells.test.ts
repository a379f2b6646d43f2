import { cp, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { frameFor } from './frame.ts';
import { readJsonFile } from './files.ts';
import { DiffusionPipeline, type GenerateRequest, type RgbImage, type StepInfo } from './pipeline.ts';

/** Pixels per latent cell of an autoencoder with five levels. */
const FACTOR = 16;
const SCALING = 0.5;
const base: GenerateRequest = {
	task: 'txt2img',
	prompt: 'a red castle',
	negativePrompt: null,
	width: 128,
	height: 128,
	steps: 3,
	guidance: 3,
	seed: 3,
	n: 1,
};
let dir: string;
let pipeline: DiffusionPipeline;

const varint = (n: number): number[] => (n < 128 ? [n] : [(n & 127) | 128, ...varint(n >>> 7)]);
const number = (field: number, value: number): number[] => [...varint(field * 8), ...varint(value)];
const nested = (field: number, body: readonly number[]): number[] => [...varint(field * 8 + 2), ...varint(body.length), ...body];
const text = (field: number, value: string): number[] => nested(field, [...Buffer.from(value)]);

/** An ONNX file (numbers of onnx.proto) with one convolution whose kernel and stride are a latent cell. */
function convolution(operator: 'Conv' | 'ConvTranspose', input: string, output: string, weights: Float32Array): Uint8Array {
	const value = (name: string): number[] => {
		const shape = ['n', 'c', 'h', 'w'].flatMap((side) => nested(1, text(2, `${name}_${side}`)));
		return [...text(1, name), ...nested(2, nested(1, [...number(1, 1), ...nested(2, shape)]))];
	};
	const ints = (name: string): number[] => nested(5, [...text(1, name), ...number(8, FACTOR), ...number(8, FACTOR), ...number(20, 7)]);
	const node = [...text(1, input), ...text(1, 'w'), ...text(2, output), ...text(4, operator), ...ints('kernel_shape'), ...ints('strides')];
	const dims = [4, 3, FACTOR, FACTOR].flatMap((dim) => number(1, dim));
	const tensor = [...dims, ...number(2, 1), ...text(8, 'w'), ...nested(9, [...new Uint8Array(weights.buffer)])];
	const graph = [...nested(1, node), ...text(2, 'g'), ...nested(5, tensor), ...nested(11, value(input)), ...nested(12, value(output))];
	return Uint8Array.from([...number(1, 8), ...nested(8, [...text(1, ''), ...number(2, 17)]), ...nested(7, graph)]);
}

const kernel = (scale: number): Float32Array => Float32Array.from({ length: 4 * 3 * FACTOR ** 2 }, (_, i) => scale * Math.sin(i * 0.37));
const DECODER = kernel(0.2);

beforeAll(async () => {
	dir = await mkdtemp(join(tmpdir(), 'coarse-'));
	await cp(fileURLToPath(new URL('../../../tests/reference/models/sd-1.5', import.meta.url)), dir, { recursive: true });
	const config = { _class_name: 'AutoencoderTiny', block_out_channels: [8, 8, 8, 8, 8], latent_channels: 4, scaling_factor: SCALING };
	for (const part of ['vae_encoder', 'vae_decoder']) await writeFile(join(dir, part, 'config.json'), JSON.stringify(config));
	await writeFile(join(dir, 'vae_decoder/model.onnx'), convolution('ConvTranspose', 'latent_sample', 'sample', DECODER));
	await writeFile(join(dir, 'vae_encoder/model.onnx'), convolution('Conv', 'sample', 'latent_sample', kernel(0.02)));
	pipeline = await DiffusionPipeline.load(dir, { intraOpNumThreads: 1 });
});
afterAll(async () => {
	await pipeline?.release();
	await rm(dir, { recursive: true });
});

/** The part of a picture that begins at left, top. */
function cut(image: RgbImage, left: number, top: number, width: number, height: number): Uint8Array {
	const rows = Array.from({ length: height }, (_, y) => image.rgb.subarray(((y + top) * image.width + left) * 3).subarray(0, width * 3));
	return Uint8Array.from(rows.flatMap((row) => [...row]));
}

test('the number of levels in the config makes the native size; sizes still go in steps of 8', async () => {
	const { sample_size: cells = Number.NaN } = await readJsonFile<{ sample_size?: number }>(join(dir, 'unet/config.json'));
	expect(pipeline.info).toMatchObject({ nativeWidth: cells * FACTOR, nativeHeight: cells * FACTOR, sizeMultiple: 8 });
});

test('a latent cell becomes 16 × 16 pixels, and previews have a pixel for each cell', async () => {
	const previews: number[] = [];
	const onStep = (info: StepInfo): void => {
		const preview = info.previewRgb?.();
		if (preview !== undefined) previews.push(preview.width, preview.height);
	};
	const [image] = (await pipeline.generate(base, { onStep })).images;
	expect(image).toMatchObject({ width: 128, height: 128, latentsShape: [1, 4, 8, 8] });
	const { latents, rgb } = image!;
	for (let i = 0; i < rgb.length; i += 101) {
		const [c, x, y] = [i % 3, Math.floor(i / 3) % 128, Math.floor(i / 3 / 128)];
		const cell = Math.floor(y / FACTOR) * 8 + Math.floor(x / FACTOR);
		const weight = (k: number): number => DECODER[((k * 3 + c) * FACTOR + (y % FACTOR)) * FACTOR + (x % FACTOR)] ?? Number.NaN;
		const value = [0, 1, 2, 3].reduce((sum, k) => sum + ((latents[k * 64 + cell] ?? Number.NaN) / SCALING) * weight(k), 0);
		expect(Math.abs((rgb[i] as number) - Math.min(1, Math.max(0, value / 2 + 0.5)) * 255)).toBeLessThan(0.51);
	}
	expect(new Set(previews)).toEqual(new Set([8]));
});

test.each([
	[72, 104],
	[136, 64],
])('a picture of %i × %i, which no whole number of cells makes, is the middle of the next larger one', async (width, height) => {
	const [small] = (await pipeline.generate({ ...base, width, height })).images;
	const halvings = 2 ** ((await readJsonFile<{ down_block_types: string[] }>(join(dir, 'unet/config.json'))).down_block_types.length - 1);
	const frame = frameFor(width, height, FACTOR * halvings);
	const [whole] = (await pipeline.generate({ ...base, width: frame.width, height: frame.height })).images;
	expect(small).toMatchObject({ width, height });
	expect([...small!.rgb]).toEqual([...cut(whole!, frame.left, frame.top, width, height)]);
});

test('a mask is shrunk to cells by their first pixel', async () => {
	// a cell is repainted when its first pixel is marked: those that begin at 48 and 64, though the mark reaches from 40 to 72
	const gray = Uint8Array.from({ length: 128 * 128 }, (_, i) => (marked(i % 128) && marked(Math.floor(i / 128)) ? 255 : 0));
	const request: GenerateRequest = {
		...base,
		task: 'inpaint',
		initImage: gradient(),
		maskImage: { gray, width: 128, height: 128 },
		strength: 1,
		pasteBack: false,
	};
	const [a, b] = [(await pipeline.generate(request)).images[0]!, (await pipeline.generate({ ...request, seed: 77 })).images[0]!];
	// seeds differ in what is drawn, and only there
	const drawn = Array.from({ length: 64 }, (_, cell) => cell).filter((cell) => a.latents[cell] !== b.latents[cell]);
	expect(drawn).toEqual([3 * 8 + 3, 3 * 8 + 4, 4 * 8 + 3, 4 * 8 + 4]);
});

const marked = (at: number): boolean => at >= 40 && at < 72;

function gradient(): RgbImage {
	return { rgb: Uint8Array.from({ length: 128 * 128 * 3 }, (_, i) => Math.floor(i / 3) % 256), width: 128, height: 128 };
}
