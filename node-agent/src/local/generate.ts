/**
 * Makes pictures on this machine without a gateway. A request is filled in and run exactly as on a node, so that the
 * pixels are the same.
 * @module
 */
import { existsSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { taskSeed, type JobRequest, type ModelInfo, type Operation } from '@limner/shared';
import { createEngine } from '../engines/create.ts';
import { coreCount, threadsPerSlot, type DevicePlan } from '../engines/devices.ts';
import { fallbackWarning, planDevice } from '../engines/plan.ts';
import {
	EngineError,
	type Engine,
	type EngineBatchHooks,
	type EngineInputs,
	type EngineOutcome,
	type EnginePhase,
	type EngineRequest,
} from '../engines/types.ts';
import { settings } from '../config/settings.ts';
import { UserError } from '../lib/user-error.ts';
import { PREFERRED_MODELS } from '../models/embedded.ts';
import { singleFileSentence } from '../models/layout.ts';
import { fileHashCache, listModels, readModel, type StoredModel } from '../models/store.ts';
import { encodePicture, type OutputOptions } from '../png/encode.ts';
import { pictureRecord } from '../slots/host.ts';
import type { JobEntry } from './jobs-file.ts';

/** Strength of a request that names none, as the gateway fills it in. */
const DEFAULT_STRENGTH: Readonly<Record<Operation, number | undefined>> = { txt2img: undefined, img2img: 0.75, inpaint: 1 };

const strengthOf = (task: Operation, given: number | undefined): number | undefined =>
	task === 'txt2img' ? undefined : (given ?? DEFAULT_STRENGTH[task]);

/** Fields without those that are not there. */
const given = <T extends object>(fields: { [K in keyof T]: T[K] | undefined }): Partial<T> =>
	Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) as Partial<T>;

/** A request whose defaults are filled in from the model, for picture `index`. */
export const fillRequest = (request: JobRequest, task: Operation, seed: number, index: number, model: ModelInfo): EngineRequest => {
	const strength = strengthOf(task, request.strength);
	return {
		task,
		prompt: request.prompt,
		negativePrompt: request.negativePrompt ?? null,
		width: request.width ?? model.nativeWidth,
		height: request.height ?? model.nativeHeight,
		steps: request.steps ?? model.defaults.steps,
		guidance: request.guidance ?? model.defaults.guidance,
		scheduler: request.scheduler ?? model.defaults.scheduler,
		seed: taskSeed(seed, index),
		...(strength === undefined ? {} : { strength }),
		...given({ eta: request.eta, guidanceRescale: request.guidanceRescale, promptMode: request.promptMode }),
		...given({ maskCropPadding: request.maskCropPadding, maskFeather: request.maskFeather }),
		...given({ maskInvert: request.maskInvert, maskFill: request.maskFill }),
		...given({ originalSize: request.originalSize, cropTopLeft: request.cropTopLeft }),
		...given({ targetSize: request.targetSize, useT5: request.useT5 }),
		pasteBack: request.pasteBack ?? true,
	};
};

const OPTIONAL = [
	'scheduler',
	'eta',
	'guidanceRescale',
	'useT5',
	'originalSize',
	'cropTopLeft',
	'targetSize',
	'promptMode',
	'maskCropPadding',
	'maskFeather',
	'maskInvert',
	'maskFill',
] as const;

const entryTask = (entry: JobEntry): Operation => {
	if (entry.task !== undefined) return entry.task;
	if (entry.maskImage !== undefined) return 'inpaint';
	return entry.initImage === undefined ? 'txt2img' : 'img2img';
};

/** The request of an entry of a jobs file; a sampler that is not named stays the model's own, config and all. */
export const fillEntry = (entry: JobEntry, index: number, model: ModelInfo): EngineRequest => {
	const task = entryTask(entry);
	const strength = strengthOf(task, entry.strength);
	const request: EngineRequest = {
		task,
		prompt: entry.prompt,
		negativePrompt: entry.negativePrompt ?? null,
		width: entry.width ?? model.nativeWidth,
		height: entry.height ?? model.nativeHeight,
		steps: entry.steps ?? model.defaults.steps,
		guidance: entry.guidance ?? model.defaults.guidance,
		seed: taskSeed(entry.seed ?? 0, index),
		...(strength === undefined ? {} : { strength }),
		pasteBack: entry.pasteBack,
	};
	for (const key of OPTIONAL) if (entry[key] !== undefined) Object.assign(request, { [key]: entry[key] });
	return request;
};

/** The named model; without a name the embedded one that requests mean, else the first that draws from words. */
const chooseModel = (models: readonly StoredModel[], wanted: string | undefined): StoredModel | undefined => {
	if (wanted !== undefined) return models.find(({ name }) => name === wanted);
	const [preferred] = PREFERRED_MODELS.flatMap((name) => models.find((model) => model.name === name) ?? []);
	return preferred ?? models.find(({ info }) => info.operations.includes('txt2img')) ?? models[0];
};

export interface LocalProgress {
	onPhase: (phase: EnginePhase) => void;
	onStep: (step: number, steps: number) => void;
}

export interface LocalPicture {
	png: Uint8Array;
	request: EngineRequest;
	warnings: string[];
	timings: Record<string, number>;
	latents?: { values: Float32Array; shape: number[] };
}

/** Finds models by name in the given folders, then as a path of their own. */
export class LocalModels {
	readonly #dirs: readonly string[];
	readonly #cache: ReturnType<typeof fileHashCache> | undefined;
	readonly #known = new Map<string, StoredModel>();
	#listed: Awaited<ReturnType<typeof listModels>> | undefined;

	/** @param cacheFile where hashes of files are kept, so that gigabytes are not read again for each picture */
	constructor(dirs: readonly string[], cacheFile?: string) {
		this.#dirs = dirs;
		this.#cache = cacheFile === undefined ? undefined : fileHashCache(cacheFile);
	}

	/** @throws {UserError} when there is no such model, or it is broken */
	async find(wanted: string | undefined, resolvePath: (path: string) => string): Promise<StoredModel> {
		const known = this.#known.get(wanted ?? '');
		if (known !== undefined) return known;
		const model = await this.#search(wanted, resolvePath);
		await this.#cache?.save();
		this.#known.set(wanted ?? '', model);
		return model;
	}

	async #search(wanted: string | undefined, resolvePath: (path: string) => string): Promise<StoredModel> {
		// The folder is tried first: listing a large store would hash every model in it.
		const direct = wanted === undefined ? undefined : await this.#openFolder(wanted, resolvePath);
		if (direct !== undefined) return direct;
		this.#listed ??= await listModels(this.#dirs, this.#cache);
		const { models, broken } = this.#listed;
		const found = chooseModel(models, wanted);
		if (found !== undefined) return found;
		const where = this.#dirs.join(', ');
		if (models.length > 0)
			throw new UserError(`There is no model "${wanted ?? ''}" in ${where}; there are: ${models.map((model) => model.name).join(', ')}.`);
		const file = this.#dirs.find((dir) => statSync(dir, { throwIfNoEntry: false })?.isFile() === true);
		if (file !== undefined) throw new UserError(singleFileSentence(file));
		throw new UserError(broken[0]?.sentence ?? `There is no model in ${where}; give a folder of models with --models.`);
	}

	async #openFolder(wanted: string, resolvePath: (path: string) => string): Promise<StoredModel | undefined> {
		const folders = [...this.#dirs.map((dir) => join(dir, wanted)), resolvePath(wanted)];
		const folder = folders.find((candidate) => existsSync(join(candidate, 'model_index.json')));
		if (folder === undefined) return undefined;
		const read = await readModel(folder, this.#cache);
		if (read.ok) return read.model;
		throw new UserError(read.broken.sentence);
	}
}

/**
 * The loader reads LD_LIBRARY_PATH when a process starts and never again, so this process starts anew with it, under the
 * same number and on the same terminal.
 */
export const restartWith = (env: DevicePlan['env']): void => {
	if (Object.keys(env).length === 0) return;
	if (process.execve === undefined)
		throw new UserError(`This Node cannot restart itself; set LD_LIBRARY_PATH=${env['LD_LIBRARY_PATH'] ?? ''} and run the command again.`);
	process.execve(process.execPath, [process.execPath, ...process.execArgv, ...process.argv.slice(1)], { ...process.env, ...env });
};

/** Hooks of a batch that begins at picture `from`. */
const batchProgress = (progress: (index: number) => LocalProgress, from: number): EngineBatchHooks => {
	const lines = new Map<number, LocalProgress>();
	const at = (item: number): LocalProgress => {
		const line = lines.get(item) ?? progress(from + item);
		lines.set(item, line);
		return line;
	};
	return {
		onPhase: (item, phase) => at(item).onPhase(phase),
		onStep: (item, step, steps) => at(item).onStep(step, steps),
		isCancelled: () => false,
	};
};

/** An engine in this process that keeps the last model loaded. */
export class LocalEngine {
	readonly #engine: Engine;
	/** Why pictures are not made on the device that comes first. */
	readonly #warnings: string[];

	private constructor(engine: Engine, warnings: string[]) {
		this.#engine = engine;
		this.#warnings = warnings;
	}

	/** @throws {UserError} when the device is not there or ONNX Runtime cannot be loaded */
	static async open(device: string | undefined): Promise<LocalEngine> {
		const plan = await planDevice(device ?? settings().device);
		restartWith(plan.env);
		const intraOpNumThreads = threadsPerSlot(plan.device.kind, coreCount(), 1);
		const engine = await createEngine({
			kind: 'onnx',
			options: { device: plan.device, executionProviders: plan.executionProviders, intraOpNumThreads },
		});
		const probe = await engine.probe();
		if (!probe.ok) throw new UserError(probe.sentence);
		const warning = fallbackWarning(plan);
		return new LocalEngine(engine, warning === undefined ? [] : [warning]);
	}

	/**
	 * Makes a picture of each request, several at a time, and hands them over as they are made.
	 * @param requests of one shape
	 * @param progress what to tell of the picture at a position
	 * @throws {UserError} with the engine's sentence
	 */
	async *make(
		model: StoredModel,
		requests: readonly EngineRequest[],
		inputs: EngineInputs,
		progress: (index: number) => LocalProgress,
		output?: OutputOptions,
	): AsyncGenerator<LocalPicture> {
		const started = performance.now();
		progress(0).onPhase('loading');
		await this.#orExplain(async () => this.#engine.load(model, () => undefined));
		let loadMs = performance.now() - started;
		const { maxBatch } = this.#engine.capabilities();
		for (let from = 0; from < requests.length; from += maxBatch) {
			const part = requests.slice(from, from + maxBatch);
			const items = part.map((request) => ({ request, inputs }));
			const outcomes = await this.#engine.generateBatch(items, batchProgress(progress, from));
			for (const [i, request] of part.entries()) {
				yield await this.#orExplain(async () => this.#picture(model, request, outcomes[i], loadMs, output));
				loadMs = 0;
			}
		}
	}

	async #picture(
		model: StoredModel,
		request: EngineRequest,
		outcome: EngineOutcome | undefined,
		loadMs: number,
		output?: OutputOptions,
	): Promise<LocalPicture> {
		if (outcome === undefined) throw new EngineError('engine', 'The engine made no picture.');
		if (outcome instanceof Error) throw outcome;
		const png = await encodePicture(outcome, pictureRecord({ request, model }, outcome, this.#engine), output);
		const { timings, latents } = outcome;
		const warnings = [...this.#warnings, ...outcome.warnings];
		return { png, request, warnings, timings: { loadMs, ...timings }, ...(latents === undefined ? {} : { latents }) };
	}

	async #orExplain<T>(act: () => Promise<T>): Promise<T> {
		try {
			return await act();
		} catch (error) {
			if (error instanceof EngineError) throw new UserError(error.message, { cause: error });
			throw error;
		}
	}

	async close(): Promise<void> {
		await this.#engine.unload();
	}
}
