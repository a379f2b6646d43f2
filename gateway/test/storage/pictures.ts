/**
 * Hand-made picture files for tests: valid ones, and ones that are wrong in exactly one way.
 * @module
 */
import { crc32, deflateSync } from 'node:zlib';

const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

export const concat = (...parts: (Uint8Array | readonly number[])[]): Uint8Array => {
	const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
	let at = 0;
	for (const part of parts) {
		out.set(part, at);
		at += part.length;
	}
	return out;
};

export const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);

const uint32 = (value: number): number[] => [(value >>> 24) & 255, (value >>> 16) & 255, (value >>> 8) & 255, value & 255];
const uint32le = (value: number): number[] => uint32(value).toReversed();

export const chunk = (type: string, data: Uint8Array = new Uint8Array(0)): Uint8Array => {
	const named = concat(bytesOf(type), data);
	return concat(uint32(data.length), named, uint32(crc32(named)));
};

export interface PngOptions {
	width: number;
	height: number;
	depth?: number;
	colourType?: number;
	interlace?: number;
	/** Inflated image data; made up to fit when absent (not for interlaced pictures). */
	raw?: Uint8Array;
	/** Compressed image data, instead of `raw`. */
	idat?: Uint8Array;
	/** Cuts the image data into chunks of this many bytes. */
	idatBytes?: number;
	/** Chunks between IHDR and IDAT. */
	before?: Uint8Array[];
	/** Chunks between IDAT and IEND. */
	after?: Uint8Array[];
}

const SAMPLES: Record<number, number> = { 0: 1, 2: 3, 3: 1, 4: 2, 6: 4 };

/** Rows with filter type 0 and a gradient in them. */
export const rawRows = (width: number, height: number, bitsPerPixel = 24): Uint8Array => {
	const row = 1 + Math.ceil((width * bitsPerPixel) / 8);
	const raw = new Uint8Array(row * height);
	for (let y = 0; y < height; y++) for (let x = 1; x < row; x++) raw[y * row + x] = (x * 7 + y * 13) & 255;
	return raw;
};

export const ihdr = ({ width, height, depth = 8, colourType = 2, interlace = 0 }: PngOptions): Uint8Array =>
	chunk('IHDR', concat(uint32(width), uint32(height), [depth, colourType, 0, 0, interlace]));

export const makePng = (options: PngOptions): Uint8Array => {
	const { width, height, depth = 8, colourType = 2 } = options;
	const raw = options.raw ?? rawRows(width, height, depth * (SAMPLES[colourType] ?? 3));
	const idat = options.idat ?? deflateSync(raw);
	const step = options.idatBytes ?? Math.max(idat.length, 1);
	const idats: Uint8Array[] = [];
	for (let at = 0; at < idat.length; at += step) idats.push(chunk('IDAT', idat.subarray(at, at + step)));
	return concat(SIGNATURE, ihdr(options), ...(options.before ?? []), ...idats, ...(options.after ?? []), chunk('IEND'));
};

/** A PNG that inflates to far more than its size says. */
export const pngBomb = (width: number, height: number, inflatedBytes: number): Uint8Array =>
	makePng({ width, height, idat: deflateSync(new Uint8Array(inflatedBytes), { level: 9 }) });

/** RIFF chunk with padding. */
export const riffChunk = (type: string, data: Uint8Array): Uint8Array =>
	concat(bytesOf(type), uint32le(data.length), data, data.length % 2 === 1 ? [0] : []);

export const riff = (...chunks: Uint8Array[]): Uint8Array => {
	const body = concat(bytesOf('WEBP'), ...chunks);
	return concat(bytesOf('RIFF'), uint32le(body.length), body);
};

/** A VP8L chunk whose header tells a size; its pixels are noise. */
export const vp8lChunk = (width: number, height: number, dataBytes = 21): Uint8Array => {
	const bits = ((width - 1) | ((height - 1) << 14)) >>> 0;
	return riffChunk('VP8L', concat([0x2f], uint32le(bits), new Uint8Array(dataBytes).fill(0x5a)));
};

const jpegSegment = (marker: number, data: readonly number[]): Uint8Array =>
	concat([0xff, marker, ((data.length + 2) >> 8) & 255, (data.length + 2) & 255], data);

export interface JpegOptions {
	width: number;
	height: number;
	sof?: number;
	scan?: readonly number[];
	tail?: readonly number[];
}

/** The skeleton of a JPEG: all segments, with an arbitrary scan. */
export const makeJpeg = ({
	width,
	height,
	sof = 0xc0,
	scan = [0x12, 0xff, 0x00, 0x34, 0xff, 0xd0, 0x56],
	tail = [],
}: JpegOptions): Uint8Array =>
	concat(
		[0xff, 0xd8],
		jpegSegment(0xe0, [...bytesOf('JFIF\0'), 1, 1, 0, 0, 1, 0, 1, 0, 0]),
		jpegSegment(0xdb, [0, ...Array.from({ length: 64 }, () => 1)]),
		jpegSegment(sof, [8, height >> 8, height & 255, width >> 8, width & 255, 3, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0]),
		jpegSegment(0xc4, [0, ...Array.from({ length: 16 }, () => 0)]),
		jpegSegment(0xda, [3, 1, 0, 2, 0, 3, 0, 0, 63, 0]),
		scan,
		[0xff, 0xd9],
		tail,
	);
