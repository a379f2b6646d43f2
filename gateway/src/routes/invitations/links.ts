/**
 * Links of invitations, and their mails.
 * @module
 */
import { sendMail, type Mail, type MailState } from '../../hooks/mail.ts';
import { baseUrl, type AppContext } from '../../lib/context.ts';
import { workspaceOf } from '../../lib/stubs.ts';

/** The token stands behind the #, which browsers do not send and servers do not log. */
export const invitationUrl = (c: AppContext, token: string): string => `${baseUrl(c.env.PUBLIC_URL, c.req.url)}/#invitation=${token}`;

/** Sends an invitation to the caller's workspace, where there is an e-mail hook. */
export const inviteByMail = async (c: AppContext, mail: Pick<Mail, 'to' | 'role' | 'url' | 'expiresAt'>): Promise<MailState> => {
	const workspace = await workspaceOf(c.env, c.get('principal').ws).workspace();
	return sendMail(c, {
		kind: 'invitation',
		...mail,
		...(workspace === null ? {} : { workspace: { id: workspace.id, name: workspace.name } }),
	});
};
