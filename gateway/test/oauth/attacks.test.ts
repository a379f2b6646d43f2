/** What people try on OAuth: guesses, forms of other pages, codes and tokens used twice, elsewhere or by somebody else. */
import { env } from 'cloudflare:workers';
import { runInDurableObject } from 'cloudflare:test';
import { beforeAll, describe, expect, it } from 'vitest';
import { ACCOUNT_LIMITS } from '@limner/shared';
import { accountIdOf } from '../../src/account/email.ts';
import { signToken } from '../../src/lib/jwt.ts';
import { call } from '../http/harness.ts';
import { ask as api, newTenant, PASSWORD } from '../tenancy/harness.ts';
import {
	ask,
	authorizePath,
	BASE,
	callMcp,
	connect,
	consent,
	fieldOf,
	newClient,
	newPkce,
	post,
	redeem,
	refresh,
	RESOURCE,
	type Person,
} from './harness.ts';

let person: Person;
let owner: Awaited<ReturnType<typeof newTenant>>;
beforeAll(async () => {
	owner = await newTenant();
	person = { email: owner.email, password: PASSWORD, ws: owner.ws };
});

const requestOf = async (): Promise<string> => fieldOf(await (await ask(authorizePath(await newClient(), newPkce()))).text(), 'request');

const signIn = (request: string, email: string, password: string, headers: Record<string, string> = { origin: BASE }) =>
	post('/oauth/authorize', { request, email, password, decision: 'sign-in' }, headers);

const newCode = async () => {
	const client = await newClient();
	const pkce = newPkce();
	const code = (await consent(authorizePath(client, pkce), person)).searchParams.get('code') ?? '';
	return { client, pkce, code };
};

const listed = async (): Promise<string> => JSON.stringify((await api('GET', '/auth/sessions', owner.token)).body.data);

describe('the sign-in page', () => {
	it('says the same for a wrong password and for nobody, and slows guesses down like sign-in does', async () => {
		const tenant = await newTenant();
		const request = await requestOf();
		const nobody = await (await signIn(request, 'nobody@example.com', 'wrong password')).text();
		const answers: Response[] = [];
		for (let i = 0; i < 6; i++) answers.push(await signIn(request, tenant.email, 'wrong password'));
		expect(answers.map(({ status }) => status)).toEqual([401, 401, 401, 401, 401, 429]);
		const wrong = await answers[0]!.text();
		expect(wrong.replaceAll(tenant.email, '')).toBe(nobody.replaceAll('nobody@example.com', ''));
		expect(Number(answers[5]!.headers.get('retry-after'))).toBeGreaterThan(0);
		expect((await signIn(request, tenant.email, PASSWORD)).status).toBe(429);
	});

	it('forgets failures after the right password', async () => {
		const tenant = await newTenant();
		const request = await requestOf();
		for (let i = 0; i < 3; i++) {
			for (let j = 0; j < 3; j++) await signIn(request, tenant.email, 'wrong password');
			expect((await signIn(request, tenant.email, PASSWORD)).status).toBe(200);
		}
	});

	it.each([[{ origin: 'https://evil.example' }], [{ origin: 'null' }], [{ 'sec-fetch-site': 'cross-site' }]] as Record<string, string>[][])(
		'refuses a form of another page: %j',
		async (headers) => {
			const answer = await signIn(await requestOf(), person.email, PASSWORD, headers);
			expect(answer.status).toBe(403);
		},
	);

	it('takes no ticket that it has not made, and none of another kind', async () => {
		const request = await requestOf();
		for (const fields of [{ request: `${request}x` }, { consent: request }, { request: '' }]) {
			const answer = await post('/oauth/authorize', {
				...fields,
				workspace: person.ws,
				decision: 'allow',
				email: person.email,
				password: PASSWORD,
			});
			expect([answer.status, answer.headers.get('location')]).toEqual([400, null]);
		}
	});

	it('gives no workspace that the person is not in', async () => {
		const other = await newTenant();
		const html = await (await signIn(await requestOf(), person.email, PASSWORD)).text();
		expect(html).not.toContain(other.ws);
		const answer = await post('/oauth/authorize', { consent: fieldOf(html, 'consent'), workspace: other.ws, decision: 'allow' });
		expect([answer.status, answer.headers.get('location')]).toEqual([403, null]);
	});
});

describe('a code', () => {
	it('is good once: a second use ends what the first one gave', async () => {
		const { client, pkce, code } = await newCode();
		const first = await redeem(client, code, pkce);
		expect(first.status).toBe(200);
		expect((await redeem(client, code, pkce)).body.error).toBe('invalid_grant');
		expect((await refresh(client, first.body.refresh_token)).body.error).toBe('invalid_grant');
		await expect.poll(async () => (await callMcp(first.body.access_token)).status, { timeout: 10_000 }).toBe(401);
	});

	it('is good once when ten come at the same time', async () => {
		const { client, pkce, code } = await newCode();
		const answers = await Promise.all(Array.from({ length: 10 }, () => redeem(client, code, pkce)));
		expect(answers.filter(({ status }) => status === 200)).toHaveLength(1);
	});

	it.each([
		['another verifier', { code_verifier: newPkce().verifier }],
		['no verifier', { code_verifier: '' }],
		['another address', { redirect_uri: 'https://chat.example/other' }],
		['no address', { redirect_uri: '' }],
	])('is not good with %s', async (_what, change) => {
		const { client, pkce, code } = await newCode();
		expect(await redeem(client, code, pkce, change)).toMatchObject({ status: 400, body: { error: 'invalid_grant' } });
	});

	it('is not good for another client, and is used up by the try', async () => {
		const { client, pkce, code } = await newCode();
		expect((await redeem(await newClient({ client_name: 'Thief' }), code, pkce)).body.error).toBe('invalid_grant');
		expect((await redeem(client, code, pkce)).body.error).toBe('invalid_grant');
	});

	it('is not good for another resource', async () => {
		const { client, pkce, code } = await newCode();
		expect((await redeem(client, code, pkce, { resource: 'https://other.example/mcp' })).body.error).toBe('invalid_target');
	});

	it('is not good after its minute', async () => {
		const { client, pkce, code } = await newCode();
		await runInDurableObject(env.ACCOUNT.getByName(accountIdOf(person.email)), (_instance, state) =>
			state.storage.sql.exec('UPDATE codes SET expires_at = expires_at - 60001'),
		);
		expect((await redeem(client, code, pkce)).body).toMatchObject({
			error: 'invalid_grant',
			error_description: expect.stringContaining('expired'),
		});
	});

	it('ends with a change of the password', async () => {
		const tenant = await newTenant();
		const client = await newClient();
		const pkce = newPkce();
		const who = { ...person, email: tenant.email, ws: tenant.ws };
		const code = (await consent(authorizePath(client, pkce), who)).searchParams.get('code') ?? '';
		const change = { password: PASSWORD, newPassword: 'another good password' };
		expect((await api('PATCH', '/accounts/me', tenant.token, change)).status).toBe(200);
		expect((await redeem(client, code, pkce)).body.error).toBe('invalid_grant');
	});
});

describe('tokens', () => {
	it('of an MCP client are good at /mcp alone, and those of the API are not good there', async () => {
		const { access } = await connect(person);
		expect((await callMcp(access)).status).toBe(200);
		const direct = await call('/api/v1/jobs', { key: access });
		expect(direct.status).toBe(401);
		const atBase = await ask('/api/v1/jobs', { headers: { authorization: `Bearer ${access}` } });
		expect(atBase.status).toBe(401);
		const ours = await ask('/api/v1/auth/token', {
			method: 'POST',
			body: JSON.stringify({ grant: 'password', email: person.email, password: PASSWORD }),
			headers: { 'content-type': 'application/json' },
		});
		const { accessToken } = await ours.json<{ accessToken: string }>();
		expect((await ask('/api/v1/jobs', { headers: { authorization: `Bearer ${accessToken}` } })).status).toBe(200);
		const refused = await callMcp(accessToken);
		expect(refused.status).toBe(401);
		expect(refused.headers.get('www-authenticate')).toContain('error="invalid_token"');
	});

	it('end with their time', async () => {
		const { access } = await connect(person);
		const claims = JSON.parse(Buffer.from(access.split('.')[1] ?? '', 'base64url').toString()) as Record<string, string>;
		const made = (atMs: number, audience: string) =>
			signToken(
				env.LIMNER_SECRET,
				{
					sub: claims['sub']!,
					ws: person.ws,
					scope: 'jobs:read',
					sid: claims['sid']!,
					issuer: BASE,
					audience,
					ttlMs: ACCOUNT_LIMITS.accessTokenTtlMs,
				},
				atMs,
			);
		expect((await callMcp(await made(Date.now(), RESOURCE))).status).toBe(200);
		expect((await callMcp(await made(Date.now() - ACCOUNT_LIMITS.accessTokenTtlMs - 10_000, RESOURCE))).status).toBe(401);
		expect((await callMcp(await made(Date.now(), 'https://other.example/mcp'))).status).toBe(401);
	});

	it('are replaced by refreshing, for the same client, with no more scopes', async () => {
		const { client, refreshToken } = await connect(person);
		const next = await refresh(client, refreshToken, { resource: RESOURCE });
		expect(next).toMatchObject({ status: 200, body: { scope: 'jobs:read jobs:write' } });
		expect((await callMcp(next.body.access_token)).status).toBe(200);
		const narrow = await refresh(client, next.body.refresh_token, { scope: 'jobs:read admin images:write' });
		expect(narrow.body.scope).toBe('jobs:read');
		expect((await refresh(await newClient({ client_name: 'Thief' }), narrow.body.refresh_token)).body.error).toBe('invalid_grant');
		expect((await refresh(client, narrow.body.refresh_token, { resource: 'https://other.example/' })).body.error).toBe('invalid_target');
		expect((await refresh(client, narrow.body.refresh_token)).status).toBe(200);
	});

	it('of a stolen refresh token end the session', async () => {
		const { client, refreshToken } = await connect(person);
		const next = await refresh(client, refreshToken);
		await runInDurableObject(env.ACCOUNT.getByName(accountIdOf(person.email)), (_instance, state) =>
			state.storage.sql.exec('UPDATE sessions SET rotated_at = rotated_at - 60000'),
		);
		expect((await refresh(client, refreshToken)).body.error).toBe('invalid_grant');
		expect((await refresh(client, next.body.refresh_token)).body.error).toBe('invalid_grant');
	});

	it('of clients and of people cannot be exchanged for each other', async () => {
		const { client, refreshToken } = await connect(person);
		expect((await api('POST', '/auth/token', null, { grant: 'refresh', refreshToken })).status).toBe(401);
		const tenant = await newTenant();
		expect((await refresh(client, tenant.refresh)).body.error).toBe('invalid_grant');
		expect((await api('POST', '/auth/token', null, { grant: 'refresh', refreshToken: tenant.refresh })).status).toBe(200);
		expect((await refresh(client, refreshToken)).status).toBe(200);
	});

	it.each(['access', 'refreshToken'] as const)('end when the %s token is revoked, and the session is listed until then', async (which) => {
		const connected = await connect(person);
		expect(await listed()).toContain('Chat (OAuth)');
		expect((await post('/oauth/revoke', { token: connected[which], client_id: connected.client })).status).toBe(200);
		await expect.poll(async () => (await callMcp(connected.access)).status, { timeout: 10_000 }).toBe(401);
		expect((await refresh(connected.client, connected.refreshToken)).body.error).toBe('invalid_grant');
		expect((await post('/oauth/revoke', { token: 'nothing' })).status).toBe(200);
	});

	it.each([
		[{ grant_type: 'password', client_id: 'x' }, 400, 'unsupported_grant_type'],
		[{ grant_type: 'authorization_code' }, 401, 'invalid_client'],
		[{ grant_type: 'refresh_token', client_id: 'x', refresh_token: 'lr_x' }, 400, 'invalid_grant'],
	])('%j: %i %s', async (fields, status, error) => {
		const answer = await post('/oauth/token', fields);
		expect([answer.status, (await answer.json<{ error: string }>()).error]).toEqual([status, error]);
	});

	it('need a form', async () => {
		const answer = await ask('/oauth/token', { method: 'POST', body: '{}', headers: { 'content-type': 'application/json' } });
		expect([answer.status, (await answer.json<{ error: string }>()).error]).toEqual([400, 'invalid_request']);
	});
});
