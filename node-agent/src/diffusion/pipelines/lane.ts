import { CancelledError } from '../errors.ts';
import { cropRgb, type Frame } from '../frame.ts';
import { previewLatents, type PreviewMap, type RgbImage } from '../latents.ts';
import { TorchGenerator } from '../noise.ts';
import type { GenerateRequest } from '../request.ts';
import type { StepInfo } from '../results.ts';
import type { Scheduler } from '../schedulers/index.ts';
import type { Conditioning } from './conditioning.ts';
import type { LaneConditioning } from './row-batch.ts';
import { prepareImages, restoreOutsideMask, type InputImages, type Start } from './start.ts';

/**
 * One picture on its way. Each has a generator and a sampler of its own, so that it draws the same noise in the same
 * order whether others are made beside it or not (diffusers with a list of generators).
 */
export interface Lane {
	/** Position in the caller's list. */
	image: number;
	request: GenerateRequest;
	seed: bigint;
	noise: TorchGenerator;
	scheduler: Scheduler;
	/** The size that the network makes and where the requested picture lies in it. */
	frame: Frame;
	images: InputImages | null;
	embeddings: Conditioning;
	/** First index into the plan. */
	first: number;
	/** Network evaluations of this picture. */
	evaluations: number;
}

/** A lane whose latents exist. */
export interface StartedLane extends Lane {
	start: Start;
	scratch: Float32Array;
}

/** The shape that lanes must share to go through the network together. */
export function shapeOf({ request, scheduler, first, embeddings }: Lane): string {
	const { width, height, guidance, guidanceRescale = 0 } = request;
	const { positive, negative } = embeddings;
	const plan = `${first}:${scheduler.timesteps.join()}`;
	return [width, height, guidance, guidanceRescale, positive.tokens, negative === null, request.task === 'inpaint', plan].join('|');
}

/** Lists of at most `most` lanes of one shape each, in the order in which they came. */
export function groupLanes(lanes: readonly Lane[], most: number): Lane[][] {
	const groups: Lane[][] = [];
	const open = new Map<string, Lane[]>();
	for (const lane of lanes) {
		const shape = shapeOf(lane);
		const group = open.get(shape);
		if (group !== undefined && group.length < most) group.push(lane);
		else {
			const fresh = [lane];
			groups.push(fresh);
			open.set(shape, fresh);
		}
	}
	return groups;
}

/** Prepares input pictures, once for all requests that use the same ones in the same way. */
export class ImageCache {
	readonly #entries: { request: GenerateRequest; images: Promise<InputImages | null> }[] = [];

	async get(request: GenerateRequest, frame: Frame): Promise<InputImages | null> {
		const fields = ['task', 'initImage', 'maskImage', 'width', 'height', 'maskCropPadding', 'pasteBack'] as const;
		const known = this.#entries.find((entry) => fields.every((field) => entry.request[field] === request[field]));
		if (known !== undefined) return known.images;
		const images = prepareImages(request, frame);
		this.#entries.push({ request, images });
		return images;
	}
}

/** Moves a picture from step `i` of its plan to the next. */
export function stepLane(lane: StartedLane, output: Float32Array, i: number): void {
	const { scheduler, start, noise, scratch } = lane;
	scheduler.step(output, i, start.latents, noise);
	if (start.keep !== null) restoreOutsideMask(start.latents, start.keep, scheduler, i + 1, scratch);
}

/** What the network is told of a picture beside its latents. */
export function conditioningOf({ request, frame, embeddings, start }: StartedLane): LaneConditioning {
	const original = request.originalSize ?? [frame.height, frame.width];
	const target = request.targetSize ?? [frame.height, frame.width];
	const ids = (crop: readonly number[]): number[] => [...original, ...crop, ...target];
	const crop = request.cropTopLeft ?? [0, 0];
	return {
		...embeddings,
		// with an input picture the reference leaves the unconditional row uncropped
		timeIds: { positive: ids(crop), negative: request.task === 'txt2img' ? ids(crop) : ids([0, 0]) },
		extra: start.extra,
	};
}

/**
 * Where a picture stands after step `i` of its plan.
 * @param preview colours of latents; without them there is no preview
 * @param factor pixels per latent cell
 */
export function stepInfo(lane: Lane, i: number, preview: PreviewMap | null, factor: number): StepInfo {
	const { image, request, frame, scheduler, first, evaluations } = lane;
	const info: StepInfo = { step: i - first + 1, steps: evaluations, phase: 'denoising', image };
	if (preview === null) return info;
	const previewRgb = (): RgbImage => {
		const whole = previewLatents(scheduler.predicted, frame.width / factor, frame.height / factor, preview);
		return cropRgb(whole, frame, request.width, request.height, factor);
	};
	return { ...info, previewRgb };
}

/** The error of a lane that was cancelled before step `i`. */
export function cancelledAt(lane: Pick<Lane, 'first' | 'evaluations'>, i: number): CancelledError {
	return new CancelledError(i - lane.first, lane.evaluations);
}
