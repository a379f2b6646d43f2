/**
 * How a picture's structure is read without holding the picture: a walker is a generator that asks its driver for a
 * few bytes at a time and answers the picture's shape, or a flaw in words. Walkers have no I/O and see no chunk
 * boundaries, so that the verdict cannot depend on how the network cut the body.
 * @module
 */

export type PictureKind = 'png' | 'jpeg' | 'webp';

/** Why a body is no acceptable picture. `detail` is a sentence for the person who sent it. */
export interface Flaw {
	code: 'not_image' | 'kind' | 'size' | 'structure' | 'truncated' | 'trailing' | 'length' | 'too_large' | 'sha256';
	detail: string;
}

export interface Shape {
	kind: PictureKind;
	/** pixels */
	width: number;
	/** pixels */
	height: number;
}

/** What a picture has to be. */
export interface PictureRules {
	kinds: readonly PictureKind[];
	/** The exact size that was promised, in pixels. */
	size?: { width: number; height: number };
	/** Largest side in pixels. */
	maxPx: number;
	/**
	 * `result`: what Limner's engines write (PNG with 8 bits, no palette, not interlaced; nothing after the end).
	 * `input`: whatever a caller's camera or editor writes, as long as it is one still picture.
	 */
	profile: 'result' | 'input';
}

/** Rows that the compressed data must hold: `rows` rows of `bytes` bytes each, filter byte included. */
export interface RowBlock {
	rows: number;
	bytes: number;
}

/**
 * A request to the driver. `exactly` answers that many bytes (fewer only at the end of the body), `upTo` what is there
 * (none only at the end), `back` returns the last bytes of the previous answer.
 */
export type Step =
	| { exactly: number }
	| { upTo: number }
	| { back: number }
	| { rows: readonly RowBlock[] }
	| { inflate: Uint8Array }
	| { refuse: Flaw };

export type Walk<R> = Generator<Step, R, Uint8Array>;

const PIECE_BYTES = 65_536;

/** Stops the walk: the driver never resumes a walker after this step. */
export function* refuse(code: Flaw['code'], detail: string): Walk<never> {
	yield { refuse: { code, detail } };
	throw new Error('a walker was resumed after its refusal');
}

/** Reads a few bytes, or refuses the picture as cut off. */
export function* exactly(count: number, what: string): Walk<Uint8Array> {
	const bytes = yield { exactly: count };
	if (bytes.length < count) return yield* refuse('truncated', `The file ends inside ${what}.`);
	return bytes;
}

/** Reads the next piece of a long stretch of bytes, or refuses the picture as cut off. */
export function* piece(remaining: number, what: string): Walk<Uint8Array> {
	const bytes = yield { upTo: Math.min(remaining, PIECE_BYTES) };
	if (bytes.length === 0) return yield* refuse('truncated', `The file ends inside ${what}.`);
	return bytes;
}

export function* skip(count: number, what: string): Walk<void> {
	for (let left = count; left > 0;) left -= (yield* piece(left, what)).length;
}

/** Refuses anything after the picture's end. */
export function* atEnd(what: string): Walk<void> {
	const more = yield { upTo: 1 };
	if (more.length > 0) yield* refuse('trailing', `There is data after ${what}; the file must end there.`);
}

/** Checks a size as soon as the header tells it. */
export function* checkSize(rules: PictureRules, width: number, height: number): Walk<void> {
	if (width < 1 || height < 1) yield* refuse('size', `The picture is ${width}×${height} pixels.`);
	const { size, maxPx } = rules;
	if (size && (size.width !== width || size.height !== height))
		yield* refuse('size', `The picture is ${width}×${height} pixels, but ${size.width}×${size.height} was ordered.`);
	if (width > maxPx || height > maxPx) yield* refuse('size', `The picture is ${width}×${height} pixels; a side may have at most ${maxPx}.`);
}

export const ascii = (bytes: Uint8Array): string => String.fromCharCode(...bytes);

export const startsWith = (bytes: Uint8Array, expected: readonly number[]): boolean => expected.every((value, i) => bytes[i] === value);
