/**
 * The recorded pictures through the command line, as a user would make them: `limner generate --jobs`.
 */
import { execFile } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { fileURLToPath } from 'node:url';
import sharp from 'sharp';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createScheduler, type RawConfig } from '../../node-agent/src/diffusion/schedulers/index.ts';
import { Largest, largestDifference, readReferenceJson, referencePath, std } from './compare.ts';
import { latentTolerance, PIXEL_LEVELS } from './tolerances.ts';

const CLI = fileURLToPath(new URL('../../node-agent/src/cli/main.ts', import.meta.url));
const PICTURES = 67;

interface Case {
	id: string;
	model: string;
	scheduler?: string;
	eta?: number;
	n?: number;
}
const cases = readReferenceJson('golden/cases.json') as Case[];
const floats = (file: string): Float32Array => new Float32Array(Uint8Array.from(readFileSync(file)).buffer);
const pixels = async (file: string): Promise<Uint8Array> => sharp(file).removeAlpha().toColourspace('srgb').raw().toBuffer();
const latents = new Largest();
let out = '';

beforeAll(async () => {
	out = mkdtempSync(join(tmpdir(), 'limner-cli-reference-'));
	const args = ['generate', '--jobs', referencePath('golden/cases.json'), '--models', referencePath('models'), '--out-dir', out];
	await promisify(execFile)(process.execPath, [CLI, ...args, '--save-latents'], {
		timeout: 600_000,
		env: { ...process.env, INIT_CWD: out },
	});
}, 600_000);
afterAll(() => rmSync(out, { recursive: true, force: true }));

test.each(cases.map((c) => [c.id, c] as const))('%s', async (id, c) => {
	const own = JSON.parse(readFileSync(referencePath(`models/${c.model}/scheduler/scheduler_config.json`), 'utf8')) as RawConfig;
	const draws = createScheduler(own, c.scheduler, { eta: c.eta ?? 0 }).drawsNoise;
	const expected = floats(referencePath(`golden/${id}.latents.f32`));
	const error = largestDifference(floats(join(out, `${id}.latents.f32`)), expected);
	latents.see(c.model, error);
	expect(error, 'latents').toBeLessThan(latentTolerance(std(expected), draws));
	const n = c.n ?? 1;
	for (let i = 0; i < n; i++) {
		const name = n === 1 ? `${id}.png` : `${id}.${i}.png`;
		const difference = largestDifference(await pixels(join(out, name)), await pixels(referencePath(`golden/${name}`)));
		expect(difference, name).toBeLessThanOrEqual(PIXEL_LEVELS);
	}
	expect(existsSync(join(out, `${id}.${n}.png`))).toBe(false);
});

test('all of them ran', () => {
	console.log(`pictures through the command line: ${cases.length}, largest latent error by family`);
	console.log(latents.table());
	expect(latents.count).toBe(PICTURES);
});
