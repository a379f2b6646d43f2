import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, symlinkSync, truncateSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { ModelInfo } from '@limner/shared';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { LocalModels } from '../local/generate.ts';
import { defaultModelDirs, fileHashCache, listModels, mockModel } from './store.ts';
import { EMBEDDED_MODELS } from './embedded.test-lib.ts';

const MODELS = join(import.meta.dirname, '../../../tests/reference/models');
let folder = '';
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), 'limner-store-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const copy = (name: string): string => {
	const target = join(folder, name);
	cpSync(join(MODELS, 'lcm'), target, { recursive: true });
	return target;
};

describe('listModels', () => {
	it('names a lone checkpoint instead of overlooking it', async () => {
		writeFileSync(join(folder, 'v1-5.safetensors'), 'weights');
		const { models, broken } = await listModels([folder]);
		expect(models).toEqual([]);
		expect(broken.map((found) => found.sentence)).toEqual([
			expect.stringMatching(/v1-5\.safetensors holds PyTorch weights.*optimum-cli export onnx/),
		]);
	});

	it('offers every reference model and the embedded one in the words of the protocol', async () => {
		const { models, broken } = await listModels([MODELS, ...defaultModelDirs(folder)]);
		expect(broken).toEqual([]);
		expect(models).toHaveLength(10 + EMBEDDED_MODELS.length);
		for (const model of models) expect(ModelInfo.safeParse(model.info).success, model.name).toBe(true);
		expect(models.find((model) => model.name === 'storybook')?.info).toMatchObject({
			displayName: 'Storybook',
			scope: expect.stringContaining('lighthouse') as string,
		});
	});

	it('takes a folder that is a model itself, and ignores what is none', async () => {
		mkdirSync(join(folder, 'notes'));
		writeFileSync(join(folder, 'readme.txt'), 'x');
		symlinkSync(join(MODELS, 'sd-turbo'), join(folder, 'linked'));
		const { models } = await listModels([join(MODELS, 'lcm'), folder, join(folder, 'nowhere')]);
		expect(models.map((model) => model.name)).toEqual(['lcm', 'linked']);
	});

	it('says one sentence about each broken model and keeps the good ones', async () => {
		copy('good');
		rmSync(join(copy('a-missing'), 'unet', 'model.onnx'));
		truncateSync(join(copy('b-truncated'), 'vae_decoder', 'model.onnx'), 100);
		writeFileSync(join(copy('c-json'), 'model_index.json'), '{');
		writeFileSync(join(copy('d-name'), 'limner.json'), '{"name":"a b"}');
		writeFileSync(join(copy('e-scheduler'), 'limner.json'), '{"defaults":{"scheduler":"magic"}}');
		writeFileSync(join(copy('f-steps'), 'limner.json'), '{"defaults":{"steps":151}}');
		writeFileSync(join(copy('g-twin'), 'limner.json'), '{"name":"good2"}');
		writeFileSync(join(copy('h-twin'), 'limner.json'), '{"name":"good2"}');
		const { models, broken } = await listModels([folder]);
		expect(models.map((model) => model.name)).toEqual(['good2', 'good']);
		expect(broken.map((entry) => entry.sentence.replaceAll(folder, ''))).toEqual([
			expect.stringMatching(/^The model in \/a-missing cannot be used: .*unet\/model\.onnx is missing/),
			expect.stringMatching(/^The model in \/b-truncated cannot be used: .*vae_decoder\/model\.onnx/),
			expect.stringMatching(/^The model in \/c-json cannot be used: .*model_index\.json/),
			expect.stringMatching(/its name "a b" must be of letters/),
			expect.stringMatching(/limner\.json names the scheduler "magic".*choose one of ddim/),
			expect.stringMatching(/limner\.json asks for 151 steps; choose 1 to 150/),
			'The model in /h-twin is left out: /g-twin has the same name "good2"; rename one of them.',
		]);
		for (const entry of broken) expect(entry.sentence).toMatch(/^[^\n]+\.$/);
	});

	it('hashes a file once and again when it changed', async () => {
		const dir = copy('m');
		const cacheFile = join(folder, 'hashes.json');
		const cache = fileHashCache(cacheFile);
		const [first] = (await listModels([dir], cache)).models;
		await cache.save();
		const entries = JSON.parse(readFileSync(cacheFile, 'utf8')) as Record<string, string>;
		expect(Object.keys(entries).length).toBeGreaterThan(5);
		const asked: string[] = [];
		const again = fileHashCache(cacheFile);
		const spy = { get: (key: string) => again.get(key), set: (key: string) => void asked.push(key) };
		expect((await listModels([dir], spy)).models[0]?.sha256).toBe(first?.sha256);
		expect(asked).toEqual([]);
		writeFileSync(
			join(dir, 'scheduler', 'scheduler_config.json'),
			`${readFileSync(join(dir, 'scheduler', 'scheduler_config.json'), 'utf8')} `,
		);
		expect((await listModels([dir], spy)).models[0]?.sha256).not.toBe(first?.sha256);
		expect(asked).toHaveLength(1);
		// generating reads them from there too, and makes the folder where there is none
		const own = join(folder, 'state', 'hashes.json');
		const find = async (): Promise<string> => (await new LocalModels([dir], own).find(dir, (path) => path)).sha256;
		const sha256 = await find();
		const kept = Object.entries(JSON.parse(readFileSync(own, 'utf8')) as Record<string, string>);
		writeFileSync(own, JSON.stringify(Object.fromEntries(kept.map(([key]) => [key, '0'.repeat(64)]))));
		expect(await find()).not.toBe(sha256);
		writeFileSync(cacheFile, 'damaged');
		expect(fileHashCache(cacheFile).get('x')).toBeUndefined();
	});

	it('gives a mock node a model that the protocol takes', () => {
		expect(ModelInfo.safeParse(mockModel('x').info).success).toBe(true);
	});
});
