/**
 * From A1111's fields to a job. Pure.
 * @module
 */
import {
	LimnerError,
	REQUEST_LIMITS,
	resolveScheduler,
	SCHEDULER_NAMES,
	SCHEDULERS,
	type InputImage,
	type JobRequest,
} from '@limner/shared';
import type { KnownModel } from '../../lib/catalog.ts';
import type { Size } from '../lib/size.ts';
import type { Common, Img2Img } from './schema.ts';

const refuse = (field: string, detail: string): LimnerError =>
	new LimnerError('validation_failed', { detail, errors: [{ pointer: `/${field}`, detail }] });

/** Noise schedules that are a part of our schedulers' names. */
export const NOISE_SCHEDULES = ['Karras', 'Exponential', 'Beta'] as const;
const NO_SCHEDULE = new Set(['', 'automatic']);

/** Samplers as the web UI lists them: without the noise schedule, which is chosen apart. */
export const samplerNames = (): { name: string; label: string; aliases: readonly string[] }[] =>
	SCHEDULER_NAMES.filter((name) => !NOISE_SCHEDULES.some((schedule) => SCHEDULERS[name].label.endsWith(` ${schedule}`))).map((name) => ({
		name,
		...SCHEDULERS[name],
	}));

/**
 * The scheduler that a sampler and a noise schedule mean together.
 * @throws {LimnerError} `validation_failed`, with what there is
 */
export const schedulerOf = (sampler: string | null | undefined, schedule: string | null | undefined): string | undefined => {
	if (sampler === null || sampler === undefined || sampler === '') return undefined;
	const base = resolveScheduler(sampler);
	if (base === undefined) {
		throw refuse(
			'sampler_name',
			`the sampler ${sampler} does not exist; there are: ${samplerNames()
				.map(({ label }) => label)
				.join(', ')}`,
		);
	}
	const wanted = (schedule ?? '').trim();
	const { label } = SCHEDULERS[base];
	if (NO_SCHEDULE.has(wanted.toLowerCase()) || label.toLowerCase().endsWith(` ${wanted.toLowerCase()}`)) return base;
	const both = resolveScheduler(`${label} ${wanted}`);
	if (both === undefined) throw refuse('scheduler', `the schedule ${wanted} does not exist for the sampler ${label}`);
	return both;
};

/** Names of the extra networks in a prompt, such as `<lora:name:0.8>`. */
export const extraNetworks = (prompt: string): string[] =>
	[...prompt.matchAll(/<(lora|lyco|hypernet):([^:>]+)[^>]*>/gi)].map(([, kind, name]) => `${kind}:${name}`);

/** @throws {LimnerError} `validation_failed` for an extra network */
export const checkPrompt = (prompt: string, field = 'prompt'): void => {
	const [found] = extraNetworks(prompt);
	if (found !== undefined) throw refuse(field, `<${found}> cannot be used: this pool loads no extra networks; take it out of the prompt`);
};

/** The size that is asked for; both sides, or the model's. */
export const wantedSize = (
	body: Pick<Common, 'width' | 'height'>,
	model: Pick<KnownModel, 'nativeWidth' | 'nativeHeight'>,
): Size | undefined => {
	const { width, height } = body;
	if (typeof width !== 'number' && typeof height !== 'number') return undefined;
	return { width: width ?? model.nativeWidth, height: height ?? model.nativeHeight };
};

const nOf = ({ batch_size: size, n_iter: rounds }: Common): number => {
	const n = (size ?? 1) * (rounds ?? 1);
	if (n > REQUEST_LIMITS.nMax) throw refuse('n_iter', `batch_size times n_iter may be at most ${REQUEST_LIMITS.nMax}`);
	return n;
};

const FORMATS: Record<string, JobRequest['outputFormat']> = { png: 'png', jpg: 'jpeg', jpeg: 'jpeg', webp: 'webp' };

const text = (value: unknown): string | undefined => (typeof value === 'string' && value !== '' ? value : undefined);

/** What of `override_settings` means something here. */
export const settingsOf = (
	settings: Record<string, unknown>,
): { model?: string; outputFormat?: JobRequest['outputFormat']; ignored: string[] } => {
	const { sd_model_checkpoint: model, samples_format: format, CLIP_stop_at_last_layers: clip, ...others } = settings;
	if (typeof clip === 'number' && clip > 1) throw refuse('override_settings', 'CLIP_stop_at_last_layers other than 1 is not possible here');
	const name = text(model);
	const outputFormat = FORMATS[text(format) ?? ''];
	if (text(format) !== undefined && outputFormat === undefined)
		throw refuse('override_settings', `samples_format must be png, jpg or webp`);
	return {
		...(name === undefined ? {} : { model: name }),
		...(outputFormat === undefined ? {} : { outputFormat }),
		ignored: Object.keys(others),
	};
};

const given = <T extends object>(values: T): { [K in keyof T]?: NonNullable<T[K]> } =>
	Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined && value !== null)) as never;

/** Fields that text and picture jobs share. */
const common = (body: Common, model: KnownModel, size: Size): JobRequest & Size => {
	const prompt = body.prompt ?? '';
	checkPrompt(prompt);
	checkPrompt(body.negative_prompt ?? '', 'negative_prompt');
	return {
		// The web UI draws without words, too.
		prompt: prompt === '' ? ' ' : prompt,
		model: model.name,
		...size,
		...given({
			negativePrompt: body.negative_prompt === '' ? undefined : body.negative_prompt,
			steps: body.steps,
			guidance: body.cfg_scale,
			scheduler: schedulerOf(body.sampler_name ?? body.sampler_index, body.scheduler),
			seed: body.seed === -1 ? undefined : body.seed,
			eta: body.eta === 0 ? undefined : body.eta,
			outputFormat: settingsOf(body.override_settings ?? {}).outputFormat,
		}),
		n: nOf(body),
		promptMode: 'weighted',
		labels: ['a1111', ...(body.force_task_id === null || body.force_task_id === undefined ? [] : [`task:${body.force_task_id}`])],
	};
};

export const txt2imgJob = (body: Common, model: KnownModel, size: Size): JobRequest & Size => common(body, model, size);

/** The web UI's own default. */
export const STRENGTH = 0.75;
const MASK_BLUR = 4;

/** `inpainting_fill` by number. */
const FILLS: readonly JobRequest['maskFill'][] = ['around', 'original', 'noise', 'nothing'];

const maskFields = (body: Img2Img): Partial<JobRequest> => {
	const fill = body.inpainting_fill ?? 0;
	const blur = Math.max(body.mask_blur_x ?? 0, body.mask_blur_y ?? 0, body.mask_blur ?? (body.mask_blur_x === undefined ? MASK_BLUR : 0));
	const whole = body.inpaint_full_res === false || body.inpaint_full_res === 0;
	return {
		maskFeather: blur,
		...(FILLS[fill] === undefined ? {} : { maskFill: FILLS[fill] }),
		maskInvert: body.inpainting_mask_invert === true || body.inpainting_mask_invert === 1,
		...(whole ? {} : { maskCropPadding: body.inpaint_full_res_padding ?? 0 }),
	};
};

/** A job that starts from a picture, and changes only what a mask shows when there is one. */
export const img2imgJob = (body: Img2Img, model: KnownModel, size: Size, images: { init: InputImage; mask?: InputImage }): JobRequest => ({
	...common(body, model, size),
	initImage: images.init,
	strength: body.denoising_strength ?? STRENGTH,
	...(images.mask === undefined ? {} : { maskImage: images.mask, ...maskFields(body) }),
});
