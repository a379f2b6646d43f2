/**
 * Texts inside a PNG, for `png-info`. Reads no pixels.
 * @module
 */

/** A compressed text that unfolds to more than this is left out, in bytes. */
const MAX_TEXT_BYTES = 1024 * 1024;
const SIGNATURE = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a];

export const isPng = (bytes: Uint8Array): boolean => SIGNATURE.every((value, i) => bytes[i] === value);

const latin1 = (bytes: Uint8Array): string => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length).toString('latin1');
const utf8 = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

const inflate = async (bytes: Uint8Array): Promise<Uint8Array | undefined> => {
	const parts: Uint8Array[] = [];
	let size = 0;
	try {
		const stream = new Blob([Uint8Array.from(bytes)]).stream().pipeThrough(new DecompressionStream('deflate'));
		for await (const part of stream) {
			size += part.length;
			if (size > MAX_TEXT_BYTES) return undefined;
			parts.push(part);
		}
	} catch {
		return undefined;
	}
	return new Uint8Array(Buffer.concat(parts));
};

const decode = async (bytes: Uint8Array, packed: boolean, read: (bytes: Uint8Array) => string): Promise<string | undefined> => {
	const plain = packed ? await inflate(bytes) : bytes;
	return plain === undefined ? undefined : read(plain);
};

/** The value of one text chunk after its keyword; `undefined` when it cannot be read. */
const valueOf = async (type: string, rest: Uint8Array): Promise<string | undefined> => {
	if (type === 'tEXt') return latin1(rest);
	if (type === 'zTXt') return decode(rest.subarray(1), true, latin1);
	const language = rest.indexOf(0, 2);
	const translated = language < 0 ? -1 : rest.indexOf(0, language + 1);
	return translated < 0 ? undefined : decode(rest.subarray(translated + 1), rest[0] === 1, utf8);
};

/** All texts by keyword; what cannot be read is left out. */
export const pngTexts = async (bytes: Uint8Array): Promise<Record<string, string>> => {
	const texts: Record<string, string> = {};
	if (!isPng(bytes)) return texts;
	const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
	for (let at = 8; at + 12 <= bytes.length;) {
		const length = view.getUint32(at);
		const type = latin1(bytes.subarray(at + 4, at + 8));
		if (type === 'IEND' || at + 12 + length > bytes.length) break;
		const data = bytes.subarray(at + 8, at + 8 + length);
		const end = data.indexOf(0);
		if (['tEXt', 'zTXt', 'iTXt'].includes(type) && end > 0) {
			const value = await valueOf(type, data.subarray(end + 1));
			if (value !== undefined) texts[latin1(data.subarray(0, end))] = value;
		}
		at += 12 + length;
	}
	return texts;
};
