import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import sharp from 'sharp';
import { afterAll, describe, expect, test } from 'vitest';
import { DiffusionPipeline, type GenerateRequest } from '../../node-agent/src/diffusion/pipeline.ts';
import { createScheduler, type RawConfig } from '../../node-agent/src/diffusion/schedulers/index.ts';
import { Largest, largestDifference, readReferenceJson, referencePath, std } from './compare.ts';
import { latentTolerance, PIXEL_LEVELS } from './tolerances.ts';

interface Case {
	id: string;
	model: string;
	task: GenerateRequest['task'];
	prompt: string;
	negativePrompt: string | null;
	seed: number;
	steps: number;
	guidance: number;
	width: number;
	height: number;
	scheduler?: string;
	n?: number;
	strength?: number;
	eta?: number;
	guidanceRescale?: number;
	initImage?: string;
	maskImage?: string;
	useT5?: boolean;
	originalSize?: [number, number];
	cropTopLeft?: [number, number];
	targetSize?: [number, number];
	latentsShape: number[];
}

const PICTURES = 67;
const byFamily = new Largest();
const byScheduler = new Largest();
const pixels = new Largest();
const loaded = new Map<string, Promise<DiffusionPipeline>>();
let ran = 0;

function pipelineAt(dir: string): Promise<DiffusionPipeline> {
	const found = loaded.get(dir) ?? DiffusionPipeline.load(dir, { intraOpNumThreads: 1 });
	loaded.set(dir, found);
	return found;
}

async function rgb(path: string): Promise<{ rgb: Uint8Array; width: number; height: number }> {
	const { data, info } = await sharp(path).removeAlpha().toColourspace('srgb').raw().toBuffer({ resolveWithObject: true });
	return { rgb: new Uint8Array(data), width: info.width, height: info.height };
}

async function gray(path: string): Promise<{ gray: Uint8Array; width: number; height: number }> {
	const { data, info } = await sharp(path).extractChannel(0).raw().toBuffer({ resolveWithObject: true });
	return { gray: new Uint8Array(data), width: info.width, height: info.height };
}

async function toRequest(c: Case, folder: string): Promise<GenerateRequest> {
	const { id: _id, model: _model, latentsShape: _shape, initImage, maskImage, n, ...rest } = c;
	const request: GenerateRequest = { ...rest, n: n ?? 1, pasteBack: false };
	if (initImage !== undefined) request.initImage = await rgb(join(folder, initImage));
	if (maskImage !== undefined) request.maskImage = await gray(join(folder, maskImage));
	return request;
}

/** What a replayed case is judged by. */
interface Outcome {
	shape: number[];
	latentError: number;
	latentBound: number;
	/** Largest difference of each picture, in 8-bit levels. */
	pixelErrors: number[];
}

async function replay(c: Case, modelDir: string, folder: string): Promise<Outcome> {
	const pipeline = await pipelineAt(modelDir);
	const { images } = await pipeline.generate(await toRequest(c, folder));
	const own = JSON.parse(readFileSync(join(modelDir, 'scheduler/scheduler_config.json'), 'utf8')) as RawConfig;
	const draws = createScheduler(own, c.scheduler, { eta: c.eta ?? 0 }).drawsNoise;
	const bytes = readFileSync(join(folder, `${c.id}.latents.f32`));
	const expected = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.byteLength));
	const latentError = largestDifference(Float32Array.from(images.flatMap((i) => [...i.latents])), expected);
	byFamily.see(c.model, latentError);
	byScheduler.see(c.scheduler ?? `own (${c.model})`, latentError);
	const pixelErrors: number[] = [];
	for (const [i, image] of images.entries()) {
		const file = join(folder, images.length === 1 ? `${c.id}.png` : `${c.id}.${i}.png`);
		const difference = largestDifference(image.rgb, (await rgb(file)).rgb);
		pixels.see(c.model, difference);
		pixelErrors.push(difference);
	}
	const shape = [images.length, ...(images[0]?.latentsShape.slice(1) ?? [])];
	return { shape, latentError, latentBound: latentTolerance(std(expected), draws), pixelErrors };
}

function judge(c: Case, outcome: Outcome): void {
	expect(outcome.shape).toEqual(c.latentsShape);
	expect(outcome.latentError, 'latents').toBeLessThan(outcome.latentBound);
	expect(outcome.pixelErrors).toHaveLength(c.n ?? 1);
	expect(Math.max(...outcome.pixelErrors), 'pixels').toBeLessThanOrEqual(PIXEL_LEVELS);
	ran++;
}

afterAll(async () => {
	for (const pipeline of loaded.values()) await (await pipeline).release();
});

describe('pictures of ten families', () => {
	const cases = readReferenceJson('golden/cases.json') as Case[];

	test('the record is complete', () => expect(cases.length).toBe(PICTURES));

	test.each(cases.map((c) => [c.id, c] as const))('%s', async (_id, c) => {
		const outcome = await replay(c, referencePath(`models/${c.model}`), referencePath('golden'));
		judge(c, outcome);
		expect(outcome.latentError).toBeGreaterThanOrEqual(0);
	});

	test('summary', () => {
		console.log(
			`pictures: ${ran} of ${PICTURES}, largest latent error by model\n${byFamily.table()}\nby sampler\n${byScheduler.table()}\nlargest pixel difference by model\n${pixels.table()}`,
		);
		expect(ran).toBe(PICTURES);
	});
});

/** The embedded models: those in models/ of which pictures are recorded in a folder of the same name. */
const embedded = readdirSync(referencePath('../../models')).filter((name) => existsSync(referencePath(`${name}/cases.json`)));
let before = PICTURES;
describe.each(embedded)('the embedded model %s', (name) => {
	const cases = readReferenceJson(`${name}/cases.json`) as Case[];

	test.each(cases.map((c) => [c.id, c] as const))('%s', async (_id, c) => {
		const outcome = await replay({ ...c, model: name }, referencePath(`../../models/${name}`), referencePath(name));
		judge(c, outcome);
		expect(outcome.latentError).toBeGreaterThanOrEqual(0);
	});

	test('summary', () => {
		console.log(`${name}: ${cases.length} pictures, largest latent error\n${byFamily.table().split('\n').at(-1)}`);
		before += cases.length;
		expect(ran).toBe(before);
	});
});

test('there is an embedded model', () => expect(embedded).toContain('storybook'));
