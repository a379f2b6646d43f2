import { env } from 'cloudflare:workers';
import { evictDurableObject, reset, runInDurableObject } from 'cloudflare:test';
import { NODE_ID_PATTERN } from '@limner/shared';
import { afterEach, beforeEach, expect, it, vi } from 'vitest';
import type { RegistryRpc } from '../../src/rpc.ts';
import { makeWorkspace } from '../workspace/fixtures.ts';

const stub = () => env.REGISTRY.getByName(`registry:${env.REGION}`);
const registry = (): RegistryRpc => stub();
const publicKey = (n: number): string => Buffer.alloc(32, n).toString('base64url');
const HOUR_MS = 3_600_000;

beforeEach(() => {
	vi.useFakeTimers({ toFake: ['Date'], now: Date.now() });
});
afterEach(async () => {
	vi.useRealTimers();
	await reset();
});

const makeToken = (over: Partial<Parameters<RegistryRpc['createJoinToken']>[0]> = {}) =>
	registry().createJoinToken({ ws: 'demo', trust: 'own', ttlMs: HOUR_MS, maxUses: 1, ...over });

it('enrols a node, answers the same identity for the same key, and counts one use', async () => {
	const { token, view } = await makeToken();
	expect(token).toMatch(new RegExp(`^jt_${view.id}_[0-9a-z]{52}$`));
	const first = await registry().enrol({ token, publicKey: publicKey(1), name: 'studio' });
	expect(first).toMatchObject({ ok: true, ws: 'demo', trust: 'own', shard: 0, name: 'studio' });
	if (!first.ok) throw new Error(first.code);
	expect(first.nodeId).toMatch(NODE_ID_PATTERN);
	await evictDurableObject(stub());
	expect(await registry().enrol({ token, publicKey: publicKey(1), name: 'studio' })).toEqual(first);
	expect(await registry().listJoinTokens('demo')).toEqual([{ ...view, uses: 1 }]);
	expect(await registry().enrol({ token, publicKey: publicKey(2), name: 'b' })).toMatchObject({
		ok: false,
		code: 'unauthorized',
		detail: expect.stringContaining('allows 1'),
	});
	expect(await registry().renew({ nodeId: first.nodeId, publicKey: publicKey(1) })).toEqual(first);
	expect(await registry().renew({ nodeId: first.nodeId, publicKey: publicKey(2) })).toMatchObject({ code: 'unauthorized' });
});

it('does not share the last use of a token between parallel enrolments', async () => {
	const { token } = await makeToken({ maxUses: 3 });
	const answers = await Promise.all(
		Array.from({ length: 8 }, (_, n) => registry().enrol({ token, publicKey: publicKey(n + 10), name: `n${n}` })),
	);
	expect(answers.filter((answer) => answer.ok)).toHaveLength(3);
	expect((await registry().listJoinTokens('demo'))[0]).toMatchObject({ uses: 3 });
});

it('keeps no token at rest', async () => {
	const { token } = await makeToken();
	const dump = await runInDurableObject(stub(), (_instance, state) =>
		JSON.stringify(state.storage.sql.exec('SELECT * FROM join_tokens').toArray()),
	);
	expect(dump).not.toContain(token.slice(12));
});

it('refuses tokens that are malformed, wrong, expired or revoked, and says which', async () => {
	const input = { publicKey: publicKey(3), name: 'n' };
	const { token, view } = await makeToken();
	const wrong = `${token.slice(0, -1)}${token.endsWith('0') ? '1' : '0'}`;
	expect(await registry().enrol({ ...input, token: 'lk_demo' })).toMatchObject({ code: 'unauthorized' });
	expect(await registry().enrol({ ...input, token: wrong })).toMatchObject({ detail: expect.stringContaining('not known') });
	expect(await registry().revokeJoinToken('other', view.id)).toMatchObject({ ok: false, code: 'not_found' });
	expect(await registry().revokeJoinToken('demo', view.id)).toEqual({ ok: true, view: { ...view, revoked: true } });
	expect(await registry().enrol({ ...input, token })).toMatchObject({ detail: expect.stringContaining('revoked') });
	const short = await makeToken();
	vi.setSystemTime(Date.now() + HOUR_MS);
	expect(await registry().enrol({ ...input, token: short.token })).toMatchObject({ detail: expect.stringContaining('expired') });
});

it('validates key and name', async () => {
	const { token } = await makeToken();
	for (const key of ['', 'x', publicKey(1).slice(1), `${publicKey(1)}=`, Buffer.alloc(33).toString('base64url'), `${'A'.repeat(42)}B`]) {
		expect(await registry().enrol({ token, publicKey: key, name: 'n' })).toMatchObject({
			code: 'validation_failed',
			errors: [{ pointer: '/publicKey' }],
		});
	}
	for (const name of ['', ' ', 'a\nb', 'x'.repeat(65)]) {
		expect(await registry().enrol({ token, publicKey: publicKey(1), name })).toMatchObject({ errors: [{ pointer: '/name' }] });
	}
	expect(await registry().enrol({ token, publicKey: publicKey(1), name: 'x'.repeat(64) })).toMatchObject({ ok: true });
});

it('lets nobody move a node into another workspace by its public key', async () => {
	const mine = await makeToken();
	const theirs = await makeToken({ ws: 'other' });
	await registry().enrol({ token: mine.token, publicKey: publicKey(5), name: 'n' });
	expect(await registry().enrol({ token: theirs.token, publicKey: publicKey(5), name: 'n' })).toMatchObject({
		ok: false,
		code: 'conflict',
	});
	expect((await registry().listJoinTokens('other'))[0]).toMatchObject({ uses: 0 });
});

it('puts a node that works for its own workspace where the jobs of that workspace are', async () => {
	await makeWorkspace('demo', ['admin'], 33);
	const { token } = await makeToken();
	expect(await registry().enrol({ token, publicKey: publicKey(6), name: 'n' })).toMatchObject({ ok: true, shard: 33 });
	expect(await registry().shards()).toBe(1);
});

it('drops tokens a month after their expiry', async () => {
	await makeToken();
	vi.setSystemTime(Date.now() + HOUR_MS + 30 * 86_400_000);
	const { view } = await makeToken();
	expect(await registry().listJoinTokens('demo')).toEqual([view]);
});
