/**
 * `POST /api/v1/accounts`, `GET|PATCH|DELETE /api/v1/accounts/me`, and reset links for operators.
 * @module
 */
import { createRoute, z } from '@hono/zod-openapi';
import { ACCOUNT_LIMITS as L, LimnerError, parseOneTime, toError } from '@limner/shared';
import { accountIdOf } from '../../account/email.ts';
import { hashPassword } from '../../account/password.ts';
import {
	accountBody,
	confirmPassword,
	limitSignIns,
	makeAccount,
	membershipBody,
	openSession,
	tokenForSession,
} from '../../account/service.ts';
import { sha256Hex } from '../../lib/canonical.ts';
import { baseUrl, type AppContext } from '../../lib/context.ts';
import { hasMail, MAIL_STATES, sendMail } from '../../hooks/mail.ts';
import { describeError } from '../../lib/log.ts';
import { jsonBody, jsonRequest, jsonResponse, newApp, problems, secured, securedJson } from '../../lib/openapi.ts';
import { accountOf, workspaceOf } from '../../lib/stubs.ts';
import type { InvitationView } from '../../rpc.ts';
import { AccountSchema, Email, MembershipSchema, NewPassword, TokenAnswer } from '../auth/schema.ts';
import { personalWorkspace } from '../workspaces/service.ts';

export const accountsRoutes = newApp();

const Name = z.string().trim().min(1).max(L.nameChars).openapi({ example: 'Ada' });
const AccountRequest = z
	.strictObject({
		email: Email,
		password: NewPassword,
		name: Name.optional(),
		/** Token of an invitation or of a first-owner link. */
		invitation: z.string().min(1).max(300).optional(),
	})
	.openapi('AccountRequest');

interface Link {
	ws: string;
	id: string;
	hash: string;
	view: InvitationView;
}

const peek = async (c: AppContext, token: string): Promise<Link> => {
	const parts = parseOneTime('li', token);
	if (parts === undefined) throw new LimnerError('unauthorized', { detail: 'the invitation is malformed' });
	const hash = sha256Hex(token);
	const answer = await workspaceOf(c.env, parts.owner).peekInvitation(parts.id, hash);
	if (!answer.ok) throw toError(answer);
	return { ws: parts.owner, id: parts.id, hash, view: answer.invitation };
};

/** Who may make an account: SIGNUP, and always the first owner of a workspace. */
const checkSignUp = (c: AppContext, link: Link | undefined): void => {
	const policy: string = c.env.SIGNUP;
	if (policy === 'open' || link?.view.role === 'owner') return;
	if (policy === 'invite' && link !== undefined) return;
	const detail =
		policy === 'invite'
			? 'new accounts need an invitation; ask an admin of a workspace for one'
			: 'this gateway takes no new accounts (SIGNUP=closed); an operator can change that, or make an account for you';
	throw new LimnerError('signup_closed', { detail });
};

/** Joins the workspace of a link; an account that was made only for it goes again when that fails. */
const join = async (c: AppContext, link: Link, account: { id: string; email: string; name: string }): Promise<void> => {
	const joined = await workspaceOf(c.env, link.ws).acceptInvitation(link.id, link.hash, account);
	if (!joined.ok) {
		await accountOf(c.env, account.id).remove();
		throw toError(joined);
	}
	await accountOf(c.env, account.id).setMembership(link.ws, joined.member.role);
};

accountsRoutes.openapi(
	createRoute({
		method: 'post',
		path: '/',
		operationId: 'createAccount',
		tags: ['accounts'],
		summary: 'Make an account',
		description: 'With an invitation the account joins its workspace; where sign-up is open it gets a workspace of its own otherwise.',
		security: [],
		middleware: [jsonBody],
		request: { body: jsonRequest(AccountRequest) },
		responses: { 201: jsonResponse(TokenAnswer, 'The account, signed in'), ...problems(400, 401, 403, 409, 410, 413, 415, 422, 429) },
	}),
	async (c) => {
		const { email, password, invitation, name = email.split('@')[0] ?? email } = c.req.valid('json');
		await limitSignIns(c);
		const link = invitation === undefined ? undefined : await peek(c, invitation);
		checkSignUp(c, link);
		if (link !== undefined && link.view.email !== null && link.view.email !== email) {
			throw new LimnerError('forbidden', { detail: 'the invitation is for another e-mail address' });
		}
		const account = await makeAccount(c, { email, password, name });
		if (link === undefined) await personalWorkspace(c, account);
		else await join(c, link, account);
		const session = await openSession(c, account.id);
		return c.json(await tokenForSession(c, session, link?.ws, undefined), 201);
	},
);

const mustAccount = (c: AppContext) => {
	const { account } = c.get('principal');
	if (account === undefined) throw new LimnerError('forbidden', { detail: 'sign in: an API key has no account' });
	return account;
};

const Me = AccountSchema.extend({ workspaces: z.array(MembershipSchema) }).openapi('AccountWithWorkspaces');

const meBody = async (c: AppContext, accountId: string): Promise<z.infer<typeof Me>> => {
	const stub = accountOf(c.env, accountId);
	const [view, memberships] = await Promise.all([stub.view(), stub.memberships()]);
	if (view === null) throw new LimnerError('not_found');
	return { ...accountBody(view), workspaces: memberships.map(membershipBody) };
};

accountsRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/me',
		operationId: 'getAccount',
		tags: ['accounts'],
		summary: 'Your account and its workspaces',
		...secured('account'),
		responses: { 200: jsonResponse(Me, 'The account'), ...problems(401, 403, 404, 429) },
	}),
	async (c) => c.json(await meBody(c, mustAccount(c).id), 200),
);

const AccountChange = z
	.strictObject({
		name: Name.optional(),
		newPassword: NewPassword.optional(),
		/** The present password; needed to set a new one. */
		password: z.string().min(1).max(L.passwordMaxChars).optional(),
	})
	.openapi('AccountChange');

accountsRoutes.openapi(
	createRoute({
		method: 'patch',
		path: '/me',
		operationId: 'updateAccount',
		tags: ['accounts'],
		summary: 'Change your name or password',
		description: 'A new password ends all other sessions.',
		...securedJson('account'),
		request: { body: jsonRequest(AccountChange) },
		responses: { 200: jsonResponse(Me, 'The account'), ...problems(400, 401, 403, 404, 413, 415, 422, 429) },
	}),
	async (c) => {
		const account = mustAccount(c);
		const { name, password, newPassword } = c.req.valid('json');
		if (newPassword !== undefined) {
			if (password === undefined) throw new LimnerError('forbidden', { detail: 'send the present password too, as "password"' });
			await confirmPassword(c, account.id, password);
			await accountOf(c.env, account.id).setPassword(await hashPassword(newPassword), account.sessionId);
		}
		if (name !== undefined) await accountOf(c.env, account.id).rename(name);
		return c.json(await meBody(c, account.id), 200);
	},
);

accountsRoutes.openapi(
	createRoute({
		method: 'delete',
		path: '/me',
		operationId: 'deleteAccount',
		tags: ['accounts'],
		summary: 'Delete your account',
		description: 'Leaves all workspaces and ends all sessions. The owner of a workspace hands it on or deletes it first.',
		...securedJson('account'),
		request: { body: jsonRequest(z.strictObject({ password: z.string().min(1).max(L.passwordMaxChars) }).openapi('AccountDeletion')) },
		responses: { 204: { description: 'The account is gone' }, ...problems(400, 401, 403, 409, 413, 415, 422, 429) },
	}),
	async (c) => {
		const account = mustAccount(c);
		await confirmPassword(c, account.id, c.req.valid('json').password);
		const memberships = await accountOf(c.env, account.id).memberships();
		const owned = memberships.filter(({ role }) => role === 'owner').map(({ ws }) => ws);
		if (owned.length > 0) {
			throw new LimnerError('conflict', { detail: `you own ${owned.join(', ')}; hand over the ownership or delete the workspace first` });
		}
		for (const { ws } of memberships) {
			const left = await workspaceOf(c.env, ws).removeMember(account.id, { actor: account.id, scopes: [] });
			if (!left.ok && left.code !== 'not_found') throw toError(left);
		}
		await accountOf(c.env, account.id).remove();
		return c.body(null, 204);
	},
);

const ResetLink = z
	.object({ url: z.string(), token: z.string(), expiresAt: z.iso.datetime(), mail: z.enum(MAIL_STATES) })
	.openapi('ResetLink');
const ByEmail = z.strictObject({ email: Email }).openapi('ResetLinkRequest');

const resetUrl = (c: AppContext, token: string): string => `${baseUrl(c.env.PUBLIC_URL, c.req.url)}/#reset=${token}`;

accountsRoutes.openapi(
	createRoute({
		method: 'post',
		path: '/reset-links',
		operationId: 'createResetLink',
		tags: ['accounts'],
		summary: 'Make a password reset link for somebody (operators)',
		description:
			'Needs the key that the gateway was started with. The link is good once, for a day; a new one ends the one before. With an e-mail hook it is sent, too.',
		...securedJson('operator'),
		request: { body: jsonRequest(ByEmail) },
		responses: { 201: jsonResponse(ResetLink, 'The link'), ...problems(400, 401, 403, 404, 413, 415, 422, 429) },
	}),
	async (c) => {
		const { email } = c.req.valid('json');
		const made = await accountOf(c.env, accountIdOf(email)).createReset();
		if (!made.ok) throw toError(made);
		const url = resetUrl(c, made.token);
		const mail = await sendMail(c, { kind: 'password-reset', to: email, url, expiresAt: made.expiresAt });
		return c.json({ url, token: made.token, expiresAt: new Date(made.expiresAt).toISOString(), mail }, 201);
	},
);

/** Makes and sends a link, if there is such an account. */
const mailReset = async (c: AppContext, email: string): Promise<void> => {
	const made = await accountOf(c.env, accountIdOf(email)).createReset(L.resetMailGapMs);
	if (made.ok) await sendMail(c, { kind: 'password-reset', to: email, url: resetUrl(c, made.token), expiresAt: made.expiresAt });
};

accountsRoutes.openapi(
	createRoute({
		method: 'post',
		path: '/forgot-password',
		operationId: 'forgotPassword',
		tags: ['accounts'],
		summary: 'Have a password reset link sent to you',
		description:
			'Where the gateway has an e-mail hook. The answer is the same whether there is such an account or not; at most one mail in five minutes.',
		security: [],
		middleware: [jsonBody],
		request: { body: jsonRequest(ByEmail) },
		responses: {
			202: jsonResponse(z.object({ ok: z.literal(true) }).openapi('ForgotPassword'), 'If there is such an account, a mail is on its way'),
			...problems(400, 409, 413, 415, 422, 429),
		},
	}),
	async (c) => {
		await limitSignIns(c);
		const publicUrl: string = c.env.PUBLIC_URL;
		if (!hasMail(c)) throw new LimnerError('conflict', { detail: 'this gateway sends no mail; ask its operator for a reset link' });
		// The host of this request is whatever its sender says, and the link goes to somebody else.
		if (publicUrl === '') throw new LimnerError('conflict', { detail: 'the operator has to set PUBLIC_URL before links can be sent' });
		// Not awaited: how long the answer takes must not tell whether there is an account.
		const log = c.get('log');
		const sending = mailReset(c, c.req.valid('json').email);
		c.executionCtx.waitUntil(sending.catch((error: unknown) => log.error('a reset link could not be made', describeError(error))));
		return c.json({ ok: true as const }, 202);
	},
);
