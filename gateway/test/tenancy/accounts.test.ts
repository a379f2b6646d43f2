import { env } from 'cloudflare:workers';
import { evictDurableObject, runInDurableObject } from 'cloudflare:test';
import { describe, expect, it } from 'vitest';
import { accountIdOf } from '../../src/account/email.ts';
import { hashPassword, isOutdated, verifyPassword } from '../../src/account/password.ts';
import { ask, newEmail, newMember, newTenant, PASSWORD, withVar } from './harness.ts';

const signIn = (email: string, password = PASSWORD, extra: object = {}) =>
	ask('POST', '/auth/token', null, { grant: 'password', email, password, ...extra });

const refresh = (refreshToken: string) => ask('POST', '/auth/token', null, { grant: 'refresh', refreshToken });

describe('passwords', () => {
	it('are Argon2id with the parameters of OWASP, salted, and the same in both Unicode forms', async () => {
		const [a, b] = [await hashPassword('Ångström-password'), await hashPassword('Ångström-password')];
		expect(a).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
		expect(a).not.toBe(b);
		expect(await verifyPassword(a, 'A\u030Angstro\u0308m-password')).toBe(true);
		expect(await verifyPassword(a, 'angstrom-password')).toBe(false);
		expect(await verifyPassword(null, 'anything')).toBe(false);
		expect([isOutdated(a), isOutdated(a.replace('m=19456', 'm=4096'))]).toEqual([false, true]);
	});

	it('are hashed anew at a sign-in when their parameters are outdated', async () => {
		const { email } = await newTenant();
		const id = accountIdOf(email);
		const { Argon2Type } = await import('@phi-ag/argon2');
		const { instantiate } = await import('../../src/account/argon2.ts');
		const { encoded } = (await instantiate()).hash(PASSWORD, { memoryCost: 4096, timeCost: 3, parallelism: 1, type: Argon2Type.Argon2id });
		expect(encoded).toMatch(/^\$argon2id\$v=19\$m=4096,t=3,p=1\$/);
		await runInDurableObject(env.ACCOUNT.getByName(id), (_instance, state) =>
			state.storage.sql.exec('UPDATE account SET phc = ?', encoded),
		);
		expect((await signIn(email)).status).toBe(200);
		const phc = await runInDurableObject(
			env.ACCOUNT.getByName(id),
			(_instance, state) => state.storage.sql.exec<{ phc: string }>('SELECT phc FROM account').one().phc,
		);
		expect(phc).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$/);
		expect((await signIn(email)).status).toBe(200);
	});
});

describe('sign-up', () => {
	it('is closed by default, open by invitation with SIGNUP=invite, and gives a workspace with SIGNUP=open', async () => {
		const request = { email: newEmail(), password: PASSWORD };
		const closed = await ask('POST', '/accounts', null, request);
		expect([closed.status, closed.body.code]).toEqual([403, 'signup_closed']);
		expect(closed.body.detail).toContain('SIGNUP');
		const invited = await withVar('SIGNUP', 'invite', () => ask('POST', '/accounts', null, request));
		expect([invited.status, invited.body.code]).toEqual([403, 'signup_closed']);
		const open = await withVar('SIGNUP', 'open', () => ask('POST', '/accounts', null, request));
		expect(open.status).toBe(201);
		expect(open.body.workspaces).toMatchObject([{ role: 'owner' }]);
		const again = await withVar('SIGNUP', 'open', () => ask('POST', '/accounts', null, { ...request, email: request.email.toUpperCase() }));
		expect([again.status, again.body.code]).toEqual([409, 'conflict']);
	});

	it('takes the first-owner link once, also when many use it at the same time', async () => {
		const made = await ask('POST', '/workspaces', undefined, { name: 'Race', id: `race-${Date.now()}` });
		const link = await ask('POST', '/invitations/owner-link', undefined, { workspaceId: made.body.id });
		expect(link.body.url).toContain(`/#invitation=${link.body.token}`);
		const answers = await Promise.all(
			[1, 2, 3].map(() => ask('POST', '/accounts', null, { email: newEmail(), password: PASSWORD, invitation: link.body.token })),
		);
		expect(answers.filter(({ status }) => status === 201)).toHaveLength(1);
		expect(answers.every(({ status }) => [201, 409, 410].includes(status))).toBe(true);
		const late = await ask('POST', '/accounts', null, { email: newEmail(), password: PASSWORD, invitation: link.body.token });
		expect([late.status, late.body.code]).toEqual([410, 'gone']);
		const second = await ask('POST', '/invitations/owner-link', undefined, { workspaceId: made.body.id });
		expect(second.status).toBe(409);
	});

	it('lets a new owner link end the one before, and refuses a wrong secret', async () => {
		const made = await ask('POST', '/workspaces', undefined, { name: 'Links' });
		const first = await ask('POST', '/invitations/owner-link', undefined, { workspaceId: made.body.id });
		await ask('POST', '/invitations/owner-link', undefined, { workspaceId: made.body.id });
		expect((await ask('POST', '/invitations/preview', null, { invitation: first.body.token })).status).toBe(410);
		const wrong = `${first.body.token.slice(0, -1)}${first.body.token.endsWith('0') ? '1' : '0'}`;
		expect((await ask('POST', '/invitations/preview', null, { invitation: wrong })).status).toBe(401);
	});

	it('refuses short passwords, bad addresses and unknown fields', async () => {
		for (const body of [
			{ email: newEmail(), password: 'x'.repeat(9) },
			{ email: newEmail(), password: 'x'.repeat(257) },
			{ email: 'nobody', password: PASSWORD },
			{ email: newEmail(), password: PASSWORD, role: 'owner' },
		]) {
			expect((await ask('POST', '/accounts', null, body)).status).toBe(422);
		}
	});
});

describe('sign-in', () => {
	it('answers the same for a wrong password and for nobody', async () => {
		const { email } = await newTenant();
		const [wrong, nobody] = [await signIn(email, 'not this password'), await signIn(newEmail())];
		expect([wrong.status, nobody.status]).toEqual([401, 401]);
		expect(wrong.body.detail).toBe(nobody.body.detail);
	});

	it('makes guesses wait, in parallel too, and survives an eviction', async () => {
		const { email } = await newTenant();
		const guesses = await Promise.all(Array.from({ length: 8 }, () => signIn(email, 'not this password')));
		expect(guesses.filter(({ status }) => status === 401)).toHaveLength(5);
		expect(guesses.filter(({ status }) => status === 429)).toHaveLength(3);
		await evictDurableObject(env.ACCOUNT.getByName(accountIdOf(email)));
		const right = await signIn(email);
		expect(right.status).toBe(429);
		expect(Number(right.headers.get('retry-after'))).toBeGreaterThan(0);
		expect(right.headers.get('ratelimit-remaining')).toBe('0');
	});

	it('limits each address', async () => {
		const statuses: number[] = [];
		for (let i = 0; i < 32; i++) {
			statuses.push(
				(await ask('POST', '/auth/reset', null, { token: `lp_${i}`, password: PASSWORD }, { 'cf-connecting-ip': '192.0.2.9' })).status,
			);
		}
		expect(statuses.slice(0, 30).every((status) => status === 401)).toBe(true);
		expect(statuses.slice(30)).toEqual([429, 429]);
	});

	it('gives scopes of the role, fewer when asked, and no more than that', async () => {
		const { token, ws } = await newTenant();
		const viewer = await newMember(token, 'viewer');
		const answer = await signIn(viewer.email);
		expect(answer.body).toMatchObject({ workspaceId: ws, expiresIn: 600, workspaces: [{ workspaceId: ws, role: 'viewer' }] });
		expect(answer.body.scopes).toContain('jobs:read');
		expect((await signIn(viewer.email, PASSWORD, { scopes: ['jobs:write'] })).status).toBe(403);
		const narrow = (await signIn(viewer.email, PASSWORD, { scopes: ['images:read'] })).body.accessToken;
		expect((await ask('GET', '/images', narrow)).status).toBe(200);
		expect((await ask('GET', '/jobs', narrow)).status).toBe(403);
		expect((await signIn(viewer.email, PASSWORD, { workspaceId: 'test' })).status).toBe(404);
	});

	it('lets a member submit a job, and a viewer not', async () => {
		const { token } = await newTenant();
		const member = await newMember(token, 'member');
		const viewer = await newMember(token, 'viewer');
		expect((await ask('POST', '/jobs', viewer.token, { prompt: 'a fox' })).status).toBe(403);
		const made = await ask('POST', '/jobs', member.token, { prompt: 'a fox' });
		expect(made.status).toBe(202);
		expect((await ask('GET', `/jobs/${made.body.id}`, viewer.token)).status).toBe(200);
		expect((await ask('POST', `/jobs/${made.body.id}/cancel`, viewer.token)).status).toBe(403);
		expect((await ask('POST', `/jobs/${made.body.id}/cancel`, member.token)).status).toBe(200);
	});
});

describe('sessions', () => {
	it('rotate the refresh token, forgive a lost answer, and end when an old one comes back later', async () => {
		const { refresh: first, email } = await newTenant();
		const second = await refresh(first);
		expect(second.status).toBe(200);
		const lost = await refresh(first);
		expect(lost.status).toBe(200);
		await runInDurableObject(env.ACCOUNT.getByName(accountIdOf(email)), (_instance, state) =>
			state.storage.sql.exec('UPDATE sessions SET rotated_at = rotated_at - 60000'),
		);
		expect((await refresh(first)).status).toBe(401);
		expect((await refresh(lost.body.refreshToken)).status).toBe(401);
	});

	it('end with their access tokens', async () => {
		const { token, refresh: refreshToken, email } = await newTenant();
		expect((await ask('GET', '/accounts/me', token)).status).toBe(200);
		const other = (await signIn(email)).body;
		const { data } = (await ask('GET', '/auth/sessions', other.accessToken)).body;
		expect(data).toHaveLength(2);
		const mine = data.find((session) => !session.current);
		expect((await ask('DELETE', `/auth/sessions/${mine?.id}`, other.accessToken)).status).toBe(204);
		await new Promise((resolve) => setTimeout(resolve, 1100));
		expect((await ask('GET', '/accounts/me', token)).status).toBe(401);
		expect((await refresh(refreshToken)).status).toBe(401);
		expect((await ask('POST', '/auth/revoke', null, { refreshToken: other.refreshToken })).status).toBe(204);
		await new Promise((resolve) => setTimeout(resolve, 1100));
		expect((await ask('GET', '/accounts/me', other.accessToken)).status).toBe(401);
	});

	it('end when the password is set by a reset link, which is good once and made only by the operator', async () => {
		const { email, token, refresh: refreshToken } = await newTenant();
		expect((await ask('POST', '/accounts/reset-links', token, { email })).status).toBe(403);
		expect((await ask('POST', '/accounts/reset-links', undefined, { email: newEmail() })).status).toBe(404);
		const link = await ask('POST', '/accounts/reset-links', undefined, { email });
		expect(link.status).toBe(201);
		const reset = { token: link.body.token, password: 'another good password' };
		const both = await Promise.all([ask('POST', '/auth/reset', null, reset), ask('POST', '/auth/reset', null, reset)]);
		expect(both.map(({ status }) => status).toSorted((a, b) => a - b)).toEqual([204, 401]);
		expect((await signIn(email)).status).toBe(401);
		expect((await signIn(email, reset.password)).status).toBe(200);
		expect((await refresh(refreshToken)).status).toBe(401);
	});

	it('end, except the own one, when the password is changed', async () => {
		const { email, token, refresh: refreshToken } = await newTenant();
		const other = (await signIn(email)).body;
		const change = { password: PASSWORD, newPassword: 'another good password' };
		expect((await ask('PATCH', '/accounts/me', token, { ...change, password: 'wrong' })).status).toBe(403);
		expect((await ask('PATCH', '/accounts/me', token, change)).status).toBe(200);
		expect((await refresh(other.refreshToken)).status).toBe(401);
		expect((await refresh(refreshToken)).status).toBe(200);
	});
});
