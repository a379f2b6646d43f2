/**
 * JPEG (ITU-T T.81) without decoding: a walk over all segments and scans, the size from the frame header, and the end
 * marker.
 * @module
 */
import { atEnd, checkSize, exactly, piece, refuse, skip, type PictureRules, type Shape, type Walk } from './walk.ts';

const SOI = 0xd8;
const EOI = 0xd9;
const SOS = 0xda;
const DQT = 0xdb;
const DHT = 0xc4;
/** Baseline, extended and progressive, all Huffman-coded: what decoders on the nodes read. */
const FRAMES = new Set([0xc0, 0xc1, 0xc2]);
/** Other SOFs, arithmetic coding (DAC, SOF9+), DNL, hierarchical (DHP, EXP), JPG. */
const UNSUPPORTED = new Set([0xc3, 0xc5, 0xc6, 0xc7, 0xc8, 0xc9, 0xca, 0xcb, 0xcc, 0xcd, 0xce, 0xcf, 0xdc, 0xde, 0xdf]);

const hex = (code: number) => `FF${code.toString(16).toUpperCase().padStart(2, '0')}`;
const isRestart = (byte: number) => byte >= 0xd0 && byte <= 0xd7;

function* marker(): Walk<number> {
	let byte = (yield* exactly(1, 'a JPEG segment'))[0];
	if (byte !== 0xff) return yield* refuse('structure', 'The JPEG has stray data between its segments.');
	// Any number of FF bytes may fill the space before a marker.
	while (byte === 0xff) byte = (yield* exactly(1, 'a JPEG segment'))[0];
	return byte ?? 0;
}

function* segmentLength(code: number): Walk<number> {
	const bytes = yield* exactly(2, `segment ${hex(code)}`);
	const length = new DataView(bytes.buffer, bytes.byteOffset).getUint16(0);
	if (length < 2) return yield* refuse('structure', `JPEG segment ${hex(code)} has an impossible length.`);
	return length - 2;
}

interface Frame {
	width: number;
	height: number;
	components: number;
}

function* frame(code: number, rules: PictureRules): Walk<Frame> {
	const length = yield* segmentLength(code);
	if (length < 6) return yield* refuse('structure', 'The JPEG frame header is too short.');
	const bytes = yield* exactly(6, 'the JPEG frame header');
	const view = new DataView(bytes.buffer, bytes.byteOffset);
	const parsed = { height: view.getUint16(1), width: view.getUint16(3), components: view.getUint8(5) };
	if (view.getUint8(0) !== 8) return yield* refuse('structure', `The JPEG has ${view.getUint8(0)} bits a sample; only 8 are supported.`);
	const allowed = rules.profile === 'result' ? [1, 3] : [1, 3, 4];
	if (!allowed.includes(parsed.components) || length !== 6 + 3 * parsed.components)
		return yield* refuse('structure', `The JPEG frame header is damaged or has ${parsed.components} colour components.`);
	yield* skip(length - 6, 'the JPEG frame header');
	yield* checkSize(rules, parsed.width, parsed.height);
	return parsed;
}

function* scanHeader(components: number): Walk<void> {
	const length = yield* segmentLength(SOS);
	const count = (yield* exactly(1, 'a JPEG scan header'))[0] ?? 0;
	if (count < 1 || count > components || length !== 4 + 2 * count) yield* refuse('structure', 'A JPEG scan header is damaged.');
	yield* skip(length - 1, 'a JPEG scan header');
}

/** Reads entropy-coded data up to the next marker, which it answers. */
function* scanData(): Walk<number> {
	let afterFf = false;
	let coded = 0;
	for (;;) {
		const bytes = yield* piece(Number.MAX_SAFE_INTEGER, 'the image data');
		for (let i = 0; i < bytes.length; i++) {
			if (!afterFf) {
				const next = bytes.indexOf(0xff, i);
				coded += (next < 0 ? bytes.length : next) - i;
				if (next < 0) break;
				i = next;
				afterFf = true;
				continue;
			}
			const byte = bytes[i] ?? 0;
			if (byte === 0xff) continue;
			afterFf = false;
			if (byte === 0) coded += 1;
			else if (!isRestart(byte)) {
				yield { back: bytes.length - i - 1 };
				return coded > 0 ? byte : yield* refuse('structure', 'A JPEG scan holds no data.');
			}
		}
	}
}

interface Seen {
	frame?: Frame;
	tables: Set<number>;
	scans: number;
}

function* segment(code: number, seen: Seen, rules: PictureRules): Walk<number> {
	if (FRAMES.has(code)) {
		if (seen.frame) return yield* refuse('structure', 'The JPEG has two frame headers.');
		seen.frame = yield* frame(code, rules);
		return yield* marker();
	}
	if (code === SOS) {
		if (!seen.frame || !seen.tables.has(DQT) || !seen.tables.has(DHT))
			return yield* refuse('structure', 'The JPEG has image data before its frame header or tables.');
		yield* scanHeader(seen.frame.components);
		seen.scans += 1;
		return yield* scanData();
	}
	if (UNSUPPORTED.has(code)) return yield* refuse('structure', `The JPEG uses a process (${hex(code)}) that is not supported.`);
	if (code < 0xc0 || isRestart(code) || code === SOI)
		return yield* refuse('structure', `JPEG marker ${hex(code)} stands in the wrong place.`);
	yield* skip(yield* segmentLength(code), `segment ${hex(code)}`);
	seen.tables.add(code);
	return yield* marker();
}

/** Walks a JPEG to its last byte. Cameras put further pictures after the end marker: those are allowed in inputs. */
export function* walkJpeg(rules: PictureRules): Walk<Shape> {
	const start = yield* exactly(2, 'the JPEG signature');
	if (start[0] !== 0xff || start[1] !== SOI) return yield* refuse('not_image', 'The JPEG signature is damaged.');
	const seen: Seen = { tables: new Set(), scans: 0 };
	let code = yield* marker();
	while (code !== EOI) code = yield* segment(code, seen, rules);
	if (!seen.frame || seen.scans === 0) return yield* refuse('structure', 'The JPEG holds no picture.');
	if (rules.profile === 'result') yield* atEnd('the JPEG end marker');
	return { kind: 'jpeg', width: seen.frame.width, height: seen.frame.height };
}
