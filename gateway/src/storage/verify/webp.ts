/**
 * WebP (RFC 9649) without decoding: RIFF length, chunk walk, and the size in VP8, VP8L and VP8X headers.
 * @module
 */
import { ascii, atEnd, checkSize, exactly, refuse, skip, type PictureRules, type Shape, type Walk } from './walk.ts';

interface Size {
	width: number;
	height: number;
}
const VP8X_ANIMATION = 0x02;
const view = (bytes: Uint8Array) => new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
const uint24 = (bytes: Uint8Array, at: number) => (bytes[at] ?? 0) | ((bytes[at + 1] ?? 0) << 8) | ((bytes[at + 2] ?? 0) << 16);

function* vp8(length: number): Walk<Size> {
	if (length < 10) return yield* refuse('structure', 'The WebP image data is too short.');
	const head = yield* exactly(10, 'the VP8 header');
	const tag = uint24(head, 0);
	const keyFrame = (tag & 1) === 0 && uint24(head, 3) === 0x2a019d;
	if (!keyFrame || tag >> 5 > length - 10) return yield* refuse('structure', 'The VP8 header is damaged.');
	yield* skip(length - 10, 'the image data');
	return { width: view(head).getUint16(6, true) & 0x3fff, height: view(head).getUint16(8, true) & 0x3fff };
}

function* vp8l(length: number): Walk<Size> {
	if (length < 6) return yield* refuse('structure', 'The WebP image data is too short.');
	const head = yield* exactly(5, 'the VP8L header');
	const bits = view(head).getUint32(1, true);
	if (head[0] !== 0x2f || bits >>> 29 !== 0) return yield* refuse('structure', 'The VP8L header is damaged.');
	yield* skip(length - 5, 'the image data');
	return { width: (bits & 0x3fff) + 1, height: ((bits >>> 14) & 0x3fff) + 1 };
}

function* vp8x(length: number): Walk<Size> {
	if (length !== 10) return yield* refuse('structure', 'The VP8X header has a wrong length.');
	const head = yield* exactly(10, 'the VP8X header');
	if (((head[0] ?? 0) & VP8X_ANIMATION) !== 0) return yield* refuse('structure', 'Animated WebP is not supported.');
	return { width: uint24(head, 4) + 1, height: uint24(head, 7) + 1 };
}

interface Found {
	canvas?: Size;
	image?: Size;
	first: boolean;
}

function* chunk(type: string, length: number, found: Found, rules: PictureRules): Walk<void> {
	const readers: Readonly<Record<string, (length: number) => Walk<Size>>> = { 'VP8 ': vp8, VP8L: vp8l, VP8X: vp8x };
	const read = readers[type];
	if (type === 'ANIM' || type === 'ANMF') yield* refuse('structure', 'Animated WebP is not supported.');
	if (!read) {
		if (found.first) yield* refuse('structure', 'The WebP does not begin with a picture chunk.');
		yield* skip(length, `chunk ${type}`);
		return;
	}
	if (type === 'VP8X' ? !found.first : found.image) yield* refuse('structure', `The WebP chunk ${type} stands in the wrong place.`);
	const size = yield* read(length);
	yield* checkSize(rules, size.width, size.height);
	const { canvas } = found;
	if (canvas && (canvas.width !== size.width || canvas.height !== size.height))
		yield* refuse('structure', 'The WebP picture does not fill its canvas.');
	found[type === 'VP8X' ? 'canvas' : 'image'] = size;
}

/** Walks a WebP to its last byte. */
export function* walkWebp(rules: PictureRules): Walk<Shape> {
	const riff = yield* exactly(12, 'the WebP signature');
	if (ascii(riff.subarray(0, 4)) !== 'RIFF' || ascii(riff.subarray(8, 12)) !== 'WEBP')
		return yield* refuse('not_image', 'The file is RIFF, but no WebP picture.');
	let left = view(riff).getUint32(4, true) - 4;
	const found: Found = { first: true };
	while (left > 0) {
		const head = yield* exactly(8, 'a WebP chunk header');
		const length = view(head).getUint32(4, true);
		const padded = length + (length & 1);
		left -= 8 + padded;
		if (left < 0) return yield* refuse('structure', 'A WebP chunk is longer than the file says.');
		yield* chunk(ascii(head.subarray(0, 4)), length, found, rules);
		yield* skip(padded - length, 'the padding of a chunk');
		found.first = false;
	}
	if (left < 0) return yield* refuse('structure', 'The WebP length in the header is impossible.');
	if (!found.image) return yield* refuse('structure', 'The WebP holds no picture.');
	yield* atEnd('the length that the WebP header tells');
	return { kind: 'webp', ...found.image };
}
