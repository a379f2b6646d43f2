import { cp, mkdtemp, readFile, rm, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { inspectModelFolder, ModelFolderError } from './layout.ts';

const reference = (name: string): string => fileURLToPath(new URL(`../../../tests/reference/models/${name}`, import.meta.url));
let dir: string;

beforeEach(async () => {
	dir = await mkdtemp(join(tmpdir(), 'model-'));
	await cp(reference('sd-1.5'), dir, { recursive: true });
});
afterEach(async () => {
	await rm(dir, { recursive: true });
});

test.each([
	['sd-1.5', 'sd', 'pndm', 8, 3, 7.5],
	['sd-2.1-v', 'sd', 'ddim', 8, 3, 7.5],
	['sd-1.5-inpaint', 'sd', 'pndm', 8, 1, 7.5],
	['sd-turbo', 'sd', 'euler', 8, 3, 0],
	['lcm', 'sd', 'lcm', 8, 3, 8],
	['sdxl', 'sdxl', 'euler', 8, 3, 5],
	['sdxl-turbo', 'sdxl', 'euler_a', 8, 3, 0],
	['sd-3', 'sd3', 'flow_euler', 16, 3, 7],
])('%s is described by its files', async (name, family, scheduler, sizeMultiple, operations, guidance) => {
	const info = await inspectModelFolder(reference(name));
	expect(info).toMatchObject({ name, family, sizeMultiple, nativeWidth: 64, nativeHeight: 64, defaults: { scheduler, guidance } });
	expect(info.operations).toHaveLength(operations);
	expect(info.sha256).toMatch(/^[0-9a-f]{64}$/);
	expect(Object.values(info.tensors).every((t) => t.weights === 'float32')).toBe(true);
});

test('the card overrides names, defaults and scope', async () => {
	await writeFile(
		join(dir, 'limner.json'),
		JSON.stringify({
			name: 'mine',
			displayName: 'Mine',
			defaults: { steps: 9 },
			nativeWidth: 96,
			scope: { subjects: ['castle'] },
			licence: 'Apache-2.0',
		}),
	);
	expect(await inspectModelFolder(dir)).toMatchObject({
		name: 'mine',
		displayName: 'Mine',
		nativeWidth: 96,
		nativeHeight: 64,
		licence: 'Apache-2.0',
		defaults: { steps: 9, guidance: 7.5, scheduler: 'pndm' },
		scope: { subjects: ['castle'] },
	});
});

test('the hash follows contents, not the place, and known files are not read again', async () => {
	const known = new Map<string, string>();
	const hashCache = { get: (k: string) => known.get(k), set: (k: string, v: string) => void known.set(k, v) };
	const first = await inspectModelFolder(dir, { hashCache });
	expect(first.sha256).toBe((await inspectModelFolder(reference('sd-1.5'))).sha256);
	const files = known.size;
	await inspectModelFolder(dir, { hashCache });
	expect(known.size).toBe(files);
	await writeFile(join(dir, 'README.md'), 'words about the model are not the model');
	expect((await inspectModelFolder(dir, { hashCache })).sha256).toBe(first.sha256);
	await writeFile(join(dir, 'unet', 'config.json'), `${await readFile(join(dir, 'unet', 'config.json'), 'utf8')} `);
	expect((await inspectModelFolder(dir, { hashCache })).sha256).not.toBe(first.sha256);
});

test('without a picture encoder a model only draws from text', async () => {
	await rm(join(dir, 'vae_encoder'), { recursive: true });
	expect((await inspectModelFolder(dir)).operations).toEqual(['txt2img']);
});

async function checkpoint(): Promise<void> {
	await rm(join(dir, 'model_index.json'));
	await writeFile(join(dir, 'v1-5.safetensors'), 'weights');
}

async function torchNetwork(): Promise<void> {
	await rm(join(dir, 'unet/model.onnx'));
	await writeFile(join(dir, 'unet/diffusion_pytorch_model.safetensors'), 'weights');
}

test.each<[string, () => Promise<void>, RegExp]>([
	['no index', () => rm(join(dir, 'model_index.json')), /model_index\.json is missing; download/],
	['only a checkpoint', async () => checkpoint(), /v1-5\.safetensors holds PyTorch weights.*from_single_file.*optimum-cli export onnx/],
	[
		'PyTorch weights of a network',
		async () => torchNetwork(),
		/unet\/diffusion_pytorch_model\.safetensors holds PyTorch.*optimum-cli export/,
	],
	['no network', () => rm(join(dir, 'unet/model.onnx')), /unet\/model\.onnx is missing; download/],
	['empty network', () => truncate(join(dir, 'unet/model.onnx'), 0), /unet\/model\.onnx is empty; download/],
	['cut network', () => truncate(join(dir, 'unet/model.onnx'), 300_000), /unet\/model\.onnx is no usable ONNX file.*download/],
	['no ONNX', () => writeFile(join(dir, 'unet/model.onnx'), '<html>not found</html>'), /no usable ONNX file/],
	['broken JSON', () => writeFile(join(dir, 'unet/config.json'), '{'), /unet\/config\.json is not valid JSON; download/],
	['no scheduler', () => rm(join(dir, 'scheduler'), { recursive: true }), /scheduler_config\.json is missing/],
])('%s is told in one sentence', async (_what, damage, message) => {
	await damage();
	const inspection = inspectModelFolder(dir);
	await expect(inspection).rejects.toThrow(ModelFolderError);
	await expect(inspectModelFolder(dir)).rejects.toThrow(message);
});
