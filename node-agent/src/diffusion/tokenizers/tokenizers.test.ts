import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import * as fc from 'fast-check';
import { expect, test } from 'vitest';
import { ModelFolderError } from '../errors.ts';
import { ClipTokenizer, loadTokenizer, T5Tokenizer } from './index.ts';

const models = fileURLToPath(new URL('../../../../tests/reference/models', import.meta.url));
const clip = await ClipTokenizer.load(join(models, 'sd-1.5/tokenizer'));
const clipBang = await ClipTokenizer.load(join(models, 'sd-2.1-v/tokenizer'));
const BOS = 857;
const EOS = 858;

test("rows have 77 ids: start, words, end, padding by the model's own pad token", () => {
	const { ids, cut } = clip.encode('a red castle');
	expect(ids).toHaveLength(77);
	expect(ids[0]).toBe(BOS);
	expect(ids.slice(4)).toEqual(Array.from({ length: 73 }, () => EOS));
	expect(cut).toEqual([]);
	const other = clipBang.encode('a red castle').ids;
	expect(other.slice(0, 5)).toEqual(ids.slice(0, 5));
	expect(other.slice(5)).toEqual(Array.from({ length: 72 }, () => 0));
});

test('long prompts keep their end token and say which words were cut', () => {
	const { ids, cut } = clip.encode(`${'castle '.repeat(75)}a red Zürich castle`);
	expect(ids).toHaveLength(77);
	expect(ids[76]).toBe(EOS);
	expect(cut).toEqual(['a', 'red', 'zürich', 'castle']);
});

test('case, spaces and composed characters make no difference', () => {
	expect(clip.tokenize('A  RED\n castle')).toEqual(clip.tokenize('a red castle'));
	expect(clip.tokenize('Zu\u0308rich')).toEqual(clip.tokenize('z\u00fcrich'));
});

test('a pad token that is a character is a token of its own inside a text', () => {
	expect(clipBang.tokenize('castle!')).toEqual([...clipBang.tokenize('castle'), 0]);
	expect(clip.tokenize('castle!').at(-1)).not.toBe(0);
});

test('any text gives ids inside the vocabulary', () => {
	fc.assert(
		fc.property(fc.string({ unit: 'binary', maxLength: 60 }), (text) => {
			const { ids } = clip.encode(text);
			expect(ids).toHaveLength(77);
			expect(ids.every((id) => Number.isInteger(id) && id >= 0 && id < 859)).toBe(true);
		}),
	);
});

test('unknown words are reported once, in order, without numbers and signs', () => {
	expect(clip.unknownWords('A cyberpunk castle, 8k, cyberpunk dragon at sunset!')).toEqual(['cyberpunk', 'dragon']);
	expect(clip.unknownWords('a red castle in the mountains')).toEqual([]);
});

test('a vocabulary of full size knows all words', async () => {
	const vocab = new Map(Array.from({ length: 40_000 }, (_, i): [string, number] => [`t${i}`, i]));
	const big = new ClipTokenizer({ vocab, ranks: new Map(), added: new Map([['<|endoftext|>', 1]]), padId: 0, length: 77 });
	expect(big.unknownWords('anything at all')).toEqual([]);
});

test('T5 pads to 256, ends with its end token, and cuts long prompts before it', async () => {
	const t5 = await T5Tokenizer.load(join(models, 'sd-3/tokenizer_3'));
	const { ids, cut } = t5.encode('a lighthouse on a cliff');
	expect(ids).toHaveLength(256);
	expect(ids[5]).toBe(0);
	expect(ids[6]).toBe(1);
	expect(cut).toEqual([]);
	const long = t5.encode('a lighthouse '.repeat(300));
	expect(long.ids).toHaveLength(256);
	expect(long.ids.at(-1)).toBe(0);
	expect(long.cut.at(-1)).toBe('lighthouse');
	expect(t5.unknownWords()).toEqual([]);
});

test('broken folders say which file is wrong', async () => {
	const folder = await mkdtemp(join(tmpdir(), 'tokenizer-'));
	try {
		await expect(loadTokenizer(folder)).rejects.toThrow(/vocab\.json is missing/);
		await writeFile(join(folder, 'vocab.json'), '{"a": 0}');
		await expect(loadTokenizer(folder)).rejects.toThrow(/lacks the token/);
		await writeFile(join(folder, 'vocab.json'), '{"a": ');
		await expect(loadTokenizer(folder)).rejects.toThrow(ModelFolderError);
	} finally {
		await rm(folder, { recursive: true });
	}
});
