import { describe, expect, it } from 'vitest';
import { contentPolicy, type ContentPolicy } from './config.ts';
import { judgeWords, normalText } from './words.ts';

const policy = (json: object): ContentPolicy => contentPolicy(JSON.stringify(json))!;

describe('contentPolicy', () => {
	it('is off by default', () => expect([contentPolicy(''), contentPolicy('  ')]).toEqual([undefined, undefined]));

	it('lets nothing pass when it cannot be read, and says what to mend', () => {
		for (const [text, why] of [
			['{', /CONTENT_POLICY/],
			['{"words":{"refuze":["x"]}}', /words.*refuze/],
			['{"patterns":{"refuse":["("]}}', /patterns.refuse.0: is no regular expression/],
			['{"hook":{"url":"https://example.com/"}}', /hook.onFailure/],
			['{"hook":{"url":"https://example.com/","onFailure":"allow","timeoutMs":60000}}', /hook.timeoutMs/],
		] as const) {
			expect(() => contentPolicy(text)).toThrow(why);
		}
	});

	it('fills in the rest of a hook', () => {
		expect(policy({ hook: { url: 'https://example.com/', onFailure: 'refuse' } }).hook).toMatchObject({
			prompts: true,
			results: false,
			timeoutMs: 3000,
		});
	});
});

describe('judgeWords', () => {
	const rules = policy({
		words: { refuse: ['ass', 'Red  Flag', 'c++'], flag: ['knife'] },
		patterns: { refuse: ['gore{2,}'], flag: [String.raw`\bgun\w*`] },
	});
	it.each([
		['a glass castle', 'allow'],
		['an ASS in a field', 'refuse'],
		['a red\n flag', 'refuse'],
		['a red flagpole', 'allow'],
		['code in C++, on paper', 'refuse'],
		['an a\u200Bs\u200Bs', 'refuse'],
		['an \uFF41\uFF53\uFF53', 'refuse'],
		['a Knife', 'flag'],
		['Gunpowder', 'flag'],
		['GOREEE', 'refuse'],
		['gor', 'allow'],
		['a knife and an ass', 'refuse'],
	] as const)('%j: %s', (prompt, action) => expect(judgeWords(rules, prompt).action).toBe(action));

	it('says which word it was', () => {
		expect(judgeWords(rules, 'an ass')).toEqual({ action: 'refuse', reason: 'the prompt has "ass"' });
	});

	it('has nothing against anything without lists', () => {
		expect(judgeWords(policy({ hook: { url: 'https://e.com/', onFailure: 'allow' } }), 'x')).toEqual({ action: 'allow' });
	});
});

it('normalText leaves the words as they are', () => expect(normalText('Ünï  Code')).toBe('ünï code'));
