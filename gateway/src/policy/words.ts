/**
 * Words and patterns of a content policy against a text. Pure.
 * @module
 */
import type { ContentPolicy } from './config.ts';

export type Verdict = { action: 'allow' } | { action: 'flag' | 'refuse'; reason: string };

/** Letters that look alike become one, invisible ones go, white space becomes one blank. */
export const normalText = (text: string): string =>
	text
		.normalize('NFKC')
		.replaceAll(/\p{Cf}/gu, '')
		.replaceAll(/\s+/gu, ' ')
		.toLowerCase();

const escaped = (text: string): string => text.replaceAll(/[.*+?^${}()|[\]\\/]/g, String.raw`\$&`);

/** Whole words only: "ass" is not in "glass". */
const wordExpression = (words: readonly string[]): RegExp =>
	new RegExp(String.raw`(?<![\p{L}\p{N}_])(?:${words.map((word) => escaped(normalText(word))).join('|')})(?![\p{L}\p{N}_])`, 'u');

interface Compiled {
	words: RegExp | undefined;
	patterns: RegExp[];
}
const compile = (words: readonly string[] = [], patterns: readonly string[] = []): Compiled => ({
	words: words.length === 0 ? undefined : wordExpression(words),
	patterns: patterns.map((pattern) => new RegExp(pattern, 'iu')),
});

const compiled = new WeakMap<ContentPolicy, { refuse: Compiled; flag: Compiled }>();
const expressionsOf = (policy: ContentPolicy): { refuse: Compiled; flag: Compiled } => {
	const made = compiled.get(policy) ?? {
		refuse: compile(policy.words?.refuse, policy.patterns?.refuse),
		flag: compile(policy.words?.flag, policy.patterns?.flag),
	};
	compiled.set(policy, made);
	return made;
};

const found = ({ words, patterns }: Compiled, text: string): string | undefined => {
	const [word] = words?.exec(text) ?? [];
	if (word !== undefined) return `the prompt has "${word}"`;
	return patterns.some((pattern) => pattern.test(text)) ? 'the prompt fits a pattern of the policy' : undefined;
};

/** What the lists of a policy say of a prompt. Refusing comes before flagging. */
export const judgeWords = (policy: ContentPolicy, prompt: string): Verdict => {
	const { refuse, flag } = expressionsOf(policy);
	const text = normalText(prompt);
	const refused = found(refuse, text);
	if (refused !== undefined) return { action: 'refuse', reason: refused };
	const flagged = found(flag, text);
	return flagged === undefined ? { action: 'allow' } : { action: 'flag', reason: flagged };
};
