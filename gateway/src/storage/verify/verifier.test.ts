import { createHash } from 'node:crypto';
import { createRequire } from 'node:module';
import { deflateSync } from 'node:zlib';
import * as fc from 'fast-check';
import type Sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { bytesOf, chunk, concat, makeJpeg, makePng, pngBomb, rawRows, riff, riffChunk, vp8lChunk } from '../../../test/storage/pictures.ts';
import { createRowScan } from './rows.ts';
import { createVerifier, kindsOf, type BodyRules, type Verdict } from './index.ts';
import { pngRows } from './png.ts';

const require = createRequire(new URL('../../../../node-agent/package.json', import.meta.url).href);
const sharp = require('sharp') as typeof Sharp;

const ANY: BodyRules = { kinds: ['png', 'jpeg', 'webp'], maxPx: 4096, profile: 'input', maxBytes: 20 * 1024 * 1024 };
const promised = (width: number, height: number): BodyRules => ({ ...ANY, profile: 'result', size: { width, height } });

const verify = async (body: Uint8Array, rules: BodyRules = ANY, cuts: readonly number[] = []): Promise<Verdict> => {
	const verifier = createVerifier(rules);
	const places = [0, ...cuts.toSorted((a, b) => a - b), body.length];
	for (let i = 1; i < places.length; i++) await verifier.push(body.subarray(places[i - 1], places[i]));
	return verifier.end();
};
const flawOf = async (body: Uint8Array, rules: BodyRules = ANY): Promise<string> => {
	const verdict = await verify(body, rules);
	return verdict.ok ? 'accepted' : verdict.flaw.code;
};
const detailOf = async (body: Uint8Array, rules: BodyRules = ANY): Promise<string> => {
	const verdict = await verify(body, rules);
	return verdict.ok ? 'accepted' : verdict.flaw.detail;
};

const png = makePng({ width: 8, height: 6 });

describe('accepts', () => {
	it('a PNG of the promised size, and tells its length and SHA-256', async () => {
		expect(await verify(png, promised(8, 6))).toEqual({
			ok: true,
			picture: {
				kind: 'png',
				width: 8,
				height: 6,
				contentType: 'image/png',
				bytes: png.length,
				sha256: createHash('sha256').update(png).digest('hex'),
			},
		});
	});
	it.each([0, 2, 4, 6])('a result of colour type %i', async (colourType) => {
		expect(await flawOf(makePng({ width: 5, height: 7, colourType }), promised(5, 7))).toBe('accepted');
	});
	it('image data cut into one-byte chunks, and text chunks', async () => {
		const body = makePng({ width: 8, height: 6, idatBytes: 1, before: [chunk('tEXt', bytesOf('a\0b'))], after: [chunk('tEXt')] });
		expect(await flawOf(body, promised(8, 6))).toBe('accepted');
	});
	it.each(['png', 'jpeg', 'webp'] as const)('what sharp writes as %s', async (format) => {
		const noise = {
			create: { width: 70, height: 50, channels: 3, background: '#345', noise: { type: 'gaussian', mean: 90, sigma: 40 } },
		} as const;
		expect(await flawOf(await sharp(noise).toFormat(format).toBuffer(), promised(70, 50))).toBe('accepted');
	});
	it('sharp: progressive JPEG with restart markers, lossless WebP, WebP with alpha', async () => {
		const alpha = { create: { width: 65, height: 33, channels: 4, background: { r: 9, g: 80, b: 120, alpha: 0.4 } } } as const;
		expect(await flawOf(await sharp(alpha).jpeg({ progressive: true, mozjpeg: true }).toBuffer(), promised(65, 33))).toBe('accepted');
		expect(await flawOf(await sharp(alpha).webp({ lossless: true }).toBuffer(), promised(65, 33))).toBe('accepted');
		expect(await flawOf(await sharp(alpha).webp().toBuffer(), promised(65, 33))).toBe('accepted');
		expect(
			await flawOf(
				await sharp(alpha)
					.webp()
					.withMetadata({ exif: { IFD0: { Copyright: 'x' } } })
					.toBuffer(),
				promised(65, 33),
			),
		).toBe('accepted');
	});
	it('as input: palette, 16 bits, and interlaced pictures of sharp', async () => {
		const noise = {
			create: { width: 37, height: 21, channels: 3, background: '#345', noise: { type: 'gaussian', mean: 90, sigma: 40 } },
		} as const;
		const palette = await sharp(noise).png({ palette: true, colours: 4 }).toBuffer();
		const interlaced = await sharp(noise).png({ progressive: true }).toBuffer();
		const deep = await sharp(noise).toColourspace('rgb16').png().toBuffer();
		expect([palette[25], interlaced[28], deep[24]]).toEqual([3, 1, 16]);
		for (const body of [palette, interlaced, deep]) {
			expect(await flawOf(body)).toBe('accepted');
			expect(await flawOf(body, promised(37, 21))).toBe('structure');
		}
	});
	it('as input only: data that cameras put after the end of a JPEG', async () => {
		const body = makeJpeg({ width: 9, height: 9, tail: [1, 2, 3] });
		const verdict = await verify(body);
		expect(verdict.ok && verdict.picture.sha256).toBe(createHash('sha256').update(body).digest('hex'));
		expect(await flawOf(body, promised(9, 9))).toBe('trailing');
	});
});

describe('refuses as PNG', () => {
	const rules = promised(8, 6);
	it.each([
		['another size', makePng({ width: 8, height: 7 }), 'size'],
		['a width of zero', makePng({ width: 0, height: 6, raw: new Uint8Array(6) }), 'size'],
		['16 bits', makePng({ width: 8, height: 6, depth: 16 }), 'structure'],
		['a palette', makePng({ width: 8, height: 6, colourType: 3, before: [chunk('PLTE', new Uint8Array(3))] }), 'structure'],
		['interlacing', makePng({ width: 8, height: 6, interlace: 1 }), 'structure'],
		['a colour type that does not exist', makePng({ width: 8, height: 6, colourType: 5 }), 'structure'],
		['a cut-off end', png.subarray(0, -1), 'truncated'],
		['a missing IEND', png.subarray(0, -12), 'truncated'],
		['trailing data', concat(png, [0]), 'trailing'],
		['a second picture behind it', concat(png, png), 'trailing'],
		['a row too many', makePng({ width: 8, height: 6, raw: rawRows(8, 7) }), 'structure'],
		['a byte too many', makePng({ width: 8, height: 6, raw: concat(rawRows(8, 6), [0]) }), 'structure'],
		['a byte too few', makePng({ width: 8, height: 6, raw: rawRows(8, 6).subarray(1) }), 'structure'],
		['a filter type that does not exist', makePng({ width: 8, height: 6, raw: rawRows(8, 6).fill(5, 25, 26) }), 'structure'],
		['a zlib stream without its end', makePng({ width: 8, height: 6, idat: deflateSync(rawRows(8, 6)).subarray(0, -5) }), 'structure'],
		['data behind the zlib stream', makePng({ width: 8, height: 6, idat: concat(deflateSync(rawRows(8, 6)), [7]) }), 'structure'],
		['a wrong Adler-32', makePng({ width: 8, height: 6, idat: concat(deflateSync(rawRows(8, 6)).subarray(0, -1), [1]) }), 'structure'],
		['no image data', concat(png.subarray(0, 33), chunk('IEND')), 'structure'],
		['image data in two stretches', makePng({ width: 8, height: 6, after: [chunk('tEXt'), chunk('IDAT')] }), 'structure'],
		['a second header', makePng({ width: 8, height: 6, before: [png.subarray(8, 33)] }), 'structure'],
		['an unknown critical chunk', makePng({ width: 8, height: 6, before: [chunk('ABCD')] }), 'structure'],
		['animation', makePng({ width: 8, height: 6, before: [chunk('acTL', new Uint8Array(8))] }), 'structure'],
		['gamma behind the image data', makePng({ width: 8, height: 6, after: [chunk('gAMA', new Uint8Array(4))] }), 'structure'],
		[
			'a palette chunk twice',
			makePng({ width: 8, height: 6, before: [chunk('PLTE', new Uint8Array(3)), chunk('PLTE', new Uint8Array(3))] }),
			'structure',
		],
		['a JPEG signature on a PNG', concat([0xff], png.subarray(1)), 'not_image'],
	])('%s', async (_name, body, code) => {
		expect(await flawOf(body, rules)).toBe(code);
	});
	it('any flip of any byte', async () => {
		const survivors: string[] = [];
		for (let at = 0; at < png.length; at++)
			for (const mask of [1, 0x20, 0x80, 0xff]) {
				const mutant = png.slice();
				mutant[at]! ^= mask;
				if ((await flawOf(mutant)) === 'accepted') survivors.push(`${at} ^ ${mask}`);
			}
		expect(survivors).toEqual([]);
	});
	it('a cut at any byte', async () => {
		for (let at = 0; at < png.length; at++) expect(await flawOf(png.subarray(0, at))).toBe('truncated');
	});
	it('a bomb, at the first byte too many', async () => {
		const bomb = pngBomb(8, 6, 512 * 1024 * 1024);
		const verifier = createVerifier(rules);
		let pushed = 0;
		let flaw;
		for (; !flaw && pushed < bomb.length; pushed += 8192) flaw = await verifier.push(bomb.subarray(pushed, pushed + 8192));
		expect(flaw?.detail).toMatch(/more rows/);
		// A few slices may be under way before the count is looked at, never the whole file.
		expect(pushed).toBeLessThan(bomb.length / 4);
		expect(await verifier.push(bomb.subarray(pushed))).toEqual(flaw);
		expect(await verifier.end()).toEqual({ ok: false, flaw });
	});
});

describe('refuses', () => {
	it.each([
		['nothing', new Uint8Array(0), 'truncated'],
		['text', bytesOf('<svg onload="alert(1)">'), 'not_image'],
		['a GIF', bytesOf('GIF89a'), 'not_image'],
		['a WAV', concat(bytesOf('RIFF'), [4, 0, 0, 0], bytesOf('WAVE')), 'not_image'],
	])('%s', async (_name, body, code) => {
		expect(await flawOf(body)).toBe(code);
	});
	it('another kind than expected', async () => {
		expect(await detailOf(makeJpeg({ width: 8, height: 6 }), { ...ANY, kinds: ['png'] })).toBe(
			'The body is image/jpeg; expected image/png.',
		);
	});
	it('a length or hash other than announced, and more than the limit', async () => {
		const sha256 = createHash('sha256').update(png).digest('hex');
		expect(await flawOf(png, { ...ANY, bytes: png.length, sha256, maxBytes: png.length })).toBe('accepted');
		expect(await flawOf(png, { ...ANY, bytes: png.length + 1 })).toBe('length');
		expect(await flawOf(png, { ...ANY, bytes: png.length - 1 })).toBe('length');
		expect(await flawOf(png, { ...ANY, sha256: sha256.replace(/^./, (c) => (c === '0' ? '1' : '0')) })).toBe('sha256');
		expect(await flawOf(png, { ...ANY, maxBytes: png.length - 1 })).toBe('too_large');
	});
	it('a side one past the limit', async () => {
		expect(await flawOf(makePng({ width: 4096, height: 1, colourType: 0 }))).toBe('accepted');
		expect(await flawOf(makePng({ width: 4097, height: 1, colourType: 0 }))).toBe('size');
	});
	it.each([
		['another size', makeJpeg({ width: 8, height: 7 }), 'size'],
		['arithmetic coding', makeJpeg({ width: 8, height: 6, sof: 0xc9 }), 'structure'],
		['lossless', makeJpeg({ width: 8, height: 6, sof: 0xc3 }), 'structure'],
		['an empty scan', makeJpeg({ width: 8, height: 6, scan: [] }), 'structure'],
		['trailing data', makeJpeg({ width: 8, height: 6, tail: [0] }), 'trailing'],
		['no end marker', makeJpeg({ width: 8, height: 6 }).subarray(0, -2), 'truncated'],
		['half an end marker', makeJpeg({ width: 8, height: 6 }).subarray(0, -1), 'truncated'],
		['no picture', concat([0xff, 0xd8, 0xff, 0xd9]), 'structure'],
		['stray bytes', concat([0xff, 0xd8, 0x00]), 'structure'],
	])('as JPEG: %s', async (_name, body, code) => {
		expect(await flawOf(body, promised(8, 6))).toBe(code);
	});
	it.each([
		['another size', riff(vp8lChunk(8, 7)), 'size'],
		['trailing data', concat(riff(vp8lChunk(8, 6)), [0, 0]), 'trailing'],
		['a cut-off end', riff(vp8lChunk(8, 6)).subarray(0, -1), 'truncated'],
		['a chunk longer than the file', riff(vp8lChunk(8, 6).with(4, 200)), 'structure'],
		['two pictures', riff(vp8lChunk(8, 6), vp8lChunk(8, 6)), 'structure'],
		['no picture', riff(riffChunk('VP8X', concat([0, 0, 0, 0], [7, 0, 0], [5, 0, 0]))), 'structure'],
		[
			'a canvas that the picture does not fill',
			riff(riffChunk('VP8X', concat([0, 0, 0, 0], [7, 0, 0], [5, 0, 0])), vp8lChunk(7, 6)),
			'size',
		],
		['animation', riff(riffChunk('VP8X', concat([2, 0, 0, 0], [7, 0, 0], [5, 0, 0])), vp8lChunk(8, 6)), 'structure'],
		['metadata first', riff(riffChunk('EXIF', new Uint8Array(3)), vp8lChunk(8, 6)), 'structure'],
	])('as WebP: %s', async (_name, body, code) => {
		expect(await flawOf(riff(vp8lChunk(8, 6)), promised(8, 6))).toBe('accepted');
		expect(await flawOf(body, promised(8, 6))).toBe(code);
	});
});

describe('chunk boundaries', () => {
	const bodies: [string, Uint8Array][] = [
		['png', makePng({ width: 8, height: 6, idatBytes: 20 })],
		['jpeg', makeJpeg({ width: 8, height: 6, scan: [0x12, 0xff, 0x00, 0xff, 0xd3, 0x01, 0xff, 0xff] })],
		['webp', riff(riffChunk('VP8X', concat([0, 0, 0, 0], [7, 0, 0], [5, 0, 0])), vp8lChunk(8, 6), riffChunk('EXIF', new Uint8Array(3)))],
		['trailing', concat(png, [1, 2, 3])],
		['truncated', png.subarray(0, 70)],
		['bad checksum', png.with(60, 0)],
	];
	it.each(bodies)('%s: a cut at every byte, and every byte alone, give the same verdict', async (_name, body) => {
		const whole = await verify(body);
		for (let at = 1; at < body.length; at++) expect(await verify(body, ANY, [at])).toEqual(whole);
		expect(
			await verify(
				body,
				ANY,
				Array.from({ length: body.length - 1 }, (_, i) => i + 1),
			),
		).toEqual(whole);
	});
	it.each(bodies)('%s: any cuts give the same verdict', async (_name, body) => {
		const whole = await verify(body);
		await fc.assert(
			fc.asyncProperty(fc.array(fc.integer({ min: 0, max: body.length })), async (cuts) => {
				expect(await verify(body, ANY, cuts)).toEqual(whole);
			}),
			{ numRuns: 60 },
		);
	});
	it('a picture of many slices, cut anywhere', async () => {
		const raw = rawRows(300, 200);
		for (let i = 0; i < raw.length; i++) if (i % 901 !== 0) raw[i] = createHash('md5').update(String(i)).digest()[0]!;
		const body = makePng({ width: 300, height: 200, raw, idatBytes: 5000 });
		expect(body.length).toBeGreaterThan(100_000);
		for (const step of [1000, 8192, 65_536]) {
			const cuts = Array.from({ length: Math.floor(body.length / step) }, (_, i) => (i + 1) * step);
			expect(await verify(body, promised(300, 200), cuts)).toMatchObject({ ok: true });
		}
	});
});

describe('row arithmetic', () => {
	it('counts Adam7 passes as the PNG specification does', () => {
		const base = { depth: 8, colourType: 2, interlaced: true };
		expect(pngRows({ ...base, width: 1, height: 1 })).toEqual([{ rows: 1, bytes: 4 }]);
		expect(pngRows({ ...base, width: 8, height: 8 }).map(({ rows, bytes }) => [rows, bytes])).toEqual([
			[1, 4],
			[1, 4],
			[1, 7],
			[2, 7],
			[2, 13],
			[4, 13],
			[4, 25],
		]);
	});
	it('finds filter bytes at any split', () => {
		fc.assert(
			fc.property(fc.integer({ min: 0, max: 11 }), fc.integer({ min: 1, max: 5 }), (bad, step) => {
				const bytes = new Uint8Array(12);
				bytes[bad] = 9;
				const scan = createRowScan([
					{ rows: 2, bytes: 4 },
					{ rows: 2, bytes: 2 },
				]);
				let flaw: unknown;
				for (let at = 0; at < 12 && flaw === undefined; at += step) flaw = scan.take(bytes.subarray(at, at + step));
				expect(flaw !== undefined).toBe([0, 4, 8, 10].includes(bad));
			}),
		);
	});
	it('reads content types', () => {
		expect(kindsOf('image/png; q=1')).toEqual(['png']);
		expect(kindsOf('IMAGE/JPG')).toEqual(['jpeg']);
		expect(kindsOf('image/*')).toEqual(['png', 'jpeg', 'webp']);
		expect(kindsOf('image/svg+xml')).toEqual([]);
	});
});
