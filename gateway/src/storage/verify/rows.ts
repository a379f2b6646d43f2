/**
 * Counts what compressed PNG data inflates to, without keeping it: exactly the promised rows, each with an existing
 * filter type. Stops at the first byte too many, so that a decompression bomb costs no more than an honest picture.
 * @module
 */
import type { Flaw, RowBlock } from './walk.ts';

/**
 * Compressed bytes handed to the inflater at once. Deflate expands at most 1032 times, so that one slice can put at
 * most ~8 MiB into memory before the count is looked at.
 */
const SLICE_BYTES = 8192;
const LAST_FILTER = 4;

const TOO_MANY: Flaw = { code: 'structure', detail: 'The compressed data holds more rows than the picture has.' };
const TOO_FEW: Flaw = { code: 'structure', detail: 'The compressed data holds fewer rows than the picture has.' };
const BAD_FILTER: Flaw = { code: 'structure', detail: 'A row of the picture has a filter type that does not exist.' };
const BAD_ZLIB: Flaw = { code: 'structure', detail: 'The compressed data of the picture is damaged.' };

export interface RowScan {
	/** Takes the next inflated bytes; answers the first flaw. */
	take(bytes: Uint8Array): Flaw | undefined;
	/** Whether every promised row has come. */
	complete(): boolean;
}

/** Follows inflated bytes row by row. Pure: state and arithmetic only. */
export const createRowScan = (blocks: readonly RowBlock[]): RowScan => {
	const total = blocks.reduce((sum, { rows, bytes }) => sum + rows * bytes, 0);
	let seen = 0;
	let block = 0;
	let row = 0;
	let nextFilterAt = 0;
	/** Goes on to the next row; answers where its filter byte stands. */
	const advance = (): number => {
		const current = blocks[block];
		if (!current) return total;
		nextFilterAt += current.bytes;
		row += 1;
		if (row === current.rows) {
			row = 0;
			block += 1;
		}
		return nextFilterAt;
	};
	return {
		take: (bytes) => {
			const end = seen + bytes.length;
			if (end > total) return TOO_MANY;
			for (let at = nextFilterAt; at < end; at = advance()) if ((bytes[at - seen] ?? 0) > LAST_FILTER) return BAD_FILTER;
			seen = end;
			return undefined;
		},
		complete: () => seen === total,
	};
};

export interface RowCounter {
	/** Takes the next compressed bytes. */
	write(bytes: Uint8Array): Promise<Flaw | undefined>;
	/** No more bytes come: the stream must be complete, with its checksum right. */
	end(): Promise<Flaw | undefined>;
	/** Lets go of the inflater. */
	stop(): Promise<void>;
}

/** Inflates through `DecompressionStream` and counts. */
export const createRowCounter = (blocks: readonly RowBlock[]): RowCounter => {
	const scan = createRowScan(blocks);
	const inflater = new DecompressionStream('deflate');
	const writer = inflater.writable.getWriter();
	const reader = inflater.readable.getReader();
	const slice = new Uint8Array(SLICE_BYTES);
	let filled = 0;
	let flaw: Flaw | undefined;

	const drain = async (): Promise<void> => {
		for (;;) {
			const { done, value } = await reader.read();
			if (done) return;
			flaw ??= scan.take(value);
			if (flaw) return;
		}
	};
	const drained = drain().catch(() => {
		flaw ??= BAD_ZLIB;
	});
	const damaged = () => {
		flaw ??= BAD_ZLIB;
	};
	/** Whatever comes first: the inflater took the bytes, or the reader found a flaw and reads no more. */
	const feed = async (work: Promise<void>): Promise<void> => {
		await Promise.race([work.catch(damaged), drained]);
	};
	const stop = async (): Promise<void> => {
		await Promise.allSettled([writer.abort(), reader.cancel()]);
	};
	return {
		write: async (bytes) => {
			for (let at = 0; at < bytes.length;) {
				if (flaw) return flaw;
				const count = Math.min(SLICE_BYTES - filled, bytes.length - at);
				slice.set(bytes.subarray(at, at + count), filled);
				filled += count;
				at += count;
				if (filled < SLICE_BYTES) break;
				await feed(writer.write(slice.slice()));
				filled = 0;
			}
			return flaw;
		},
		end: async () => {
			if (filled > 0 && !flaw) await feed(writer.write(slice.slice(0, filled)));
			if (!flaw) {
				await feed(writer.close());
				await drained;
			}
			return flaw ?? (scan.complete() ? undefined : TOO_FEW);
		},
		stop,
	};
};
