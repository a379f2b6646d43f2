import type { ModelSession } from '../session.ts';
import type { PromptTokenizer } from '../tokenizers/index.ts';
import { applyWeights, countRows, promptRows, type TextOptions, type WeightedRow } from './rows.ts';

/** Conditioning of one prompt. */
export interface TextEmbedding {
	/** [tokens, width], row-major. */
	hidden: Float32Array;
	tokens: number;
	width: number;
	/** Pooled vector of the whole prompt, where the family uses one. */
	pooled: Float32Array | null;
	/** Words that fell off the end. */
	cut: readonly string[];
}

/** One text encoder with its tokenizer. */
export interface TextEncoder {
	session: ModelSession;
	tokenizer: PromptTokenizer;
}

/** How a family turns a prompt into conditioning. */
export interface PromptEncoder {
	encode(prompt: string, how: TextOptions): Promise<TextEmbedding>;
	/** Rows that a prompt fills where long prompts are read in chunks. */
	rows(prompt: string): number;
	/** The conditioning that stands for "no negative prompt" where that is not the empty text. */
	readonly zerosForMissing: boolean;
}

interface Encoded {
	rows: Float32Array;
	tokens: number;
	width: number;
	pooled: Float32Array | null;
	cut: readonly string[];
}

/**
 * Runs one encoder on all rows of a prompt, side by side along the tokens; `hidden` and `pooled` name the outputs to
 * fetch. The pooled vector is that of the first row.
 */
async function runEncoder(encoder: TextEncoder, prompt: string, how: TextOptions, hidden: string, pooled: string | null): Promise<Encoded> {
	const { rows, cut } = promptRows(encoder.tokenizer, prompt, how);
	const parts: Float32Array[] = [];
	let first: Float32Array | null = null;
	for (const row of rows) {
		const outputs = await runRow(encoder, row, pooled === null || first !== null ? [hidden] : [hidden, pooled]);
		const part = outputs.get(hidden) as Float32Array;
		if (row.weights !== null) applyWeights(part, row.weights);
		parts.push(part);
		if (pooled !== null) first ??= outputs.get(pooled) as Float32Array;
	}
	const joined = parts.length === 1 ? (parts[0] as Float32Array) : concat(parts);
	const tokens = rows.reduce((n, row) => n + row.ids.length, 0);
	return { rows: joined, tokens, width: joined.length / tokens, pooled: first, cut };
}

async function runRow({ session }: TextEncoder, { ids }: WeightedRow, outputs: readonly string[]): Promise<Map<string, Float32Array>> {
	const name = session.inputs.has('input_ids') ? 'input_ids' : ([...session.inputs.keys()][0] as string);
	const input = session.bind(name, Float32Array.from(ids), [1, ids.length]);
	return session.run({ [name]: input.tensor }, outputs);
}

/** Rows of the encoder that needs most. */
function mostRows(encoders: readonly TextEncoder[], prompt: string): number {
	return Math.max(1, ...encoders.map((e) => countRows(e.tokenizer, prompt)));
}

/** The words that the first encoder to lose any has lost. */
function firstCut(parts: readonly Encoded[]): readonly string[] {
	return parts.find((p) => p.cut.length > 0)?.cut ?? [];
}

/** Name of the last but one hidden state; SDXL and SD3 condition on it (Podell et al. 2023, §2.1). */
function penultimate(session: ModelSession): string {
	const states = session.outputNames.filter((n) => n.startsWith('hidden_states.'));
	const sorted = states.toSorted((a, b) => Number(a.split('.')[1]) - Number(b.split('.')[1]));
	// exports without hidden states carry the wanted one as their main output
	return sorted.at(-2) ?? lastHidden(session);
}

function lastHidden(session: ModelSession): string {
	return session.outputNames.includes('last_hidden_state') ? 'last_hidden_state' : (session.outputNames[0] as string);
}

/** Puts rows of several encoders side by side: [tokens, Σ widths], zero-filled up to `width`. */
function concatWidths(parts: readonly Encoded[], width: number): Float32Array {
	const tokens = parts[0]?.tokens ?? 0;
	const out = new Float32Array(tokens * width);
	for (let t = 0; t < tokens; t++) {
		let at = t * width;
		for (const part of parts) {
			out.set(part.rows.subarray(t * part.width, (t + 1) * part.width), at);
			at += part.width;
		}
	}
	return out;
}

function concat(parts: readonly Float32Array[]): Float32Array {
	const out = new Float32Array(parts.reduce((n, p) => n + p.length, 0));
	let at = 0;
	for (const part of parts) {
		out.set(part, at);
		at += part.length;
	}
	return out;
}

/** SD 1.x and 2.x: the last hidden state of one CLIP encoder. */
export function sdPromptEncoder(encoder: TextEncoder): PromptEncoder {
	return {
		zerosForMissing: false,
		rows: (prompt) => mostRows([encoder], prompt),
		async encode(prompt, how) {
			const e = await runEncoder(encoder, prompt, how, lastHidden(encoder.session), null);
			return { hidden: e.rows, tokens: e.tokens, width: e.width, pooled: null, cut: e.cut };
		},
	};
}

/**
 * SDXL: penultimate states of two CLIP encoders side by side; pooled vector of the second.
 * @param encoders one or two; the refiner has only the second
 */
export function sdxlPromptEncoder(encoders: readonly TextEncoder[], zerosForMissing: boolean): PromptEncoder {
	return {
		zerosForMissing,
		rows: (prompt) => mostRows(encoders, prompt),
		async encode(prompt, how) {
			const parts: Encoded[] = [];
			for (const [i, encoder] of encoders.entries()) {
				const pooled = i === encoders.length - 1 ? 'text_embeds' : null;
				parts.push(await runEncoder(encoder, prompt, how, penultimate(encoder.session), pooled));
			}
			const width = parts.reduce((n, p) => n + p.width, 0);
			return {
				hidden: concatWidths(parts, width),
				tokens: parts[0]?.tokens ?? 0,
				width,
				pooled: parts.at(-1)?.pooled ?? null,
				cut: firstCut(parts),
			};
		},
	};
}

/** Length of the T5 part, also of the zeros that stand in for it. */
const T5_TOKENS = 256;

/**
 * SD3: both CLIP encoders side by side, zero-padded to the width of T5, followed by the T5 tokens; pooled = both
 * pooled vectors (Esser et al. 2024, §4 and figure 2). Without T5, zeros take its place.
 * @param width joint attention width of the transformer
 */
export function sd3PromptEncoder(clip: readonly TextEncoder[], t5: TextEncoder | null, width: number): PromptEncoder {
	return {
		zerosForMissing: false,
		rows: (prompt) => mostRows(clip, prompt),
		async encode(prompt, how) {
			const parts: Encoded[] = [];
			for (const encoder of clip) parts.push(await runEncoder(encoder, prompt, how, penultimate(encoder.session), 'text_embeds'));
			const clipRows = concatWidths(parts, width);
			const long = t5 !== null && how.useT5 ? await runEncoder(t5, prompt, how, lastHidden(t5.session), null) : null;
			const tail = long?.rows ?? new Float32Array(T5_TOKENS * width);
			const hidden = concat([clipRows, tail]);
			return {
				hidden,
				tokens: hidden.length / width,
				width,
				pooled: concat(parts.map((p) => p.pooled as Float32Array)),
				// T5 reads on where CLIP stops, so only words beyond T5 are lost for good
				cut: long?.cut ?? firstCut(parts),
			};
		},
	};
}

/** All zeros in the shape of `like`. */
export function zeroEmbedding(like: TextEmbedding): TextEmbedding {
	return {
		...like,
		hidden: new Float32Array(like.hidden.length),
		pooled: like.pooled === null ? null : new Float32Array(like.pooled.length),
		cut: [],
	};
}

/** Keeps the embeddings of recent prompts; people vary seeds far more often than words. */
export class EmbeddingCache {
	readonly #entries = new Map<string, TextEmbedding>();
	readonly #encoder: PromptEncoder;
	readonly #capacity: number;

	constructor(encoder: PromptEncoder, capacity = 16) {
		this.#encoder = encoder;
		this.#capacity = capacity;
	}

	/** Rows that a prompt fills where long prompts are read in chunks. */
	rows(prompt: string): number {
		return this.#encoder.rows(prompt);
	}

	async get(prompt: string, how: TextOptions): Promise<TextEmbedding> {
		const key = `${how.useT5 ? 1 : 0}${how.weighted ? how.chunks : 0}:${prompt}`;
		const found = this.#entries.get(key) ?? (await this.#encoder.encode(prompt, how));
		// re-inserting moves the entry to the young end of the map's order
		this.#entries.delete(key);
		this.#entries.set(key, found);
		const [oldest] = this.#entries.keys();
		if (this.#entries.size > this.#capacity && oldest !== undefined) this.#entries.delete(oldest);
		return found;
	}
}
