/**
 * Makes mutants of JavaScript text: every numeric literal, every sign, and every draw of random numbers.
 * @module
 */

/** One change of one file. */
export interface Mutant {
	file: string;
	/** 1-based line in the file, the same in the TypeScript source. */
	line: number;
	what: string;
	/** The whole changed text. */
	text: string;
}

interface Token {
	kind: 'number' | 'word' | 'sign';
	start: number;
	text: string;
}

/** Comments, strings, numbers, words and signs, in this order; templates are messages and are skipped whole. */
const TOKENS =
	/(\/\/[^\n]*|\/\*[\s\S]*?\*\/|'(?:\\.|[^'\\])*'|"(?:\\.|[^"\\])*"|`(?:\\.|[^`\\])*`)|(0x[\da-f]+n?|(?:\d[\d_]*\.?\d*|\.\d+)(?:e[+-]?\d+)?n?)|([\p{L}_$#][\p{L}\p{N}_$]*)|(\+\+|--|\+=|-=|[+-])|([^\s])/giu;

interface Scanned {
	tokens: Token[];
	/** The last significant character before each token, to tell a sign from an operator. */
	before: string[];
}

const scan = (text: string): Scanned => {
	const tokens: Token[] = [];
	const before: string[] = [];
	let last = '';
	for (const match of text.matchAll(TOKENS)) {
		const [whole, skipped, number, word, sign] = match;
		const kind = number !== undefined ? 'number' : word !== undefined ? 'word' : sign !== undefined ? 'sign' : null;
		if (kind !== null) {
			tokens.push({ kind, start: match.index, text: whole });
			before.push(last);
		}
		if (skipped === undefined || !skipped.startsWith('/')) last = word ?? whole.at(-1) ?? '';
	}
	return { tokens, before };
};

const lineAt = (text: string, at: number): number => text.slice(0, at).split('\n').length;

/** Another number close by: whole numbers one more, fractions one percent more. */
const otherNumber = (literal: string): string => {
	const plain = literal.replaceAll('_', '');
	if (plain.endsWith('n')) return `${BigInt(plain.slice(0, -1)) + 1n}n`;
	const value = Number(plain);
	if (/^0x/i.test(plain)) return `0x${(value + 1).toString(16)}`;
	return /[.e]/i.test(plain) ? String(value * 1.01) : String(value + 1);
};

/** After these a plus or minus belongs to the number behind it. */
const UNARY_AFTER = /^(?:[([{,;:?=<>!&|+\-*/%~]|return|case|)$/;
const OPPOSITE: Readonly<Record<string, string>> = { '+': '-', '-': '+', '+=': '-=', '-=': '+=' };

const changeOf = ({ kind, text }: Token, before: string): string | undefined => {
	if (kind === 'number') return otherNumber(text);
	if (kind !== 'sign' || text === '++' || text === '--') return undefined;
	return (text === '-' || text === '+') && UNARY_AFTER.test(before) ? ' ' : OPPOSITE[text];
};

const literalMutants = (file: string, text: string): Mutant[] => {
	const { tokens, before } = scan(text);
	return tokens.flatMap((token, i): Mutant[] => {
		const to = changeOf(token, before[i] ?? '');
		if (to === undefined) return [];
		const changed = text.slice(0, token.start) + to + text.slice(token.start + token.text.length);
		return [{ file, line: lineAt(text, token.start), what: `${token.text} → ${to.trim() === '' ? '(removed)' : to}`, text: changed }];
	});
};

/** Calls that take numbers from a generator. */
const DRAW = /\bthis\.(?:uint32|#uniform24|#uniform53|#normal)\(\)|\bnoise\.randn\([^()]*\)/g;

/** Where the statement around `at` begins. */
const statementStart = (text: string, at: number): number => text.lastIndexOf('\n', at) + 1;

const drawMutants = (file: string, text: string): Mutant[] => {
	const calls = [...text.matchAll(DRAW)].map((match) => ({ call: match[0], at: match.index }));
	const mutants: Mutant[] = [];
	for (const [i, { call, at }] of calls.entries()) {
		const line = lineAt(text, at);
		const put = (what: string, expression: string): number =>
			mutants.push({ file, line, what, text: text.slice(0, at) + expression + text.slice(at + call.length) });
		put(`${call} drawn twice`, `(${call}, ${call})`);
		if (call.startsWith('noise.')) put(`${call} not drawn`, call.replace('noise.randn', 'new Float32Array'));
		const next = calls[i + 1];
		// only calls of one function follow each other in time
		if (next === undefined || /\n\t?\}\n/.test(text.slice(at, next.at))) continue;
		const before = statementStart(text, at);
		const hoisted = `const swapped = ${next.call};\n`;
		const swapped = `${text.slice(0, before)}${hoisted}${text.slice(before, next.at)}swapped${text.slice(next.at + next.call.length)}`;
		mutants.push({ file, line, what: `${call} and ${next.call} swapped`, text: swapped });
	}
	return mutants;
};

/** All mutants of one file, in the order of the text. */
export const mutantsOf = (file: string, text: string): Mutant[] => [...literalMutants(file, text), ...drawMutants(file, text)];
