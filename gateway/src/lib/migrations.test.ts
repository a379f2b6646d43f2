import { describe, expect, it } from 'vitest';
import { canonicalJson, sha256Hex } from './canonical.ts';
import { parseDuration } from './duration.ts';
import { migrationHash, planMigrations, type Migration } from './migrations.ts';
import { parseShards, rendezvous } from './rendezvous.ts';

const list: Migration[] = [
	{ name: '0001-a', sql: 'CREATE TABLE a (x)' },
	{ name: '0002-b', sql: 'CREATE TABLE b (x)' },
];
const applied = (...migrations: Migration[]) =>
	migrations.map((migration, index) => ({ n: index + 1, name: migration.name, hash: migrationHash(migration) }));

describe('planMigrations', () => {
	it('runs what has not run, in order', () => {
		expect(planMigrations([], list).map(({ n, name }) => [n, name])).toEqual([
			[1, '0001-a'],
			[2, '0002-b'],
		]);
		expect(planMigrations(applied(...list.slice(0, 1)), list).map(({ n }) => n)).toEqual([2]);
		expect(planMigrations(applied(...list), list)).toEqual([]);
	});

	it('refuses history that was edited, renamed, reordered, shortened or has a gap', () => {
		const [first, second] = list as [Migration, Migration];
		expect(() => planMigrations(applied(...list), [{ ...first, sql: `${first.sql} ` }, second])).toThrow('was edited');
		expect(() => planMigrations(applied(...list), [{ ...first, name: '0001-z' }, second])).toThrow('is now 0001-z');
		expect(() => planMigrations(applied(...list), [second, first])).toThrow('is now 0002-b');
		expect(() => planMigrations(applied(...list), [first])).toThrow('is newer');
		expect(() => planMigrations(applied(...list).slice(1), list)).toThrow('missing');
		expect(() => planMigrations([], [first, first])).toThrow('same name');
	});
});

describe('parseDuration', () => {
	it.each([
		['90s', 90_000],
		['30m', 1_800_000],
		['12h', 43_200_000],
		['30d', 2_592_000_000],
		['1w', 604_800_000],
		['1.5h', 5_400_000],
		[' 250 ms ', 250],
	])('reads %s', (text, ms) => expect(parseDuration(text, 'X')).toBe(ms));

	it.each(['', '0s', '-1h', '30', 'd', '1y', '1h30m', '99999999d', 'NaNs'])('refuses %j in words', (text) => {
		expect(() => parseDuration(text, 'RESULT_TTL')).toThrow(/^RESULT_TTL is .* such as "90s"/);
	});
});

describe('rendezvous', () => {
	const keys = Array.from({ length: 4000 }, (_, i) => `ws-${i}`);

	it('spreads keys evenly', () => {
		const counts = Map.groupBy(keys, (key) => rendezvous(key, 4));
		for (const group of counts.values()) expect(Math.abs(group.length - 1000)).toBeLessThan(120);
		expect(new Set(counts.keys())).toEqual(new Set([0, 1, 2, 3]));
	});

	it('moves keys only to the new shard when one is added', () => {
		const moved = keys.filter((key) => rendezvous(key, 4) !== rendezvous(key, 5));
		expect(moved.every((key) => rendezvous(key, 5) === 4)).toBe(true);
		expect(Math.abs(moved.length - 800)).toBeLessThan(120);
	});

	it('reads SHARDS from 1 to 1024', () => {
		expect([parseShards('1'), parseShards('1024')]).toEqual([1, 1024]);
		for (const text of ['', '0', '1025', '-1', '1.5', 'x']) expect(() => parseShards(text)).toThrow('SHARDS');
	});
});

describe('canonicalJson', () => {
	it('has one text for equal values, also after JSON', () => {
		const value = { b: [1, { d: null, c: 'ü' }], a: 0.1, gone: undefined };
		expect(canonicalJson(value)).toBe('{"a":0.1,"b":[1,{"c":"ü","d":null}]}');
		expect(canonicalJson(JSON.parse(JSON.stringify(value)))).toBe(canonicalJson(value));
	});

	it('refuses what JSON cannot hold', () => {
		for (const value of [Number.NaN, Number.POSITIVE_INFINITY, 1n, () => 1]) expect(() => canonicalJson(value)).toThrow(TypeError);
	});

	it('hashes as sha256sum does', () => {
		expect(sha256Hex('abc')).toBe('ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad');
	});
});
