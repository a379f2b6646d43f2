/**
 * The built-in engine: diffusers models in ONNX form on ONNX Runtime.
 * @module
 */
import { isResize, NODE_LIMITS, type Device } from '@limner/shared';
import { isOutOfMemory } from '../../diffusion/errors.ts';
import { resizeRgb } from '../../diffusion/latents.ts';
import { processMemory, type MemoryGauge } from '../../diffusion/pipelines/batch-policy.ts';
import {
	CancelledError,
	DiffusionPipeline,
	InferenceError,
	InvalidRequestError,
	ModelFolderError,
	type BatchOutcome,
	type GenerateHooks,
	type GenerateRequest,
	type Timings,
} from '../../diffusion/pipeline.ts';
import { messageOf } from '../../lib/user-error.ts';
import {
	EngineCancelled,
	EngineError,
	singly,
	type Engine,
	type EngineBatchHooks,
	type EngineItem,
	type EngineModel,
	type EngineOutcome,
} from '../types.ts';
import { readInitImage, readMaskImage } from './inputs.ts';
import { fillAround, invertMask } from './mask-fill.ts';
import { WarmModels } from './warm-models.ts';

export interface OnnxOptions {
	device: Device;
	/** Names as ONNX Runtime knows them, in order of preference. */
	executionProviders: string[];
	intraOpNumThreads: number;
	/** Pictures that go through the network together at most; NODE_LIMITS.batchDefault when absent. */
	maxBatch?: number;
	/** Bytes that loaded models may take together; what the device has room for when absent. */
	modelBytes?: number;
}

/** Class and sentence of anything that the runtime throws. */
export const toEngineError = (error: unknown): EngineError | EngineCancelled => {
	if (error instanceof EngineError || error instanceof EngineCancelled) return error;
	if (error instanceof CancelledError) return new EngineCancelled();
	if (error instanceof InvalidRequestError) return new EngineError('invalid', error.message, error);
	const message = messageOf(error);
	if (isOutOfMemory(error)) return new EngineError('oom', `The device ran out of memory: ${message}`, error);
	if (error instanceof ModelFolderError || error instanceof InferenceError) return new EngineError('engine', message, error);
	return new EngineError('engine', `The engine failed: ${message}`, error);
};

const OPTIONAL = [
	'scheduler',
	'strength',
	'eta',
	'guidanceRescale',
	'useT5',
	'originalSize',
	'cropTopLeft',
	'targetSize',
	'promptMode',
	'maskCropPadding',
	'maskFeather',
] as const;

interface Prepared {
	generate: GenerateRequest;
	hashes: { initImageSha256?: string; maskImageSha256?: string };
}

/** Pictures that were read for one batch, by the hash of their bytes: the tasks of a job mostly share them. */
type Shared<T> = Map<string, T>;

const shareOne = <T>(shared: Shared<T>, sha256: string, value: T): T => {
	const known = shared.get(sha256) ?? value;
	shared.set(sha256, known);
	return known;
};

/** Reads the inputs of requests; equal pictures become the same object, which the pipeline prepares once. */
const requestReader = (): ((item: EngineItem) => Promise<Prepared>) => {
	const images: Shared<NonNullable<GenerateRequest['initImage']>> = new Map();
	const masks: Shared<NonNullable<GenerateRequest['maskImage']>> = new Map();
	return async ({ request, inputs }) => {
		const { task, prompt, negativePrompt, width, height, steps, guidance, seed, pasteBack } = request;
		const generate: GenerateRequest = { task, prompt, negativePrompt, width, height, steps, guidance, seed, n: 1, pasteBack };
		for (const key of OPTIONAL) if (request[key] !== undefined) Object.assign(generate, { [key]: request[key] });
		const hashes: Prepared['hashes'] = {};
		if (inputs.init !== undefined) {
			const { image, sha256 } = await readInitImage(inputs.init);
			generate.initImage = shareOne(images, sha256, image);
			hashes.initImageSha256 = sha256;
		}
		if (inputs.mask !== undefined) {
			const { mask, sha256 } = await readMaskImage(inputs.mask);
			const invert = request.maskInvert === true;
			const key = `${sha256}${invert ? ' inverted' : ''}`;
			generate.maskImage = shareOne(masks, key, invert ? invertMask(mask) : mask);
			hashes.maskImageSha256 = sha256;
			if (request.maskFill === 'around' && generate.initImage !== undefined) {
				generate.initImage = shareOne(images, `${hashes.initImageSha256} ${key}`, fillAround(generate.initImage, generate.maskImage));
			}
			if (request.maskFill === 'noise' || request.maskFill === 'nothing') generate.maskLatents = request.maskFill;
		}
		return { generate, hashes };
	};
};

/** Tells phases from steps: the pipeline reports both through one call. `at` finds an item by its place in the batch. */
const pipelineHooks = (hooks: EngineBatchHooks, at: readonly number[]): GenerateHooks => {
	const phases = new Map<number, string>();
	const item = (image: number): number => at[image] as number;
	return {
		onStep: (info) => {
			if (phases.get(info.image) !== info.phase) {
				phases.set(info.image, info.phase);
				hooks.onPhase(item(info.image), info.phase);
			}
			if (info.phase === 'denoising' && info.step > 0) hooks.onStep(item(info.image), info.step, info.steps, info.previewRgb);
		},
		isCancelled: (image) => hooks.isCancelled(item(image)),
	};
};

/** A picture's share of the time that was spent on all. */
const shareOf = ({ stepMs: _steps, ...timings }: Timings, count: number): Record<string, number> =>
	Object.fromEntries(Object.entries(timings).map(([name, ms]) => [name, ms / count]));

const toOutcome = (outcome: BatchOutcome | undefined, { hashes }: Prepared, timings: Record<string, number>): EngineOutcome => {
	if (outcome === undefined) return new EngineError('engine', 'The pipeline made no picture.');
	if (!outcome.ok) return toEngineError(outcome.error);
	const { rgb, width, height, latents, latentsShape } = outcome.image;
	const picture = { rgb, width, height, warnings: outcome.warnings, timings, inputHashes: hashes };
	return { ...picture, latents: { values: latents, shape: latentsShape } };
};

const probe = async (): ReturnType<Engine['probe']> => {
	try {
		await import('onnxruntime-node');
		return { ok: true };
	} catch (error) {
		return {
			ok: false,
			sentence: `ONNX Runtime cannot be loaded (${messageOf(error)}); delete node_modules and install again, on a system with glibc 2.28 or newer.`,
		};
	}
};

/** Part of the memory that loaded models may take; the rest is for running them. */
const MODEL_SHARE = 0.5;

/**
 * Memory of the device: measured where it is that of this process, else only known in sum, or not at all. Then batches are
 * tried, and made smaller when memory runs out.
 */
const gaugeOf = ({ device }: OnnxOptions): MemoryGauge => {
	const most = device.memoryBytes ?? Number.POSITIVE_INFINITY;
	if (device.kind !== 'cpu') return { used: () => 0, free: () => most };
	return { used: processMemory.used, free: () => Math.max(0, Math.min(processMemory.free(), most - processMemory.used())) };
};

/** Where nobody knows how much memory there is, one model at a time has to do. */
const roomForModels = ({ device }: OnnxOptions, gauge: MemoryGauge, held: number): number => {
	const free = gauge.free();
	if (!Number.isFinite(free)) return 0;
	// what is held is part of a device's sum already, and not of what a process has free
	return (free + (device.kind === 'cpu' ? held : 0)) * MODEL_SHARE;
};

type Loaded = WarmModels<EngineModel, DiffusionPipeline>;

/** At strength 0 nothing is drawn: the picture itself at the size that was asked for, resized with Lanczos. */
const resized = async ({ generate, hashes }: Prepared): Promise<EngineOutcome> => {
	if (generate.initImage === undefined) return new EngineError('invalid', 'img2img needs a picture to start from.');
	const { rgb, width, height } = await resizeRgb(generate.initImage, generate.width, generate.height);
	return { rgb, width, height, warnings: [], timings: {}, inputHashes: hashes };
};

const makeBatch = async (
	pipeline: DiffusionPipeline,
	items: readonly EngineItem[],
	hooks: EngineBatchHooks,
): Promise<{ outcomes: EngineOutcome[]; ranOut: boolean }> => {
	const outcomes: EngineOutcome[] = [];
	const read = requestReader();
	const ready: { at: number; prepared: Prepared }[] = [];
	for (const [at, item] of items.entries()) {
		try {
			const prepared = await read(item);
			if (isResize(prepared.generate)) outcomes[at] = await resized(prepared);
			else ready.push({ at, prepared });
		} catch (error) {
			outcomes[at] = toEngineError(error);
		}
	}
	if (ready.length === 0) return { outcomes, ranOut: false };
	const made = await pipeline.generateBatch(
		ready.map(({ prepared }) => prepared.generate),
		pipelineHooks(
			hooks,
			ready.map(({ at }) => at),
		),
	);
	const timings = shareOf(made.timings, ready.length);
	for (const [k, { at, prepared }] of ready.entries()) outcomes[at] = toOutcome(made.outcomes[k], prepared, timings);
	return { outcomes, ranOut: outcomes.some((outcome) => outcome instanceof EngineError && outcome.failure === 'oom') };
};

/** Opens models one after the other; where memory runs out, the others are let go and it is tried once more. */
const loader = (models: Loaded) => async (model: EngineModel, onProgress: (fraction: number) => void) => {
	const key = `${model.name} ${model.sha256}`;
	try {
		return await models.get(key, model, onProgress);
	} catch (error) {
		if (!isOutOfMemory(error)) throw error;
		await models.clear();
		return models.get(key, model, onProgress);
	}
};

const warmModels = (options: OnnxOptions, maxBatch: number): Loaded => {
	const gauge = gaugeOf(options);
	return new WarmModels({
		limit: (held) => options.modelBytes ?? roomForModels(options, gauge, held),
		used: gauge.used,
		estimate: (model) => model.folder?.bytes ?? 0,
		open: async (model, onProgress) =>
			DiffusionPipeline.load(model.dir, {
				executionProviders: options.executionProviders,
				intraOpNumThreads: options.intraOpNumThreads,
				maxBatch,
				gauge,
				onProgress,
				...(model.folder === undefined ? {} : { info: model.folder }),
			}),
	});
};

/** Makes an engine for one device. */
export const createOnnxEngine = (options: OnnxOptions): Engine => {
	const maxBatch = options.maxBatch ?? NODE_LIMITS.batchDefault;
	const models = warmModels(options, maxBatch);
	const open = loader(models);
	let loaded: { name: string; pipeline: DiffusionPipeline } | undefined;
	const unload = async (): Promise<void> => {
		loaded = undefined;
		await models.clear();
	};
	const generateBatch: Engine['generateBatch'] = async (items, hooks) => {
		if (loaded === undefined) return items.map(() => new EngineError('engine', 'No model is loaded.'));
		try {
			const { outcomes, ranOut } = await makeBatch(loaded.pipeline, items, hooks);
			if (ranOut) await unload();
			return outcomes;
		} catch (error) {
			const failure = toEngineError(error);
			return items.map(() => failure);
		}
	};
	return {
		name: 'onnx',
		probe,
		capabilities: () => {
			const px = loaded?.pipeline.maxBatchPx();
			return {
				device: options.device,
				maxBatch: loaded?.pipeline.batches.maxBatch ?? maxBatch,
				...(px === undefined ? {} : { maxBatchPx: px }),
			};
		},
		load: async (model, onProgress) => {
			loaded = undefined;
			try {
				loaded = { name: model.name, pipeline: await open(model, onProgress) };
			} catch (error) {
				throw toEngineError(error);
			}
		},
		generate: singly(generateBatch),
		generateBatch,
		unload,
		health: () => ({
			loaded: loaded?.name,
			held: models.keys.map((key) => key.slice(0, key.lastIndexOf(' '))),
			rssBytes: process.memoryUsage.rss(),
		}),
	};
};
