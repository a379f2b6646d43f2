/**
 * Asks the content policy about prompts and pictures.
 * @module
 */
import { HOOK_LIMITS as L, LimnerError, refuse, type JobSpec, type Refusal } from '@limner/shared';
import { z } from 'zod';
import { callHook } from '../hooks/call.ts';
import type { AppContext } from '../lib/context.ts';
import { contentPolicy, type ContentPolicy } from './config.ts';
import { judgeWords, type Verdict } from './words.ts';

type Hook = NonNullable<ContentPolicy['hook']>;

const Answer = z.looseObject({ action: z.enum(['allow', 'flag', 'refuse']), reason: z.string().optional() });

const NO_REASON = { flag: 'the content policy flagged it', refuse: 'the content policy refuses it' } as const;

/** `failed`: the hook did not answer, and its setting says that nothing passes then. */
type Asked = Verdict | { action: 'failed' };

const ask = async (c: AppContext, hook: Hook, type: string, data: object): Promise<Asked> => {
	const answer = await callHook(c.env, { kind: 'content', url: hook.url, type, data, timeoutMs: hook.timeoutMs });
	const said = answer.ok ? Answer.safeParse(answer.body) : undefined;
	if (said?.success === true) {
		const { action, reason } = said.data;
		return action === 'allow' ? { action } : { action, reason: (reason ?? NO_REASON[action]).slice(0, L.reasonChars) };
	}
	const why = answer.ok ? 'its answer is not {"action": "allow" | "flag" | "refuse"}' : answer.why;
	c.get('log').warn('the content policy hook did not decide', { why, onFailure: hook.onFailure });
	return hook.onFailure === 'allow' ? { action: 'allow' } : { action: 'failed' };
};

const UNAVAILABLE = 'the content policy cannot be asked at this moment; try again later';

const refusalOf = (asked: Asked): Refusal | undefined => {
	if (asked.action === 'failed') return refuse('retry_later', UNAVAILABLE, { retryAfterS: L.retryAfterS });
	return asked.action === 'refuse' ? refuse('content_refused', asked.reason) : undefined;
};

export interface JudgedPrompt {
	/** The spec, with what was flagged of it. */
	spec: JobSpec;
	/** Decided by the workspace, after it has looked whether the same request was accepted before. */
	refusal?: Refusal;
}

/**
 * What the policy says of a job before it is taken.
 * @throws {LimnerError} `not_ready` when the policy cannot be read
 */
export const judgePrompt = async (c: AppContext, given: JobSpec): Promise<JudgedPrompt> => {
	// A retry brings what was said of the first try.
	const { flagged: _before, ...spec } = given;
	const policy = contentPolicy(c.env.CONTENT_POLICY);
	if (policy === undefined || (spec.taskType ?? 'GENERAL') !== 'GENERAL') return { spec };
	const listed = judgeWords(policy, spec.prompt);
	const { model, task, prompt, negativePrompt } = spec;
	const data = { workspaceId: c.get('principal').ws, model, task, prompt, negativePrompt };
	const asked: Asked =
		listed.action === 'refuse' || policy.hook?.prompts !== true ? listed : await ask(c, policy.hook, 'content.prompt', data);
	const refusal = refusalOf(asked);
	const flagged = [listed, asked].flatMap((verdict) => (verdict.action === 'flag' ? [verdict.reason] : []));
	return {
		spec: flagged.length === 0 ? spec : { ...spec, flagged: [...new Set(flagged)] },
		...(refusal === undefined ? {} : { refusal }),
	};
};

/** Whether pictures are asked about at all. */
export const judgesPictures = (setting: string): boolean => contentPolicy(setting)?.hook?.results === true;

export interface JudgedPicture {
	ws: string;
	jobId: string;
	index: number;
	prompt: string;
	/** Signed; works for an hour. */
	url: string;
	sha256: string;
	contentType: string;
	width: number;
	height: number;
}

/**
 * What the policy says of a picture, before it becomes the result.
 * @throws {LimnerError} `retry_later` when the hook does not answer and is set to refuse: the node sends the picture again
 */
export const judgePicture = async (c: AppContext, { ws, ...picture }: JudgedPicture): Promise<Verdict> => {
	const hook = contentPolicy(c.env.CONTENT_POLICY)?.hook;
	if (hook?.results !== true) return { action: 'allow' };
	const asked = await ask(c, hook, 'content.picture', { workspaceId: ws, ...picture });
	if (asked.action === 'failed') throw new LimnerError('retry_later', { detail: UNAVAILABLE, retryAfterS: L.retryAfterS });
	return asked;
};
