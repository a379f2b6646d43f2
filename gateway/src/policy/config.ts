/**
 * The content policy as the operator writes it: the setting `CONTENT_POLICY`, JSON.
 * @module
 */
import { HOOK_LIMITS as L, LimnerError } from '@limner/shared';
import { z } from 'zod';

const Rule = z.string().trim().min(1).max(L.ruleChars);
const isPattern = (text: string): boolean => {
	try {
		return new RegExp(text, 'iu') instanceof RegExp;
	} catch {
		return false;
	}
};
const Words = z.array(Rule).max(L.rulesMax).default([]);
const Patterns = z.array(Rule.refine(isPattern, 'is no regular expression')).max(L.rulesMax).default([]);

const Hook = z.strictObject({
	url: z.url().max(2000),
	/** Ask before a job is taken. */
	prompts: z.boolean().default(true),
	/** Ask about each picture before it becomes the result. */
	results: z.boolean().default(false),
	timeoutMs: z.int().min(L.timeoutMinMs).max(L.timeoutMaxMs).default(L.timeoutDefaultMs),
	/** What holds when the hook does not answer: `allow` (open) or `refuse` (closed). */
	onFailure: z.enum(['allow', 'refuse']),
});

export const ContentPolicy = z.strictObject({
	/** Whole words or phrases, whatever their case. */
	words: z.strictObject({ refuse: Words, flag: Words }).partial().optional(),
	/** Regular expressions, whatever the case. */
	patterns: z.strictObject({ refuse: Patterns, flag: Patterns }).partial().optional(),
	hook: Hook.optional(),
});
export type ContentPolicy = z.infer<typeof ContentPolicy>;

let known: { text: string; policy: ContentPolicy | undefined } = { text: '', policy: undefined };

const read = (text: string): ContentPolicy => {
	const given = ContentPolicy.safeParse(JSON.parse(text));
	if (given.success) return given.data;
	throw new RangeError(given.error.issues.map(({ path, message }) => `${path.join('.')}: ${message}`).join('; '));
};

/**
 * The policy; `undefined` when there is none. Read once for each value.
 * @throws {LimnerError} `not_ready` when it cannot be read: nothing may pass a policy that somebody meant to have
 */
export const contentPolicy = (setting: string): ContentPolicy | undefined => {
	if (setting.trim() === '') return undefined;
	if (known.text === setting) return known.policy;
	try {
		known = { text: setting, policy: read(setting) };
		return known.policy;
	} catch (cause) {
		const why = cause instanceof Error ? cause.message : 'unreadable';
		throw new LimnerError('not_ready', { detail: `the operator has to mend the setting CONTENT_POLICY: ${why}`, cause });
	}
};
