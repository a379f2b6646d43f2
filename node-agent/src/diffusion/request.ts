import type { ModelFolderInfo } from '../models/layout.ts';
import { InvalidRequestError } from './errors.ts';
import type { GrayImage, RgbImage } from './latents.ts';
import { refuseAddOns } from './prompt/weights.ts';

/** One generation: n pictures with seeds seed, seed+1, … */
export interface GenerateRequest {
	task: 'txt2img' | 'img2img' | 'inpaint';
	prompt: string;
	/** null: none given, which SDXL treats differently from the empty text. */
	negativePrompt: string | null;
	width: number;
	height: number;
	steps: number;
	/** Classifier-free guidance scale; ≤ 1 switches the unconditional half off. */
	guidance: number;
	/** Sampler name; the model's own when absent. */
	scheduler?: string;
	seed: number | bigint;
	n: number;
	/** How much of the schedule runs on an input picture, 0…1; 0.8 for img2img and 1 for inpaint when absent. */
	strength?: number;
	eta?: number;
	guidanceRescale?: number;
	initImage?: RgbImage;
	/** 255 = repaint. */
	maskImage?: GrayImage;
	/** false: SD3 without its third text encoder. */
	useT5?: boolean;
	/** SDXL size conditioning, [height, width] and [top, left]. */
	originalSize?: [number, number];
	cropTopLeft?: [number, number];
	targetSize?: [number, number];
	/** Put the original pixels back outside the mask. */
	pasteBack?: boolean;
	/** Inpainting: work only on the masked area with this many pixels around it, at the full size; implies `pasteBack`. */
	maskCropPadding?: number;
	/** Inpainting: pixels inside the mask's border over which the new picture fades in when it is pasted; 0 = hard. */
	maskFeather?: number;
	/** Inpainting: start from noise or zeros in place of the masked area's latents. */
	maskLatents?: 'noise' | 'nothing';
	/** 'weighted': brackets carry weights and any length is read; 'plain' (default): the text as it is, cut at the end. */
	promptMode?: PromptMode;
}

export type PromptMode = 'plain' | 'weighted';

/** Padding and feather of a mask, in pixels: the largest side of any picture. */
const MASK_PX_MAX = 4096;

const DEFAULT_STRENGTH = { txt2img: 1, img2img: 0.8, inpaint: 1 } as const;

/** The strength that applies to a request. */
export function strengthOf(request: GenerateRequest): number {
	return request.task === 'txt2img' ? 1 : (request.strength ?? DEFAULT_STRENGTH[request.task]);
}

function requireRange(name: string, value: number, low: number, high: number): void {
	if (!(value >= low && value <= high)) throw new InvalidRequestError(`${name} must be between ${low} and ${high}, not ${value}.`);
}

/**
 * Checks what the runtime itself depends on; the API's own limits are checked before.
 * @throws InvalidRequestError with a sentence for the caller
 */
export function checkRequest(request: GenerateRequest, info: ModelFolderInfo): void {
	if (!info.operations.includes(request.task)) {
		throw new InvalidRequestError(`The model ${info.name} does ${info.operations.join(', ')} only, not ${request.task}.`);
	}
	checkSize(request, info);
	if (!Number.isInteger(request.n) || request.n < 1) throw new InvalidRequestError(`n must be a whole number from 1, not ${request.n}.`);
	if (typeof request.seed === 'number' && !Number.isSafeInteger(request.seed)) {
		throw new InvalidRequestError('seed must be a whole number up to 2^53 - 1, or a bigint.');
	}
	checkNumbers(request);
	checkFamily(request, info);
	refuseAddOns(request.prompt);
	refuseAddOns(request.negativePrompt ?? '');
	checkImages(request);
}

/** What only one family understands is refused by the others, never dropped. */
function checkFamily(request: GenerateRequest, { name, family }: ModelFolderInfo): void {
	const sdxl = (['originalSize', 'cropTopLeft', 'targetSize'] as const).find((field) => request[field] !== undefined);
	if (sdxl !== undefined && family !== 'sdxl') throw new InvalidRequestError(`${sdxl} works only with SDXL models, and ${name} is none.`);
	if (request.useT5 !== undefined && family !== 'sd3')
		throw new InvalidRequestError(`useT5 works only with SD 3 models, and ${name} is none.`);
}

function checkSize(request: GenerateRequest, info: ModelFolderInfo): void {
	for (const side of ['width', 'height'] as const) {
		const value = request[side];
		if (!Number.isInteger(value) || value < info.sizeMultiple || value % info.sizeMultiple !== 0) {
			throw new InvalidRequestError(`${side} must be a multiple of ${info.sizeMultiple} for the model ${info.name}, not ${value}.`);
		}
	}
}

function checkNumbers(request: GenerateRequest): void {
	const { guidance, eta = 0, guidanceRescale = 0, maskCropPadding = 0, maskFeather = 0 } = request;
	requireRange('guidance', guidance, 0, 1000);
	requireRange('strength', strengthOf(request), 0, 1);
	requireRange('eta', eta, 0, 1);
	requireRange('guidanceRescale', guidanceRescale, 0, 1);
	requireRange('maskCropPadding', maskCropPadding, 0, MASK_PX_MAX);
	requireRange('maskFeather', maskFeather, 0, MASK_PX_MAX);
}

function checkImages(request: GenerateRequest): void {
	const { initImage, maskImage, task } = request;
	if (task !== 'txt2img' && initImage === undefined) throw new InvalidRequestError(`${task} needs an input picture.`);
	if (task === 'inpaint' && maskImage === undefined) throw new InvalidRequestError('inpaint needs a mask.');
	if (initImage !== undefined && initImage.rgb.length !== initImage.width * initImage.height * 3) {
		throw new InvalidRequestError('The input picture does not hold width × height × 3 bytes.');
	}
	if (maskImage !== undefined && maskImage.gray.length !== maskImage.width * maskImage.height) {
		throw new InvalidRequestError('The mask does not hold width × height bytes.');
	}
}
