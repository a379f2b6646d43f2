import { describe, expect, it } from 'vitest';
import { rendezvous } from '../lib/rendezvous.ts';
import { checkPublicKey, decideEnrol, shardOfNode, type EnrolContext, type NodeRow } from './enrol.ts';
import { checkToken, JOIN_TOKEN_LIMITS, makeToken, tokenId, tokenView } from './tokens.ts';

const { token, row } = makeToken({ ws: 'w', trust: 'own', ttlMs: 100, maxUses: 1 }, 1000, new Uint8Array(37).fill(7));
const node: NodeRow = {
	id: 'node_1',
	publicKey: 'pk',
	ws: 'w',
	trust: 'own',
	shard: 2,
	name: 'n',
	tokenId: row.id,
	createdAt: 1,
	labels: [],
	state: 'approved',
	banReason: null,
	keyVersion: 1,
};
const context = (over: Partial<EnrolContext> = {}): EnrolContext => ({
	token: row,
	known: undefined,
	home: 3,
	shards: 8,
	nowMs: 1000,
	random: new Uint8Array(10),
	...over,
});

const make = (ttlMs: number, maxUses: number) => () => makeToken({ ws: 'w', trust: 'own', ttlMs, maxUses }, 0, new Uint8Array(37));

describe('join tokens', () => {
	it('has the form jt_<8>_<52> and shows no hash', () => {
		expect(token).toMatch(/^jt_[0-9a-z]{8}_[0-9a-z]{52}$/);
		expect(tokenId(token)).toBe(row.id);
		expect(tokenView(row)).not.toHaveProperty('hash');
		for (const bad of ['', `${token}0`, token.toUpperCase(), token.replace('jt_', 'lk_')]) expect(tokenId(bad)).toBeUndefined();
	});

	it('expires on the millisecond', () => {
		expect(checkToken(row, token, 1099)).toBeUndefined();
		expect(checkToken(row, token, 1100)).toMatchObject({ code: 'unauthorized' });
	});

	it('takes life time and uses up to their bounds', () => {
		expect(make(JOIN_TOKEN_LIMITS.ttlMaxMs, JOIN_TOKEN_LIMITS.usesMax)).not.toThrow();
		expect(make(JOIN_TOKEN_LIMITS.ttlMaxMs + 1, 1)).toThrow(RangeError);
		expect(make(0, 1)).toThrow(RangeError);
		expect(make(1, JOIN_TOKEN_LIMITS.usesMax + 1)).toThrow(RangeError);
		expect(make(1, 0.5)).toThrow(RangeError);
	});
});

describe('enrolment', () => {
	it('makes a node in the home shard of its workspace, and spreads shared ones', () => {
		expect(decideEnrol({ publicKey: 'pk', name: 'n' }, context())).toMatchObject({
			kind: 'insert',
			node: { ws: 'w', trust: 'own', shard: 3 },
		});
		const ids = Array.from({ length: 64 }, (_, i) => `node_${i}`);
		expect(ids.every((id) => shardOfNode('shared', id, 3, 8) === rendezvous(id, 8))).toBe(true);
		expect(new Set(ids.map((id) => shardOfNode('shared', id, 3, 8))).size).toBe(8);
	});

	it('answers the same node for the same key, even when the token is used up', () => {
		const used = { ...row, uses: 1 };
		expect(decideEnrol({ publicKey: 'pk', name: 'n' }, context({ token: used, known: node }))).toEqual({
			kind: 'known',
			node,
			changed: false,
		});
		expect(decideEnrol({ publicKey: 'pk2', name: 'n' }, context({ token: used }))).toMatchObject({ refusal: { code: 'unauthorized' } });
	});

	it('takes a new name and a new trust of the same workspace', () => {
		expect(decideEnrol({ publicKey: 'pk', name: 'm' }, context({ known: node }))).toMatchObject({
			changed: true,
			node: { id: 'node_1', name: 'm', shard: 2 },
		});
		const shared = context({ known: node, token: { ...row, trust: 'shared' } });
		expect(decideEnrol({ publicKey: 'pk', name: 'n' }, shared)).toMatchObject({
			changed: true,
			node: { trust: 'shared', shard: rendezvous('node_1', 8) },
		});
	});

	it('refuses a key of another workspace', () => {
		expect(decideEnrol({ publicKey: 'pk', name: 'n' }, context({ known: { ...node, ws: 'x' } }))).toMatchObject({
			refusal: { code: 'conflict' },
		});
	});

	it('wants 32 bytes in canonical base64url', () => {
		const key = Buffer.alloc(32, 255).toString('base64url');
		expect(checkPublicKey(key)).toBeUndefined();
		for (const bad of [`${key}=`, key.replaceAll('_', '/'), `${key.slice(0, -1)}9`, Buffer.alloc(31).toString('base64url')]) {
			expect(checkPublicKey(bad)).toMatchObject({ code: 'validation_failed' });
		}
	});
});
