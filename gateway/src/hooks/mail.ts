/**
 * Mails: the gateway sends none itself. With `EMAIL_HOOK_URL` the operator's own service is told whom to send which link.
 * @module
 */
import { HOOK_LIMITS as L } from '@limner/shared';
import type { AppContext } from '../lib/context.ts';
import { callHook } from './call.ts';

/** `off`: there is no hook, so the link has to be handed over by whoever made it. */
export const MAIL_STATES = ['sent', 'failed', 'off'] as const;
export type MailState = (typeof MAIL_STATES)[number];

export interface Mail {
	kind: 'password-reset' | 'invitation';
	to: string;
	/** The link; works once. */
	url: string;
	/** Milliseconds since the epoch. */
	expiresAt: number;
	/** Who is invited where, for the text. */
	workspace?: { id: string; name: string };
	role?: string;
}

export const hasMail = (c: AppContext): boolean => c.env.EMAIL_HOOK_URL !== ('' as string);

/** Asks the hook to send a mail. Never throws: a mail that was not sent must not undo what it is about. */
export const sendMail = async (c: AppContext, { kind, expiresAt, ...data }: Mail): Promise<MailState> => {
	const url: string = c.env.EMAIL_HOOK_URL;
	if (url === '') return 'off';
	const call = { kind: 'email', url, type: `email.${kind}`, data: { ...data, expiresAt: new Date(expiresAt).toISOString() } } as const;
	const answer = await callHook(c.env, { ...call, timeoutMs: L.timeoutMaxMs });
	if (answer.ok) return 'sent';
	c.get('log').warn('the e-mail hook did not take a mail', { mail: kind, why: answer.why });
	return 'failed';
};
