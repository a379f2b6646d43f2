import { randomFillSync } from 'node:crypto';
import { existsSync, lstatSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { createHubClient, mayCarryToken } from './http.ts';
import { COMMIT, oidOf, readTree, startHub, type HubFaults, type TestHub } from './hub-server.test-lib.ts';
import { hubCacheDir } from './hub-cache.ts';
import { hubToken, parseRepoSpec } from './hub.ts';
import { damagedFiles, importModel, removeModel } from './manage.ts';
import { isSound, parseContentRange, planPieces, received, resize } from './pieces.ts';
import { checkRoom, pullModel, type PullOptions } from './pull.ts';
import { readRecord, type PullRecord } from './records.ts';
import { exportCommand, repoProblem, selectFiles } from './select.ts';
import { listModels } from './store.ts';

const LCM = join(import.meta.dirname, '../../../tests/reference/models/lcm');
const MIB = 1024 ** 2;
const REPO = 'painter/little-lcm';

let folder = '';
const hubs: TestHub[] = [];
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), 'limner-pull-'));
});
afterEach(() => {
	for (const hub of hubs.splice(0)) hub.close();
	rmSync(folder, { recursive: true, force: true });
});

/** A model that works, with a large file beside its graph, and what else such repositories hold. */
const repoFiles = (bigBytes = 12 * MIB): Map<string, Buffer> => {
	const files = readTree(LCM);
	files.set('unet/model.onnx_data', randomFillSync(Buffer.alloc(bigBytes)));
	for (const path of [
		'unet/diffusion_pytorch_model.safetensors',
		'model.ckpt',
		'unet/model_fp16.onnx',
		'unet/model_fp16.onnx_data',
		'README.md',
	])
		files.set(path, Buffer.alloc(3 * MIB, 1));
	files.set('LICENSE.md', Buffer.from('Use it well.'));
	return files;
};

const hubWith = async (files: Map<string, Buffer>, faults: Partial<HubFaults> = {}): Promise<TestHub> => {
	const hub = await startHub(REPO, files, faults);
	hubs.push(hub);
	return hub;
};

const notes: string[] = [];
const options = (hub: TestHub, more: Partial<PullOptions> & { token?: string } = {}): PullOptions => {
	notes.length = 0;
	return {
		client: createHubClient(hub.url, more.token, {}),
		spec: parseRepoSpec(REPO),
		hub: join(folder, 'hub'),
		store: join(folder, 'models'),
		pieceBytes: 2 * MIB,
		retryFirstMs: 1,
		hooks: { onPlan: () => undefined, onProgress: () => undefined, onNote: (sentence) => notes.push(sentence) },
		...more,
	};
};

const wanted = (files: Map<string, Buffer>): [string, Buffer][] =>
	[...files].filter(([path]) => !/safetensors|ckpt|fp16|README/.test(path));
const bytesOf = (files: Map<string, Buffer>): number => wanted(files).reduce((sum, [, content]) => sum + content.length, 0);

const expectComplete = (files: Map<string, Buffer>, name = 'little-lcm'): void => {
	for (const [path, content] of wanted(files)) expect(readFileSync(join(folder, 'models', name, path)).equals(content), path).toBe(true);
};

describe('a download over bad lines', () => {
	it('survives five cuts, false sizes and a changed byte within 105 % of the bytes', async () => {
		const files = repoFiles();
		const data = 'unet/model.onnx_data';
		const hub = await hubWith(files, {
			cuts: [
				{ path: data, after: 100_000 },
				{ path: data, after: 1_500_000 },
				{ path: data, after: 1 },
				{ path: data, after: 700_001 },
				{ path: 'unet/model.onnx', after: 30_000 },
			],
			listed: { [data]: 9 * MIB + 5, 'vae_decoder/model.onnx': 10_000_000, 'text_encoder/model.onnx': 17 },
			totals: { 'vae_encoder/model.onnx': 5_000_000 },
			flips: { 'tokenizer/vocab.json': 1 },
			statuses: { 'model_index.json': [503, 429] },
		});
		let progress: [number, number] = [0, 0];
		const hooks = { ...options(hub).hooks, onProgress: (bytes: number, total: number) => void (progress = [bytes, total]) };
		const model = await pullModel(options(hub, { hooks }));
		expect(hub.cutsMade()).toBe(5);
		// Files of equal content are one.
		const sizes = new Map(wanted(files).map(([, content]) => [oidOf(content), content.length]));
		const bytes = [...sizes.values()].reduce((sum, size) => sum + size, 0);
		expect(progress).toEqual([bytes, bytes]);
		expectComplete(files);
		expect(notes).toEqual([expect.stringContaining('tokenizer/vocab.json arrived damaged')]);
		expect(hub.served()).toBeLessThanOrEqual(bytesOf(files) * 1.05);
		expect(model).toMatchObject({ name: 'little-lcm', dir: join(folder, 'models', 'little-lcm') });
		expect((await listModels([join(folder, 'models')])).models.map((found) => found.name)).toEqual(['little-lcm']);
	});

	it('fetches the pieces of one file over several connections', async () => {
		const files = repoFiles();
		const hub = await hubWith(files);
		await pullModel(options(hub));
		const ranges = new Set(
			hub.requests.filter(({ path, host }) => path.endsWith('onnx_data') && host === 'store').map(({ range }) => range),
		);
		expect(ranges.size).toBe(6);
	});

	it('goes on where an earlier run was ended, and fetches nothing that is here', async () => {
		const files = repoFiles();
		const hub = await hubWith(files);
		hub.faults.statuses['unet/model.onnx_data'] = Array<number>(6).fill(500);
		await expect(pullModel(options(hub, { connections: 1 }))).rejects.toThrow(/cannot be reached \(status 500 .*run the command again/);
		hub.faults.statuses = {};
		hub.faults.cuts = [{ path: 'unet/model.onnx_data', after: 1_000_000 }];
		await pullModel(options(hub));
		expect(hub.served()).toBeLessThanOrEqual(bytesOf(files) * 1.05);
		const before = hub.served();
		await pullModel(options(hub));
		expect(hub.served()).toBe(before);
	});

	it('does without ranges when the server has none', async () => {
		const files = repoFiles(3 * MIB);
		const hub = await hubWith(files, { ignoreRanges: true, cuts: [{ path: 'unet/model.onnx_data', after: 2.5 * MIB }] });
		await pullModel(options(hub, { connections: 2 }));
		expect(hub.cutsMade()).toBe(1);
		expectComplete(files);
	});

	it('keeps nothing whose hash is wrong', async () => {
		const files = repoFiles(MIB);
		const hub = await hubWith(files, { flips: { 'unet/model.onnx': 99 } });
		await expect(pullModel(options(hub))).rejects.toThrow(/unet\/model\.onnx arrived damaged 2 times: its hash is not the one/);
		expect(existsSync(join(folder, 'models', 'little-lcm'))).toBe(false);
		const blobs = readdirSync(join(folder, 'hub', 'models--painter--little-lcm', 'blobs'));
		expect(blobs).not.toContain(oidOf(files.get('unet/model.onnx') ?? Buffer.alloc(0)));
	});

	it('mends a damaged file of the cache', async () => {
		const files = repoFiles(MIB);
		const hub = await hubWith(files);
		await pullModel(options(hub));
		const path = join(folder, 'models', 'little-lcm', 'unet', 'model.onnx');
		const record = readRecord(join(folder, 'models'), 'little-lcm') as PullRecord;
		expect(await damagedFiles(join(folder, 'models'), record)).toEqual([]);
		writeFileSync(path, 'x');
		expect(await damagedFiles(join(folder, 'models'), record)).toEqual([
			expect.stringMatching(/model\.onnx is damaged.*limner models pull painter/),
		]);
		await pullModel(options(hub));
		expect(notes).toEqual([expect.stringContaining('in the cache is damaged')]);
		expectComplete(files);
	});
});

describe('the cache', () => {
	it('has the layout of Hugging Face, with links', async () => {
		const files = repoFiles(MIB);
		await pullModel(options(await hubWith(files)));
		const root = join(folder, 'hub', 'models--painter--little-lcm');
		expect(readFileSync(join(root, 'refs', 'main'), 'utf8')).toBe(COMMIT);
		const oid = oidOf(files.get('unet/model.onnx') ?? Buffer.alloc(0));
		expect(readlinkSync(join(root, 'snapshots', COMMIT, 'unet', 'model.onnx'))).toBe(join('..', '..', '..', 'blobs', oid));
		expect(readdirSync(join(root, 'blobs')).filter((name) => !/^([0-9a-f]{40}|[0-9a-f]{64})$/.test(name))).toEqual([]);
	});

	it('has copies where links are not wanted', async () => {
		const files = repoFiles(MIB);
		await pullModel(options(await hubWith(files), { copies: true }));
		for (const [path] of wanted(files)) expect(lstatSync(join(folder, 'models', 'little-lcm', path)).isFile(), path).toBe(true);
		expectComplete(files);
	});

	it('frees what a removed model held, and nothing else', async () => {
		const store = join(folder, 'models');
		const files = repoFiles(MIB);
		const hub = await hubWith(files);
		await pullModel(options(hub));
		await pullModel(options(hub, { name: 'twin' }));
		expect(await removeModel('twin', [store], false)).toBe(0);
		expectComplete(files);
		expect(await removeModel('little-lcm', [store], false)).toBeGreaterThan(MIB);
		expect(existsSync(join(folder, 'hub', 'models--painter--little-lcm'))).toBe(false);
		mkdirSync(join(store, 'mine'));
		writeFileSync(join(store, 'mine', 'model_index.json'), '{}');
		await expect(removeModel('mine', [store], false)).rejects.toThrow(/mine came neither by pull nor by import/);
		await expect(removeModel('x', [store], false)).rejects.toThrow(/There is no model "x"/);
	});

	it('takes in folders and leaves them alone', async () => {
		const store = join(folder, 'models');
		expect((await importModel(LCM, store, {})).name).toBe('lcm');
		expect((await importModel(LCM, store, { name: 'copied', copy: true })).name).toBe('copied');
		expect(lstatSync(join(store, 'copied')).isDirectory()).toBe(true);
		await removeModel('lcm', [store], false);
		await removeModel('copied', [store], false);
		expect(existsSync(join(LCM, 'model_index.json'))).toBe(true);
		await expect(importModel(join(folder, 'none'), store, {})).rejects.toThrow(/There is no folder/);
		for (const [name, sentence] of [
			['v1-5.safetensors', /v1-5\.safetensors holds PyTorch weights; convert it .*optimum-cli/],
			['my_LoRA.safetensors', /my_LoRA\.safetensors holds a LoRA.*merge it/],
			['model.onnx', /model\.onnx is a file; a model is a folder/],
		] as const) {
			writeFileSync(join(folder, name), 'x');
			await expect(importModel(join(folder, name), store, {})).rejects.toThrow(sentence);
		}
	});

	it('is where the environment says', () => {
		expect(hubCacheDir({ HF_HUB_CACHE: '/a', HF_HOME: '/b' })).toBe('/a');
		expect(hubCacheDir({ HF_HOME: '/b' })).toBe(join('/b', 'hub'));
		expect(hubCacheDir({ XDG_CACHE_HOME: '/c' })).toBe(join('/c', 'huggingface', 'hub'));
		writeFileSync(join(folder, 'token'), 'hf_kept\n');
		expect([hubToken({ HF_HOME: folder }), hubToken({ HF_TOKEN: 'hf_x', HF_HOME: folder })]).toEqual(['hf_kept', 'hf_x']);
	});
});

describe('refusals', () => {
	it('says what to do about a gated model, and sends the token to the hub alone', async () => {
		const hub = await hubWith(repoFiles(MIB), { gated: true });
		await expect(pullModel(options(hub))).rejects.toThrow(/is gated: accept its terms at http.*make a token at .*HF_TOKEN=<token>\.$/);
		await expect(pullModel(options(hub, { token: 'hf_other' }))).rejects.toThrow(/gated and this token may not read it/);
		hub.requests.length = 0;
		await pullModel(options(hub, { token: 'hf_right' }));
		expect(hub.requests.filter(({ host }) => host === 'hub').every(({ token }) => token === 'Bearer hf_right')).toBe(true);
		expect(hub.requests.filter(({ host, token }) => host === 'store' && token !== undefined)).toEqual([]);
		expect(mayCarryToken(new URL('https://huggingface.co.evil.example/x'), 'https://huggingface.co')).toBe(false);
	});

	it.each([
		['painter/nothing', /has no model painter\/nothing that you may see; check its name/],
		[`${REPO}@nope`, /has no revision "nope"/],
	])('tells %s', async (text, sentence) => {
		const hub = await hubWith(repoFiles(MIB));
		await expect(pullModel(options(hub, { spec: parseRepoSpec(text) }))).rejects.toThrow(sentence);
	});

	it('downloads nothing without room for it', async () => {
		const hub = await hubWith(repoFiles());
		await expect(pullModel(options(hub, { freeBytes: () => 12 * MIB }))).rejects.toThrow(
			/needs 0\.26 GiB of disk and .* has 0\.01 GiB free/,
		);
		expect(hub.served()).toBe(0);
		expect(() => checkRoom(100, 100 + 256 * MIB, '/')).not.toThrow();
		expect(() => checkRoom(101, 100 + 256 * MIB, '/')).toThrow(/free some/);
	});

	it('does not write outside its folders', async () => {
		const files = repoFiles(MIB);
		files.set('unet/../../../../evil', Buffer.from('x'));
		await expect(pullModel(options(await hubWith(files)))).rejects.toThrow(/not safe to download; nothing was written/);
		expect(parseRepoSpec('https://huggingface.co/a/b/tree/v1')).toEqual({ repo: 'a/b', revision: 'v1' });
		for (const bad of ['../x', 'a/b/c', 'a/b@', 'a b', 'a/b@../x', '']) expect(() => parseRepoSpec(bad), bad).toThrow(/names no model/);
	});

	it('leaves a model of another origin under the same name alone', async () => {
		await importModel(LCM, join(folder, 'models'), { name: 'little-lcm' });
		await expect(pullModel(options(await hubWith(repoFiles(MIB))))).rejects.toThrow(/give this one another name with --name/);
	});
});

const file = (path: string) => ({ path, bytes: 1, oid: '0'.repeat(40), kind: 'git-sha1' as const });

describe('repositories without a usable ONNX model', () => {
	const spec = { repo: 'a/b', revision: 'main' };
	it.each([
		[
			['model_index.json', 'unet/diffusion_pytorch_model.safetensors'],
			/no ONNX files; make them once with: .*optimum-cli export onnx --model a\/b b-onnx && limner models import b-onnx/,
		],
		[['pytorch_lora_weights.safetensors'], /holds a LoRA \(pytorch_lora_weights\.safetensors\)/],
		[['v1-5.safetensors'], /single checkpoint \(v1-5\.safetensors\)/],
		[['README.md'], /holds no image model/],
		[['onnx/unet.onnx'], /not in the layout that optimum writes/],
		[
			['model_index.json', 'unet/model.onnx', 'unet/config.json', 'vae_decoder/model.onnx'],
			/lacks vae_decoder\/config\.json and scheduler\/scheduler_config\.json/,
		],
	])('%j', (paths, sentence) => {
		expect(repoProblem(paths.map(file), spec)).toMatch(sentence);
	});
	it('needs the right files only', () => {
		expect(repoProblem([...readTree(LCM).keys()].map(file), spec)).toBeUndefined();
		expect(
			selectFiles(
				[
					'unet/weights.pb',
					'unet/model.onnx',
					'vae_decoder/model.onnx',
					'vae_decoder/model_fp32.onnx',
					'safety_checker/model.onnx',
					'vae/x.json',
					'unet/a/b',
				].map(file),
			).map(({ path }) => path),
		).toEqual(['unet/weights.pb', 'unet/model.onnx', 'vae_decoder/model.onnx', 'vae_decoder/model_fp32.onnx']);
		expect(exportCommand({ repo: 'a/b', revision: 'fp16' })).toContain('--revision fp16');
	});
});

describe('pieces', () => {
	it('fit any size they are told', () => {
		for (const total of [0, 1, 9, 10, 11, 35, 100]) {
			const state = { total: 25, pieces: planPieces(25, 10) };
			state.pieces[1]!.have = 7;
			resize(state, total, 10);
			expect(isSound(state), String(total)).toBe(true);
			expect(received(state.pieces)).toBe(total > 17 ? 7 : Math.max(0, Math.min(7, total - 10)));
		}
		expect(isSound({ total: 20, pieces: planPieces(10, 10) })).toBe(false);
		expect([parseContentRange('bytes 5-9/10'), parseContentRange('bytes */7'), parseContentRange(undefined)]).toEqual([
			{ start: 5, total: 10 },
			{ start: undefined, total: 7 },
			{ start: undefined, total: undefined },
		]);
	});
});
