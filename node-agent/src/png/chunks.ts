/**
 * Text chunks of PNG files: put in after IHDR, read back from any PNG.
 * @module
 */
import { crc32, inflateSync } from 'node:zlib';

const SIGNATURE = Uint8Array.of(0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a);
/** Signature and IHDR: 8 + 4 + 4 + 13 + 4 bytes. */
const AFTER_IHDR = 33;
/** A compressed text that unfolds to more than this is not read. */
const MAX_TEXT_BYTES = 4 * 1024 * 1024;

export const isPng = (bytes: Uint8Array): boolean => SIGNATURE.every((value, i) => bytes[i] === value);

const chunk = (type: string, data: Uint8Array): Uint8Array => {
	const out = Buffer.alloc(12 + data.length);
	out.writeUInt32BE(data.length, 0);
	out.write(type, 4, 'latin1');
	out.set(data, 8);
	out.writeUInt32BE(crc32(out.subarray(4, 8 + data.length)), 8 + data.length);
	return out;
};

/** What tEXt may hold: printable Latin-1 and the line break. */
const isLatin1 = (text: string): boolean => /^[\n\u0020-\u007e\u00a0-\u00ff]*$/.test(text);

/** A tEXt chunk when the text is Latin-1 (what every reader knows), else an iTXt chunk. */
export const textChunk = (keyword: string, text: string): Uint8Array =>
	isLatin1(text)
		? chunk('tEXt', Buffer.from(`${keyword}\0${text}`, 'latin1'))
		: chunk('iTXt', Buffer.concat([Buffer.from(`${keyword}\0\0\0\0\0`, 'latin1'), Buffer.from(text, 'utf8')]));

/** The PNG with the texts in it, in the order given. */
export const insertTexts = (png: Uint8Array, texts: readonly (readonly [keyword: string, text: string])[]): Uint8Array => {
	if (!isPng(png)) throw new TypeError('insertTexts needs a PNG');
	return Buffer.concat([
		png.subarray(0, AFTER_IHDR),
		...texts.map(([keyword, text]) => textChunk(keyword, text)),
		png.subarray(AFTER_IHDR),
	]);
};

const inflateText = (data: Buffer, encoding: 'latin1' | 'utf8'): string | undefined => {
	try {
		return inflateSync(data, { maxOutputLength: MAX_TEXT_BYTES }).toString(encoding);
	} catch {
		return undefined;
	}
};

const readInternational = (rest: Buffer): string | undefined => {
	const compressed = rest[0] === 1;
	const language = rest.indexOf(0, 2);
	const translated = language < 0 ? -1 : rest.indexOf(0, language + 1);
	if (translated < 0) return undefined;
	const text = rest.subarray(translated + 1);
	return compressed ? inflateText(text, 'utf8') : text.toString('utf8');
};

const readChunk = (type: string, data: Buffer): [string, string] | undefined => {
	const end = data.indexOf(0);
	if (end < 1) return undefined;
	const rest = data.subarray(end + 1);
	const readers: Record<string, () => string | undefined> = {
		tEXt: () => rest.toString('latin1'),
		zTXt: () => inflateText(rest.subarray(1), 'latin1'),
		iTXt: () => readInternational(rest),
	};
	const text = readers[type]?.();
	return text === undefined ? undefined : [data.toString('latin1', 0, end), text];
};

/** All texts of a PNG by keyword; what cannot be read is left out. */
export const readTexts = (png: Uint8Array): Map<string, string> => {
	const texts = new Map<string, string>();
	if (!isPng(png)) return texts;
	const bytes = Buffer.from(png.buffer, png.byteOffset, png.length);
	for (let at = 8; at + 12 <= bytes.length;) {
		const length = bytes.readUInt32BE(at);
		const type = bytes.toString('latin1', at + 4, at + 8);
		if (at + 12 + length > bytes.length || type === 'IEND') break;
		const entry = readChunk(type, bytes.subarray(at + 8, at + 8 + length));
		if (entry !== undefined) texts.set(...entry);
		at += 12 + length;
	}
	return texts;
};
