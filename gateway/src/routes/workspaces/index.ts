/**
 * `/api/v1/workspaces`: make, read, rename, limit, hand over and delete workspaces; their members.
 * @module
 */
import { createRoute, z } from '@hono/zod-openapi';
import { ACCOUNT_LIMITS as L, hasScope, LimnerError, ROLES, toError, WORKSPACE_ID_PATTERN, WorkspaceLimits } from '@limner/shared';
import { confirmPassword } from '../../account/service.ts';
import { actorOf, byOf } from '../../lib/auth.ts';
import type { AppContext } from '../../lib/context.ts';
import { jsonRequest, jsonResponse, named, newApp, pageOf, pageQuery, problems, secured, securedJson } from '../../lib/openapi.ts';
import { accountOf, idempotent, registryOf, workspaceOf } from '../../lib/stubs.ts';
import type { MemberView, WorkspaceView } from '../../rpc.ts';
import { giveOwner, makeWorkspace, suggestId } from './service.ts';

export const workspacesRoutes = newApp();

const iso = (ms: number): string => new Date(ms).toISOString();
const WorkspacePath = z.object({ id: z.string().regex(WORKSPACE_ID_PATTERN, 'must be a workspace id') });
const MemberPath = WorkspacePath.extend({ accountId: z.string().min(1).max(100) });
const Name = z.string().trim().min(1).max(L.nameChars).openapi({ example: 'Studio North' });
const Limits = named(WorkspaceLimits, 'WorkspaceLimits');
const Workspace = z
	.object({
		id: z.string(),
		name: z.string(),
		createdAt: z.iso.datetime(),
		members: z.int(),
		hasOwner: z.boolean(),
		limits: Limits,
		deletingSince: z.iso.datetime().nullable(),
	})
	.openapi('Workspace');
const WorkspaceEntry = z
	.object({
		id: z.string(),
		/** Of your own workspaces; the operator's list of all leaves it out. */
		name: z.string().optional(),
		createdAt: z.iso.datetime().nullable(),
		deletedAt: z.iso.datetime().nullable(),
		role: z.enum(ROLES).nullable(),
	})
	.openapi('WorkspaceEntry');
const Member = z
	.object({
		accountId: z.string(),
		email: z.string(),
		name: z.string(),
		role: z.enum(ROLES),
		joinedAt: z.iso.datetime(),
		addedBy: z.string(),
	})
	.openapi('Member');

const body = (view: WorkspaceView): z.infer<typeof Workspace> => ({
	...view,
	createdAt: iso(view.createdAt),
	deletingSince: view.deletingSince === null ? null : iso(view.deletingSince),
});
const memberBody = (view: MemberView): z.infer<typeof Member> => ({ ...view, joinedAt: iso(view.joinedAt) });

const isOperator = (c: AppContext): boolean => hasScope(c.get('principal').scopes, 'operator');

/** Another workspace's id looks like one that does not exist; only the operator sees them all. */
const mustBeOwn = (c: AppContext, id: string): void => {
	if (c.get('principal').ws !== id && !isOperator(c)) throw new LimnerError('not_found', { detail: `there is no workspace ${id}` });
};

const viewOf = async (c: AppContext, id: string): Promise<z.infer<typeof Workspace>> => {
	mustBeOwn(c, id);
	const view = await idempotent(
		() => workspaceOf(c.env, id),
		(stub) => stub.workspace(),
	);
	if (view === null) throw new LimnerError('not_found', { detail: `there is no workspace ${id}` });
	return body(view);
};

/** A workspace that the caller may change. */
const mine = async (c: AppContext, id: string): Promise<ReturnType<typeof workspaceOf>> => {
	const view = await viewOf(c, id);
	if (view.deletingSince !== null) throw new LimnerError('gone', { detail: 'the workspace has been deleted' });
	return workspaceOf(c.env, id);
};

workspacesRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/',
		operationId: 'listWorkspaces',
		tags: ['workspaces'],
		summary: 'Your workspaces; all of the gateway for an operator',
		...secured('members:read'),
		request: { query: z.object(pageQuery) },
		responses: { 200: jsonResponse(pageOf(WorkspaceEntry), 'Workspaces'), ...problems(401, 403, 422, 429) },
	}),
	async (c) => {
		const { ws, account } = c.get('principal');
		const { limit, cursor } = c.req.valid('query');
		if (isOperator(c)) {
			await registryOf(c.env).addWorkspace(ws);
			const page = await registryOf(c.env).listWorkspaces({ limit, ...(cursor === undefined ? {} : { cursor }) });
			const data = page.data.map((entry) => ({
				id: entry.id,
				createdAt: iso(entry.createdAt),
				deletedAt: entry.deletedAt === null ? null : iso(entry.deletedAt),
				role: null,
			}));
			return c.json({ data, nextCursor: page.nextCursor }, 200);
		}
		const memberships = account === undefined ? [{ ws, role: null }] : await accountOf(c.env, account.id).memberships();
		const names = await Promise.all(memberships.map(async (each) => (await workspaceOf(c.env, each.ws).workspace())?.name));
		const data = memberships.map(({ ws: id, role }, i) => {
			const name = names[i];
			return { id, ...(name === undefined ? {} : { name }), createdAt: null, deletedAt: null, role };
		});
		return c.json({ data, nextCursor: null }, 200);
	},
);

const WorkspaceRequest = z
	.strictObject({ name: Name, id: z.string().regex(WORKSPACE_ID_PATTERN, 'lower-case letters, digits and dashes').optional() })
	.openapi('WorkspaceRequest');

workspacesRoutes.openapi(
	createRoute({
		method: 'post',
		path: '/',
		operationId: 'createWorkspace',
		tags: ['workspaces'],
		summary: 'Make a workspace',
		description:
			'An operator makes one without an owner and then an owner link. Where sign-up is open, everybody may make one and owns it; `account` tokens only.',
		...securedJson('members:read'),
		request: { body: jsonRequest(WorkspaceRequest) },
		responses: { 201: jsonResponse(Workspace, 'The workspace'), ...problems(400, 401, 403, 409, 413, 415, 422, 429) },
	}),
	async (c) => {
		const { account } = c.get('principal');
		const policy: string = c.env.SIGNUP;
		const { name, id = suggestId(name) } = c.req.valid('json');
		if (!isOperator(c) && (account === undefined || policy !== 'open')) {
			throw new LimnerError('forbidden', { detail: 'only an operator makes workspaces here (SIGNUP is not open)' });
		}
		if (account !== undefined && (await accountOf(c.env, account.id).memberships()).length >= L.membershipsMax) {
			throw new LimnerError('conflict', { detail: `an account is in at most ${L.membershipsMax} workspaces` });
		}
		await makeWorkspace(c, id, name);
		if (account !== undefined) await giveOwner(c, id, account);
		const view = await workspaceOf(c.env, id).workspace();
		if (view === null) throw new LimnerError('internal');
		return c.json(body(view), 201);
	},
);

workspacesRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/{id}',
		operationId: 'getWorkspace',
		tags: ['workspaces'],
		summary: 'Read a workspace',
		...secured('members:read'),
		request: { params: WorkspacePath },
		responses: { 200: jsonResponse(Workspace, 'The workspace'), ...problems(401, 403, 404, 429) },
	}),
	async (c) => c.json(await viewOf(c, c.req.valid('param').id), 200),
);

workspacesRoutes.openapi(
	createRoute({
		method: 'patch',
		path: '/{id}',
		operationId: 'updateWorkspace',
		tags: ['workspaces'],
		summary: 'Rename a workspace',
		...securedJson('admin'),
		request: { params: WorkspacePath, body: jsonRequest(z.strictObject({ name: Name }).openapi('WorkspaceChange')) },
		responses: { 200: jsonResponse(Workspace, 'The workspace'), ...problems(400, 401, 403, 404, 410, 413, 415, 422, 429) },
	}),
	async (c) => {
		const { id } = c.req.valid('param');
		const answer = await (await mine(c, id)).renameWorkspace(c.req.valid('json').name, actorOf(c.get('principal')));
		if (!answer.ok) throw toError(answer);
		return c.json(body(answer.workspace), 200);
	},
);

workspacesRoutes.openapi(
	createRoute({
		method: 'put',
		path: '/{id}/limits',
		operationId: 'setWorkspaceLimits',
		tags: ['workspaces'],
		summary: 'Set the limits of a workspace (operators)',
		description: 'Replaces the limits of its own; what is absent follows DEFAULT_LIMITS.',
		...securedJson('operator'),
		request: { params: WorkspacePath, body: jsonRequest(Limits) },
		responses: { 200: jsonResponse(Workspace, 'The workspace'), ...problems(400, 401, 403, 404, 410, 413, 415, 422, 429) },
	}),
	async (c) => {
		const { id } = c.req.valid('param');
		const answer = await (await mine(c, id)).setLimits(c.req.valid('json'), actorOf(c.get('principal')));
		if (!answer.ok) throw toError(answer);
		return c.json(body(answer.workspace), 200);
	},
);

const Deletion = z
	.strictObject({
		/** The id of the workspace, typed again. */
		confirm: z.string(),
		/** Your password; an operator's key needs none. */
		password: z.string().min(1).max(L.passwordMaxChars).optional(),
	})
	.openapi('WorkspaceDeletion');

workspacesRoutes.openapi(
	createRoute({
		method: 'delete',
		path: '/{id}',
		operationId: 'deleteWorkspace',
		tags: ['workspaces'],
		summary: 'Delete a workspace with all that is in it',
		description:
			'Keys and tokens end at once; jobs, pictures, inputs and rows go within minutes, and what a machine still uploads goes a day later. Needs the owner, or an operator. The id is never used again.',
		...securedJson('members:read'),
		request: { params: WorkspacePath, body: jsonRequest(Deletion) },
		responses: { 202: jsonResponse(Workspace, 'The deletion has begun'), ...problems(400, 401, 403, 404, 409, 410, 413, 415, 422, 429) },
	}),
	async (c) => {
		const { id } = c.req.valid('param');
		const { confirm, password } = c.req.valid('json');
		const { account, scopes } = c.get('principal');
		const stub = await mine(c, id);
		if (!hasScope(scopes, 'owner') && !isOperator(c)) throw new LimnerError('forbidden', { detail: 'only the owner deletes a workspace' });
		if (confirm !== id) throw new LimnerError('conflict', { detail: `type the id ${id} as "confirm"` });
		if (account !== undefined) await confirmPassword(c, account.id, password ?? '');
		const answer = await stub.deleteWorkspace();
		if (!answer.ok) throw toError(answer);
		await registryOf(c.env).dropWorkspace(id);
		for (const accountId of answer.members) await accountOf(c.env, accountId).setMembership(id, null);
		const view = await workspaceOf(c.env, id).workspace();
		if (view === null) throw new LimnerError('internal');
		return c.json(body(view), 202);
	},
);

workspacesRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/{id}/members',
		operationId: 'listMembers',
		tags: ['workspaces'],
		summary: 'List the members of a workspace',
		...secured('members:read'),
		request: { params: WorkspacePath },
		responses: { 200: jsonResponse(pageOf(Member), 'All members'), ...problems(401, 403, 404, 410, 429) },
	}),
	async (c) => {
		const members = await (await mine(c, c.req.valid('param').id)).listMembers();
		return c.json({ data: members.map(memberBody), nextCursor: null }, 200);
	},
);

workspacesRoutes.openapi(
	createRoute({
		method: 'patch',
		path: '/{id}/members/{accountId}',
		operationId: 'setMemberRole',
		tags: ['workspaces'],
		summary: 'Change the role of a member',
		...securedJson('members:write'),
		request: { params: MemberPath, body: jsonRequest(z.strictObject({ role: z.enum(ROLES) }).openapi('RoleChange')) },
		responses: { 200: jsonResponse(Member, 'The member'), ...problems(400, 401, 403, 404, 409, 410, 413, 415, 422, 429) },
	}),
	async (c) => {
		const { id, accountId } = c.req.valid('param');
		const answer = await (await mine(c, id)).setRole(accountId, c.req.valid('json').role, byOf(c.get('principal')));
		if (!answer.ok) throw toError(answer);
		await accountOf(c.env, accountId).setMembership(id, answer.member.role);
		return c.json(memberBody(answer.member), 200);
	},
);

workspacesRoutes.openapi(
	createRoute({
		method: 'delete',
		path: '/{id}/members/{accountId}',
		operationId: 'removeMember',
		tags: ['workspaces'],
		summary: 'Remove a member, or leave',
		description: 'Keys that the member made are revoked too.',
		...secured('members:read'),
		request: { params: MemberPath },
		responses: { 200: jsonResponse(Member, 'The member who was removed'), ...problems(401, 403, 404, 409, 410, 429) },
	}),
	async (c) => {
		const { id, accountId } = c.req.valid('param');
		const principal = c.get('principal');
		if (principal.account?.id !== accountId && !hasScope(principal.scopes, 'members:write')) {
			throw new LimnerError('forbidden', { detail: 'this needs the scope members:write' });
		}
		const answer = await (await mine(c, id)).removeMember(accountId, byOf(principal));
		if (!answer.ok) throw toError(answer);
		await accountOf(c.env, accountId).setMembership(id, null);
		return c.json(memberBody(answer.member), 200);
	},
);

workspacesRoutes.openapi(
	createRoute({
		method: 'post',
		path: '/{id}/transfer-ownership',
		operationId: 'transferOwnership',
		tags: ['workspaces'],
		summary: 'Make another member the owner',
		description: 'The owner before becomes an admin. An operator can do this for a workspace whose owner is gone.',
		...securedJson('members:read'),
		request: {
			params: WorkspacePath,
			body: jsonRequest(z.strictObject({ accountId: z.string().min(1).max(100) }).openapi('OwnershipTransfer')),
		},
		responses: { 200: jsonResponse(Member, 'The new owner'), ...problems(400, 401, 403, 404, 409, 410, 413, 415, 422, 429) },
	}),
	async (c) => {
		const { id } = c.req.valid('param');
		const principal = c.get('principal');
		const stub = await mine(c, id);
		if (!hasScope(principal.scopes, 'owner') && !isOperator(c)) {
			throw new LimnerError('forbidden', { detail: 'only the owner hands over a workspace' });
		}
		const answer = await stub.transferOwnership(c.req.valid('json').accountId, actorOf(principal));
		if (!answer.ok) throw toError(answer);
		await accountOf(c.env, answer.member.accountId).setMembership(id, 'owner');
		for (const accountId of answer.before) await accountOf(c.env, accountId).setMembership(id, 'admin');
		return c.json(memberBody(answer.member), 200);
	},
);
