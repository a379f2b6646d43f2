import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { ClipTokenizer } from './clip.ts';
import { T5Tokenizer } from './t5.ts';
import type { PromptTokenizer } from './types.ts';

export { ClipTokenizer } from './clip.ts';
export { T5Tokenizer } from './t5.ts';
export type { PromptTokenizer } from './types.ts';

/**
 * Loads the tokenizer of a folder by the files in it: vocab.json + merges.txt → CLIP, otherwise tokenizer.json → T5.
 * @throws ModelFolderError when neither is complete
 */
export async function loadTokenizer(folder: string): Promise<PromptTokenizer> {
	const clip = existsSync(join(folder, 'merges.txt')) || !existsSync(join(folder, 'tokenizer.json'));
	return clip ? ClipTokenizer.load(folder) : T5Tokenizer.load(folder);
}
