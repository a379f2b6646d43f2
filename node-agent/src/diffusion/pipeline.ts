import { inspectModelFolder, latentMultiple, type ModelFolderInfo } from '../models/layout.ts';
import { cropRgb, frameFor, type Frame } from './frame.ts';
import { tensorToImage, type PreviewMap } from './latents.ts';
import { TorchGenerator } from './noise.ts';
import { BatchPolicy, type BatchPolicyOptions } from './pipelines/batch-policy.ts';
import { cutWarnings, embedPrompts } from './pipelines/conditioning.ts';
import { loadComponents, type ComponentOptions, type Components, type LoadProgress } from './pipelines/components.ts';
import { DenoiserRun } from './pipelines/denoiser.ts';
import { cancelledAt, conditioningOf, groupLanes, ImageCache, stepInfo, stepLane, type Lane, type StartedLane } from './pipelines/lane.ts';
import { calibratePreview } from './pipelines/preview.ts';
import { pasteInto, prepareStart, startIndex } from './pipelines/start.ts';
import type { BatchOutcome, GeneratedImage, GenerateHooks, GenerateResult, Timings } from './results.ts';
import { checkRequest, strengthOf, type GenerateRequest } from './request.ts';
import { FlowEulerScheduler } from './schedulers/flow_euler.ts';
import { createScheduler, isFlowConfig, type Scheduler } from './schedulers/index.ts';
import { LcmScheduler } from './schedulers/lcm.ts';
import type { PlanOptions } from './schedulers/types.ts';

export { CancelledError, InferenceError, InvalidRequestError, ModelFolderError } from './errors.ts';
export type { GrayImage, RgbImage } from './latents.ts';
export type { GenerateRequest } from './request.ts';
export type { BatchOutcome, GeneratedImage, GenerateHooks, GenerateResult, StepInfo, Timings } from './results.ts';

export interface LoadOptions extends ComponentOptions, BatchPolicyOptions {
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

/** State of one call. */
interface Run {
	hooks: GenerateHooks;
	images: ImageCache;
	timings: Timings;
	/** By position; filled as pictures end. */
	outcomes: BatchOutcome[];
}

/** A loaded diffusion model. One call at a time. */
export class DiffusionPipeline {
	readonly info: ModelFolderInfo;
	readonly batches: BatchPolicy;
	readonly #parts: Components;
	readonly #flow: boolean;
	readonly #seesMask: boolean;
	#preview: PreviewMap | null;

	private constructor(info: ModelFolderInfo, parts: Components, batches: BatchPolicy) {
		this.info = info;
		this.batches = batches;
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
		const { onProgress = () => {}, info: _info, maxBatch, gauge, ...session } = options;
		const policy = new BatchPolicy({ ...(maxBatch === undefined ? {} : { maxBatch }), ...(gauge === undefined ? {} : { gauge }) });
		return new DiffusionPipeline(info, await loadComponents(info, session, onProgress), policy);
	}

	/** Frees all sessions; the pipeline cannot be used afterwards. */
	async release(): Promise<void> {
		await this.#parts.release();
	}

	/** Pixels that fit into one batch together, once it was measured; rounded, for free memory never stands still. */
	maxBatchPx(): number | undefined {
		const { factor } = this.#parts.vae;
		const px = this.batches.maxBatchPx(factor * factor);
		return px === undefined ? undefined : 2 ** Math.floor(Math.log2(px));
	}

	/** Words of a prompt that this model's vocabulary never learnt as a whole. */
	unknownWords(prompt: string): string[] {
		return [...new Set(this.#parts.tokenizers.flatMap((t) => t.unknownWords(prompt)))];
	}

	/**
	 * Makes `n` pictures, several at a time. The same machine, device, thread count and request give the same bytes, for
	 * each seed regardless of n.
	 * @throws InvalidRequestError, CancelledError, InferenceError
	 */
	async generate(request: GenerateRequest, hooks: GenerateHooks = {}): Promise<GenerateResult> {
		checkRequest(request, this.info);
		const seeds = Array.from({ length: request.n }, (_, i) => BigInt(request.seed) + BigInt(i));
		const { outcomes, timings } = await this.generateBatch(
			seeds.map((seed) => ({ ...request, seed, n: 1 })),
			hooks,
		);
		const images = outcomes.map((outcome) => {
			if (!outcome.ok) throw outcome.error;
			return outcome.image;
		});
		const [first] = outcomes;
		return { images, warnings: first?.ok === true ? first.warnings : [], timings };
	}

	/**
	 * Makes one picture of each request, those of one shape together. What fails or is cancelled does so alone, and what
	 * is made beside a picture never changes its bytes.
	 * @param requests each with n = 1
	 */
	async generateBatch(
		requests: readonly GenerateRequest[],
		hooks: GenerateHooks = {},
	): Promise<{ outcomes: BatchOutcome[]; timings: Timings }> {
		const clockBefore = this.#parts.clock.ms;
		const timings: Timings = { encodeMs: 0, denoiseMs: 0, decodeMs: 0, sessionRunMs: 0, stepMs: [] };
		const run: Run = { hooks, images: new ImageCache(), timings, outcomes: [] };
		const lanes: Lane[] = [];
		for (const [image, request] of requests.entries()) {
			const lane = await this.#attempt(run, image, () => this.#prepare(run, request, image));
			if (lane !== null) lanes.push(lane);
		}
		for (const group of groupLanes(lanes, this.batches.maxBatch)) await this.#runGroup(run, group);
		timings.sessionRunMs = this.#parts.clock.ms - clockBefore;
		return { outcomes: run.outcomes, timings };
	}

	/** Does something for one picture; its error becomes that picture's outcome. */
	async #attempt<T>(run: Run, image: number, act: () => Promise<T>): Promise<T | null> {
		try {
			return await act();
		} catch (error) {
			run.outcomes[image] = { ok: false, error };
			return null;
		}
	}

	async #prepare(run: Run, request: GenerateRequest, image: number): Promise<Lane> {
		checkRequest(request, this.info);
		const eta = request.eta === undefined ? {} : { eta: request.eta };
		const scheduler = createScheduler(this.#parts.schedulerConfig, request.scheduler, eta);
		this.#planSteps(scheduler, request);
		const first = this.#firstIndex(scheduler, request);
		const evaluations = scheduler.timesteps.length - first;
		const seed = BigInt(request.seed);
		const frame = this.#frame(request);
		const base = { image, request, seed, noise: new TorchGenerator(seed), scheduler, frame, first, evaluations };
		const { hooks } = run;
		if (hooks.isCancelled?.(image) === true) throw cancelledAt(base, first);
		await hooks.onStep?.({ step: 0, steps: evaluations, phase: 'encoding', image });
		const started = performance.now();
		if (hooks.onStep !== undefined) this.#preview ??= await calibratePreview(this.#parts.vae);
		const images = await run.images.get(request, frame);
		const embeddings = await embedPrompts(this.#parts, request);
		run.timings.encodeMs += performance.now() - started;
		return { ...base, images, embeddings };
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

	async #runGroup(run: Run, group: readonly Lane[]): Promise<void> {
		const { timings } = run;
		const encodeStarted = performance.now();
		const lanes: StartedLane[] = [];
		for (const lane of group) {
			const started = await this.#attempt(run, lane.image, () => this.#start(lane));
			if (started !== null) lanes.push(started);
		}
		const denoiseStarted = performance.now();
		timings.encodeMs += denoiseStarted - encodeStarted;
		const [lead] = lanes;
		if (lead === undefined) return;
		let finished: StartedLane[] = [];
		try {
			finished = await this.#denoise(run, lanes, lead);
		} catch (error) {
			for (const { image } of lanes) run.outcomes[image] ??= { ok: false, error };
		}
		const decodeStarted = performance.now();
		timings.denoiseMs += decodeStarted - denoiseStarted;
		for (const lane of finished) {
			const image = await this.#attempt(run, lane.image, () => this.#finish(run, lane));
			if (image !== null) run.outcomes[lane.image] = { ok: true, image, warnings: this.#warnings(lane) };
		}
		timings.decodeMs += performance.now() - decodeStarted;
	}

	async #start(lane: Lane): Promise<StartedLane> {
		const { request, frame, images, scheduler, noise, first } = lane;
		const start = await prepareStart(request, frame, images, scheduler, this.#parts.vae, noise, first, this.#seesMask);
		return { ...lane, start, scratch: start.keep === null ? start.latents : new Float32Array(start.latents.length) };
	}

	/** Runs all evaluations; answers the pictures that nobody cancelled on the way. */
	async #denoise(run: Run, lanes: readonly StartedLane[], lead: StartedLane): Promise<StartedLane[]> {
		const { vae } = this.#parts;
		const denoiser = new DenoiserRun(
			this.#parts.denoiser,
			{
				channels: vae.channels,
				height: lead.frame.height / vae.factor,
				width: lead.frame.width / vae.factor,
				guidance: lead.request.guidance,
				guidanceRescale: lead.request.guidanceRescale ?? 0,
				lanes: lanes.map(conditioningOf),
			},
			this.batches,
		);
		let active = [...lanes.entries()];
		const { timesteps } = lead.scheduler;
		for (let i = lead.first; i < timesteps.length; i++) {
			active = active.filter(([, lane]) => this.#goesOn(run, lane, i));
			if (active.length === 0) break;
			const started = performance.now();
			await denoiser.predict(
				timesteps[i] as number,
				active.map(([k]) => k),
				(k, into) => lanes[k]?.scheduler.scaleModelInput(lanes[k].start.latents, i, into),
			);
			for (const [k, lane] of active) stepLane(lane, denoiser.outputs[k] as Float32Array, i);
			run.timings.stepMs.push(performance.now() - started);
			for (const [, lane] of active) await run.hooks.onStep?.(stepInfo(lane, i, this.#preview, vae.factor));
			await turn();
		}
		return active.map(([, lane]) => lane);
	}

	#goesOn(run: Run, lane: Lane, i: number): boolean {
		if (run.hooks.isCancelled?.(lane.image) !== true) return true;
		run.outcomes[lane.image] = { ok: false, error: cancelledAt(lane, i) };
		return false;
	}

	/** From latents to the picture. */
	async #finish(run: Run, lane: StartedLane): Promise<GeneratedImage> {
		const { request, frame, images, start, seed } = lane;
		const { vae } = this.#parts;
		await run.hooks.onStep?.({ step: lane.evaluations, steps: lane.evaluations, phase: 'decoding', image: lane.image });
		await turn();
		if (run.hooks.isCancelled?.(lane.image) === true) throw cancelledAt(lane, lane.scheduler.timesteps.length);
		const h = frame.height / vae.factor;
		const w = frame.width / vae.factor;
		const masked = (images?.mask ?? null) !== null;
		const paste = (images?.whole ?? null) !== null;
		// the reference's SD3 inpainting forgets the shift when it decodes: its raw output is reproduced as it is, but a
		// picture that gets original pixels pasted in must have their colours
		const shifted = !(this.#flow && masked) || paste;
		const picture = tensorToImage(await vae.decode(start.latents, h, w, shifted), frame.width, frame.height);
		const whole = await pasteInto(cropRgb(picture, frame, request.width, request.height), images, request.maskFeather ?? 0);
		return { ...whole, seed, latents: start.latents, latentsShape: [1, vae.channels, h, w] };
	}

	#warnings({ request, embeddings }: Lane): string[] {
		const warnings: string[] = [];
		const words = this.unknownWords(`${request.prompt} ${embeddings.negative === null ? '' : (request.negativePrompt ?? '')}`);
		if (words.length > 0) warnings.push(`The model ${this.info.name} never learnt: ${words.join(', ')}.`);
		const chunked = request.promptMode !== 'weighted' && this.info.family !== 'sd3';
		warnings.push(...cutWarnings(embeddings, chunked));
		if (this.#parts.vae.fellBack) warnings.push('The decoder overflowed in half precision; the picture was decoded in float32.');
		return warnings;
	}
}
