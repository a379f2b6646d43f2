/**
 * A file on its way: which parts of it are here. Pure.
 * @module
 */
import { z } from 'zod';

/** Bytes `start` to `end` (exclusive), of which the first `have` are here. */
export interface Piece {
	start: number;
	end: number;
	have: number;
}

/** What is written down beside an unfinished file. */
export const PartState = z.object({
	total: z.int().min(0),
	pieces: z.array(z.object({ start: z.int().min(0), end: z.int().min(0), have: z.int().min(0) })),
});
export type PartState = z.infer<typeof PartState>;

/** Cuts a file into pieces. */
export const planPieces = (total: number, pieceBytes: number, from = 0): Piece[] => {
	const pieces: Piece[] = [];
	for (let start = from; start < total; start += pieceBytes) pieces.push({ start, end: Math.min(total, start + pieceBytes), have: 0 });
	return pieces;
};

export const isDone = (piece: Piece): boolean => piece.start + piece.have >= piece.end;

/** Bytes that are here. */
export const received = (pieces: readonly Piece[]): number => pieces.reduce((sum, piece) => sum + piece.have, 0);

/**
 * Fits a state to another total than it was made for, in place, since fetches of its pieces are under way: pieces past the
 * end go, the one over it shrinks, and what is missing at the end becomes new pieces.
 */
export const resize = (state: PartState, total: number, pieceBytes: number): void => {
	const kept = state.pieces.filter((piece) => piece.start < total);
	for (const piece of state.pieces) {
		piece.end = Math.max(piece.start, Math.min(piece.end, total));
		piece.have = Math.min(piece.have, piece.end - piece.start);
	}
	const end = kept.reduce((last, piece) => Math.max(last, piece.end), 0);
	state.pieces = [...kept, ...planPieces(total, pieceBytes, end)];
	state.total = total;
};

/** Whether a state that was read from disk covers its file without holes or overlaps. */
export const isSound = (state: PartState): boolean => {
	let at = 0;
	for (const piece of state.pieces.toSorted((a, b) => a.start - b.start)) {
		if (piece.start !== at || piece.end < piece.start || piece.have > piece.end - piece.start) return false;
		at = piece.end;
	}
	return at === state.total;
};

const asNumber = (part: string | undefined): number | undefined => (part === undefined || part === '*' ? undefined : Number(part));

/** Reads a `Content-Range`: where the body starts (nothing in a 416) and the length of the whole file. */
export const parseContentRange = (text: string | undefined): { start: number | undefined; total: number | undefined } => {
	const match = /^bytes (?:(\d+)-\d+|\*)\/(\d+|\*)$/.exec(text ?? '');
	return { start: asNumber(match?.[1]), total: asNumber(match?.[2]) };
};
