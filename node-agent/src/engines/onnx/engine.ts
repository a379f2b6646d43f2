/**
 * The built-in engine: diffusers models in ONNX form on ONNX Runtime.
 * @module
 */
import type { Device } from '@limner/shared';
import {
	CancelledError,
	DiffusionPipeline,
	InferenceError,
	InvalidRequestError,
	ModelFolderError,
	type GenerateRequest,
	type StepInfo,
} from '../../diffusion/pipeline.ts';
import { messageOf } from '../../lib/user-error.ts';
import { EngineCancelled, EngineError, type Engine, type EngineHooks, type EngineInputs, type EngineRequest } from '../types.ts';
import { readInitImage, readMaskImage } from './inputs.ts';

export interface OnnxOptions {
	device: Device;
	/** Names as ONNX Runtime knows them, in order of preference. */
	executionProviders: string[];
	intraOpNumThreads: number;
}

const MEMORY_WORDS = /bad_alloc|out of memory|failed to allocate|allocation failed|cudaErrorMemoryAllocation|Array buffer allocation/i;

/** Class and sentence of anything that the runtime throws. */
export const toEngineError = (error: unknown): EngineError | EngineCancelled => {
	if (error instanceof EngineError || error instanceof EngineCancelled) return error;
	if (error instanceof CancelledError) return new EngineCancelled();
	if (error instanceof InvalidRequestError) return new EngineError('invalid', error.message, error);
	const message = messageOf(error);
	if (MEMORY_WORDS.test(message)) return new EngineError('oom', `The device ran out of memory: ${message}`, error);
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

const toGenerateRequest = async (
	request: EngineRequest,
	inputs: EngineInputs,
): Promise<{ generate: GenerateRequest; hashes: { initImageSha256?: string; maskImageSha256?: string } }> => {
	const { task, prompt, negativePrompt, width, height, steps, guidance, seed, pasteBack } = request;
	const generate: GenerateRequest = { task, prompt, negativePrompt, width, height, steps, guidance, seed, n: 1, pasteBack };
	for (const key of OPTIONAL) if (request[key] !== undefined) Object.assign(generate, { [key]: request[key] });
	const hashes: { initImageSha256?: string; maskImageSha256?: string } = {};
	if (inputs.init !== undefined) {
		const { image, sha256 } = await readInitImage(inputs.init);
		generate.initImage = image;
		hashes.initImageSha256 = sha256;
	}
	if (inputs.mask !== undefined) {
		const { mask, sha256 } = await readMaskImage(inputs.mask);
		generate.maskImage = mask;
		hashes.maskImageSha256 = sha256;
	}
	return { generate, hashes };
};

/** Tells phases from steps: the pipeline reports both through one call. */
const stepHook = (hooks: EngineHooks): ((info: StepInfo) => void) => {
	let phase = '';
	return (info) => {
		if (info.phase !== phase) {
			({ phase } = info);
			hooks.onPhase(info.phase);
		}
		if (info.phase === 'denoising' && info.step > 0) hooks.onStep(info.step, info.steps, info.previewRgb);
	};
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

/** Makes an engine for one device. */
export const createOnnxEngine = (options: OnnxOptions): Engine => {
	let loaded: { name: string; sha256: string; pipeline: DiffusionPipeline } | undefined;
	const unload = async (): Promise<void> => {
		const before = loaded;
		loaded = undefined;
		await before?.pipeline.release();
	};
	return {
		name: 'onnx',
		probe,
		capabilities: () => ({ device: options.device, maxBatch: 1 }),
		load: async (model, onProgress) => {
			if (loaded?.name === model.name && loaded.sha256 === model.sha256) return;
			await unload();
			try {
				const pipeline = await DiffusionPipeline.load(model.dir, {
					executionProviders: options.executionProviders,
					intraOpNumThreads: options.intraOpNumThreads,
					onProgress,
					...(model.folder === undefined ? {} : { info: model.folder }),
				});
				loaded = { name: model.name, sha256: model.sha256, pipeline };
			} catch (error) {
				throw toEngineError(error);
			}
		},
		generate: async (request, inputs, hooks) => {
			if (loaded === undefined) throw new EngineError('engine', 'No model is loaded.');
			try {
				const { generate, hashes } = await toGenerateRequest(request, inputs);
				const { images, warnings, timings } = await loaded.pipeline.generate(generate, {
					onStep: stepHook(hooks),
					isCancelled: hooks.isCancelled,
				});
				const [image] = images;
				if (image === undefined) throw new EngineError('engine', 'The pipeline made no picture.');
				const { stepMs: _steps, ...rest } = timings;
				return {
					rgb: image.rgb,
					width: image.width,
					height: image.height,
					warnings,
					timings: rest,
					latents: { values: image.latents, shape: image.latentsShape },
					inputHashes: hashes,
				};
			} catch (error) {
				throw toEngineError(error);
			}
		},
		unload,
		health: () => ({ loaded: loaded?.name, rssBytes: process.memoryUsage.rss() }),
	};
};
