import { InvalidRequestError } from '../errors.ts';
import { extendGray, extendRgb, type Frame } from '../frame.ts';
import {
	binarize,
	blankMasked,
	imageToTensor,
	pasteOriginal,
	resizeGray,
	resizeRgb,
	shrinkMask,
	type GrayImage,
	type RgbImage,
} from '../latents.ts';
import type { NoiseSource } from '../noise.ts';
import { strengthOf, type GenerateRequest } from '../request.ts';
import type { Scheduler } from '../schedulers/index.ts';
import { scale } from '../vector.ts';
import { cutGray, cutRgb, featheredOpacity, maskArea, placeRgb, type Box } from './mask-area.ts';
import type { Vae } from './vae.ts';

/** Input pictures in the form the pipelines use, the same for all pictures of a request. */
export interface InputImages {
	/** What the result is pasted into, where it is: the whole picture and its mask at the requested size. */
	whole: { image: RgbImage; mask: Float32Array; area: Box | null } | null;
	/** [3, H, W] in [−1, 1]. */
	pixels: Float32Array;
	/** One number a pixel, 1 = repaint; null for img2img. */
	mask: Float32Array | null;
	/** The pixels with grey where they are repainted; null for img2img. */
	blanked: Float32Array | null;
}

/** Where and from what denoising starts. */
export interface Start {
	latents: Float32Array;
	/** First index into the scheduler's timesteps. */
	index: number;
	/** Channels for networks that see the mask: [mask, masked picture]. */
	extra: Float32Array | null;
	/** For ordinary networks: what is put back outside the mask after each step. */
	keep: { mask: Float32Array; original: Float32Array; noise: Float32Array } | null;
}

/**
 * Brings the input pictures to the requested size inside the frame; null for txt2img.
 * @throws InvalidRequestError when an area around the mask is asked for and the mask marks nothing
 */
export async function prepareImages(request: GenerateRequest, frame: Frame): Promise<InputImages | null> {
	if (request.task === 'txt2img' || request.initImage === undefined) return null;
	const { width, height, maskCropPadding } = request;
	const image = await resizeRgb(request.initImage, width, height);
	if (request.task === 'img2img' || request.maskImage === undefined) return framed(image, null, null, frame);
	const mask = await resizeGray(request.maskImage, width, height);
	const marked = binarize(mask);
	const area = maskCropPadding === undefined ? null : maskArea(marked, width, height, maskCropPadding);
	const whole = area === null && request.pasteBack !== true ? null : { image, mask: marked, area };
	if (area === null) return framed(image, mask, whole, frame);
	const [part, partMask] = [cutRgb(image, area), cutGray(mask, area)];
	return framed(await resizeRgb(part, width, height), await resizeGray(partMask, width, height), whole, frame);
}

function framed(image: RgbImage, mask: GrayImage | null, whole: InputImages['whole'], frame: Frame): InputImages {
	const large = extendRgb(image, frame);
	const pixels = imageToTensor(large);
	const marked = mask === null ? null : binarize(extendGray(mask, frame));
	return { whole, pixels, mask: marked, blanked: marked === null ? null : blankMasked(pixels, marked) };
}

/** Lays the generated picture into the original where the request asks for it. */
export async function pasteInto(picture: RgbImage, images: InputImages | null, feather: number): Promise<RgbImage> {
	const whole = images?.whole ?? null;
	if (whole === null) return picture;
	const { image, mask, area } = whole;
	const placed = area === null ? picture : await placeRgb(image, picture, area);
	pasteOriginal(placed, image, featheredOpacity(mask, image.width, image.height, feather));
	return placed;
}

/**
 * First index into the plan for a strength: all but the last ⌊n·strength⌋ steps are skipped.
 * @param flow rectified-flow pipelines round the number of skipped steps down instead
 * @throws InvalidRequestError when no step is left
 */
export function startIndex(scheduler: Scheduler, steps: number, strength: number, flow: boolean): number {
	const run = Math.min(steps * strength, steps);
	const skipped = flow ? Math.trunc(steps - run) : steps - Math.trunc(run);
	if (skipped >= steps) {
		throw new InvalidRequestError(`With strength ${strength}, ${steps} steps leave nothing to run; raise strength or steps.`);
	}
	return skipped * scheduler.order;
}

/**
 * Initial latents. The order of draws is the reference's: picture encoding, start noise, masked-picture encoding.
 * @param first index into the plan at which the run starts
 * @param seesMask the network takes the mask and the masked picture as input channels
 */
export async function prepareStart(
	request: GenerateRequest,
	frame: Frame,
	images: InputImages | null,
	scheduler: Scheduler,
	vae: Vae,
	noise: NoiseSource,
	first: number,
	seesMask: boolean,
): Promise<Start> {
	const { height, width } = frame;
	const size = vae.latentSize(height, width);
	if (images === null) return { latents: pureNoise(scheduler, noise.randn(size)), index: 0, extra: null, keep: null };
	const index = first;
	const pure = images.mask !== null && strengthOf(request) === 1;
	const original = pure && seesMask ? null : await vae.encode(images.pixels, height, width, noise);
	const draw = noise.randn(size);
	const latents = new Float32Array(size);
	const mask = images.mask === null ? null : shrinkMask(images.mask, width, height, vae.factor);
	if (pure || original === null) latents.set(pureNoise(scheduler, draw));
	else scheduler.addNoise(fillMasked(original, mask, request.maskLatents, draw), draw, index, latents);
	if (mask === null || images.blanked === null) return { latents, index, extra: null, keep: null };
	if (seesMask) {
		const masked = await vae.encode(images.blanked, height, width, noise);
		return { latents, index, extra: joined(mask, masked), keep: null };
	}
	// the reference encodes the masked picture here too and ignores it; its draw must not be skipped
	await skipDraw(scheduler, vae, noise, size);
	return { latents, index, extra: null, keep: { mask, original: original as Float32Array, noise: draw } };
}

async function skipDraw(scheduler: Scheduler, vae: Vae, noise: NoiseSource, size: number): Promise<void> {
	if (scheduler.drawsNoise && (await vae.drawsOnEncode())) noise.randn(size);
}

function joined(mask: Float32Array, masked: Float32Array): Float32Array {
	const extra = new Float32Array(mask.length + masked.length);
	extra.set(mask);
	extra.set(masked, mask.length);
	return extra;
}

/**
 * Latents with noise or zeros where they are repainted; the given ones when neither is asked for. The noise is that of the
 * start, as AUTOMATIC1111's web UI takes it (`inpainting_fill` 2 and 3), so that nothing more is drawn.
 */
export function fillMasked(
	latents: Float32Array,
	mask: Float32Array | null,
	fill: GenerateRequest['maskLatents'],
	draw: Float32Array,
): Float32Array {
	if (mask === null || fill === undefined) return latents;
	return latents.map((value, i) => ((mask[i % mask.length] as number) < 0.5 ? value : fill === 'noise' ? (draw[i] as number) : 0));
}

function pureNoise(scheduler: Scheduler, draw: Float32Array): Float32Array {
	scale(draw, scheduler.initNoiseSigma, draw);
	return draw;
}

/** Puts the original back outside the mask, at the noise level of `nextIndex` (Lugmayr et al. 2022, eq. 8). */
export function restoreOutsideMask(
	latents: Float32Array,
	keep: NonNullable<Start['keep']>,
	scheduler: Scheduler,
	nextIndex: number,
	scratch: Float32Array,
): void {
	if (nextIndex < scheduler.timesteps.length) scheduler.addNoise(keep.original, keep.noise, nextIndex, scratch);
	else scratch.set(keep.original);
	const plane = keep.mask.length;
	for (let i = 0; i < latents.length; i++) {
		if ((keep.mask[i % plane] as number) < 0.5) latents[i] = scratch[i] as number;
	}
}
