import { env } from 'cloudflare:workers';
import { runDurableObjectAlarm, runInDurableObject } from 'cloudflare:test';
import { describe, expect, it } from 'vitest';
import { accountIdOf } from '../../src/account/email.ts';
import { ask, newEmail, newMember, newTenant, PASSWORD, withVar } from './harness.ts';

describe('workspaces', () => {
	it('are made by operators, or by everybody where sign-up is open', async () => {
		const { token, ws } = await newTenant();
		expect((await ask('POST', '/workspaces', token, { name: 'Mine' })).status).toBe(403);
		const open = await withVar('SIGNUP', 'open', () => ask('POST', '/workspaces', token, { name: 'Zweites Büro' }));
		expect(open.status).toBe(201);
		expect(open.body.id).toMatch(/^zweites-b-ro-[0-9a-z]{6}$/);
		expect((await ask('GET', '/workspaces', token)).body.data).toMatchObject([
			{ id: ws, name: ws },
			{ id: open.body.id, name: 'Zweites Büro' },
		]);
		expect((await ask('POST', '/workspaces', undefined, { name: 'x', id: ws })).status).toBe(409);
		expect((await ask('POST', '/workspaces', undefined, { name: 'x', id: 'test' })).status).toBe(409);
		const all = (await ask('GET', '/workspaces?limit=200', undefined)).body.data.map((each) => each.id);
		expect(all).toEqual(expect.arrayContaining([ws, 'test']));
	});

	it('look like nothing to others, and to their narrow keys', async () => {
		const [a, b] = [await newTenant(), await newTenant()];
		for (const path of [`/workspaces/${a.ws}`, `/workspaces/${a.ws}/members`]) {
			expect((await ask('GET', path, b.token)).status).toBe(404);
		}
		expect((await ask('PATCH', `/workspaces/${a.ws}`, b.token, { name: 'taken' })).status).toBe(404);
		expect((await ask('PUT', `/workspaces/${a.ws}/limits`, a.token, { queued: 1 })).status).toBe(403);
		expect((await ask('PUT', `/workspaces/${a.ws}/limits`, undefined, { queued: 1 })).body.limits).toEqual({ queued: 1 });
		expect((await ask('PATCH', `/workspaces/${a.ws}`, a.token, { name: 'Renamed' })).body.name).toBe('Renamed');
	});

	it('have roles: an admin invites up to admin, a member nobody, and nobody touches the owner', async () => {
		const owner = await newTenant();
		const admin = await newMember(owner.token, 'admin');
		const member = await newMember(admin.token, 'member');
		const path = (id: string): string => `/workspaces/${owner.ws}/members/${id}`;
		expect((await ask('POST', '/invitations', member.token, { role: 'viewer' })).status).toBe(403);
		expect((await ask('POST', '/invitations', admin.token, { role: 'owner' })).status).toBe(409);
		expect((await ask('PATCH', path(owner.accountId), admin.token, { role: 'viewer' })).status).toBe(409);
		expect((await ask('DELETE', path(owner.accountId), admin.token)).status).toBe(409);
		expect((await ask('PATCH', path(member.accountId), admin.token, { role: 'viewer' })).body.role).toBe('viewer');
		expect((await ask('PATCH', path(member.accountId), member.token, { role: 'admin' })).status).toBe(403);
		expect((await ask('GET', `/workspaces/${owner.ws}/members`, member.token)).body.data).toHaveLength(3);
		// A key that may write members, but not more, cannot make an admin of anybody.
		const key = (await ask('POST', '/keys', owner.token, { name: 'hr', scopes: ['members:read', 'members:write'] })).body.key;
		expect((await ask('POST', '/invitations', key, { role: 'admin' })).status).toBe(403);
		expect((await ask('PATCH', path(member.accountId), key, { role: 'admin' })).status).toBe(403);
	});

	it('lose a member with the keys that the member made, within a second', async () => {
		const owner = await newTenant();
		const admin = await newMember(owner.token, 'admin');
		const { key } = (await ask('POST', '/keys', admin.token, { name: 'mine', scopes: ['jobs:read'] })).body;
		expect((await ask('GET', '/jobs', key)).status).toBe(200);
		expect((await ask('DELETE', `/workspaces/${owner.ws}/members/${admin.accountId}`, owner.token)).status).toBe(200);
		await new Promise((resolve) => setTimeout(resolve, 1100));
		expect((await ask('GET', '/jobs', key)).status).toBe(401);
		expect((await ask('GET', '/jobs', admin.token)).status).toBe(401);
		const signedIn = await ask('POST', '/auth/token', null, { grant: 'refresh', refreshToken: admin.refresh });
		expect(signedIn.body).toMatchObject({ workspaceId: null, scopes: ['account'] });
	});

	it('hand their ownership on', async () => {
		const owner = await newTenant();
		const next = await newMember(owner.token, 'viewer');
		const path = `/workspaces/${owner.ws}/transfer-ownership`;
		expect((await ask('POST', path, next.token, { accountId: next.accountId })).status).toBe(403);
		expect((await ask('POST', path, owner.token, { accountId: 'acct_nobody' })).status).toBe(404);
		expect((await ask('POST', path, owner.token, { accountId: next.accountId })).body.role).toBe('owner');
		const members = (await ask('GET', `/workspaces/${owner.ws}/members`, owner.token)).body.data as {
			accountId: string;
			role: string;
		}[];
		expect(members.find((each) => each.accountId === owner.accountId)?.role).toBe('admin');
		await new Promise((resolve) => setTimeout(resolve, 1100));
		expect((await ask('POST', path, owner.token, { accountId: owner.accountId })).status).toBe(403);
	});

	it('take an account that exists by its own sign-in, and only whom the invitation is for', async () => {
		const [a, b] = [await newTenant(), await newTenant()];
		const invitation = await ask('POST', '/invitations', a.token, { role: 'member', email: b.email });
		const other = await newTenant();
		expect((await ask('POST', '/invitations/accept', other.token, { invitation: invitation.body.token })).status).toBe(403);
		expect((await ask('POST', '/invitations/accept', b.token, { invitation: invitation.body.token })).body).toEqual({
			workspaceId: a.ws,
			role: 'member',
		});
		const there = await ask('POST', '/auth/token', null, { grant: 'refresh', refreshToken: b.refresh, workspaceId: a.ws });
		expect(there.body).toMatchObject({ workspaceId: a.ws });
		expect((await ask('POST', '/invitations/accept', b.token, { invitation: invitation.body.token })).status).toBe(410);
		const withdrawn = await ask('POST', '/invitations', a.token, { role: 'viewer' });
		expect((await ask('DELETE', `/invitations/${withdrawn.body.id}`, a.token)).body.state).toBe('revoked');
		expect((await ask('POST', '/invitations/accept', other.token, { invitation: withdrawn.body.token })).status).toBe(410);
	});

	it('are deleted with rows, objects, keys, memberships and join tokens, and their id is not used again', async () => {
		const owner = await newTenant();
		const { key } = (await ask('POST', '/keys', owner.token, { name: 'k', scopes: ['admin'] })).body;
		const join = (await ask('POST', '/join-tokens', key, {})).body;
		for (const name of [`w/${owner.ws}/job_x/0/1-a.png`, `a/${owner.ws}/asset_x`]) await env.PICTURES.put(name, 'bytes');
		await env.PICTURES.put(`w/${owner.ws}x/keep`, 'of somebody else');
		const path = `/workspaces/${owner.ws}`;
		expect((await ask('DELETE', path, key, { confirm: owner.ws })).status).toBe(403);
		expect((await ask('DELETE', path, owner.token, { confirm: 'other', password: PASSWORD })).status).toBe(409);
		expect((await ask('DELETE', path, owner.token, { confirm: owner.ws, password: 'wrong' })).status).toBe(403);
		expect((await ask('DELETE', path, owner.token, { confirm: owner.ws, password: PASSWORD })).status).toBe(202);
		const stub = env.WORKSPACE.getByName(owner.ws);
		for (let i = 0; i < 6; i++) await runDurableObjectAlarm(stub);
		for (const prefix of [`w/${owner.ws}/`, `a/${owner.ws}/`]) expect((await env.PICTURES.list({ prefix })).objects).toEqual([]);
		expect(await env.PICTURES.head(`w/${owner.ws}x/keep`)).not.toBeNull();
		await runInDurableObject(stub, (_instance, state) => {
			for (const table of ['keys', 'jobs', 'members', 'invitations', 'ledger']) {
				expect(state.storage.sql.exec(`SELECT * FROM ${table}`).toArray()).toEqual([]);
			}
			const meta = JSON.stringify(state.storage.sql.exec('SELECT * FROM meta').toArray());
			expect(meta).not.toContain(owner.email);
		});
		await new Promise((resolve) => setTimeout(resolve, 1100));
		expect((await ask('GET', '/jobs', key)).status).toBe(401);
		expect((await ask('POST', '/nodes', null, { token: join.token, publicKey: 'A'.repeat(43), name: 'n' })).status).toBeGreaterThanOrEqual(
			400,
		);
		expect((await ask('POST', '/workspaces', undefined, { name: 'again', id: owner.ws })).status).toBe(409);
		const me = await ask('POST', '/auth/token', null, { grant: 'refresh', refreshToken: owner.refresh });
		expect(me.body).toMatchObject({ workspaceId: null, workspaces: [] });
	});
});

describe('accounts', () => {
	it('are deleted by their owner only, not while they own a workspace, and leave no row', async () => {
		const owner = await newTenant();
		const member = await newMember(owner.token, 'member');
		expect((await ask('DELETE', '/accounts/me', owner.token, { password: PASSWORD })).status).toBe(409);
		expect((await ask('DELETE', '/accounts/me', member.token, { password: 'wrong' })).status).toBe(403);
		expect((await ask('DELETE', '/accounts/me', member.token, { password: PASSWORD })).status).toBe(204);
		const left = await runInDurableObject(env.ACCOUNT.getByName(accountIdOf(member.email)), (_instance, state) =>
			state.storage.sql.exec("SELECT name FROM sqlite_master WHERE name NOT LIKE '_cf%'").toArray(),
		);
		expect(left).toEqual([]);
		expect((await ask('GET', `/workspaces/${owner.ws}/members`, owner.token)).body.data).toHaveLength(1);
	});

	it('belong to people: a key has none', async () => {
		expect((await ask('GET', '/accounts/me', undefined)).status).toBe(403);
		const { token } = await newTenant();
		const named = await ask('PATCH', '/accounts/me', token, { name: 'Grace' });
		expect(named.body.name).toBe('Grace');
		expect((await ask('PATCH', '/accounts/me', token, { id: 'acct_other' })).status).toBe(422);
		expect(newEmail()).toContain('@');
	});
});
