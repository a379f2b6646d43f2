/**
 * PNG (W3C PNG 3rd edition) without decoding pixels: signature, chunk order, chunk checksums, and compressed data that
 * holds exactly the rows that the header promises.
 * @module
 */
import { crc32 } from 'node:zlib';
import {
	ascii,
	atEnd,
	checkSize,
	exactly,
	piece,
	refuse,
	startsWith,
	type PictureRules,
	type RowBlock,
	type Shape,
	type Walk,
} from './walk.ts';

export const PNG_SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a] as const;

/** Samples a pixel and allowed bit depths, by colour type. */
const COLOUR_TYPES: Readonly<Record<number, { samples: number; depths: readonly number[] }>> = {
	0: { samples: 1, depths: [1, 2, 4, 8, 16] },
	2: { samples: 3, depths: [8, 16] },
	3: { samples: 1, depths: [1, 2, 4, 8] },
	4: { samples: 2, depths: [8, 16] },
	6: { samples: 4, depths: [8, 16] },
};
const PALETTE = 3;
/** Start and step of each pass in x and y. */
const ADAM7 = [
	[0, 0, 8, 8],
	[4, 0, 8, 8],
	[0, 4, 4, 8],
	[2, 0, 4, 4],
	[0, 2, 2, 4],
	[1, 0, 2, 2],
	[0, 1, 1, 2],
] as const;
const BEFORE_IDAT = new Set(['tRNS', 'gAMA', 'cHRM', 'sRGB', 'iCCP', 'sBIT', 'bKGD', 'hIST', 'pHYs', 'sPLT', 'cICP', 'mDCV', 'cLLI']);
/** Pictures in these chunks would go unchecked. */
const ANIMATION = new Set(['acTL', 'fcTL', 'fdAT']);

export interface PngHeader {
	width: number;
	height: number;
	depth: number;
	colourType: number;
	interlaced: boolean;
}

/**
 * Rows that the compressed data of a PNG holds, filter bytes included: one block, or one for each non-empty Adam7 pass.
 */
export const pngRows = ({ width, height, depth, colourType, interlaced }: PngHeader): RowBlock[] => {
	const bits = depth * (COLOUR_TYPES[colourType]?.samples ?? 0);
	const rowBytes = (pixels: number) => 1 + Math.ceil((pixels * bits) / 8);
	if (!interlaced) return [{ rows: height, bytes: rowBytes(width) }];
	return ADAM7.flatMap(([x, y, dx, dy]) => {
		const columns = Math.ceil((width - x) / dx);
		const rows = Math.ceil((height - y) / dy);
		return columns > 0 && rows > 0 ? [{ rows, bytes: rowBytes(columns) }] : [];
	});
};

const headerFlaw = (header: PngHeader, bytes: Uint8Array, rules: PictureRules): string | undefined => {
	const { depth, colourType, interlaced } = header;
	if (!COLOUR_TYPES[colourType]?.depths.includes(depth)) return `Colour type ${colourType} with ${depth} bits does not exist in PNG.`;
	if (bytes[10] !== 0 || bytes[11] !== 0) return 'The compression or filter method in the header does not exist.';
	if ((bytes[12] ?? 0) > 1) return 'The interlace method in the header does not exist.';
	if (rules.profile === 'input') return undefined;
	if (depth !== 8) return `The picture has ${depth} bits a sample; results have 8.`;
	if (colourType === PALETTE) return 'The picture has a palette; results do not.';
	if (interlaced) return 'The picture is interlaced; results are not.';
	return undefined;
};

interface ChunkHead {
	type: string;
	length: number;
	crc: number;
}

function* chunkHead(): Walk<ChunkHead> {
	const head = yield* exactly(8, 'a chunk header');
	const length = new DataView(head.buffer, head.byteOffset).getUint32(0);
	const type = ascii(head.subarray(4, 8));
	if (length > 0x7fffffff || !/^[A-Za-z]{2}[A-Z][A-Za-z]$/.test(type)) return yield* refuse('structure', 'A PNG chunk header is damaged.');
	return { type, length, crc: crc32(head.subarray(4, 8)) };
}

function* chunkEnd(type: string, crc: number): Walk<void> {
	const stored = yield* exactly(4, `the checksum of chunk ${type}`);
	if (new DataView(stored.buffer, stored.byteOffset).getUint32(0) !== crc)
		yield* refuse('structure', `The checksum of PNG chunk ${type} is wrong.`);
}

function* readHeader(rules: PictureRules): Walk<PngHeader> {
	const head = yield* chunkHead();
	if (head.type !== 'IHDR' || head.length !== 13) return yield* refuse('structure', 'The PNG does not begin with its IHDR chunk.');
	const bytes = yield* exactly(13, 'the PNG header');
	const view = new DataView(bytes.buffer, bytes.byteOffset);
	const parsed: PngHeader = {
		width: view.getUint32(0),
		height: view.getUint32(4),
		depth: view.getUint8(8),
		colourType: view.getUint8(9),
		interlaced: view.getUint8(12) === 1,
	};
	const flaw = headerFlaw(parsed, bytes, rules);
	const { width, height } = parsed;
	yield* chunkEnd('IHDR', crc32(bytes, head.crc));
	yield* checkSize(rules, width, height);
	if (flaw !== undefined) return yield* refuse('structure', flaw);
	return parsed;
}

/** Where in the file the walker is: which chunks may follow. */
interface Place {
	data: 'before' | 'inside' | 'after';
	palette: boolean;
}

const paletteFlaw = (length: number, place: Place, colourType: number): string | undefined => {
	if (place.palette || place.data !== 'before') return 'The palette stands in the wrong place.';
	if (colourType === 0 || colourType === 4) return 'A grey picture must not have a palette.';
	return length % 3 !== 0 || length === 0 || length > 768 ? 'The palette has a wrong length.' : undefined;
};

const criticalFlaw = ({ type, length }: ChunkHead, place: Place, colourType: number): string | undefined => {
	switch (type) {
		case 'PLTE':
			return paletteFlaw(length, place, colourType);
		case 'IDAT':
			if (place.data === 'after') return 'The image data is not in one stretch.';
			return colourType === PALETTE && !place.palette ? 'The palette is missing.' : undefined;
		case 'IEND':
			if (place.data === 'before') return 'There is no image data.';
			return length === 0 ? undefined : 'The IEND chunk is not empty.';
		default:
			return `The PNG has a chunk ${type} that must be understood and is not.`;
	}
};

const orderFlaw = (head: ChunkHead, place: Place, colourType: number): string | undefined => {
	const { type } = head;
	if (ANIMATION.has(type)) return 'Animated PNGs are not supported.';
	if (/^[A-Z]/.test(type)) return criticalFlaw(head, place, colourType);
	return BEFORE_IDAT.has(type) && place.data !== 'before' ? `Chunk ${type} must stand before the image data.` : undefined;
};

/** Reads a chunk's data up to its checksum; image data goes on to the row counter. */
function* chunkData({ type, length, crc }: ChunkHead): Walk<void> {
	let sum = crc;
	for (let left = length; left > 0;) {
		const bytes = yield* piece(left, `chunk ${type}`);
		left -= bytes.length;
		sum = crc32(bytes, sum);
		if (type === 'IDAT') yield { inflate: bytes };
	}
	yield* chunkEnd(type, sum);
}

/** Walks a PNG to its last byte. */
export function* walkPng(rules: PictureRules): Walk<Shape> {
	const signature = yield* exactly(8, 'the PNG signature');
	if (!startsWith(signature, PNG_SIGNATURE)) return yield* refuse('not_image', 'The PNG signature is damaged.');
	const parsed = yield* readHeader(rules);
	yield { rows: pngRows(parsed) };
	const place: Place = { data: 'before', palette: false };
	for (;;) {
		const head = yield* chunkHead();
		const flaw = orderFlaw(head, place, parsed.colourType);
		if (flaw !== undefined) return yield* refuse('structure', flaw);
		if (head.type === 'PLTE') place.palette = true;
		if (head.type === 'IDAT') place.data = 'inside';
		else if (place.data === 'inside') place.data = 'after';
		yield* chunkData(head);
		if (head.type === 'IEND') break;
	}
	yield* atEnd('the IEND chunk');
	return { kind: 'png', width: parsed.width, height: parsed.height };
}
