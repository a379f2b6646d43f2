/**
 * Compares a variant of a model with the original: time and pixels of the same requests, on the same engine.
 * @module
 */
import { createEngine, type EngineConfig } from '../../engines/create.ts';
import type { Engine, EnginePicture, EngineRequest } from '../../engines/types.ts';
import type { StoredModel } from '../store.ts';

export interface Comparison {
	/** Median milliseconds of a whole picture without loading, and of loading. */
	original: { pictureMs: number; loadMs: number };
	variant: { pictureMs: number; loadMs: number };
	/** How many times as fast the variant is. */
	speedup: number;
	/** Mean and largest difference of 8-bit values, over all pictures. */
	meanDifference: number;
	maxDifference: number;
	/** Peak signal-to-noise ratio in dB; infinite for equal pictures. */
	psnrDb: number;
}

const PROMPTS = ['a red lighthouse on a cliff at dusk', 'a cat on a green meadow', 'a small house by a river'];
const RUNS = 3;

/** Differences of two pictures as sums, so that several can be added. */
export const pixelDifference = (a: Uint8Array, b: Uint8Array): { sum: number; squares: number; max: number; values: number } => {
	if (a.length !== b.length) throw new Error('Pictures of different sizes cannot be compared.');
	let [sum, squares, max] = [0, 0, 0];
	for (let i = 0; i < a.length; i++) {
		const difference = Math.abs((a[i] ?? 0) - (b[i] ?? 0));
		sum += difference;
		squares += difference * difference;
		max = Math.max(max, difference);
	}
	return { sum, squares, max, values: a.length };
};

/** 20 log₁₀(255) − 10 log₁₀(mean square error). */
export const psnr = (squares: number, values: number): number =>
	squares === 0 ? Number.POSITIVE_INFINITY : 20 * Math.log10(255) - 10 * Math.log10(squares / values);

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)] ?? 0;

const requestOf = (model: StoredModel, run: number, steps: number): EngineRequest => ({
	task: 'txt2img',
	prompt: PROMPTS[run % PROMPTS.length] ?? '',
	negativePrompt: null,
	width: model.info.nativeWidth,
	height: model.info.nativeHeight,
	steps,
	guidance: model.info.defaults.guidance,
	scheduler: model.info.defaults.scheduler,
	seed: 1000 + run,
	pasteBack: true,
});

const QUIET = { onPhase: () => undefined, onStep: () => undefined, isCancelled: () => false };

const load = async (engine: Engine, model: StoredModel): Promise<number> => {
	const started = performance.now();
	await engine.load(model, () => undefined);
	return performance.now() - started;
};

const make = async (engine: Engine, request: EngineRequest): Promise<{ picture: EnginePicture; ms: number }> => {
	const started = performance.now();
	const picture = await engine.generate(request, {}, QUIET);
	return { picture, ms: performance.now() - started };
};

/**
 * Makes the same pictures with both, in turn, so that what else the machine does hits both.
 * @param steps of each picture
 * @throws {EngineError} when one of them cannot be loaded or run
 */
export const compareModels = async (
	config: EngineConfig,
	original: StoredModel,
	variant: StoredModel,
	steps: number,
): Promise<Comparison> => {
	const [first, second] = [await createEngine(config), await createEngine(config)];
	try {
		const loadMs = [await load(first, original), await load(second, variant)];
		// The first picture compiles and allocates; it does not count.
		await make(first, requestOf(original, 0, 1));
		await make(second, requestOf(original, 0, 1));
		const times: [number[], number[]] = [[], []];
		const total = { sum: 0, squares: 0, max: 0, values: 0 };
		for (let run = 0; run < RUNS; run++) {
			const request = requestOf(original, run, steps);
			const a = await make(first, request);
			const b = await make(second, request);
			times[0].push(a.ms);
			times[1].push(b.ms);
			const { sum, squares, max, values } = pixelDifference(a.picture.rgb, b.picture.rgb);
			total.sum += sum;
			total.squares += squares;
			total.values += values;
			total.max = Math.max(total.max, max);
		}
		const [originalMs, variantMs] = [median(times[0]), median(times[1])];
		return {
			original: { pictureMs: originalMs, loadMs: loadMs[0] ?? 0 },
			variant: { pictureMs: variantMs, loadMs: loadMs[1] ?? 0 },
			speedup: originalMs / variantMs,
			meanDifference: total.sum / total.values,
			maxDifference: total.max,
			psnrDb: psnr(total.squares, total.values),
		};
	} finally {
		await first.unload();
		await second.unload();
	}
};
