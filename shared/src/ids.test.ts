import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
	ASSET_ID_PATTERN,
	assetKey,
	base32,
	imageId,
	isJobId,
	jobIdLowerBound,
	MAX_SHARDS,
	newApiKey,
	newAssetId,
	newJobId,
	newNodeId,
	NODE_ID_PATTERN,
	parseApiKey,
	parseImageId,
	poolName,
	resultKey,
	shardOfJob,
	shardSuffix,
	uuidv7Base32,
	WORKSPACE_ID_PATTERN,
} from './ids.ts';

const MAX_TIME = 2 ** 48 - 1;
const time = fc.integer({ min: 0, max: MAX_TIME });
const random = fc.uint8Array({ minLength: 10, maxLength: 10 });
const shards = fc.integer({ min: 0, max: MAX_SHARDS - 1 });
const bytes = (length: number, fill = 0): Uint8Array => new Uint8Array(length).fill(fill);
const JOB = newJobId(1_795_276_800_000, bytes(10, 7), 33);
/** Ways to spoil an id that has a prefix, a body of base32 characters and nothing else. */
const spoilt = (id: string): string[] => [
	'',
	id.slice(1),
	id.slice(0, -1),
	`${id}0`,
	` ${id}`,
	`${id}\n`,
	id.toUpperCase(),
	id.replace('_', '-'),
	`${id.slice(0, -1)}u`,
	`${id.slice(0, -1)}l`,
	`${id.slice(0, -1)}_`,
	`${id.slice(0, -1)}/`,
	`${id.slice(0, -3)}../`,
	`x${id}`,
	`${id.slice(0, -1)}é`,
	`${id.slice(0, -1)}\u0000`,
];

describe('base32', () => {
	it('keeps the order of equally long byte strings, and loses nothing', () => {
		fc.assert(
			fc.property(fc.uint8Array({ minLength: 16, maxLength: 16 }), fc.uint8Array({ minLength: 16, maxLength: 16 }), (a, b) => {
				const order = Math.sign(Buffer.compare(a, b));
				const [left, right] = [base32(a), base32(b)];
				expect(left).toHaveLength(26);
				expect(left < right ? -1 : Number(left > right)).toBe(order);
			}),
		);
	});
	it('known values', () => {
		expect(base32(bytes(0))).toBe('');
		expect(base32(bytes(5, 255))).toBe('zzzzzzzz');
		expect(base32(Uint8Array.of(0, 0, 0, 0, 32))).toBe('00000010');
	});
});

describe('job ids', () => {
	it('sort by time', () => {
		fc.assert(
			fc.property(time, time, random, random, shards, shards, (t1, t2, r1, r2, s1, s2) => {
				fc.pre(t1 !== t2);
				expect(newJobId(t1, r1, s1) < newJobId(t2, r2, s2)).toBe(t1 < t2);
			}),
		);
	});

	it('carry their shard', () => {
		for (let shard = 0; shard < MAX_SHARDS; shard++) expect(shardOfJob(newJobId(1, bytes(10), shard))).toBe(shard);
		fc.assert(
			fc.property(time, random, shards, (t, r, shard) => {
				const id = newJobId(t, r, shard);
				expect(isJobId(id)).toBe(true);
				expect(shardOfJob(id)).toBe(shard);
				expect(id.endsWith(shardSuffix(shard))).toBe(true);
			}),
		);
	});

	it('hold a UUID of version 7, variant 10', () => {
		fc.assert(
			fc.property(time, random, (t, r) => {
				let value = 0n;
				for (const char of uuidv7Base32(t, r)) value = value * 32n + BigInt('0123456789abcdefghjkmnpqrstvwxyz'.indexOf(char));
				expect(value >> 80n).toBe(BigInt(t));
				expect((value >> 76n) & 15n).toBe(7n);
				expect((value >> 62n) & 3n).toBe(2n);
			}),
		);
	});

	it('are read strictly', () => {
		expect(shardOfJob(JOB)).toBe(33);
		for (const bad of [...spoilt(JOB), newNodeId(1, bytes(10)), 'job_', 'job']) {
			expect([bad, isJobId(bad), shardOfJob(bad)]).toEqual([bad, false, undefined]);
		}
	});

	it('refuse too little randomness and shards out of range', () => {
		expect(() => uuidv7Base32(1, bytes(9))).toThrow(RangeError);
		for (const shard of [-1, MAX_SHARDS, 1.5, Number.NaN, Number.POSITIVE_INFINITY]) expect(() => shardSuffix(shard)).toThrow(RangeError);
	});

	it('the lower bound is never above an id of that time or later, and close below it', () => {
		fc.assert(
			fc.property(time, time, random, shards, (a, b, r, shard) => {
				const [early, late] = a < b ? [a, b] : [b, a];
				expect(jobIdLowerBound(early) <= newJobId(late, r, shard)).toBe(true);
				// The bound is a prefix of 43 time bits, so it may admit ids that are up to 31 ms too old, but no older.
				const below = newJobId(early, r, shard) < jobIdLowerBound(late);
				expect(below || late - early < 32).toBe(true);
			}),
		);
	});
});

describe('image, node and asset ids', () => {
	it('image ids round-trip', () => {
		fc.assert(
			fc.property(time, random, shards, fc.integer({ min: 0, max: 99 }), (t, r, shard, index) => {
				const jobId = newJobId(t, r, shard);
				expect(parseImageId(imageId(jobId, index))).toEqual({ jobId, index });
			}),
		);
	});

	it('image ids are read strictly: one text a picture', () => {
		const good = imageId(JOB, 7);
		expect(parseImageId(good)).toEqual({ jobId: JOB, index: 7 });
		const base = good.slice(0, -2);
		const bad = [
			'',
			base,
			`${base}_`,
			`${base}_07`,
			`${base}_00`,
			`${base}_-1`,
			`${base}_+1`,
			`${base}_1.0`,
			`${base}_100`,
			`${base}_1e1`,
			`${base}_ 1`,
			`${good}\n`,
			JOB,
			good.toUpperCase(),
		];
		expect(bad.filter((id) => parseImageId(id) !== undefined)).toEqual([]);
	});

	it('node and asset ids match their patterns and nothing near them does', () => {
		const node = newNodeId(5, bytes(10, 255));
		const asset = newAssetId(5, bytes(10, 255));
		expect(node).toMatch(NODE_ID_PATTERN);
		expect(asset).toMatch(ASSET_ID_PATTERN);
		for (const bad of [...spoilt(node), asset, JOB]) expect(bad).not.toMatch(NODE_ID_PATTERN);
		for (const bad of [...spoilt(asset), node, JOB]) expect(bad).not.toMatch(ASSET_ID_PATTERN);
	});

	it('workspace ids', () => {
		for (const good of ['a', '0', 'main', 'my-team', 'a'.repeat(39)]) expect(good).toMatch(WORKSPACE_ID_PATTERN);
		for (const bad of ['', '-a', 'A', 'a_b', 'a/b', 'a.b', 'a b', 'a\n', 'é', 'a'.repeat(40)])
			expect(bad).not.toMatch(WORKSPACE_ID_PATTERN);
	});
});

describe('API keys', () => {
	const workspace = fc.stringMatching(/^[a-z0-9][a-z0-9-]{0,38}$/);

	it('round-trip', () => {
		fc.assert(
			fc.property(workspace, fc.uint8Array({ minLength: 37, maxLength: 37 }), (ws, r) => {
				expect(parseApiKey(newApiKey(ws, r))).toEqual({ ws, keyId: base32(r.subarray(0, 5)) });
			}),
		);
	});

	it('are read strictly', () => {
		const secret = 's'.repeat(32);
		expect(parseApiKey(`lk_main_k123_${secret}`)).toEqual({ ws: 'main', keyId: 'k123' });
		const bad = [
			'',
			'lk_',
			`lk_main_${secret}`,
			`lk__k123_${secret}`,
			`lk_main_k12_${secret}`,
			`lk_main_${'k'.repeat(33)}_${secret}`,
			`lk_main_k123_${secret.slice(1)}`,
			`lk_main_k123_${'s'.repeat(129)}`,
			`lk_Main_k123_${secret}`,
			`lk_-main_k123_${secret}`,
			`lk_main_K123_${secret}`,
			`lk_main_k123_${secret}_x`,
			`lk_main_k123_${secret}\n`,
			` lk_main_k123_${secret}`,
			`Bearer lk_main_k123_${secret}`,
			`sk_main_k123_${secret}`,
			`lk_${'a'.repeat(40)}_k123_${secret}`,
			`lk_main_k123_${secret.slice(1)}é`,
		];
		expect(bad.filter((key) => parseApiKey(key) !== undefined)).toEqual([]);
	});

	it('need enough randomness and differ in every random byte', () => {
		expect(() => newApiKey('main', bytes(36))).toThrow(RangeError);
		const zero = newApiKey('main', bytes(37));
		for (let i = 0; i < 37; i++) expect(newApiKey('main', bytes(37).with(i, 1))).not.toBe(zero);
	});
});

describe('storage keys and object names', () => {
	it('name the workspace, job, index, epoch and bytes', () => {
		expect(resultKey('main', JOB, 2, 3, 'ab'.repeat(32), 'png')).toBe(`w/main/${JOB}/2/3-${'ab'.repeat(16)}.png`);
		expect(assetKey('main', 'asset_x')).toBe('a/main/asset_x');
		expect(poolName('weur', 3)).toBe('pool:weur:03');
		expect(poolName('weur', 1023)).toBe('pool:weur:1023');
	});

	it('two attempts never share a key', () => {
		fc.assert(
			fc.property(fc.tuple(fc.nat(15), fc.integer({ min: 1, max: 99 })), fc.tuple(fc.nat(15), fc.integer({ min: 1, max: 99 })), (a, b) => {
				const same = a[0] === b[0] && a[1] === b[1];
				const sha = 'cd'.repeat(32);
				expect(resultKey('w', JOB, a[0], a[1], sha, 'png') === resultKey('w', JOB, b[0], b[1], sha, 'png')).toBe(same);
			}),
		);
	});
});
