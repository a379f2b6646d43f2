import { env } from 'cloudflare:workers';
import { runInDurableObject } from 'cloudflare:test';
import { SignJWT, importJWK, generateKeyPair, decodeProtectedHeader, decodeJwt, type JWK } from 'jose';
import { describe, expect, it } from 'vitest';
import { jwks, signingKey, signToken, verifyToken } from '../../src/lib/jwt.ts';
import { ask, newTenant } from './harness.ts';

const after = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

const make = (by: string, body: object) => ask('POST', '/keys', by, { name: 'k', scopes: ['jobs:read'], ...body });

describe('API keys', () => {
	it('are shown once and kept as SHA-256', async () => {
		const { token, ws } = await newTenant();
		const made = await ask('POST', '/keys', token, { name: 'CI', scopes: ['jobs:read', 'keys:read'] });
		expect(made.status).toBe(201);
		const { key, id } = made.body;
		expect(key.startsWith(`lk_${ws}_${id}_`)).toBe(true);
		const [read, list] = [await ask('GET', `/keys/${id}`, key), await ask('GET', '/keys', key)];
		expect(read.body).toMatchObject({ id, name: 'CI', models: null, limits: null, revokedAt: null });
		expect(JSON.stringify([read.body, list.body])).not.toContain(key.split('_')[3]);
		expect(read.body.lastUsedAt).not.toBeNull();
		const rows = await runInDurableObject(env.WORKSPACE.getByName(ws), (_instance, state) =>
			JSON.stringify(['keys', 'ledger', 'meta'].map((table) => state.storage.sql.exec(`SELECT * FROM ${table}`).toArray())),
		);
		expect(rows).not.toContain(key.split('_')[3]);
	});

	it('are told who they are and what they may do, whatever that is; so are people', async () => {
		const { token, ws, email } = await newTenant();
		const { key, id } = (await ask('POST', '/keys', token, { name: 'k', scopes: ['nodes:join'], models: ['storybook'] })).body;
		const me = await ask('GET', '/auth/me', key);
		expect([me.status, me.body]).toEqual([200, { workspaceId: ws, scopes: ['nodes:join'], keyId: id, models: ['storybook'] }]);
		expect((await ask('GET', '/auth/me', token)).body).toMatchObject({ workspaceId: ws, role: 'owner', account: { email } });
		expect((await ask('GET', '/auth/me', token)).body).not.toHaveProperty('keyId');
		expect((await ask('GET', '/auth/me', null)).status).toBe(401);
	});

	it('stop within a second when revoked, with the tokens made from them', async () => {
		const { token } = await newTenant();
		const { key, id } = (await ask('POST', '/keys', token, { name: 'k', scopes: ['jobs:read', 'images:read'] })).body;
		const short = await ask('POST', '/auth/token', null, { grant: 'key', key, scopes: ['jobs:read'], ttlS: 60 });
		expect(short.body).toMatchObject({ expiresIn: 60, scopes: ['jobs:read'] });
		expect(short.body.refreshToken).toBeUndefined();
		const { accessToken } = short.body;
		expect([(await ask('GET', '/jobs', accessToken)).status, (await ask('GET', '/images', accessToken)).status]).toEqual([200, 403]);
		expect((await ask('DELETE', `/keys/${id}`, token)).status).toBe(200);
		await after(1050);
		expect([(await ask('GET', '/jobs', key)).status, (await ask('GET', '/jobs', accessToken)).status]).toEqual([401, 401]);
		expect((await ask('DELETE', `/keys/${id}`, token)).status).toBe(200);
	});

	it('rotate: the id stays, the old text ends at once or after the grace', async () => {
		const { token } = await newTenant();
		const { key, id } = (await ask('POST', '/keys', token, { name: 'k', scopes: ['jobs:read'] })).body;
		const second = (await ask('POST', `/keys/${id}/rotate`, token, { graceS: 60 })).body;
		expect(second.id).toBe(id);
		expect([(await ask('GET', '/jobs', key)).status, (await ask('GET', '/jobs', second.key)).status]).toEqual([200, 200]);
		const third = (await ask('POST', `/keys/${id}/rotate`, token, {})).body;
		await after(1050);
		expect([(await ask('GET', '/jobs', key)).status, (await ask('GET', '/jobs', second.key)).status]).toEqual([401, 401]);
		expect((await ask('GET', '/jobs', third.key)).status).toBe(200);
	});

	it('make no keys that can do more than themselves, or last longer', async () => {
		const { token } = await newTenant();
		const inAnHour = new Date(Date.now() + 3_600_000).toISOString();
		const parent = (await make(token, { scopes: ['keys:read', 'keys:write', 'jobs:read'], models: ['storybook'], expiresAt: inAnHour }))
			.body;
		const { key } = parent;
		expect((await make(key, { scopes: ['jobs:write'], models: ['storybook'], expiresAt: inAnHour })).status).toBe(403);
		expect((await make(key, { scopes: ['admin'], models: ['storybook'], expiresAt: inAnHour })).status).toBe(403);
		expect((await make(key, { expiresAt: inAnHour })).status).toBe(403);
		expect((await make(key, { models: ['other'], expiresAt: inAnHour })).status).toBe(403);
		expect((await make(key, { models: ['storybook'] })).status).toBe(403);
		expect((await make(key, { models: ['storybook'], expiresAt: inAnHour })).status).toBe(201);
		const strong = (await make(token, { scopes: ['admin'] })).body;
		expect((await ask('POST', `/keys/${strong.id}/rotate`, key, {})).status).toBe(403);
		expect((await ask('PATCH', `/keys/${parent.id}`, key, { scopes: ['admin'] })).status).toBe(403);
		const limited = (await make(token, { scopes: ['keys:write', 'jobs:read'], limits: { day: { images: 1 } } })).body;
		expect((await make(limited.key, {})).status).toBe(403);
		for (const body of [
			{ scopes: ['operator'] },
			{ scopes: ['owner'] },
			{ scopes: [] },
			{ expiresAt: '2020-01-01T00:00:00Z' },
			{ ws: 'test' },
		]) {
			expect((await make(token, body)).status).toBe(422);
		}
	});

	it('may use only their models', async () => {
		const { token } = await newTenant();
		const { key, id } = (await ask('POST', '/keys', token, { name: 'k', scopes: ['jobs:read', 'jobs:write'], models: ['other'] })).body;
		const refused = await ask('POST', '/jobs', key, { prompt: 'a fox' });
		expect([
			[403, 'model_forbidden'],
			[422, 'model_unknown'],
		]).toContainEqual([refused.status, refused.body.code]);
		expect((await ask('GET', '/models', key)).body.data).toEqual([]);
		expect((await ask('PATCH', `/keys/${id}`, token, { models: null, name: 'free' })).body).toMatchObject({ name: 'free', models: null });
	});

	it('expire', async () => {
		const { token, ws } = await newTenant();
		const expiresAt = new Date(Date.now() + 60_000).toISOString();
		const { key, id } = (await ask('POST', '/keys', token, { name: 'k', scopes: ['jobs:read'], expiresAt })).body;
		expect((await ask('GET', '/jobs', key)).status).toBe(200);
		await runInDurableObject(env.WORKSPACE.getByName(ws), (_instance, state) =>
			state.storage.sql.exec('UPDATE keys SET expires_at = ? WHERE id = ?', Date.now() - 1, id),
		);
		await after(1050);
		expect((await ask('GET', '/jobs', key)).body).toMatchObject({ status: 401, detail: expect.stringContaining('expired') });
	});
});

describe('access tokens', () => {
	const SECRET = 'test-secret-of-at-least-32-characters';
	const ISSUER = 'https://limner.example';

	it('are EdDSA with a kid of the published keys, and no others are taken', async () => {
		const { token } = await newTenant();
		const header = decodeProtectedHeader(token);
		expect(header).toMatchObject({ alg: 'EdDSA', typ: 'JWT' });
		const published = (await ask('GET', '/../../.well-known/jwks.json', null)).body.keys;
		expect(published.map(({ kid }) => kid)).toContain(header.kid);
		expect(published.every((key) => key.d === undefined)).toBe(true);

		const claims = decodeJwt(token);
		const [, payload] = token.split('.');
		const none = `${Buffer.from(JSON.stringify({ alg: 'none', typ: 'JWT' })).toString('base64url')}.${payload}.`;
		const { privateKey } = await generateKeyPair('EdDSA', { extractable: true });
		const foreign = await new SignJWT(claims).setProtectedHeader({ alg: 'EdDSA', typ: 'JWT', kid: header.kid! }).sign(privateKey);
		const unknownKid = await new SignJWT(claims).setProtectedHeader({ alg: 'EdDSA', typ: 'JWT', kid: '../../etc' }).sign(privateKey);
		const hmac = await new SignJWT(claims)
			.setProtectedHeader({ alg: 'HS256', typ: 'JWT', kid: header.kid! })
			.sign(Buffer.from(JSON.stringify(published[1])));
		const [head, , signature] = token.split('.');
		const more = `${head}.${Buffer.from(JSON.stringify({ ...claims, ws: 'test', scope: 'admin' })).toString('base64url')}.${signature}`;
		for (const bad of [none, foreign, unknownKid, hmac, more, `${head}.${payload}.`, 'eyJ', 'eyJ.eyJ.x']) {
			expect((await ask('GET', '/accounts/me', bad)).status).toBe(401);
		}
		expect((await ask('GET', '/accounts/me', token)).status).toBe(200);
	});

	it('end, are for one gateway, and survive one change of the signing key', async () => {
		const now = Date.now();
		const input = { sub: 'acct_x', ws: 'test', scope: 'admin', issuer: ISSUER, ttlMs: 600_000 };
		const good = await signToken(SECRET, input, now);
		expect(await verifyToken(SECRET, good, ISSUER, now)).toMatchObject({ ok: true });
		expect(await verifyToken(SECRET, good, ISSUER, now + 606_000)).toMatchObject({ ok: false, why: expect.stringContaining('expired') });
		expect(await verifyToken(SECRET, good, 'https://other.example', now)).toMatchObject({ ok: false });
		expect(await verifyToken('another secret of enough characters', good, ISSUER, now)).toMatchObject({ ok: false });
		expect(jwks(SECRET, now).keys).toHaveLength(3);
		const period = 30 * 86_400_000;
		const border = Math.ceil(now / period) * period;
		const before = await signToken(SECRET, input, border - 1000);
		expect(decodeProtectedHeader(before).kid).not.toBe(decodeProtectedHeader(await signToken(SECRET, input, border)).kid);
		expect(await verifyToken(SECRET, before, ISSUER, border + 60_000)).toMatchObject({ ok: true });
		expect(jwks(SECRET, border - 1000).keys.map(({ kid }) => kid)).toContain(
			decodeProtectedHeader(await signToken(SECRET, input, border)).kid,
		);
		// The right key and issuer, but made for somebody else.
		const forOthers = await new SignJWT({ ws: 'test', scope: 'admin' })
			.setProtectedHeader({ alg: 'EdDSA', typ: 'JWT', kid: decodeProtectedHeader(good).kid! })
			.setSubject('acct_x')
			.setIssuer(ISSUER)
			.setAudience('another-api')
			.setExpirationTime(Math.floor(now / 1000) + 600)
			.sign(await importJWK(signingKey(SECRET, Math.floor(now / period)).privateJwk as JWK, 'EdDSA'));
		expect(await verifyToken(SECRET, forOthers, ISSUER, now)).toMatchObject({ ok: false, why: expect.stringContaining('aud') });
	});
});
