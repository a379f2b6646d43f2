/**
 * From what a caller sends to what is stored: defaults of the model, cross-field rules, and the seed. Pure.
 * @module
 */
import { isResize, REQUEST_LIMITS, resolveScheduler, type FieldError, type JobRequest, type JobSpec, type Operation } from '@limner/shared';
import type { KnownModel } from '../../lib/catalog.ts';

/** Strength when none is given: keep a good part of the picture, or fill a mask from nothing. */
const DEFAULT_STRENGTH: Record<Operation, number | undefined> = { txt2img: undefined, img2img: 0.75, inpaint: 1 };

export interface ResolveInput {
	request: JobRequest;
	model: KnownModel;
	/** Milliseconds since the epoch, the gateway's clock. */
	nowMs: number;
	/** Used when the request names no seed: 0..2^32-1. */
	randomSeed: number;
}
export type Resolved = { ok: true; spec: JobSpec; warnings: string[] } | { ok: false; errors: FieldError[] };

const operationOf = (request: JobRequest): Operation => {
	if (request.task !== undefined) return request.task;
	if (request.maskImage !== undefined) return 'inpaint';
	return request.initImage === undefined ? 'txt2img' : 'img2img';
};

const inputErrors = (request: JobRequest, task: Operation): FieldError[] => {
	const errors: FieldError[] = [];
	if (task !== 'txt2img' && request.initImage === undefined) {
		errors.push({ pointer: '/initImage', detail: `${task} needs a picture to start from`, code: 'required' });
	}
	if (task === 'inpaint' && request.maskImage === undefined) {
		errors.push({ pointer: '/maskImage', detail: 'inpaint needs a mask', code: 'required' });
	}
	if (task === 'txt2img' && request.initImage !== undefined) {
		errors.push({ pointer: '/initImage', detail: 'txt2img takes no picture; use task img2img or inpaint', code: 'not_allowed' });
	}
	if (task !== 'inpaint' && request.maskImage !== undefined) {
		errors.push({ pointer: '/maskImage', detail: `${task} takes no mask; use task inpaint`, code: 'not_allowed' });
	}
	if (request.strength !== undefined && request.initImage === undefined) {
		errors.push({ pointer: '/strength', detail: 'strength works only together with initImage', code: 'not_allowed' });
	}
	return errors;
};

/** Fields that only mean something for a masked picture. */
const MASK_FIELDS = ['maskCropPadding', 'maskFeather', 'maskInvert', 'maskFill'] as const;

const maskErrors = (request: JobRequest): FieldError[] =>
	request.maskImage !== undefined
		? []
		: MASK_FIELDS.filter((field) => request[field] !== undefined).map((field) => ({
				pointer: `/${field}`,
				detail: `${field} works only together with maskImage`,
				code: 'not_allowed',
			}));

const sizeErrors = (spec: JobSpec, model: KnownModel): FieldError[] =>
	(['width', 'height'] as const)
		.filter((side) => spec[side] % model.sizeMultiple !== 0)
		.map((side) => ({
			pointer: `/${side}`,
			detail: `must be a multiple of ${model.sizeMultiple} for the model ${model.name}`,
			code: 'not_multiple_of',
		}));

/** Fields that only models of one family understand, and how that family is called. */
const FAMILY_FIELDS = [
	['originalSize', 'sdxl', 'SDXL'],
	['cropTopLeft', 'sdxl', 'SDXL'],
	['targetSize', 'sdxl', 'SDXL'],
	['useT5', 'sd3', 'SD 3'],
] as const;

const familyErrors = (spec: JobSpec, model: KnownModel): FieldError[] =>
	FAMILY_FIELDS.filter(([field, family]) => spec[field] !== undefined && model.family !== family).map(([field, _family, title]) => ({
		pointer: `/${field}`,
		detail: `${field} works only with ${title} models, and ${model.name} is none`,
		code: 'not_supported',
	}));

const modelErrors = (spec: JobSpec, model: KnownModel): FieldError[] => {
	const errors = [...sizeErrors(spec, model), ...familyErrors(spec, model)];
	if (!model.operations.includes(spec.task)) {
		errors.push({ pointer: '/task', detail: `${model.name} can do ${model.operations.join(', ')} only`, code: 'not_supported' });
	}
	if (spec.strength !== undefined && spec.steps * spec.strength < 1 && !isResize(spec)) {
		const detail = 'steps × strength must be at least 1, or no step would run; 0, without a mask, only resizes the picture';
		errors.push({ pointer: '/strength', detail, code: 'too_small' });
	}
	return errors;
};

const present = <T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } =>
	Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as never;

const DEFAULTS = { n: 1, pasteBack: true, class: 'interactive', priority: REQUEST_LIMITS.priorityDefault } as const;

const ofModel = ({ name, nativeWidth, nativeHeight, defaults }: KnownModel) => ({
	model: name,
	width: nativeWidth,
	height: nativeHeight,
	steps: defaults.steps,
	guidance: defaults.guidance,
});

const fill = ({ request, model, nowMs, randomSeed }: ResolveInput, task: Operation): JobSpec => {
	const { deadlineMs = REQUEST_LIMITS.deadlineDefaultMs, scheduler = model.defaults.scheduler, negativePrompt, seed, ...given } = request;
	const strength = DEFAULT_STRENGTH[task];
	return {
		...DEFAULTS,
		...ofModel(model),
		...(strength === undefined ? {} : { strength }),
		...present(given),
		prompt: request.prompt,
		task,
		negativePrompt: negativePrompt ?? null,
		scheduler: resolveScheduler(scheduler) ?? scheduler,
		seed: seed ?? randomSeed,
		deadlineAt: nowMs + deadlineMs,
	};
};

const warningsOf = (spec: JobSpec, model: KnownModel): string[] => {
	const far = spec.width * spec.height > 4 * model.nativeWidth * model.nativeHeight;
	return far
		? [`${model.name} draws best at ${model.nativeWidth}×${model.nativeHeight}; ${spec.width}×${spec.height} may repeat the subject`]
		: [];
};

/** Fills in every default and checks the rules that span fields. */
export const resolveRequest = (input: ResolveInput): Resolved => {
	const task = operationOf(input.request);
	const spec = fill(input, task);
	const errors = [...inputErrors(input.request, task), ...maskErrors(input.request), ...modelErrors(spec, input.model)];
	return errors.length > 0 ? { ok: false, errors } : { ok: true, spec, warnings: warningsOf(spec, input.model) };
};
