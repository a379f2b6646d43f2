import { fileURLToPath } from 'node:url';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { ClipTokenizer, T5Tokenizer } from '../tokenizers/index.ts';
import { applyWeights, countRows, promptRows } from './rows.ts';

const models = fileURLToPath(new URL('../../../../tests/reference/models', import.meta.url));
const clip = await ClipTokenizer.load(`${models}/sd-1.5/tokenizer`);
const t5 = await T5Tokenizer.load(`${models}/sd-3/tokenizer_3`);
const weighted = { useT5: true, weighted: true, chunks: 1 };
const plain = { ...weighted, weighted: false };
const words = (n: number): string => Array.from({ length: n }, () => 'castle').join(' ');
const sum = (x: Float32Array): number => x.reduce((a, b) => a + b, 0);
const castle = clip.tokenize('castle')[0];

test('a short prompt without weights gives the same row in both modes', () => {
	for (const tokenizer of [clip, t5]) {
		const row = promptRows(tokenizer, 'a red castle', weighted);
		expect(row).toEqual(promptRows(tokenizer, 'a red castle', plain));
		expect(row.rows[0]?.weights).toBeNull();
	}
});

test('weights lie on the tokens of their words, special tokens keep 1', () => {
	const [row] = promptRows(clip, 'a (red castle:1.5)', weighted).rows;
	expect(row?.ids.slice(0, 4)).toEqual(clip.encode('a red castle').ids.slice(0, 4));
	expect(Array.from(row?.weights ?? []).slice(0, 6)).toEqual([1, 1, 1.5, 1.5, 1, 1]);
	expect(row?.weights).toHaveLength(77);
	const [long] = promptRows(t5, '(a:2) lighthouse', weighted).rows;
	expect(long?.weights?.[0]).toBe(2);
	expect(long?.weights?.[t5.tokenize('a').length]).toBe(1);
});

test('75 words fill one row, 76 need two, and each row has its own start and end', () => {
	expect([0, 1, 75, 76, 150, 151].map((n) => countRows(clip, words(n)))).toEqual([1, 1, 1, 2, 2, 3]);
	const { rows, cut } = promptRows(clip, `${words(75)} (castle:0.5)`, weighted);
	expect(rows.map((r) => r.ids.length)).toEqual([77, 77]);
	expect(rows.map((r) => r.ids.filter((id) => id === castle).length)).toEqual([75, 1]);
	expect(rows.map((r) => r.ids[0])).toEqual([857, 857]);
	expect(rows[0]?.ids[76]).toBe(858);
	expect(rows.map((r) => r.weights?.[1])).toEqual([undefined, 0.5]);
	expect(cut).toEqual([]);
	expect(promptRows(clip, 'castle', { ...weighted, chunks: 3 }).rows).toHaveLength(3);
	expect(promptRows(clip, words(76), plain)).toMatchObject({ cut: ['castle'] });
});

test('T5 has one row whatever happens', () => {
	const long = 'lighthouse '.repeat(300);
	expect(countRows(t5, long)).toBe(1);
	const { rows, cut } = promptRows(t5, long, { ...weighted, chunks: 3 });
	expect(rows).toHaveLength(1);
	expect(cut.length).toBeGreaterThan(10);
});

test('weighting keeps the mean and the ratios between positions', () => {
	fc.assert(
		fc.property(fc.integer({ min: 1, max: 9 }), fc.integer({ min: 1, max: 5 }), fc.integer(), (tokens, width, seed) => {
			const before = Float32Array.from({ length: tokens * width }, (_, i) => 1 + ((Math.imul(i + 1, seed | 1) >>> 8) % 97) / 40);
			const weights = Float32Array.from({ length: tokens }, (_, i) => 0.5 + i / 4);
			const rows = before.slice();
			applyWeights(rows, weights);
			expect(sum(rows) / sum(before)).toBeCloseTo(1, 4);
			const factors = Array.from(rows, (v, i) => v / (before[i] ?? 0) / (weights[Math.floor(i / width)] ?? 0));
			expect(Math.max(...factors) / Math.min(...factors)).toBeCloseTo(1, 4);
		}),
	);
});

test('a mean of zero leaves the weighted values alone', () => {
	const rows = Float32Array.of(1, -1, 1, -1);
	applyWeights(rows, Float32Array.of(2, 1));
	expect(Array.from(rows)).toEqual([2, -2, 1, -1]);
});
