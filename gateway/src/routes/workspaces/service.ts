/**
 * Workspaces, apart from HTTP.
 * @module
 */
import { randomBytes } from 'node:crypto';
import { base32, LimnerError, toError } from '@limner/shared';
import type { AppContext } from '../../lib/context.ts';
import { sha256Hex } from '../../lib/canonical.ts';
import { accountOf, registryOf, workspaceOf } from '../../lib/stubs.ts';
import type { AccountView, WorkspaceView } from '../../rpc.ts';

/** An id nobody has, made from a name. */
export const suggestId = (name: string): string => {
	const stem = name
		.toLowerCase()
		.replaceAll(/[^a-z0-9]+/g, '-')
		.replaceAll(/^-+|-+$/g, '')
		.slice(0, 24);
	return `${stem === '' ? 'ws' : stem}-${base32(randomBytes(5)).slice(0, 6)}`;
};

/**
 * Makes a workspace.
 * @throws {LimnerError} `conflict` when the id is taken, or was used by a workspace that has been deleted
 */
export const makeWorkspace = async (c: AppContext, id: string, name: string): Promise<WorkspaceView> => {
	const taken = new LimnerError('conflict', { detail: `the workspace id ${id} is taken` });
	// The workspace of the first key is in no list until somebody asks for it.
	if ((await workspaceOf(c.env, id).workspace()) !== null) throw taken;
	if (!(await registryOf(c.env).addWorkspace(id))) throw taken;
	const made = await workspaceOf(c.env, id).createWorkspace(id, name);
	if (!made.ok) throw toError(made);
	return made.workspace;
};

/** Makes an account the owner of a workspace that has none. */
export const giveOwner = async (c: AppContext, ws: string, account: Pick<AccountView, 'id' | 'email' | 'name'>): Promise<void> => {
	const link = await workspaceOf(c.env, ws).ownerLink(account.id);
	if (!link.ok) throw toError(link);
	const { id, email, name } = account;
	const joined = await workspaceOf(c.env, ws).acceptInvitation(link.invitation.id, sha256Hex(link.token), { id, email, name });
	if (!joined.ok) throw toError(joined);
	await accountOf(c.env, id).setMembership(ws, 'owner');
};

/** The workspace that an account gets where sign-up is open. */
export const personalWorkspace = async (c: AppContext, account: AccountView): Promise<void> => {
	const id = suggestId(account.name);
	await makeWorkspace(c, id, account.name);
	await giveOwner(c, id, account);
};
