import { InvalidRequestError } from '../errors.ts';
import type { GenerateRequest } from '../request.ts';
import type { Components } from './components.ts';
import type { TextOptions } from './rows.ts';
import { zeroEmbedding, type TextEmbedding } from './text.ts';

/** Conditioning of both prompts; `negative` is null where no guidance is applied. */
export interface Conditioning {
	positive: TextEmbedding;
	negative: TextEmbedding | null;
}

type Parts = Pick<Components, 'embeddings' | 'denoiser' | 'zerosForMissing'>;

/**
 * Encodes the prompts of a request.
 * @throws InvalidRequestError when the network reads a fixed number of tokens and the prompt has more
 */
export async function embedPrompts(parts: Parts, request: GenerateRequest): Promise<Conditioning> {
	const { embeddings, denoiser, zerosForMissing } = parts;
	const { prompt, negativePrompt } = request;
	// distilled networks take the guidance scale as an input and need no second row
	const guided = request.guidance > 1 && !denoiser.inputs.has('timestep_cond');
	const zeros = negativePrompt === null && zerosForMissing;
	const other = guided && !zeros ? (negativePrompt ?? '') : null;
	const how = textOptions(parts, request, other);
	const positive = await embeddings.get(prompt, how);
	requireLength(denoiser, positive.tokens);
	if (!guided) return { positive, negative: null };
	return { positive, negative: other === null ? zeroEmbedding(positive) : await embeddings.get(other, how) };
}

/** Both prompts get as many rows as the longer one needs. */
function textOptions({ embeddings }: Parts, { prompt, promptMode, useT5 = true }: GenerateRequest, other: string | null): TextOptions {
	if (promptMode !== 'weighted') return { useT5, weighted: false, chunks: 1 };
	return { useT5, weighted: true, chunks: Math.max(embeddings.rows(prompt), other === null ? 1 : embeddings.rows(other)) };
}

function requireLength(denoiser: Parts['denoiser'], tokens: number): void {
	const fixed = denoiser.inputs.get('encoder_hidden_states')?.shape[1];
	if (typeof fixed === 'number' && fixed !== tokens) {
		throw new InvalidRequestError(`This model's export reads exactly ${fixed} tokens, not ${tokens}; shorten the prompt.`);
	}
}

/** Characters of cut words that a warning quotes. */
const QUOTED_CHARS = 160;

function quote(words: readonly string[]): string {
	const all = words.join(' ');
	return all.length <= QUOTED_CHARS ? `"${all}"` : `"${all.slice(0, QUOTED_CHARS)}…" (${words.length} words in all)`;
}

/** Sentences about words that the model will not see; `chunked`: the weighted mode would read them. */
export function cutWarnings({ positive, negative }: Conditioning, chunked: boolean): string[] {
	const advice = chunked ? ' promptMode "weighted" reads all of it.' : '';
	const warn = (what: string, cut: readonly string[] = []): string[] =>
		cut.length === 0 ? [] : [`The ${what} is longer than the model reads; its end was ignored: ${quote(cut)}.${advice}`];
	return [...warn('prompt', positive.cut), ...warn('negative prompt', negative?.cut)];
}
