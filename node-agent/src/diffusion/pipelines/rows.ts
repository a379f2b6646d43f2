import { parseWeights } from '../prompt/weights.ts';
import type { PromptTokenizer } from '../tokenizers/index.ts';

/** How prompts are read. */
export interface TextOptions {
	/** false leaves SD3's third encoder out. */
	useT5: boolean;
	/** Brackets carry weights, and prompts may be longer than one row. */
	weighted: boolean;
	/** Rows to fill at least, so that both prompts of a run have the same length. */
	chunks: number;
}

/** One row of ids for an encoder; `weights` has a number for each position, or is null where all are 1. */
export interface WeightedRow {
	ids: number[];
	weights: Float32Array | null;
}

/** Rows of a prompt, and the words that none of them holds. */
export interface PromptRows {
	rows: WeightedRow[];
	cut: string[];
}

/** The rows of `prompt` for one tokenizer. */
export function promptRows(tokenizer: PromptTokenizer, prompt: string, how: TextOptions): PromptRows {
	if (how.weighted) return weightedRows(tokenizer, prompt, how.chunks);
	const { ids, cut } = tokenizer.encode(prompt);
	return { rows: [{ ids, weights: null }], cut };
}

/** Ids of the whole text, each with its weight. */
function weightedIds(tokenizer: PromptTokenizer, prompt: string): { id: number; weight: number }[] {
	return parseWeights(prompt).flatMap(({ text, weight }) => tokenizer.tokenize(text).map((id) => ({ id, weight })));
}

/** Rows that a prompt needs; the empty prompt fills one. */
export function countRows(tokenizer: PromptTokenizer, prompt: string): number {
	if (!tokenizer.chunked) return 1;
	return Math.max(1, Math.ceil(weightedIds(tokenizer, prompt).length / tokenizer.room));
}

function weightedRows(tokenizer: PromptTokenizer, prompt: string, chunks: number): PromptRows {
	const all = weightedIds(tokenizer, prompt);
	const { room, chunked } = tokenizer;
	const count = chunked ? Math.max(chunks, 1, Math.ceil(all.length / room)) : 1;
	const rows = Array.from({ length: count }, (_, k): WeightedRow => {
		const part = all.slice(k * room, (k + 1) * room);
		const { ids, start } = tokenizer.row(part.map((t) => t.id));
		if (part.every((t) => t.weight === 1)) return { ids, weights: null };
		const weights = new Float32Array(ids.length).fill(1);
		for (const [i, token] of part.entries()) weights[start + i] = token.weight;
		return { ids, weights };
	});
	return { rows, cut: tokenizer.words(all.slice(count * room).map((t) => t.id)) };
}

/** Below this a mean says nothing about the scale of the values, and dividing by it would blow them up. */
const SMALLEST_MEAN = 1e-6;

/**
 * Multiplies each position of [tokens, width] by its weight, in place, and scales all of them so that their mean stays
 * what it was: emphasis moves attention between words without making the whole prompt louder.
 */
export function applyWeights(rows: Float32Array, weights: Float32Array): void {
	const width = rows.length / weights.length;
	const before = mean(rows);
	for (let i = 0; i < rows.length; i++) rows[i] = (rows[i] as number) * (weights[Math.floor(i / width)] as number);
	const after = mean(rows);
	if (Math.abs(after) < SMALLEST_MEAN || Math.abs(before) < SMALLEST_MEAN) return;
	const factor = before / after;
	for (let i = 0; i < rows.length; i++) rows[i] = (rows[i] as number) * factor;
}

function mean(x: Float32Array): number {
	let sum = 0;
	for (const v of x) sum += v;
	return sum / x.length;
}
