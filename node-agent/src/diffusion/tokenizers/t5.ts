import { join } from 'node:path';
import { Tokenizer } from '@huggingface/tokenizers';
import { readJsonFile } from '../files.ts';
import type { PromptTokenizer, TokenRow } from './types.ts';

/** Tokens of the T5 prompt in Stable Diffusion 3 pipelines. */
const T5_LENGTH = 256;

interface AddedToken {
	id: number;
	content: string;
}

interface TokenizerJson {
	added_tokens?: AddedToken[];
	model?: { vocab?: unknown[] | Record<string, unknown> };
}

interface TokenizerConfig {
	pad_token?: string | { content: string };
	eos_token?: string | { content: string };
}

/** SentencePiece (Unigram) tokenizer of T5 text encoders, from tokenizer.json. */
export class T5Tokenizer implements PromptTokenizer {
	readonly length = T5_LENGTH;
	readonly room = T5_LENGTH - 1;
	readonly largestId: number;
	readonly size: number;
	/** Its positions are relative, but the reference never gives it a second row. */
	readonly chunked = false;
	readonly #tokenizer: Tokenizer;
	readonly #padId: number;
	readonly #eosId: number;

	private constructor(tokenizer: Tokenizer, padId: number, eosId: number, largestId: number) {
		this.largestId = largestId;
		this.size = largestId + 1;
		this.#tokenizer = tokenizer;
		this.#padId = padId;
		this.#eosId = eosId;
	}

	/**
	 * Reads a tokenizer folder that holds tokenizer.json (a bare spiece.model is not enough).
	 * @throws ModelFolderError when a file is missing or broken
	 */
	static async load(folder: string): Promise<T5Tokenizer> {
		const json = await readJsonFile<TokenizerJson>(join(folder, 'tokenizer.json'));
		const config = await readJsonFile<TokenizerConfig>(join(folder, 'tokenizer_config.json'), {});
		const idOf = (entry: TokenizerConfig['pad_token'], fallback: string, otherwise: number): number => {
			const text = typeof entry === 'string' ? entry : (entry?.content ?? fallback);
			return json.added_tokens?.find((t) => t.content === text)?.id ?? otherwise;
		};
		const tokenizer = new Tokenizer(json, config);
		const { vocab = {} } = json.model ?? {};
		// a list of pieces, or pieces by name: either way ids are dense
		const pieces = Array.isArray(vocab) ? vocab.length : Object.keys(vocab).length;
		const largest = Math.max(pieces - 1, ...(json.added_tokens ?? []).map((t) => t.id));
		return new T5Tokenizer(tokenizer, idOf(config.pad_token, '<pad>', 0), idOf(config.eos_token, '</s>', 1), largest);
	}

	encode(prompt: string): TokenRow {
		const body = this.tokenize(prompt);
		return { ids: this.row(body.slice(0, this.room)).ids, cut: this.words(body.slice(this.room)) };
	}

	tokenize(text: string): number[] {
		return Array.from(this.#tokenizer.encode(text, { add_special_tokens: false }).ids, Number);
	}

	row(ids: readonly number[]): { ids: number[]; start: number } {
		const row = [...ids, this.#eosId];
		while (row.length < this.length) row.push(this.#padId);
		return { ids: row, start: 0 };
	}

	words(ids: readonly number[]): string[] {
		if (ids.length === 0) return [];
		return this.#tokenizer
			.decode([...ids], { skip_special_tokens: true })
			.replaceAll('▁', ' ')
			.split(' ')
			.filter(Boolean);
	}

	/** A SentencePiece vocabulary covers every word by pieces it was trained on. */
	unknownWords(): string[] {
		return [];
	}
}
