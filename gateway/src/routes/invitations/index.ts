/**
 * `/api/v1/invitations`: links by which people join a workspace, and the link of its first owner.
 * @module
 */
import { createRoute, z } from '@hono/zod-openapi';
import { LimnerError, parseOneTime, ROLES, toError } from '@limner/shared';
import { actorOf, byOf, refuseAuthentication } from '../../lib/auth.ts';
import { sha256Hex } from '../../lib/canonical.ts';
import { MAIL_STATES } from '../../hooks/mail.ts';
import type { AppContext } from '../../lib/context.ts';
import { jsonBody, jsonRequest, jsonResponse, newApp, pageOf, problems, secured, securedJson } from '../../lib/openapi.ts';
import { accountOf, idempotent, workspaceOf } from '../../lib/stubs.ts';
import type { InvitationView } from '../../rpc.ts';
import { Email, WorkspaceId } from '../auth/schema.ts';
import { invitationUrl, inviteByMail } from './links.ts';

export const invitationsRoutes = newApp();

const Invitation = z
	.object({
		id: z.string(),
		role: z.enum(ROLES),
		email: z.string().nullable(),
		createdAt: z.iso.datetime(),
		createdBy: z.string(),
		expiresAt: z.iso.datetime(),
		state: z.enum(['open', 'used', 'expired', 'revoked']),
	})
	.openapi('Invitation');
/** `mail`: whether the link was sent to the address; `off` without an address or without an e-mail hook. */
const NewInvitation = Invitation.extend({ token: z.string(), url: z.string(), mail: z.enum(MAIL_STATES) }).openapi('NewInvitation');
const TokenBody = z.strictObject({ invitation: z.string().min(1).max(300) }).openapi('InvitationToken');

const iso = (ms: number): string => new Date(ms).toISOString();
const body = (view: InvitationView): z.infer<typeof Invitation> => ({
	...view,
	createdAt: iso(view.createdAt),
	expiresAt: iso(view.expiresAt),
});
const stubOf = (c: AppContext) => workspaceOf(c.env, c.get('principal').ws);

invitationsRoutes.openapi(
	createRoute({
		method: 'post',
		path: '/',
		operationId: 'createInvitation',
		tags: ['workspaces'],
		summary: 'Invite somebody to the workspace',
		description:
			'The link is shown once and is good once. With an e-mail address only that account may use it; where the gateway has an e-mail hook the link is sent there, too.',
		...securedJson('members:write'),
		request: {
			body: jsonRequest(z.strictObject({ role: z.enum(ROLES).default('member'), email: Email.optional() }).openapi('InvitationRequest')),
		},
		responses: { 201: jsonResponse(NewInvitation, 'The invitation'), ...problems(400, 401, 403, 409, 413, 415, 422, 429) },
	}),
	async (c) => {
		const { role, email } = c.req.valid('json');
		const made = await stubOf(c).invite({ role, email: email ?? null }, byOf(c.get('principal')));
		if (!made.ok) throw toError(made);
		const url = invitationUrl(c, made.token);
		const { expiresAt } = made.invitation;
		const mail = email === undefined ? 'off' : await inviteByMail(c, { to: email, role, url, expiresAt });
		return c.json({ ...body(made.invitation), token: made.token, url, mail }, 201);
	},
);

invitationsRoutes.openapi(
	createRoute({
		method: 'post',
		path: '/owner-link',
		operationId: 'createOwnerLink',
		tags: ['workspaces'],
		summary: 'Make the link for the first owner of a workspace',
		description:
			'Works while there is no owner, whatever SIGNUP says. A new link ends the ones before. An operator may name any workspace.',
		...securedJson('admin'),
		request: { body: jsonRequest(z.strictObject({ workspaceId: WorkspaceId.optional() }).openapi('OwnerLinkRequest')) },
		responses: { 201: jsonResponse(NewInvitation, 'The link'), ...problems(400, 401, 403, 404, 409, 413, 415, 422, 429) },
	}),
	async (c) => {
		const principal = c.get('principal');
		const { workspaceId = principal.ws } = c.req.valid('json');
		const missing = new LimnerError('not_found', { detail: `there is no workspace ${workspaceId}` });
		if (workspaceId !== principal.ws && !principal.scopes.includes('operator')) throw missing;
		const view = await workspaceOf(c.env, workspaceId).workspace();
		if (view === null || view.deletingSince !== null) throw missing;
		const made = await workspaceOf(c.env, workspaceId).ownerLink(actorOf(principal));
		if (!made.ok) throw toError(made);
		return c.json({ ...body(made.invitation), token: made.token, url: invitationUrl(c, made.token), mail: 'off' as const }, 201);
	},
);

invitationsRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/',
		operationId: 'listInvitations',
		tags: ['workspaces'],
		summary: 'List the invitations of the workspace',
		...secured('members:read'),
		responses: { 200: jsonResponse(pageOf(Invitation), 'Invitations, newest first'), ...problems(401, 403, 429) },
	}),
	async (c) => {
		const data = await idempotent(
			() => stubOf(c),
			(stub) => stub.listInvitations(),
		);
		return c.json({ data: data.map(body), nextCursor: null }, 200);
	},
);

invitationsRoutes.openapi(
	createRoute({
		method: 'delete',
		path: '/{id}',
		operationId: 'revokeInvitation',
		tags: ['workspaces'],
		summary: 'Withdraw an invitation',
		...secured('members:write'),
		request: { params: z.object({ id: z.string().min(1).max(100) }) },
		responses: { 200: jsonResponse(Invitation, 'The invitation'), ...problems(401, 403, 404, 409, 429) },
	}),
	async (c) => {
		const answer = await stubOf(c).revokeInvitation(c.req.valid('param').id, actorOf(c.get('principal')));
		if (!answer.ok) throw toError(answer);
		return c.json(body(answer.invitation), 200);
	},
);

/** Workspace, id and hash of a link. */
const readLink = async (c: AppContext, token: string): Promise<{ ws: string; id: string; hash: string }> => {
	const parts = parseOneTime('li', token);
	if (parts === undefined) throw await refuseAuthentication(c, 'the invitation is malformed');
	return { ws: parts.owner, id: parts.id, hash: sha256Hex(token) };
};

const Peek = z
	.object({
		workspaceId: z.string(),
		workspaceName: z.string(),
		role: z.enum(ROLES),
		email: z.string().nullable(),
		expiresAt: z.iso.datetime(),
	})
	.openapi('InvitationPreview');

invitationsRoutes.openapi(
	createRoute({
		method: 'post',
		path: '/preview',
		operationId: 'previewInvitation',
		tags: ['workspaces'],
		summary: 'What a link is for, without using it',
		security: [],
		middleware: [jsonBody],
		request: { body: jsonRequest(TokenBody) },
		responses: { 200: jsonResponse(Peek, 'The invitation'), ...problems(400, 401, 410, 413, 415, 422, 429) },
	}),
	async (c) => {
		const link = await readLink(c, c.req.valid('json').invitation);
		const answer = await workspaceOf(c.env, link.ws).peekInvitation(link.id, link.hash);
		if (!answer.ok) throw answer.code === 'unauthorized' ? await refuseAuthentication(c, answer.detail ?? '') : toError(answer);
		const { invitation, workspace } = answer;
		return c.json(
			{
				workspaceId: workspace.id,
				workspaceName: workspace.name,
				role: invitation.role,
				email: invitation.email,
				expiresAt: iso(invitation.expiresAt),
			},
			200,
		);
	},
);

invitationsRoutes.openapi(
	createRoute({
		method: 'post',
		path: '/accept',
		operationId: 'acceptInvitation',
		tags: ['workspaces'],
		summary: 'Join a workspace with your account',
		description: 'For an account that exists; a new one sends the token with POST /accounts.',
		...securedJson('account'),
		request: { body: jsonRequest(TokenBody) },
		responses: {
			200: jsonResponse(z.object({ workspaceId: z.string(), role: z.enum(ROLES) }).openapi('JoinedWorkspace'), 'You are in'),
			...problems(400, 401, 403, 409, 410, 413, 415, 422, 429),
		},
	}),
	async (c) => {
		const { account } = c.get('principal');
		if (account === undefined) throw new LimnerError('forbidden', { detail: 'sign in: an API key has no account' });
		const link = await readLink(c, c.req.valid('json').invitation);
		const { id, email, name } = account;
		const answer = await workspaceOf(c.env, link.ws).acceptInvitation(link.id, link.hash, { id, email, name });
		if (!answer.ok) throw toError(answer);
		await accountOf(c.env, id).setMembership(link.ws, answer.member.role);
		return c.json({ workspaceId: link.ws, role: answer.member.role }, 200);
	},
);
