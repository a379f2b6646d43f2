import { join } from 'node:path';
import { ModelFolderError } from '../errors.ts';
import { readJsonFile, readTextFile } from '../files.ts';
import type { PromptTokenizer, TokenRow } from './types.ts';

/** From this size on a vocabulary covers the language, so a word in pieces says nothing about the model. */
const FULL_VOCABULARY = 40_000;
const DEFAULT_LENGTH = 77;
const WORD_END = '</w>';
const BOS = '<|startoftext|>';
const EOS = '<|endoftext|>';
/** CLIP's word splitter (Radford et al. 2021): contractions, letter runs, single digits, runs of anything else. */
const WORDS = /'s|'t|'re|'ve|'m|'ll|'d|\p{L}+|\p{N}|[^\s\p{L}\p{N}]+/gu;

/** A token as tokenizer files write it: a string or an object with its text. */
type TokenEntry = string | { content?: string } | null | undefined;

interface TokenizerConfig {
	model_max_length?: number;
	added_tokens_decoder?: Record<string, TokenEntry>;
	pad_token?: TokenEntry;
}

function tokenText(entry: TokenEntry): string | undefined {
	return typeof entry === 'string' ? entry : entry?.content;
}

function printable(b: number): boolean {
	return (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
}

/** Byte → printable character, so that byte pairs can be written as text (GPT-2's table). */
function byteAlphabet(): string[] {
	let next = 256;
	return Array.from({ length: 256 }, (_, b) => String.fromCharCode(printable(b) ? b : next++));
}

const ALPHABET = byteAlphabet();
const BYTES = new Map(ALPHABET.map((character, byte) => [character, byte]));
const SPACE = 32;

interface ClipFiles {
	vocab: Map<string, number>;
	/** Merge rules "left right" → rank. */
	ranks: Map<string, number>;
	/** Tokens that are matched in the text before splitting into words. */
	added: Map<string, number>;
	padId: number;
	length: number;
}

/** Byte-pair tokenizer of CLIP text encoders, from vocab.json and merges.txt. */
export class ClipTokenizer implements PromptTokenizer {
	readonly length: number;
	readonly room: number;
	readonly largestId: number;
	readonly size: number;
	readonly chunked = true;
	readonly #files: ClipFiles;
	readonly #bos: number;
	readonly #eos: number;
	readonly #addedPattern: RegExp;
	readonly #cache = new Map<string, number[]>();
	/** Id → piece, made when a message first needs it. */
	#pieces: Map<number, string> | undefined;

	constructor(files: ClipFiles) {
		this.#files = files;
		this.length = files.length;
		this.room = files.length - 2;
		const ids = new Set([...files.vocab.values(), ...files.added.values()]);
		this.largestId = [...ids].reduce((a, b) => Math.max(a, b), 0);
		this.size = ids.size;
		this.#bos = files.vocab.get(BOS) ?? 0;
		this.#eos = files.vocab.get(EOS) ?? 0;
		const literal = [...files.added.keys()].map((t) => t.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'));
		this.#addedPattern = new RegExp(`(${literal.join('|')})`, 'u');
	}

	/**
	 * Reads a tokenizer folder.
	 * @throws ModelFolderError when a file is missing, unreadable or holds no usable vocabulary
	 */
	static async load(folder: string): Promise<ClipTokenizer> {
		const vocab = await readVocabulary(join(folder, 'vocab.json'));
		// only the first line is a header: rules that start with # are real
		const lines = (await readTextFile(join(folder, 'merges.txt'))).split('\n').slice(1).filter(Boolean);
		const special = await readJsonFile<TokenizerConfig>(join(folder, 'special_tokens_map.json'), {});
		const config = await readJsonFile<TokenizerConfig>(join(folder, 'tokenizer_config.json'), {});
		const added = addedTokens(vocab, config);
		const pad = tokenText(special.pad_token) ?? tokenText(config.pad_token) ?? EOS;
		return new ClipTokenizer({
			vocab,
			ranks: new Map(lines.map((line, rank) => [line.trimEnd(), rank])),
			added,
			padId: vocab.get(pad) ?? added.get(pad) ?? (vocab.get(EOS) as number),
			// files without a limit write a huge number; the encoder's positions end at 77
			length: Math.min(config.model_max_length ?? DEFAULT_LENGTH, DEFAULT_LENGTH),
		});
	}

	encode(prompt: string): TokenRow {
		const body = this.tokenize(prompt);
		return { ids: this.row(body.slice(0, this.room)).ids, cut: this.words(body.slice(this.room)) };
	}

	row(ids: readonly number[]): { ids: number[]; start: number } {
		const row = [this.#bos, ...ids, this.#eos];
		while (row.length < this.length) row.push(this.#files.padId);
		return { ids: row, start: 1 };
	}

	words(ids: readonly number[]): string[] {
		const pieces = ids.map((id) => this.#piece(id)).join('');
		const bytes = Buffer.from(Array.from(pieces.replaceAll(WORD_END, ' '), (c) => BYTES.get(c) ?? SPACE));
		return bytes.toString('utf8').split(' ').filter(Boolean);
	}

	/** Text of an id in the byte alphabet. */
	#piece(id: number): string {
		this.#pieces ??= new Map([...this.#files.vocab, ...this.#files.added].map(([text, key]) => [key, text]));
		return this.#pieces.get(id) ?? '';
	}

	/** Ids of the text alone: no start, no end, no padding, no limit. */
	tokenize(prompt: string): number[] {
		const ids: number[] = [];
		for (const part of prompt.split(this.#addedPattern)) {
			const added = this.#files.added.get(part);
			if (added === undefined) for (const word of wordsOf(part)) ids.push(...this.#wordIds(word));
			else ids.push(added);
		}
		return ids;
	}

	unknownWords(prompt: string): string[] {
		if (this.#files.vocab.size >= FULL_VOCABULARY) return [];
		const words = wordsOf(prompt).filter((w) => /^\p{L}/u.test(w));
		return [...new Set(words)].filter((w) => !this.#files.vocab.has(toAlphabet(w) + WORD_END));
	}

	#wordIds(word: string): number[] {
		const cached = this.#cache.get(word);
		if (cached !== undefined) return cached;
		const ids = this.#merge(toAlphabet(word)).map((piece) => this.#files.vocab.get(piece) ?? this.#eos);
		this.#cache.set(word, ids);
		// prompts are user input: an unbounded cache would grow for ever
		if (this.#cache.size > 10_000) this.#cache.clear();
		return ids;
	}

	/** Applies the merge rules to one word, lowest rank first (Sennrich et al. 2016, algorithm 1). */
	#merge(word: string): string[] {
		let pieces = Array.from(word);
		pieces.push((pieces.pop() ?? '') + WORD_END);
		while (pieces.length > 1) {
			let best = Number.POSITIVE_INFINITY;
			for (let i = 0; i + 1 < pieces.length; i++) {
				best = Math.min(best, this.#files.ranks.get(`${pieces[i]} ${pieces[i + 1]}`) ?? Number.POSITIVE_INFINITY);
			}
			if (best === Number.POSITIVE_INFINITY) break;
			pieces = this.#mergeRank(pieces, best);
		}
		return pieces;
	}

	/** Joins every pair of the given rank, left to right. */
	#mergeRank(pieces: readonly string[], rank: number): string[] {
		const out: string[] = [];
		for (let i = 0; i < pieces.length; i++) {
			const pair = `${pieces[i]} ${pieces[i + 1]}`;
			if (i + 1 < pieces.length && this.#files.ranks.get(pair) === rank) {
				out.push(`${pieces[i]}${pieces[i + 1]}`);
				i++;
			} else out.push(pieces[i] as string);
		}
		return out;
	}
}

async function readVocabulary(path: string): Promise<Map<string, number>> {
	const vocab = new Map(Object.entries(await readJsonFile<Record<string, number>>(path)));
	for (const token of [BOS, EOS]) {
		if (!vocab.has(token)) throw new ModelFolderError(`${path} lacks the token ${token}; download the tokenizer folder again.`);
	}
	return vocab;
}

/** Tokens that stand for themselves wherever they occur in a text; with the pad token "!" that includes "!". */
function addedTokens(vocab: ReadonlyMap<string, number>, config: TokenizerConfig): Map<string, number> {
	const added = new Map([BOS, EOS].map((token): [string, number] => [token, vocab.get(token) ?? 0]));
	for (const [id, entry] of Object.entries(config.added_tokens_decoder ?? {})) {
		const text = tokenText(entry);
		if (text !== undefined && text !== '') added.set(text, Number(id));
	}
	return added;
}

/** Lower-cased words of a text in CLIP's sense, after NFC normalisation. */
function wordsOf(text: string): string[] {
	return text.normalize('NFC').replace(/\s+/gu, ' ').toLowerCase().match(WORDS) ?? [];
}

function toAlphabet(word: string): string {
	return Array.from(Buffer.from(word, 'utf8'), (b) => ALPHABET[b] as string).join('');
}
