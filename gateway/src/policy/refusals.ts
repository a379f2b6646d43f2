/**
 * Refused prompts in the ledger: who asked for what kind of thing when, and why it was refused, without the prompt itself.
 * @module
 */
import { createHmac } from 'node:crypto';
import { toError, type JobSpec, type LimnerError, type Refusal } from '@limner/shared';
import { recordAction } from '../lib/audit.ts';
import type { AppContext } from '../lib/context.ts';
import { describeError } from '../lib/log.ts';

const HOUR_MS = 3_600_000;
/** 128 bits: enough to tell prompts apart. */
const HASH_CHARS = 32;

/**
 * Tells whether two refused prompts of a workspace were the same. Keyed with the gateway's secret: without it nobody can
 * find a prompt by trying likely ones.
 */
export const promptHash = (secret: string, ws: string, prompt: string): string => {
	const key = createHmac('sha256', secret).update('limner/v1/refused-prompt').digest();
	return createHmac('sha256', key)
		.update(JSON.stringify([ws, prompt]))
		.digest('hex')
		.slice(0, HASH_CHARS);
};

/** Detail of the ledger's entry. Nobody agreed to have a refused prompt kept, so neither it nor the words that were found are. */
export const refusedDetail = (spec: JobSpec, hash: string): Record<string, unknown> => ({
	promptHash: hash,
	promptChars: spec.prompt.length,
	model: spec.model,
	task: spec.task,
});

/**
 * The error of a refused submit, after it was written down when the content policy refused it. The same prompt of the same
 * caller again within the hour is no second entry while the first is among the latest ones. That it cannot be written down
 * changes nothing for the caller.
 */
export const refusedSubmit = async (c: AppContext, refusal: Refusal, spec: JobSpec | undefined): Promise<LimnerError> => {
	if (refusal.code === 'content_refused' && spec !== undefined) {
		const { ws, keyId, account } = c.get('principal');
		const hash = promptHash(c.env.LIMNER_SECRET, ws, spec.prompt);
		const id = `refused-${account?.id ?? keyId}-${hash}-${Math.floor(Date.now() / HOUR_MS)}`;
		try {
			await recordAction(c, 'prompt.refuse', `prompt:${hash}`, refusedDetail(spec, hash), id);
		} catch (error) {
			c.get('log').error('a refused prompt could not be written into the ledger', describeError(error));
		}
	}
	return toError(refusal);
};
