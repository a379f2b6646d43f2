import { existsSync, lstatSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { projectRoot } from '../../cli/up/project.ts';
import type { EngineConfig } from '../../engines/create.ts';
import { removeModel } from '../manage.ts';
import { readModel, type StoredModel } from '../store.ts';
import { compareModels, pixelDifference, psnr } from './measure.ts';
import { makeVariant, variantName } from './optimize.ts';
import { advice, candidates, findPython, runOptimizer, type ComponentResult, type PythonTools } from './python.ts';

const STORYBOOK = fileURLToPath(new URL('../../../../models/storybook', import.meta.url));
/** The environment of `npm run bench:engine` has the tools. */
const BENCH = join(projectRoot(), 'node_modules/.cache/limner-bench/venv/bin/python');

const findTools = async (): Promise<PythonTools | undefined> => {
	for (const given of [process.env['LIMNER_PYTHON'], BENCH, undefined]) {
		const found = await findPython(given).catch(() => undefined);
		if (found !== undefined) return found;
	}
	return undefined;
};
const tools = await findTools();
if (tools === undefined) console.warn(`skipped: variants of models (no Python with the tools here; make one with: ${advice()})`);

let folder = '';
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), 'limner-optimize-'));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

const storybook = async (): Promise<StoredModel> => {
	const read = await readModel(STORYBOOK);
	if (!read.ok) throw new Error(read.broken.sentence);
	return read.model;
};
const config: EngineConfig = {
	kind: 'onnx',
	options: { device: { kind: 'cpu', name: 'CPU' }, executionProviders: ['cpu'], intraOpNumThreads: 2 },
};

describe('finding Python', () => {
	it('looks at what is named only, else at the active environment, its own, and the path', () => {
		expect(candidates('/x/python', {})).toEqual(['/x/python']);
		expect(candidates(undefined, { VIRTUAL_ENV: '/v' }).map((path) => path.replaceAll('\\', '/'))).toEqual([
			expect.stringMatching(/^\/v\/(bin|Scripts)\/python/),
			expect.stringMatching(/limner\/python\/(bin|Scripts)\/python/),
			'python3',
			'python',
		]);
	});
	it('names the commands that make one', async () => {
		await expect(findPython('/none/python')).rejects.toThrow(
			/\/none\/python: not found.*python3 -m venv .* -m pip install onnx onnxruntime/,
		);
	});
});

describe('the difference of pictures', () => {
	it('is in sums, and in decibels', () => {
		expect(pixelDifference(Uint8Array.of(0, 10, 255), Uint8Array.of(0, 13, 251))).toEqual({ sum: 7, squares: 25, max: 4, values: 3 });
		expect(() => pixelDifference(Uint8Array.of(1), Uint8Array.of(1, 2))).toThrow('different sizes');
		expect(psnr(0, 3)).toBe(Number.POSITIVE_INFINITY);
		expect(psnr(3 * 255 * 255, 3)).toBe(0);
		expect(psnr(300, 300)).toBeCloseTo(48.13, 2);
	});
	it('is none between a model and itself', async () => {
		const model = await storybook();
		const result = await compareModels(config, model, model, 1);
		expect(result).toMatchObject({ meanDifference: 0, maxDifference: 0, psnrDb: Number.POSITIVE_INFINITY });
		expect(result.original.pictureMs).toBeGreaterThan(0);
	});
});

const TIMEOUT_MS = 240_000;

const make = async (wanted: { fuse?: boolean; fp16?: boolean; int8?: boolean }) => {
	const components: ComponentResult[] = [];
	const variant = await makeVariant({
		python: tools!,
		original: await storybook(),
		wanted: { fuse: false, fp16: false, int8: false, ...wanted },
		store: folder,
		device: 'cpu',
		onComponent: (result) => components.push(result),
	});
	return { variant, components };
};

describe.skipIf(tools === undefined)('variants', () => {
	it(
		'quantizes to 8 bits: smaller, other bytes, much the same pictures; the original stays',
		async () => {
			const before = statSync(join(STORYBOOK, 'unet/model.onnx'));
			const { variant, components } = await make({ int8: true });
			expect(variant).toMatchObject({ name: 'storybook-int8', info: { displayName: 'Storybook (8-bit weights)' } });
			expect(variant.sha256).not.toBe((await storybook()).sha256);
			const text = components.find(({ component }) => component === 'text_encoder');
			expect(text!.after).toBeLessThan(text!.before);
			const result = await compareModels(config, await storybook(), variant, 2);
			expect(result.meanDifference).toBeGreaterThan(0);
			expect(result.psnrDb).toBeGreaterThan(25);
			expect(statSync(join(STORYBOOK, 'unet/model.onnx')).mtimeMs).toBe(before.mtimeMs);
			expect(lstatSync(variant.dir).isSymbolicLink()).toBe(false);
			await removeModel('storybook-int8', [folder], false);
			expect(existsSync(variant.dir)).toBe(false);
		},
		TIMEOUT_MS,
	);

	it(
		'fuses attention, goes to half precision with a full decoder beside it, and draws the same',
		async () => {
			const { variant, components } = await make({ fuse: true, fp16: true });
			expect(variant.name).toBe('storybook-fused-fp16');
			const unet = components.find(({ component }) => component === 'unet');
			expect((unet!.fused['Attention'] ?? 0) + (unet!.fused['MultiHeadAttention'] ?? 0)).toBeGreaterThan(0);
			expect(readdirSync(join(variant.dir, 'vae_decoder')).toSorted()).toEqual(['config.json', 'model.onnx', 'model_fp32.onnx']);
			const result = await compareModels(config, await storybook(), variant, 2);
			expect(result.psnrDb).toBeGreaterThan(30);
			await expect(make({ fuse: true, fp16: true })).rejects.toThrow(/storybook-fused-fp16 is something else already/);
		},
		TIMEOUT_MS,
	);

	it('says what the tools said when they fail, and leaves nothing behind', async () => {
		const request = { source: join(folder, 'none'), target: join(folder, 'out'), fuse: true, fp16: false, int8: false, device: 'cpu' };
		await expect(runOptimizer(tools!, request, () => undefined)).rejects.toThrow(
			/could not optimize the model \(.*No such file.*\); the original is as it was/,
		);
		expect(readdirSync(folder)).toEqual([]);
	});
});

it('names variants after what was done', () => {
	expect(variantName('owner/model', { fuse: true, fp16: true, int8: false })).toBe('model-fused-fp16');
	expect(JSON.parse(readFileSync(join(STORYBOOK, 'limner.json'), 'utf8'))).toMatchObject({ displayName: 'Storybook' });
});
