/** A row of token ids, and the words that did not fit into it. */
export interface TokenRow {
	ids: number[];
	/** Words that fell off the end, in order. */
	cut: string[];
}

/** Turns a prompt into a fixed-length row of token ids. */
export interface PromptTokenizer {
	/** Length of the row that `encode` returns. */
	readonly length: number;
	/** Ids of text that fit into one row beside the special tokens. */
	readonly room: number;
	/** The largest id that it can give. */
	readonly largestId: number;
	/** How many different ids it can give. */
	readonly size: number;
	/** Whether the encoder behind it may read a long text row by row. */
	readonly chunked: boolean;
	/** Ids of `prompt`, cut or padded to `length`. */
	encode(prompt: string): TokenRow;
	/** Ids of the text alone: no special tokens, no limit. */
	tokenize(text: string): number[];
	/** At most `room` ids with special tokens and padding around them. */
	row(ids: readonly number[]): { ids: number[]; /** Position of the first of the given ids. */ start: number };
	/** Words of ids, for messages. */
	words(ids: readonly number[]): string[];
	/** Words of the prompt that the vocabulary never learnt as a whole, in order, once each. */
	unknownWords(prompt: string): string[];
}
