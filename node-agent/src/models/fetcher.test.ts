import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { fetchStore, ModelFetcher, pictureShare, planRoom } from './fetcher.ts';
import { COMMIT, readTree, startHub, type TestHub } from './hub-server.test-lib.ts';
import { readRecord } from './records.ts';
import { listModels } from './store.ts';

const LCM = join(import.meta.dirname, '../../../tests/reference/models/lcm');
const REPO = 'painter/little-lcm';
const GIB = 1024 ** 3;

describe('room for a model', () => {
	const fetched = [
		{ entry: 'new', bytes: 3 * GIB, usedAt: 300 },
		{ entry: 'old', bytes: 2 * GIB, usedAt: 100 },
		{ entry: 'unused', bytes: 1 * GIB, usedAt: 0 },
	];
	it('takes away what was used longest ago, and no more than it must', () => {
		expect(planRoom(4 * GIB, 6 * GIB, undefined, fetched)).toEqual({ ok: true, remove: [] });
		expect(planRoom(4 * GIB, 6 * GIB, 10 * GIB, fetched)).toEqual({ ok: true, remove: [] });
		expect(planRoom(4 * GIB, 6 * GIB, 10 * GIB - 1, fetched)).toEqual({ ok: true, remove: ['unused'] });
		expect(planRoom(4 * GIB, 6 * GIB, 8 * GIB, fetched)).toEqual({ ok: true, remove: ['unused', 'old'] });
	});
	it('says when nothing helps', () => {
		expect(planRoom(4 * GIB, 7 * GIB, 4 * GIB, fetched)).toEqual({
			ok: false,
			sentence: 'it takes 4.0 GiB, and --max-disk is 4.0 GiB, of which 7.0 GiB are used',
		});
	});
	it('keeps a share for pictures', () => {
		expect(pictureShare(undefined)).toBeUndefined();
		expect(pictureShare(400)).toBe(100);
		expect(pictureShare(100 * GIB)).toBe(GIB);
	});
});

describe('a fetch', () => {
	let folder = '';
	let hub: TestHub;
	beforeEach(async () => {
		folder = mkdtempSync(join(tmpdir(), 'limner-fetch-'));
		hub = await startHub(REPO, readTree(LCM), {});
	});
	afterEach(() => {
		hub.close();
		rmSync(folder, { recursive: true, force: true });
	});

	const fetcher = (maxBytes?: number, loaded: string[] = []): ModelFetcher =>
		new ModelFetcher({
			store: fetchStore(folder),
			maxBytes,
			waitingBytes: () => 1000,
			loaded: () => new Set(loaded),
			onNote: (note) => notes.push(note),
			env: { HF_ENDPOINT: hub.url, HF_HUB_CACHE: join(folder, 'hub') },
		});
	const notes: string[] = [];

	it('brings a model under the name that the pool uses, and tells others where it is from', async () => {
		const model = await fetcher().fetch(`${REPO}@${COMMIT}`, 'lcm-there');
		expect(model).toMatchObject({ name: 'lcm-there', info: { source: `${REPO}@${COMMIT}` } });
		expect(readRecord(fetchStore(folder), 'lcm-there')).toMatchObject({ kind: 'pull', auto: true });
		expect((await listModels([fetchStore(folder)])).models[0]?.info.source).toBe(`${REPO}@${COMMIT}`);
	});

	it('makes room by what it fetched before, but not by what is loaded, nor beyond its disk', async () => {
		const one = fetcher();
		const { info } = await one.fetch(REPO, 'first');
		const limit = Math.ceil(info.bytes * 1.8);
		await expect(fetcher(limit, ['first']).fetch(REPO, 'second')).rejects.toThrow(/"second" is not fetched: it takes .* --max-disk is/);
		await expect(fetcher(1000).fetch(REPO, 'second')).rejects.toThrow(/is not fetched/);
		expect(existsSync(join(fetchStore(folder), 'first'))).toBe(true);
		await fetcher(limit).fetch(REPO, 'second');
		expect((await listModels([fetchStore(folder)])).models.map((model) => model.name)).toEqual(['second']);
		expect(notes.join()).toMatch(/first, which the node had fetched, makes room for second/);
	});

	it('refuses names that are no folders, and a source that is not there, and goes on', async () => {
		const one = fetcher();
		await expect(one.fetch(REPO, 'a/b')).rejects.toThrow(/its name is no name of a folder/);
		await expect(one.fetch('painter/none', 'x')).rejects.toThrow(/painter\/none/);
		await expect(one.fetch(REPO, 'x')).resolves.toMatchObject({ name: 'x' });
	});
});
