import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { deflateSync } from 'node:zlib';
import { insertTexts, readTexts, textChunk } from './chunks.ts';
import { encodePicture, encodePng, encodePreviewJpeg } from './encode.ts';
import { infotext, newRecord, parseInfotext, readRecord, type PictureRequest } from './record.ts';

const pixels = (width: number, height: number): { rgb: Uint8Array; width: number; height: number } => ({
	rgb: Uint8Array.from({ length: width * height * 3 }, (_, i) => (i * 7919) % 251),
	width,
	height,
});
const request = (extra: Partial<PictureRequest> = {}): PictureRequest => ({
	task: 'txt2img',
	prompt: 'a red castle, in the snow',
	negativePrompt: 'blurry',
	width: 40,
	height: 24,
	steps: 20,
	guidance: 7.5,
	scheduler: 'euler_a',
	seed: 2 ** 53 - 1,
	...extra,
});
const record = (extra: Partial<PictureRequest> = {}) =>
	newRecord({ request: request(extra), model: { name: 'storybook', sha256: 'ab'.repeat(32) }, engine: 'onnx', device: 'cpu' });

describe('encodePng', () => {
	it('keeps every pixel, and describes itself to sharp, to A1111 readers and to us', async () => {
		const source = pixels(40, 24);
		const png = await encodePng(source, record());
		const { data, info } = await sharp(png).raw().toBuffer({ resolveWithObject: true });
		expect(info).toMatchObject({ width: 40, height: 24, channels: 3 });
		expect(Buffer.compare(data, Buffer.from(source.rgb))).toBe(0);
		expect((await sharp(png).metadata()).comments?.map((comment) => comment.keyword)).toEqual(['parameters', 'limner']);
		expect(readRecord(png)).toEqual({ record: record(), infotext: parseInfotext(infotext(record())) });
	});

	it('makes the same bytes from the same pixels and request', async () => {
		const [a, b, c] = await Promise.all([
			encodePng(pixels(64, 64), record()),
			encodePng(pixels(64, 64), record()),
			encodePng(pixels(64, 64), record({ seed: 1 })),
		]);
		expect(Buffer.compare(a, b)).toBe(0);
		expect(Buffer.compare(a, c)).not.toBe(0);
	});

	it('carries prompts in any script', async () => {
		const prompt = 'ein Schloß\nüber dem Meer 海の城 🏰';
		const png = await encodePng(pixels(8, 8), record({ prompt, negativePrompt: null }));
		expect(readRecord(png)).toMatchObject({ record: { request: { prompt } }, infotext: { prompt, negativePrompt: null } });
	});
});

describe('infotext', () => {
	it('is written the way A1111 writes it', () => {
		expect(infotext(record())).toBe(
			'a red castle, in the snow\nNegative prompt: blurry\nSteps: 20, Sampler: Euler a, CFG scale: 7.5, Seed: 9007199254740991, Size: 40x24, Model hash: ababababab, Model: storybook, Version: limner 0.1.0',
		);
		expect(infotext(record({ task: 'img2img', strength: 0.5 }))).toContain(', Denoising strength: 0.5, Version');
	});
	it('reads texts of other programs, quoted values and texts without fields', () => {
		const parsed = parseInfotext('cat\ndog\nNegative prompt: a\nb\nSteps: 4, Sampler: Euler, Lora hashes: "x: 1, y: 2", Version: v1.9');
		expect(parsed).toEqual({
			prompt: 'cat\ndog',
			negativePrompt: 'a\nb',
			fields: { Steps: '4', Sampler: 'Euler', 'Lora hashes': 'x: 1, y: 2', Version: 'v1.9' },
		});
		expect(parseInfotext('just words')).toEqual({ prompt: 'just words', negativePrompt: null, fields: {} });
	});
});

const packed = (type: string, head: string, text: string): Buffer => {
	const data = Buffer.concat([Buffer.from(head, 'latin1'), deflateSync(text)]);
	const out = Buffer.alloc(12 + data.length);
	out.writeUInt32BE(data.length, 0);
	out.write(type, 4, 'latin1');
	out.set(data, 8);
	return out;
};

describe('readTexts', () => {
	it('reads compressed chunks and ignores damage', async () => {
		const png = await sharp(Buffer.from(pixels(4, 4).rgb), { raw: { width: 4, height: 4, channels: 3 } })
			.png()
			.toBuffer();
		const file = Buffer.concat([
			png.subarray(0, 33),
			packed('zTXt', 'z\0\0', 'zipped'),
			packed('iTXt', 'i\0\u0001\0\0\0', 'zipped ü'),
			textChunk('plain', 'p'),
			png.subarray(33),
		]);
		expect(Object.fromEntries(readTexts(file))).toEqual({ z: 'zipped', i: 'zipped ü', plain: 'p' });
		expect(readTexts(file.subarray(0, 40)).size).toBe(0);
		expect(readTexts(Buffer.from('no png')).size).toBe(0);
		expect(() => insertTexts(Buffer.from('no png'), [])).toThrow('needs a PNG');
	});
});

describe('encodePreviewJpeg', () => {
	it('blows a latent-sized picture up to 256 px', async () => {
		const jpeg = await encodePreviewJpeg(pixels(16, 8));
		expect(await sharp(jpeg).metadata()).toMatchObject({ format: 'jpeg', width: 256, height: 128 });
		expect(jpeg.length).toBeLessThan(64 * 1024);
	});
});

describe('encodePicture', () => {
	it.each(['jpeg', 'webp'] as const)('writes %s of the ordered quality that describes itself, the same bytes each time', async (format) => {
		const smooth = { ...pixels(64, 48), rgb: Uint8Array.from({ length: 64 * 48 * 3 }, (_, i) => (i / 40) & 0xff) };
		const [fine, again, coarse] = await Promise.all([95, 95, 20].map((quality) => encodePicture(smooth, record(), { format, quality })));
		const meta = await sharp(fine).metadata();
		expect(meta).toMatchObject({ format, width: 64, height: 48 });
		expect(meta.exif?.toString('latin1')).toContain('Steps: 20, Sampler: Euler a');
		expect(Buffer.compare(Buffer.from(fine!), Buffer.from(again!))).toBe(0);
		expect(coarse!.length).toBeLessThan(fine!.length);
	});

	it('writes PNG when nothing else is ordered', async () => {
		expect(await encodePicture(pixels(40, 24), record())).toEqual(await encodePng(pixels(40, 24), record()));
	});
});
