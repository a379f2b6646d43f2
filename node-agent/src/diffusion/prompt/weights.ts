import { InvalidRequestError } from '../errors.ts';

/** A stretch of a prompt whose tokens all count with the same weight; 1 is neutral. */
export interface Weighted {
	text: string;
	weight: number;
}

/** What one pair of round brackets multiplies by, and what one pair of square brackets divides by. */
export const EMPHASIS = 1.1;
/** Weights beyond this destroy the conditioning; nobody means them. */
export const MAX_WEIGHT = 10;

/** An escaped bracket, an explicit weight with its closing bracket, a bracket, or plain text. */
const PARTS = /\\[()[\]\\]|:\s*[+-]?(?:\d+(?:\.\d*)?|\.\d+)\s*\)|[()[\]]|[^\\()[\]:]+|[\\:]/gu;

type Bracket = '(' | '[';
const FACTORS: Readonly<Record<Bracket, number>> = { '(': EMPHASIS, '[': 1 / EMPHASIS };

/** Collects stretches of text while brackets open and close around them. */
class Stretches {
	readonly #list: Weighted[] = [];
	/** Brackets that are still open, and the number of stretches before each. */
	readonly #open: { bracket: Bracket; from: number }[] = [];
	#text = '';

	read(part: string): void {
		if (part === '(' || part === '[') {
			this.#cut();
			this.#open.push({ bracket: part, from: this.#list.length });
		} else if (part === ')') this.#close('(', EMPHASIS, part);
		else if (part === ']') this.#close('[', 1 / EMPHASIS, part);
		else if (part.startsWith(':') && part.endsWith(')')) this.#close('(', Number(part.slice(1, -1)), part);
		else this.#text += part.startsWith('\\') && part.length > 1 ? part.slice(1) : part;
	}

	/** Ends the prompt: what is still open counts to here. */
	finish(): Weighted[] {
		for (const { bracket, from } of this.#open.toReversed()) this.#multiply(from, FACTORS[bracket]);
		this.#cut();
		return this.#list;
	}

	/** A closing bracket that closes nothing is text. */
	#close(bracket: Bracket, factor: number, text: string): void {
		const last = this.#open.at(-1);
		if (last?.bracket !== bracket) {
			this.#text += text;
			return;
		}
		this.#open.pop();
		this.#multiply(last.from, factor);
	}

	/** Ends the running stretch, so that a later weight cannot reach over the border. */
	#cut(): void {
		if (this.#text !== '') this.#list.push({ text: this.#text, weight: 1 });
		this.#text = '';
	}

	#multiply(from: number, factor: number): void {
		this.#cut();
		for (const stretch of this.#list.slice(from)) stretch.weight *= factor;
	}
}

/**
 * Reads the weights of a prompt: `(text)` × 1.1, `(text:1.3)` × 1.3, `[text]` ÷ 1.1, nested at will; a backslash takes
 * a bracket literally. A bracket that never closes counts to the end; one that closes nothing is text.
 * @throws InvalidRequestError for a weight outside ±10
 */
export function parseWeights(prompt: string): Weighted[] {
	const stretches = new Stretches();
	for (const [part] of prompt.matchAll(PARTS)) stretches.read(part);
	return stretches.finish().map(checked);
}

function checked(stretch: Weighted): Weighted {
	if (!(Math.abs(stretch.weight) <= MAX_WEIGHT)) {
		throw new InvalidRequestError(
			`The weight ${Number(stretch.weight.toFixed(2))} of "${stretch.text.trim()}" in the prompt is outside -${MAX_WEIGHT} to ${MAX_WEIGHT}.`,
		);
	}
	return stretch;
}

/** `<lora:name:1>` and its relatives, as other programs write add-on networks into a prompt. */
const ADD_ON = /<\s*(lora|lyco|lycoris|hypernet)\s*:\s*([^:>]*)[^>]*>/i;
const ADD_ON_NAMES: Readonly<Record<string, string>> = { lora: 'LoRA', lyco: 'LyCORIS', lycoris: 'LyCORIS', hypernet: 'hypernetwork' };

/**
 * Refuses add-on networks instead of dropping them: the picture would not be what was asked for.
 * @throws InvalidRequestError that names the add-on
 */
export function refuseAddOns(prompt: string): void {
	const found = ADD_ON.exec(prompt);
	if (found === null) return;
	const [whole, kind = '', name = ''] = found;
	throw new InvalidRequestError(
		`The prompt asks for the ${ADD_ON_NAMES[kind.toLowerCase()] ?? kind} "${name.trim()}", which cannot be added to an ONNX model while it runs: take ${whole} out of the prompt, or merge it into the model before the export to ONNX.`,
	);
}
