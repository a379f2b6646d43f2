import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { InferenceError } from '../errors.ts';
import { TorchGenerator } from '../noise.ts';
import { DiffusionPipeline, type GenerateRequest } from '../pipeline.ts';
import { readJsonFile } from '../files.ts';
import { vaeFactor, type ComponentConfig } from '../../models/layout.ts';
import { ModelSession } from '../session.ts';
import { decoderFallback, Vae } from './vae.ts';

const model = (name: string): string => fileURLToPath(new URL(`../../../../tests/reference/models/${name}`, import.meta.url));
const storybook = fileURLToPath(new URL('../../../../models/storybook', import.meta.url));
const clock = { ms: 0 };
let dir: string;

beforeEach(async () => {
	dir = await mkdtemp(join(tmpdir(), 'vae-'));
	await cp(model('sd-1.5'), dir, { recursive: true });
});
afterEach(async () => {
	await rm(dir, { recursive: true });
});

/** An autoencoder of a model folder that tiles above `tileAbovePx`, with so many cells a side. */
async function open(folder: string, tileAbovePx: number, cells = 32): Promise<Vae> {
	const part = (name: string): Promise<ModelSession> =>
		ModelSession.open(join(folder, name, 'model.onnx'), { intraOpNumThreads: 1 }, clock);
	const config = await readJsonFile<ComponentConfig>(join(folder, 'vae_decoder/config.json'));
	return new Vae({ ...config, sample_size: cells * vaeFactor(config) }, 'sd', await part('vae_decoder'), () => part('vae_encoder'), {
		tileAbovePx,
	});
}

/** Root mean square of a − b. */
function distance(a: Float32Array, b: Float32Array): number {
	return Math.sqrt(a.reduce((sum, v, i) => sum + (v - (b[i] ?? Number.NaN)) ** 2, 0) / a.length);
}

/** Mean jump between neighbouring columns, at the tiles' borders and everywhere. */
function jumps(pixels: Float32Array, width: number, columns: readonly number[]): { border: number; all: number } {
	const of = (x: number): number => {
		let sum = 0;
		for (let row = 0; row * width < pixels.length; row++) {
			sum += Math.abs((pixels[row * width + x] as number) - (pixels[row * width + x - 1] as number));
		}
		return sum / (pixels.length / width);
	};
	const every = Array.from({ length: width - 1 }, (_, i) => of(i + 1));
	return { border: Math.max(...columns.map(of)), all: every.reduce((a, b) => a + b, 0) / every.length };
}

/** Latents of a scene that changes slowly, as pictures do; the same scene for any number of cells. */
function smoothLatents(channels: number, side: number): Float32Array {
	const colours = new TorchGenerator(4).randn(channels * 16);
	return Float32Array.from({ length: channels * side * side }, (_, i) => {
		const [c, y, x] = [Math.floor(i / side / side), Math.floor(i / side) % side, i % side];
		return colours.slice(c * 16, c * 16 + 4).reduce((sum, v, k) => sum + v * Math.sin(((x * (k + 1) + y * (2 - k)) * 7) / side), 0) / 2;
	});
}

test('tiles of the storybook decoder join without seams: tiled and whole agree, borders jump no more than the rest', async () => {
	const [whole, tiled] = [await open(storybook, 1e9, 24), await open(storybook, 1, 24)];
	const [side, widthPx] = [42, 42 * whole.factor];
	const latents = smoothLatents(4, side);
	const [expected, actual] = [await whole.decode(latents, side, side), await tiled.decode(latents, side, side)];
	const spread = distance(expected, new Float32Array(expected.length));
	expect(distance(actual, expected) / spread).toBeLessThan(0.03);
	// tiles of 24 cells start at 0 and 18, and end at 24 and 42
	const borders = [18, 24].map((cell) => cell * whole.factor);
	const { border, all } = jumps(actual, widthPx, borders);
	expect(border).toBeLessThan(3 * Math.max(all, jumps(expected, widthPx, borders).border));
	const pixels = expected.map((v) => Math.min(1, Math.max(-1, v)));
	const noise = new TorchGenerator(1);
	const codes = await whole.encode(pixels, widthPx, widthPx, noise);
	const joined = await tiled.encode(pixels, widthPx, widthPx, noise);
	expect(distance(joined, codes) / distance(codes, new Float32Array(codes.length))).toBeLessThan(0.05);
});

test('an autoencoder that samples draws as much noise in tiles as in one piece', async () => {
	const [whole, tiled] = [await open(model('sd-1.5'), 1e9), await open(model('sd-1.5'), 64)];
	const pixels = new Float32Array(3 * 320 * 320).map((_, i) => Math.sin(i / 900));
	const [a, b] = [new TorchGenerator(9), new TorchGenerator(9)];
	const [codes, joined] = [await whole.encode(pixels, 320, 320, a), await tiled.encode(pixels, 320, 320, b)];
	expect(joined).toHaveLength(codes.length);
	expect(a.uint32()).toBe(b.uint32());
});

test('where an overflowing decoder can be repeated', () => {
	expect(decoderFallback(['cpu'], false)).toBeNull();
	expect(decoderFallback(['cpu'], true)).toBe('full-export');
	expect(decoderFallback(['cuda', 'cpu'], false)).toBe('same-file-on-cpu');
	expect(decoderFallback(['cuda'], true)).toBe('full-export');
});

/** Overwrites the bias of the decoder's last layer with NaN, which is what an overflow leaves. */
async function breakDecoder(): Promise<void> {
	const path = join(dir, 'vae_decoder/model.onnx');
	const bytes = await readFile(path);
	const name = 'decoder.conv_out.bias';
	// TensorProto: the name is followed by raw_data, field 9, 3 floats
	const at = bytes.indexOf(Buffer.concat([Buffer.from(name), Buffer.of(0x4a, 12)])) + name.length + 2;
	expect(at).toBeGreaterThan(name.length + 2);
	for (let i = 0; i < 3; i++) bytes.writeFloatLE(Number.NaN, at + i * 4);
	await writeFile(path, bytes);
}

const request: GenerateRequest = {
	task: 'txt2img',
	prompt: 'a red castle',
	negativePrompt: null,
	width: 64,
	height: 64,
	steps: 2,
	guidance: 3,
	seed: 1,
	n: 1,
};

test('a decoder that overflows is repeated in float32, told in a warning, and gives the right picture', async () => {
	const sound = await DiffusionPipeline.load(dir, { intraOpNumThreads: 1 });
	const [expected] = (await sound.generate(request)).images;
	await cp(join(dir, 'vae_decoder/model.onnx'), join(dir, 'vae_decoder/model_fp32.onnx'));
	await breakDecoder();
	const broken = await DiffusionPipeline.load(dir, { intraOpNumThreads: 1 });
	const { images, warnings } = await broken.generate(request);
	expect(images[0]?.rgb).toEqual(expected?.rgb);
	expect(warnings.join(' ')).toMatch(/decoded in float32/);
	await sound.release();
	await broken.release();
});

test('without a float32 decoder an overflow is an inference error with a remedy, and the pipeline lives on', async () => {
	await breakDecoder();
	const pipeline = await DiffusionPipeline.load(dir, { intraOpNumThreads: 1 });
	await expect(pipeline.generate(request)).rejects.toThrow(InferenceError);
	await expect(pipeline.generate(request)).rejects.toThrow(/vae_decoder\/model_fp32\.onnx, or use another device/);
	await pipeline.release();
});

test('latents that are not finite are the denoiser’s fault', async () => {
	const vae = await open(dir, 1e9);
	const latents = new Float32Array(4 * 64);
	latents[7] = Number.NaN;
	await expect(vae.decode(latents, 8, 8)).rejects.toThrow(/The denoiser returned/);
});
