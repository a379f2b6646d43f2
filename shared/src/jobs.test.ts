import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { newAssetId, newJobId, newNodeId } from './ids.ts';
import { batchKey, HistEntry, JobRequest, JobSpec, taskSeed, TERMINAL_EVENTS } from './jobs.ts';
import { BODY_LIMITS, megapixelSteps, NODE_LIMITS, POOL_LIMITS, REQUEST_LIMITS as L, resultMaxBytes, TIMING } from './limits.ts';
import { ModelName } from './models.ts';
import { isTerminal } from './states.ts';

const base = { prompt: 'a lighthouse on a cliff at sunset' };
const JOB = newJobId(1, new Uint8Array(10), 0);
const ASSET = newAssetId(1, new Uint8Array(10));
/**
 * Values that get the wrong verdict: good ones that are refused, bad ones that pass or are refused without a path to
 * the field (the path becomes the JSON Pointer that the caller sees).
 */
const misjudged = (field: string, good: unknown[], bad: unknown[]): unknown[] => {
	const parse = (value: unknown) => JobRequest.safeParse({ ...base, [field]: value });
	return [
		...good.filter((value) => !parse(value).success),
		...bad.filter((value) => !parse(value).error?.issues.every((issue) => issue.path[0] === field)),
	];
};
const NOT_NUMBERS = [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, '1', true, [1], {}];
const NOT_TEXTS = ['a\u0000b', '\u0000', 7, true, ['x'], { x: 1 }];

describe('batchKey', () => {
	const spec: JobSpec = {
		task: 'img2img',
		model: 'storybook',
		prompt: 'a boat',
		negativePrompt: null,
		width: 128,
		height: 128,
		steps: 20,
		guidance: 4,
		scheduler: 'ddim',
		seed: 7,
		n: 2,
		strength: 0.6,
		pasteBack: true,
		class: 'interactive',
		priority: 5,
		deadlineAt: 1,
	};

	it('is equal for pictures that differ in words, seed, inputs and urgency only', () => {
		const other = { prompt: 'a tower', negativePrompt: 'rain', seed: 9, n: 1, pasteBack: false, priority: 9, deadlineAt: 2 };
		expect(batchKey({ ...spec, ...other, class: 'batch', initImage: { asset: ASSET } })).toBe(batchKey(spec));
	});

	it.each([
		...(['width', 'height', 'steps', 'guidance', 'strength', 'eta', 'guidanceRescale'] as const).map((field) => ({ [field]: 0.25 })),
		{ model: 'other' },
		{ task: 'inpaint' as const },
		{ scheduler: 'euler' },
		{ promptMode: 'weighted' as const },
		{ useT5: false },
	])('differs with %o', (change) => {
		expect(batchKey({ ...spec, ...change })).not.toBe(batchKey(spec));
	});
});

describe('JobRequest bounds', () => {
	it.each([
		['width', L.sizeMinPx, L.sizeMaxPx, L.sizeMultiplePx],
		['height', L.sizeMinPx, L.sizeMaxPx, L.sizeMultiplePx],
		['steps', L.stepsMin, L.stepsMax, 1],
		['n', L.nMin, L.nMax, 1],
		['priority', L.priorityMin, L.priorityMax, 1],
		['seed', L.seedMin, L.seedMax, 1],
		['deadlineMs', L.deadlineMinMs, L.deadlineMaxMs, 1],
		['maskCropPadding', L.maskPxMin, L.maskPxMax, 1],
		['maskFeather', L.maskPxMin, L.maskPxMax, 1],
		['outputQuality', L.outputQualityMin, L.outputQualityMax, 1],
	])('%s takes %d to %d, in steps of %d, and nothing past them', (field, min, max, step) => {
		const between = Array.from({ length: step - 1 }, (_, i) => min + 1 + i);
		const bad = [min - 1, max + 1, min - step, max + step, min + 0.5, ...between, ...NOT_NUMBERS];
		expect(misjudged(field, [min, max, min + step, max - step], bad)).toEqual([]);
	});

	it.each([
		['guidance', L.guidanceMin, L.guidanceMax],
		['strength', L.strengthMin, L.strengthMax],
		['eta', L.etaMin, L.etaMax],
		['guidanceRescale', L.guidanceRescaleMin, L.guidanceRescaleMax],
	])('%s takes %d to %d', (field, min, max) => {
		const bad = [min - 1e-9, max + 1e-9, min - 1, max + 1, null, ...NOT_NUMBERS];
		expect(misjudged(field, [min, max, (min + max) / 2], bad)).toEqual([]);
	});

	it.each([
		['prompt', ['x', 'x'.repeat(L.promptChars)], ['', 'x'.repeat(L.promptChars + 1)]],
		['negativePrompt', ['', 'x'.repeat(L.promptChars)], ['x'.repeat(L.promptChars + 1)]],
		['model', ['x', 'x'.repeat(L.modelNameChars)], ['', 'x'.repeat(L.modelNameChars + 1)]],
	])('%s has a length, and no NUL', (field, good, bad) => {
		expect(misjudged(field, good, [...bad, ...NOT_TEXTS])).toEqual([]);
	});

	it('the prompt is needed', () => {
		expect(JobRequest.safeParse({}).success).toBe(false);
		expect(JobRequest.safeParse({ prompt: null }).success).toBe(false);
	});

	it('characters are code points, so an emoji counts as one', () => {
		const balloons = '🎈'.repeat(L.promptChars);
		expect(misjudged('prompt', [balloons], [`${balloons}x`])).toEqual([]);
	});

	it('labels', () => {
		const label = 'l'.repeat(L.labelChars);
		const labels = (count: number): string[] => Array.from({ length: count }, () => label);
		const bad = [labels(L.labelsMax + 1), [`${label}l`], [''], ['a\u0000'], [1], 'label', null];
		expect(misjudged('labels', [[], labels(L.labelsMax)], bad)).toEqual([]);
	});

	it('names of models cannot leave a folder', () => {
		const good = ['storybook', 'stabilityai/sd-turbo', 'org/name@0a1b2c', 'sd_v1.5', 'a+b'];
		const bad = ['/etc', '../x', '.x', 'a/../b', 'a/..', 'a/.', 'a/./b', 'a//b', 'a/', 'a b', 'a\\b', 'a\n', 'é', 'a?b', 'a%2e'];
		expect(misjudged('model', good, bad)).toEqual([]);
		expect(bad.filter((name) => ModelName.safeParse(name).success)).toEqual([]);
	});

	it('schedulers are known ones, by any of their names', () => {
		const good = ['ddim', 'DPM++ 2M Karras', 'EulerAncestralDiscreteScheduler'];
		expect(misjudged('scheduler', good, ['', 'nope', 'x'.repeat(65), 1, null, '__proto__'])).toEqual([]);
	});

	it.each([['initImage'], ['maskImage']])('%s is an asset or a picture of a job, never both', (field) => {
		const good = [{ asset: ASSET }, { job: JOB }, { job: JOB, index: L.nMax - 1 }];
		const badIndex = [L.nMax, -1, 0.5, '0'].map((index) => ({ job: JOB, index }));
		const bad = [{}, { asset: JOB }, { job: ASSET }, { asset: ASSET, job: JOB }, { url: 'http://x' }, ASSET, null, 1];
		expect(misjudged(field, good, [...bad, ...badIndex])).toEqual([]);
		expect(JobRequest.parse({ ...base, [field]: { job: JOB } })).toEqual({ ...base, [field]: { job: JOB, index: 0 } });
	});

	it('names of other jobs and nodes', () => {
		const node = newNodeId(1, new Uint8Array(10));
		expect(
			misjudged(
				'dependsOn',
				[[], [JOB], Array.from({ length: 16 }, () => JOB)],
				[JOB, [ASSET], Array.from({ length: 17 }, () => JOB), null],
			),
		).toEqual([]);
		expect(misjudged('preferNode', [node], ['', JOB, null, 1])).toEqual([]);
		expect(misjudged('taskType', ['GENERAL'], ['general', 'INGEST', null])).toEqual([]);
	});

	it.each([['originalSize'], ['cropTopLeft'], ['targetSize']])('%s is two whole numbers of pixels', (field) => {
		const [min, max] = [L.conditioningPxMin, L.conditioningPxMax];
		const bad = [[], [1], [1, 2, 3], [min - 1, 1], [1, max + 1], [1, 0.5], ['1', 1], [null, 1], '1x1', { 0: 1, 1: 1 }, null];
		expect(
			misjudged(
				field,
				[
					[min, max],
					[max, min],
					[512, 768],
				],
				bad,
			),
		).toEqual([]);
	});

	it('choices', () => {
		expect(misjudged('onDependencyFailure', ['fail', 'run'], ['', 'stop', null])).toEqual([]);
		expect(misjudged('task', ['txt2img', 'img2img', 'inpaint'], ['', 'upscale', 1, null])).toEqual([]);
		expect(misjudged('class', ['interactive', 'batch'], ['', 'fast', null])).toEqual([]);
		expect(misjudged('pasteBack', [true, false], ['true', 1, null])).toEqual([]);
		expect(misjudged('useT5', [true, false], ['false', 0, null])).toEqual([]);
		expect(misjudged('maskInvert', [true, false], ['true', 1, null])).toEqual([]);
		expect(misjudged('maskFill', ['original', 'around', 'noise', 'nothing'], ['', 'sky', true])).toEqual([]);
		expect(misjudged('outputFormat', ['png', 'jpeg', 'webp'], ['', 'PNG', 'gif', true])).toEqual([]);
		expect(misjudged('promptMode', ['plain', 'weighted'], ['', 'Weighted', true, null])).toEqual([]);
	});

	it('null stands for "not given" in seed and negativePrompt only', () => {
		const takesNull = Object.keys(JobRequest.shape).filter((field) => misjudged(field, [null], []).length === 0);
		expect(takesNull.toSorted()).toEqual(['negativePrompt', 'seed']);
	});

	it('refuses fields that it does not know, so that a typing error is told', () => {
		const result = JobRequest.safeParse({ ...base, negative_prompt: 'x' });
		expect(result.success).toBe(false);
		expect(result.error?.issues[0]).toMatchObject({ code: 'unrecognized_keys', keys: ['negative_prompt'] });
	});

	it('every field of the request has a test here', () => {
		const tested =
			'class cropTopLeft deadlineMs dependsOn eta guidance guidanceRescale height initImage labels maskCropPadding maskFeather maskFill maskImage maskInvert model n negativePrompt onDependencyFailure originalSize outputFormat outputQuality pasteBack preferNode priority prompt promptMode scheduler seed steps strength targetSize task taskType useT5 width';
		expect(Object.keys(JobRequest.shape).toSorted()).toEqual(tested.split(' '));
	});

	it('answers for any value', () => {
		fc.assert(
			fc.property(fc.anything({ maxDepth: 3 }), (value) => {
				expect(typeof JobRequest.safeParse(value).success).toBe('boolean');
			}),
		);
	});
});

describe('JobSpec and history', () => {
	const spec = {
		task: 'txt2img',
		model: 'storybook',
		prompt: 'x',
		negativePrompt: null,
		width: 128,
		height: 128,
		steps: 20,
		guidance: 4,
		scheduler: 'ddim',
		seed: 1,
		n: 1,
		pasteBack: true,
		class: 'interactive',
		priority: 5,
		deadlineAt: 1,
	};

	it('keep fields of a newer version', () => {
		expect(JobSpec.parse({ ...spec, fieldOfNextVersion: 1 })).toEqual({ ...spec, fieldOfNextVersion: 1 });
		const entry = { rev: 1, at: 1, type: 'queued', who: 'key:k1', fieldOfNextVersion: 1 };
		expect(HistEntry.parse(entry)).toEqual(entry);
	});

	it('terminal events are exactly the terminal states of a job', () => {
		expect(HistEntry.shape.type.options.filter((type) => TERMINAL_EVENTS.has(type))).toEqual([...TERMINAL_EVENTS]);
		expect([...TERMINAL_EVENTS].filter((event) => !isTerminal('job', event))).toEqual([]);
	});
});

describe('taskSeed', () => {
	const seed = fc.oneof(fc.integer({ min: 0, max: L.seedMax }), fc.integer({ min: L.seedMax - 20, max: L.seedMax }));
	const index = fc.integer({ min: 0, max: L.nMax - 1 });

	it('counts up from the seed and wraps to 0 after 2^53 - 1', () => {
		expect(taskSeed(7, 0)).toBe(7);
		expect(taskSeed(7, 15)).toBe(22);
		expect(taskSeed(L.seedMax, 0)).toBe(L.seedMax);
		expect(taskSeed(L.seedMax, 1)).toBe(0);
		expect(taskSeed(L.seedMax - 1, 1)).toBe(L.seedMax);
		expect(taskSeed(L.seedMax - 1, 15)).toBe(13);
	});

	it('equals exact arithmetic modulo 2^53', () => {
		fc.assert(
			fc.property(seed, index, (s, i) => {
				expect(BigInt(taskSeed(s, i))).toBe((BigInt(s) + BigInt(i)) % 2n ** 53n);
			}),
		);
	});

	it('is a valid seed again, and different for each picture of a job', () => {
		fc.assert(
			fc.property(seed, (s) => {
				const seeds = Array.from({ length: L.nMax }, (_, i) => taskSeed(s, i));
				expect(new Set(seeds).size).toBe(L.nMax);
				expect(misjudged('seed', seeds, [])).toEqual([]);
				expect(JSON.parse(JSON.stringify(seeds))).toEqual(seeds);
			}),
		);
	});
});

describe('limits', () => {
	const MIB = 1024 * 1024;

	it('are those of the design', () => {
		expect(L).toMatchObject({
			promptChars: 4000,
			sizeMinPx: 64,
			sizeMaxPx: 2048,
			sizeMultiplePx: 8,
			stepsMax: 150,
			guidanceMax: 30,
			nMax: 16,
			seedMax: 2 ** 53 - 1,
			waitMaxS: 45,
		});
		expect(POOL_LIMITS).toMatchObject({ defaultPoolSize: 4, maxPoolSize: 16, maxQueueDepth: 100, maxRetries: 3 });
		expect(BODY_LIMITS).toMatchObject({ assetBytes: 20 * MIB, assetMaxPx: 4096, resultMaxBytes: 16 * MIB, resultMetaBytes: 2048 });
		expect(NODE_LIMITS.slotsMax).toBe(POOL_LIMITS.maxPoolSize);
	});

	it('liveness times are ordered: a live node is never taken for a dead one', () => {
		const slowestPing = TIMING.pingMs * (1 + TIMING.pingJitter);
		expect(slowestPing).toBeLessThan(TIMING.candidateSeenMs);
		expect(2 * slowestPing).toBeLessThan(TIMING.suspectMs);
		expect(TIMING.suspectMs).toBeLessThan(TIMING.offlineMs);
		expect(TIMING.suspectMs).toBeLessThan(TIMING.leaseMinMs);
		expect(TIMING.leaseMinMs).toBeLessThan(TIMING.leaseMaxMs);
		expect(TIMING.doneKeepMs).toBeGreaterThan(TIMING.enqueueNotAfterMs);
	});

	it('resultMaxBytes: four bytes a pixel and some, capped', () => {
		expect(resultMaxBytes(64, 64)).toBe(Math.floor(4.4 * 64 * 64) + 65_536);
		expect(resultMaxBytes(2048, 2048)).toBe(16 * MIB);
		const side = fc.integer({ min: L.sizeMinPx / 8, max: L.sizeMaxPx / 8 }).map((value) => value * 8);
		fc.assert(
			fc.property(side, side, (width, height) => {
				// What an uncompressed RGBA PNG needs at least: rows with a filter byte each.
				const raw = height * (1 + 4 * width);
				expect(resultMaxBytes(width, height)).toBeGreaterThanOrEqual(Math.min(raw, BODY_LIMITS.resultMaxBytes));
				expect(resultMaxBytes(width, height)).toBeLessThanOrEqual(BODY_LIMITS.resultMaxBytes);
			}),
		);
	});

	it('megapixelSteps: three decimals, proportional to pictures', () => {
		expect(megapixelSteps(1000, 1000, 20, 1)).toBe(20);
		expect(megapixelSteps(128, 128, 20, 1)).toBe(0.328);
		expect(megapixelSteps(128, 128, 20, 4)).toBe(1.311);
		expect(megapixelSteps(512, 512, 20, 0)).toBe(0);
	});
});
