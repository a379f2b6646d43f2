import { inspectModelFolder, latentMultiple, type ModelFolderInfo } from '../models/layout.ts';
import { CancelledError } from './errors.ts';
import { cropRgb, frameFor, type Frame } from './frame.ts';
import { previewLatents, tensorToImage, type PreviewMap, type RgbImage } from './latents.ts';
import { TorchGenerator } from './noise.ts';
import { cutWarnings, embedPrompts, type Conditioning } from './pipelines/conditioning.ts';
import { loadComponents, type ComponentOptions, type Components, type LoadProgress } from './pipelines/components.ts';
import { DenoiserRun, type DenoiserPlan } from './pipelines/denoiser.ts';
import { calibratePreview } from './pipelines/preview.ts';
import { pasteInto, prepareImages, prepareStart, restoreOutsideMask, startIndex, type InputImages, type Start } from './pipelines/start.ts';
import { checkRequest, strengthOf, type GenerateRequest } from './request.ts';
import { FlowEulerScheduler } from './schedulers/flow_euler.ts';
import { createScheduler, isFlowConfig, type Scheduler } from './schedulers/index.ts';
import { LcmScheduler } from './schedulers/lcm.ts';
import type { PlanOptions } from './schedulers/types.ts';

export { CancelledError, InferenceError, InvalidRequestError, ModelFolderError } from './errors.ts';
export type { GrayImage, RgbImage } from './latents.ts';
export type { GenerateRequest } from './request.ts';

/** Where a run is. `step` counts network evaluations over all pictures of the request. */
export interface StepInfo {
	step: number;
	steps: number;
	phase: 'encoding' | 'denoising' | 'decoding';
	/** Index of the picture that is being made. */
	image: number;
	/** A small picture of the current estimate; computed only when called, and only valid until `onStep` returns. */
	previewRgb?: () => RgbImage;
}

export interface GenerateHooks {
	/** Called after every network evaluation and at the start of encoding and decoding. */
	onStep?(info: StepInfo): void | Promise<void>;
	/** Asked between steps; true ends the run with CancelledError. */
	isCancelled?(): boolean;
}

export interface GeneratedImage {
	rgb: Uint8Array;
	width: number;
	height: number;
	seed: bigint;
	/** Final latents before decoding, shape `latentsShape`. */
	latents: Float32Array;
	latentsShape: number[];
}

export interface GenerateResult {
	images: GeneratedImage[];
	/** Plain sentences for the caller, e.g. words that the model never learnt. */
	warnings: string[];
	/** Milliseconds; `sessionRunMs` is the part of the whole inside native inference. */
	timings: { encodeMs: number; denoiseMs: number; decodeMs: number; sessionRunMs: number; stepMs: number[] };
}

export interface LoadOptions extends ComponentOptions {
	onProgress?: LoadProgress;
	/** Skips reading and hashing the folder again when the caller already did. */
	info?: ModelFolderInfo;
}

/** Lets timers and messages of the event loop in: native runs block it. */
function turn(): Promise<void> {
	return new Promise((done) => {
		setImmediate(done);
	});
}

/** State of one `generate` call. */
interface Run {
	request: GenerateRequest;
	/** The size that the network makes and where the requested picture lies in it. */
	frame: Frame;
	hooks: GenerateHooks;
	scheduler: Scheduler;
	images: InputImages | null;
	embeddings: Conditioning;
	/** Index into the plan at which every picture starts. */
	first: number;
	evaluationsPerImage: number;
	timings: GenerateResult['timings'];
}

/** A loaded diffusion model. One `generate` at a time. */
export class DiffusionPipeline {
	readonly info: ModelFolderInfo;
	readonly #parts: Components;
	readonly #flow: boolean;
	readonly #seesMask: boolean;
	#preview: PreviewMap | null;

	private constructor(info: ModelFolderInfo, parts: Components) {
		this.info = info;
		this.#parts = parts;
		this.#flow = isFlowConfig(parts.schedulerConfig);
		this.#seesMask = info.operations.length === 1 && info.operations[0] === 'inpaint';
		this.#preview = parts.preview;
	}

	/**
	 * Loads a model folder in the diffusers/optimum ONNX layout.
	 * @throws ModelFolderError when files are missing or broken, InferenceError when the device refuses them
	 */
	static async load(modelDir: string, options: LoadOptions = {}): Promise<DiffusionPipeline> {
		const info = options.info ?? (await inspectModelFolder(modelDir));
		const { onProgress = () => {}, info: _info, ...session } = options;
		return new DiffusionPipeline(info, await loadComponents(info, session, onProgress));
	}

	/** Frees all sessions; the pipeline cannot be used afterwards. */
	async release(): Promise<void> {
		await this.#parts.release();
	}

	/** Words of a prompt that this model's vocabulary never learnt as a whole. */
	unknownWords(prompt: string): string[] {
		return [...new Set(this.#parts.tokenizers.flatMap((t) => t.unknownWords(prompt)))];
	}

	/**
	 * Makes `n` pictures. The same machine, device, thread count and request give the same bytes, for each seed
	 * regardless of n.
	 * @throws InvalidRequestError, CancelledError, InferenceError
	 */
	async generate(request: GenerateRequest, hooks: GenerateHooks = {}): Promise<GenerateResult> {
		checkRequest(request, this.info);
		const clockBefore = this.#parts.clock.ms;
		const timings = { encodeMs: 0, denoiseMs: 0, decodeMs: 0, sessionRunMs: 0, stepMs: [] };
		const run = await this.#prepare(request, hooks, timings);
		const images: GeneratedImage[] = [];
		for (let i = 0; i < request.n; i++) images.push(await this.#generateOne(run, i));
		timings.sessionRunMs = this.#parts.clock.ms - clockBefore;
		return { images, warnings: this.#warnings(run), timings };
	}

	async #prepare(request: GenerateRequest, hooks: GenerateHooks, timings: Run['timings']): Promise<Run> {
		const eta = request.eta === undefined ? {} : { eta: request.eta };
		const scheduler = createScheduler(this.#parts.schedulerConfig, request.scheduler, eta);
		this.#planSteps(scheduler, request);
		const first = this.#firstIndex(scheduler, request);
		const evaluationsPerImage = scheduler.timesteps.length - first;
		if (hooks.isCancelled?.() === true) throw new CancelledError(0, evaluationsPerImage * request.n);
		await hooks.onStep?.({ step: 0, steps: evaluationsPerImage * request.n, phase: 'encoding', image: 0 });
		const started = performance.now();
		if (hooks.onStep !== undefined) this.#preview ??= await calibratePreview(this.#parts.vae);
		const frame = this.#frame(request);
		const images = await prepareImages(request, frame);
		const embeddings = await embedPrompts(this.#parts, request);
		timings.encodeMs += performance.now() - started;
		return { request, frame, hooks, scheduler, images, embeddings, first, evaluationsPerImage, timings };
	}

	#planSteps(scheduler: Scheduler, request: GenerateRequest): void {
		const mu = scheduler instanceof FlowEulerScheduler ? scheduler.shiftFor(this.#patches(request)) : undefined;
		const options: PlanOptions = mu === undefined ? {} : { mu };
		if (this.#plansByStrength(scheduler, request)) options.strength = strengthOf(request);
		scheduler.setTimesteps(request.steps, options);
	}

	/** Networks distilled for LCM run all their few steps on a picture, inside the part of the schedule that strength leaves. */
	#plansByStrength(scheduler: Scheduler, request: GenerateRequest): boolean {
		return request.task === 'img2img' && scheduler instanceof LcmScheduler && this.#parts.denoiser.inputs.has('timestep_cond');
	}

	#firstIndex(scheduler: Scheduler, request: GenerateRequest): number {
		if (request.task === 'txt2img' || this.#plansByStrength(scheduler, request)) return 0;
		return startIndex(scheduler, request.steps, strengthOf(request), this.#flow);
	}

	#frame(request: GenerateRequest): Frame {
		const { vae, denoiserConfig } = this.#parts;
		return frameFor(request.width, request.height, vae.factor * latentMultiple(denoiserConfig));
	}

	#patches(request: GenerateRequest): number {
		const patch = this.#parts.vae.factor * (this.#parts.denoiserConfig.patch_size ?? 1);
		return Math.floor(request.width / patch) * Math.floor(request.height / patch);
	}

	async #generateOne(run: Run, image: number): Promise<GeneratedImage> {
		const { request, scheduler, timings } = run;
		const { vae } = this.#parts;
		const seed = BigInt(request.seed) + BigInt(image);
		const noise = new TorchGenerator(seed);
		if (image > 0) this.#planSteps(scheduler, request);
		const encodeStarted = performance.now();
		const start = await prepareStart(request, run.frame, run.images, scheduler, vae, noise, run.first, this.#seesMask);
		const denoiser = new DenoiserRun(this.#parts.denoiser, this.#plan(run, start));
		const denoiseStarted = performance.now();
		timings.encodeMs += denoiseStarted - encodeStarted;
		await this.#denoise(run, start, denoiser, noise, image);
		const decodeStarted = performance.now();
		timings.denoiseMs += decodeStarted - denoiseStarted;

		const done = (image + 1) * run.evaluationsPerImage;
		await this.#report(run, { step: done, steps: request.n * run.evaluationsPerImage, phase: 'decoding', image });
		const { frame } = run;
		const h = frame.height / vae.factor;
		const w = frame.width / vae.factor;
		const masked = (run.images?.mask ?? null) !== null;
		const paste = (run.images?.whole ?? null) !== null;
		// the reference's SD3 inpainting forgets the shift when it decodes: its raw output is reproduced as it is, but a
		// picture that gets original pixels pasted in must have their colours
		const shifted = !(this.#flow && masked) || paste;
		const picture = tensorToImage(await vae.decode(start.latents, h, w, shifted), frame.width, frame.height);
		const whole = await pasteInto(cropRgb(picture, frame, request.width, request.height), run.images, request.maskFeather ?? 0);
		timings.decodeMs += performance.now() - decodeStarted;
		return {
			...whole,
			seed,
			latents: start.latents,
			latentsShape: [1, vae.channels, h, w],
		};
	}

	#plan(run: Run, start: Start): DenoiserPlan {
		const { request, frame } = run;
		const { vae } = this.#parts;
		const original = request.originalSize ?? [frame.height, frame.width];
		const target = request.targetSize ?? [frame.height, frame.width];
		const ids = (crop: readonly number[]): number[] => [...original, ...crop, ...target];
		const crop = request.cropTopLeft ?? [0, 0];
		return {
			channels: vae.channels,
			height: frame.height / vae.factor,
			width: frame.width / vae.factor,
			...run.embeddings,
			guidance: request.guidance,
			guidanceRescale: request.guidanceRescale ?? 0,
			// with an input picture the reference leaves the unconditional row uncropped
			timeIds: { positive: ids(crop), negative: request.task === 'txt2img' ? ids(crop) : ids([0, 0]) },
			extra: start.extra,
		};
	}

	async #denoise(run: Run, start: Start, denoiser: DenoiserRun, noise: TorchGenerator, image: number): Promise<void> {
		const { scheduler, timings, request, frame } = run;
		const { latents, keep } = start;
		const scratch = keep === null ? latents : new Float32Array(latents.length);
		const base = image * run.evaluationsPerImage;
		const steps = request.n * run.evaluationsPerImage;
		for (let i = start.index; i < scheduler.timesteps.length; i++) {
			if (run.hooks.isCancelled?.() === true) throw new CancelledError(base + i - start.index, steps);
			const started = performance.now();
			scheduler.scaleModelInput(latents, i, denoiser.input);
			await denoiser.predict(scheduler.timesteps[i] as number);
			scheduler.step(denoiser.output, i, latents, noise);
			if (keep !== null) restoreOutsideMask(latents, keep, scheduler, i + 1, scratch);
			timings.stepMs.push(performance.now() - started);
			const info: StepInfo = { step: base + i - start.index + 1, steps, phase: 'denoising', image };
			await this.#report(run, this.#withPreview(info, request, frame, scheduler));
		}
	}

	#withPreview(info: StepInfo, request: GenerateRequest, frame: Frame, scheduler: Scheduler): StepInfo {
		const map = this.#preview;
		if (map === null) return info;
		const { factor } = this.#parts.vae;
		const previewRgb = (): RgbImage => {
			const whole = previewLatents(scheduler.predicted, frame.width / factor, frame.height / factor, map);
			return cropRgb(whole, frame, request.width, request.height, factor);
		};
		return { ...info, previewRgb };
	}

	async #report(run: Run, info: StepInfo): Promise<void> {
		await run.hooks.onStep?.(info);
		await turn();
		if (info.phase === 'decoding' && run.hooks.isCancelled?.() === true) throw new CancelledError(info.step, info.steps);
	}

	#warnings(run: Run): string[] {
		const { request, embeddings } = run;
		const warnings: string[] = [];
		const words = this.unknownWords(`${request.prompt} ${embeddings.negative === null ? '' : (request.negativePrompt ?? '')}`);
		if (words.length > 0) warnings.push(`The model ${this.info.name} never learnt: ${words.join(', ')}.`);
		const chunked = request.promptMode !== 'weighted' && this.info.family !== 'sd3';
		warnings.push(...cutWarnings(embeddings, chunked));
		if (this.#parts.vae.fellBack) warnings.push('The decoder overflowed in half precision; the picture was decoded in float32.');
		return warnings;
	}
}
