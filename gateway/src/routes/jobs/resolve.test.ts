import type { JobRequest } from '@limner/shared';
import { describe, expect, it } from 'vitest';
import { BUILT_IN_MODELS, type KnownModel } from '../../lib/catalog.ts';
import { pictureOf } from './inputs.ts';
import { queueHeader } from './queue-header.ts';
import { resolveRequest } from './resolve.ts';

const model = BUILT_IN_MODELS[0] as KnownModel;
const asset = { asset: `asset_${'0'.repeat(26)}` };
const resolve = (request: Partial<JobRequest>, of: KnownModel = model) =>
	resolveRequest({ request: { prompt: 'a fox', ...request }, model: of, nowMs: 1000, randomSeed: 77 });
const pointers = (request: Partial<JobRequest>, of?: KnownModel): string[] => {
	const resolved = resolve(request, of);
	return resolved.ok ? [] : resolved.errors.map((error) => error.pointer);
};
const specOf = (request: Partial<JobRequest>) => {
	const resolved = resolve(request);
	if (!resolved.ok) throw new Error(JSON.stringify(resolved.errors));
	return resolved.spec;
};

describe('resolveRequest', () => {
	it('fills in what the model says', () => {
		expect(specOf({})).toEqual({
			task: 'txt2img',
			model: 'storybook',
			prompt: 'a fox',
			negativePrompt: null,
			width: model.nativeWidth,
			height: model.nativeHeight,
			steps: 20,
			guidance: 4,
			scheduler: 'ddim',
			seed: 77,
			n: 1,
			pasteBack: true,
			class: 'interactive',
			priority: 5,
			deadlineAt: 1000 + 6 * 3600 * 1000,
		});
	});
	it('keeps how prompts are read and how a mask is worked on, and wants a mask for the latter', () => {
		const given = { promptMode: 'weighted', maskCropPadding: 16, maskFeather: 4 } as const;
		expect(specOf({ initImage: asset, maskImage: asset, ...given })).toMatchObject(given);
		expect(pointers({ maskCropPadding: 16, maskFeather: 0 })).toEqual(['/maskCropPadding', '/maskFeather']);
	});
	it('takes what one family understands for models of that family only', () => {
		const sizes = { originalSize: [512, 768], cropTopLeft: [16, 32], targetSize: [64, 64] } satisfies Partial<JobRequest>;
		const sdxl = resolve(sizes, { ...model, family: 'sdxl' });
		expect(sdxl).toMatchObject({ ok: true, spec: sizes });
		expect(resolve({ useT5: false }, { ...model, family: 'sd3' })).toMatchObject({ ok: true, spec: { useT5: false } });
		expect(pointers({ ...sizes, useT5: true })).toEqual(['/originalSize', '/cropTopLeft', '/targetSize', '/useT5']);
		expect(pointers({ ...sizes, useT5: true }, { ...model, family: 'sdxl' })).toEqual(['/useT5']);
	});
	it('keeps what the caller says, and no deadlineMs beside deadlineAt', () => {
		const spec = specOf({ seed: 0, guidance: 0, pasteBack: false, scheduler: 'Euler Karras', deadlineMs: 2000, labels: ['x'] });
		expect(spec).toMatchObject({ seed: 0, guidance: 0, pasteBack: false, scheduler: 'euler_karras', deadlineAt: 3000, labels: ['x'] });
		expect(spec).not.toHaveProperty('deadlineMs');
	});
	it('takes null as "choose one"', () => {
		expect(specOf({ seed: null, negativePrompt: null })).toMatchObject({ seed: 77, negativePrompt: null });
	});
	it('finds the task by the pictures', () => {
		expect(specOf({ initImage: asset })).toMatchObject({ task: 'img2img', strength: 0.75 });
		expect(specOf({ initImage: asset, maskImage: asset })).toMatchObject({ task: 'inpaint', strength: 1 });
		expect(specOf({})).not.toHaveProperty('strength');
	});
	it.each<[string, Partial<JobRequest>, string[]]>([
		['img2img without a picture', { task: 'img2img' }, ['/initImage']],
		['inpaint without anything', { task: 'inpaint' }, ['/initImage', '/maskImage']],
		['a mask alone', { maskImage: asset }, ['/initImage']],
		['txt2img with a picture', { task: 'txt2img', initImage: asset }, ['/initImage']],
		['txt2img with a mask', { task: 'txt2img', maskImage: asset }, ['/maskImage']],
		['img2img with a mask', { task: 'img2img', initImage: asset, maskImage: asset }, ['/maskImage']],
		['strength without a picture', { strength: 0.5 }, ['/strength']],
		['no step left to run', { initImage: asset, steps: 19, strength: 0.05 }, ['/strength']],
	])('refuses %s', (_name, request, expected) => {
		expect(pointers(request)).toEqual(expected);
	});
	it('takes exactly one step', () => {
		expect(pointers({ initImage: asset, steps: 20, strength: 0.05 })).toEqual([]);
		// Nothing is drawn then: the picture at another size.
		expect(pointers({ initImage: asset, strength: 0 })).toEqual([]);
		expect(pointers({ initImage: asset, maskImage: asset, strength: 0 })).toEqual(['/strength']);
	});
	it('asks for the size multiple of the model, not of the API', () => {
		const wide = { ...model, sizeMultiple: 16 };
		expect(pointers({ width: 72, height: 88 }, wide)).toEqual(['/width', '/height']);
		expect(pointers({ width: 80, height: 96 }, wide)).toEqual([]);
	});
	it('refuses an operation that the model cannot do', () => {
		expect(pointers({ initImage: asset }, { ...model, operations: ['txt2img'] })).toEqual(['/task']);
	});
	it('warns far above the native size', () => {
		const big = resolve({ width: 1024, height: 1024 });
		expect(big.ok && big.warnings[0]).toContain(`${model.nativeWidth}×${model.nativeHeight}`);
		const small = resolve({ width: 256, height: 256 });
		expect(small.ok && small.warnings).toEqual([]);
	});
});

const pointer = (answer: ReturnType<typeof pictureOf>): string => (answer.ok ? 'ok' : answer.error.pointer);

describe('pictureOf', () => {
	const row = { state: 'succeeded', images: [{ index: 1, key: 'k1' }] } as Parameters<typeof pictureOf>[0];
	it('answers the key of a finished picture', () => {
		expect(pictureOf(row, 1, 'initImage')).toEqual({ ok: true, key: 'k1' });
	});
	it('points to what is wrong', () => {
		expect(pointer(pictureOf(null, 0, 'initImage'))).toBe('/initImage/job');
		expect(pointer(pictureOf(row, 0, 'maskImage'))).toBe('/maskImage/index');
		expect(pointer(pictureOf({ ...row!, state: 'running' }, 1, 'initImage'))).toBe('/initImage/job');
		const purged = { ...row!, purgedAt: 1, spec: { ...row!.spec, n: 2 } };
		expect(pointer(pictureOf(purged, 0, 'initImage'))).toBe('/initImage/job');
		expect(pictureOf(purged, 1, 'initImage')).toEqual({ ok: true, key: 'k1' });
	});
});

describe('queueHeader', () => {
	it('is ASCII and reads back', () => {
		const view = { feasible: false, reason: 'kein Knoten für „storybook“ 🦊' };
		const text = queueHeader(view);
		expect(text).toMatch(/^[\x20-\x7e]*$/);
		expect(JSON.parse(text)).toEqual(view);
	});
});
