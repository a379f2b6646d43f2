import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { InvalidRequestError } from '../errors.ts';
import { parseWeights, refuseAddOns } from './weights.ts';

/** Stretches as `text*weight`, weights to four digits. */
const read = (prompt: string): string[] => parseWeights(prompt).map((s) => `${s.text}*${Number(s.weight.toFixed(4))}`);

test.each([
	['a red castle', ['a red castle*1']],
	['', []],
	['a (red) castle', ['a *1', 'red*1.1', ' castle*1']],
	['((red))', ['red*1.21']],
	['[red]', ['red*0.9091']],
	['[[red]]', ['red*0.8264']],
	['(red:1.5)', ['red*1.5']],
	['(red : .5 )', ['red *0.5']],
	['(red:-1)', ['red*-1']],
	['(a (red:2) castle:1.5)', ['a *1.5', 'red*3', ' castle*1.5']],
	['([red])', ['red*1']],
	['\\(red\\) \\[castle\\] \\\\', ['(red) [castle] \\*1']],
	['ratio 16:9, (wide: very)', ['ratio 16:9, *1', 'wide: very*1.1']],
	['(red', ['red*1.1']],
	['[red (castle', ['red *0.9091', 'castle*1']],
	['red) castle]', ['red) castle]*1']],
	['red:1.2) castle', ['red:1.2) castle*1']],
	['(red] castle)', ['red] castle*1.1']],
	['C:\\temp', ['C:\\temp*1']],
	['(🎈:1.3) Zürich', ['🎈*1.3', ' Zürich*1']],
])('%s', (prompt, expected) => {
	expect(read(prompt)).toEqual(expected);
});

test('a text without brackets, backslashes and colons is one stretch, itself', () => {
	fc.assert(
		fc.property(fc.string({ unit: 'grapheme', minLength: 1, maxLength: 80 }), (text) => {
			fc.pre(!/[()[\]\\:]/.test(text));
			expect(parseWeights(text)).toEqual([{ text, weight: 1 }]);
		}),
	);
});

test('any text can be escaped, and no text is lost', () => {
	fc.assert(
		fc.property(fc.string({ unit: 'binary', maxLength: 60 }), (text) => {
			const escaped = text.replace(/[()[\]\\]/g, '\\$&');
			expect(
				parseWeights(escaped)
					.map((s) => s.text)
					.join(''),
			).toBe(text);
		}),
	);
});

test('a weight that nobody means is refused', () => {
	expect(() => parseWeights('(red:11)')).toThrow(InvalidRequestError);
	expect(() => parseWeights('(a (red castle:4):3)')).toThrow(/weight 12 of "red castle"/);
	expect(read('(red:10)')).toEqual(['red*10']);
	expect(read('(red:-10)')).toEqual(['red*-10']);
});

test.each([
	['a castle <lora:pixel-art:0.8>', /LoRA "pixel-art".*take <lora:pixel-art:0\.8> out/],
	['<LyCO:x>', /LyCORIS "x"/],
	['< hypernet : net :1>', /hypernetwork "net"/],
])('%s is refused by name', (prompt, message) => {
	expect(() => refuseAddOns(prompt)).toThrow(InvalidRequestError);
	expect(() => refuseAddOns(prompt)).toThrow(message);
});

test('other angle brackets are text', () => {
	for (const prompt of ['a <b> c', 'lora: x', '<3 castles', '<lorax:1>']) expect(() => refuseAddOns(prompt)).not.toThrow();
});
