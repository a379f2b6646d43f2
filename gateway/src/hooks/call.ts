/**
 * Calls to addresses that the operator has set: signed like webhooks, with a time-out, never to a private network unless
 * the operator allows it, and never along a redirect.
 * @module
 */
import { HOOK_LIMITS as L, LIMNER_VERSION, urlProblem } from '@limner/shared';
import { signedHeaders, webhookSecret } from '../delivery/signature.ts';
import { readBounded } from '../storage/body.ts';

export const HOOK_KINDS = ['email', 'content'] as const;
export type HookKind = (typeof HOOK_KINDS)[number];

/** What the hook checks signatures with. Derived, so that nothing has to be stored; no workspace has an empty id. */
export const hookSecret = (gatewaySecret: string, kind: HookKind): string =>
	webhookSecret(gatewaySecret, { ws: '', webhookId: `hook:${kind}`, version: 1 });

export interface HookCall {
	kind: HookKind;
	url: string;
	/** Of the event, like `email.password-reset`. */
	type: string;
	data: unknown;
	timeoutMs: number;
}

/** `body` is parsed JSON, or `undefined` when the answer is none. */
export type HookAnswer = { ok: true; body: unknown } | { ok: false; why: string };

const parse = (bytes: Uint8Array): unknown => {
	try {
		return JSON.parse(new TextDecoder().decode(bytes));
	} catch {
		return undefined;
	}
};

const read = async (response: Response): Promise<HookAnswer> => {
	const bytes = await readBounded(response.body, L.answerBytes);
	if (!response.ok) return { ok: false, why: `it answered ${response.status}` };
	return bytes === 'too_large' ? { ok: false, why: `its answer has more than ${L.answerBytes} bytes` } : { ok: true, body: parse(bytes) };
};

const wordsOf = (error: unknown, timeoutMs: number): string => {
	if (error instanceof Error && error.name === 'TimeoutError') return `no answer within ${timeoutMs} ms`;
	return error instanceof Error ? error.message.slice(0, L.reasonChars) : 'it could not be called';
};

/**
 * Asks a hook once. Never throws; the address is judged here, each time.
 * @param env `LIMNER_SECRET` and `WEBHOOK_ALLOW_PRIVATE`
 */
export const callHook = async (
	env: Pick<Cloudflare.Env, 'LIMNER_SECRET' | 'WEBHOOK_ALLOW_PRIVATE'>,
	{ kind, url, type, data, timeoutMs }: HookCall,
): Promise<HookAnswer> => {
	const allowed: string = env.WEBHOOK_ALLOW_PRIVATE;
	const problem = urlProblem(url, allowed === 'true');
	if (problem !== undefined) return { ok: false, why: `its address is refused: ${problem}` };
	const now = Date.now();
	const body = JSON.stringify({ type, timestamp: new Date(now).toISOString(), data });
	const id = `msg_${crypto.randomUUID().replaceAll('-', '')}`;
	try {
		const response = await fetch(url, {
			method: 'POST',
			redirect: 'manual',
			headers: {
				'content-type': 'application/json',
				'user-agent': `limner-hooks/${LIMNER_VERSION}`,
				...signedHeaders([hookSecret(env.LIMNER_SECRET, kind)], id, now, body),
			},
			body,
			signal: AbortSignal.timeout(timeoutMs),
		});
		return await read(response);
	} catch (error) {
		return { ok: false, why: wordsOf(error, timeoutMs) };
	}
};
