/**
 * From OpenAI's fields to a job, and from a job to what OpenAI's answers tell. Pure.
 * @module
 */
import { REQUEST_LIMITS, type InputImage, type JobRequest } from '@limner/shared';
import type { KnownModel } from '../../lib/catalog.ts';
import type { Size } from '../lib/size.ts';
import type { EditFields, GenerationBody, TokenUsage } from './schema.ts';

type Quality = NonNullable<GenerationBody['quality']>;

/** Steps relative to the model's own. */
const STEP_FACTOR: Record<Quality, number> = { low: 0.5, auto: 1, standard: 1, medium: 1, hd: 1.5, high: 1.5 };
/** How much of the input is changed when only `input_fidelity` says so. */
const STRENGTH = { high: 0.5, low: 0.8 } as const;
const EDIT_STRENGTH = 0.65;
/** Pixels a side of the square that counts as one image token: 1024 tokens for 1024x1024, as OpenAI counts at medium quality. */
const TOKEN_PX = 32;
const CHARS_PER_TOKEN = 4;

/** Steps for a quality. */
export const stepsFor = (model: Pick<KnownModel, 'defaults'>, quality: Quality): number =>
	Math.min(REQUEST_LIMITS.stepsMax, Math.max(REQUEST_LIMITS.stepsMin, Math.ceil(model.defaults.steps * STEP_FACTOR[quality])));

/** `auto` and nothing are the model's choice. */
export const parseSize = (size: string | null | undefined): Size | undefined => {
	const match = /^(\d+)x(\d+)$/.exec(size ?? '');
	return match === null ? undefined : { width: Number(match[1]), height: Number(match[2]) };
};

export interface JobInput {
	fields: Partial<GenerationBody & EditFields>;
	prompt: string;
	model: KnownModel;
	size: Size;
	init?: InputImage;
	mask?: InputImage;
}

const given = <T extends object>(values: T): { [K in keyof T]?: NonNullable<T[K]> } =>
	Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined && value !== null)) as never;

const strengthOf = ({ strength, input_fidelity: fidelity }: JobInput['fields'], masked: boolean): number =>
	strength ?? (fidelity === null || fidelity === undefined ? (masked ? 1 : EDIT_STRENGTH) : STRENGTH[fidelity]);

/**
 * How pictures are answered: as OpenAI does when nothing is said, by address for its older models and as base64 for the others.
 * @param older the endpoint knows only those
 */
export const formatFor = ({ response_format: format, model }: JobInput['fields'], older: boolean): 'url' | 'b64_json' =>
	format ?? (older || /^dall-e-/i.test(model ?? '') ? 'url' : 'b64_json');

/** The job for a request. */
export const jobOf = ({ fields, prompt, model, size, init, mask }: JobInput): JobRequest => ({
	prompt,
	model: model.name,
	...size,
	...given({
		n: fields.n,
		seed: fields.seed,
		negativePrompt: fields.negative_prompt,
		guidance: fields.guidance_scale,
		scheduler: fields.scheduler,
		outputFormat: fields.output_format,
	}),
	...(fields.output_compression === null || fields.output_compression === undefined
		? {}
		: { outputQuality: Math.max(REQUEST_LIMITS.outputQualityMin, fields.output_compression) }),
	steps: fields.steps ?? stepsFor(model, fields.quality ?? 'auto'),
	...(init === undefined ? {} : { initImage: init, strength: strengthOf(fields, mask !== undefined) }),
	...(mask === undefined ? {} : { maskImage: mask }),
	labels: ['openai'],
});

/** Fields that are accepted for the sake of clients, and do nothing here; said in a header. */
export const ignoredOf = (fields: JobInput['fields']): string[] =>
	[
		fields.style === null || fields.style === undefined ? undefined : 'style has no effect; say it in the prompt',
		fields.moderation === null || fields.moderation === undefined
			? undefined
			: 'moderation has no effect; what is refused is set by this gateway, for all callers',
	].filter((sentence) => sentence !== undefined);

const tokens = ({ width, height }: Size): number => Math.ceil(width / TOKEN_PX) * Math.ceil(height / TOKEN_PX);

/** OpenAI counts tokens; there are none here, so the size of what went in and came out is counted in their measure. */
export const usageOf = (promptChars: number, inputs: readonly Size[], size: Size, images: number): TokenUsage => {
	const text = Math.ceil(promptChars / CHARS_PER_TOKEN);
	const image = inputs.reduce((sum, input) => sum + tokens(input), 0);
	const made = tokens(size) * images;
	return {
		total_tokens: text + image + made,
		input_tokens: text + image,
		output_tokens: made,
		input_tokens_details: { text_tokens: text, image_tokens: image },
	};
};

/** Previews after this part of the steps look like the result, and would only delay it. */
const PARTIALS_UNTIL = 0.6;

/**
 * Whether a preview is passed on as the next partial picture: they are spread over the first part of the steps.
 * @param sent partial pictures that went out already
 * @param wanted `partial_images`
 */
export const isPartialDue = (step: number, steps: number, sent: number, wanted: number): boolean =>
	sent < wanted && step <= steps * PARTIALS_UNTIL && step >= (steps * PARTIALS_UNTIL * sent) / wanted;
