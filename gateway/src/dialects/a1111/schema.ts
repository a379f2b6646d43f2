/**
 * Bodies of AUTOMATIC1111's `/sdapi/v1`. Its clients send every field with its default; a field that cannot be honoured
 * is refused by name when it asks for something, and taken when it asks for nothing.
 * @module
 */
import { z } from '@hono/zod-openapi';
import { REQUEST_LIMITS as L } from '@limner/shared';
import { named } from '../../lib/openapi.ts';

const text = z.string().max(L.promptChars);
const count = z.int().min(1).max(L.nMax);
const SIDE_MAX = 16_384;
export const side = z.int().min(1).max(SIDE_MAX);
const HR_SCALE_MAX = 8;
/** Taken whatever it says: it tells where the web UI would put files, or what it would remember. */
export const anything = z.unknown().optional();

/** A field that must have one of its neutral values, because what it asks for does not exist here. */
export const only = (neutral: readonly unknown[], what: string) =>
	z
		.unknown()
		.refine((value) => neutral.some((each) => JSON.stringify(each) === JSON.stringify(value ?? null)), `${what} is not possible here`)
		.openapi({ enum: [...neutral] })
		.optional();
const FALSY = [null, false, 0, ''];
const EMPTY = [null, [], {}];

const shared = {
	prompt: text.optional(),
	negative_prompt: text.nullish(),
	seed: z.int().min(-1).max(L.seedMax).nullish(),
	sampler_name: z.string().max(64).nullish(),
	sampler_index: z.string().max(64).nullish(),
	scheduler: z.string().max(64).nullish(),
	batch_size: count.nullish(),
	n_iter: count.nullish(),
	steps: z.int().min(L.stepsMin).max(L.stepsMax).nullish(),
	cfg_scale: z.number().min(L.guidanceMin).max(L.guidanceMax).nullish(),
	width: side.nullish(),
	height: side.nullish(),
	eta: z.number().min(L.etaMin).max(L.etaMax).nullish(),
	denoising_strength: z.number().min(L.strengthMin).max(L.strengthMax).nullish(),
	override_settings: z.record(z.string(), z.unknown()).nullish(),
	send_images: z.boolean().nullish(),
	force_task_id: z
		.string()
		.min(1)
		.max(L.labelChars - 'task:'.length)
		.nullish(),
	restore_faces: only(FALSY, 'restore_faces'),
	tiling: only(FALSY, 'tiling'),
	subseed_strength: only(FALSY, 'subseed_strength'),
	seed_resize_from_h: only([null, 0, -1], 'seed_resize_from_h'),
	seed_resize_from_w: only([null, 0, -1], 'seed_resize_from_w'),
	s_churn: only(FALSY, 's_churn'),
	s_tmin: only(FALSY, 's_tmin'),
	s_noise: only([null, 0, 1], 's_noise'),
	s_min_uncond: only(FALSY, 's_min_uncond'),
	refiner_checkpoint: only(FALSY, 'refiner_checkpoint'),
	script_name: only(FALSY, 'script_name'),
	alwayson_scripts: only(EMPTY, 'alwayson_scripts (extensions of the web UI)'),
	styles: only(EMPTY, 'styles (saved prompts of the web UI)'),
	subseed: anything,
	s_tmax: anything,
	refiner_switch_at: anything,
	script_args: anything,
	disable_extra_networks: anything,
	do_not_save_samples: anything,
	do_not_save_grid: anything,
	save_images: anything,
	override_settings_restore_afterwards: anything,
	infotext: only(FALSY, 'infotext'),
	comments: anything,
};

/** Second pass of a text job at a larger size. Without `enable_hr` its fields say nothing. */
const hires = {
	enable_hr: z.boolean().nullish(),
	hr_scale: z.number().min(1).max(HR_SCALE_MAX).nullish(),
	/** Sides in pixels; 0 for what follows from the other, or from the scale when both are. */
	hr_resize_x: z.int().min(0).max(SIDE_MAX).nullish(),
	hr_resize_y: z.int().min(0).max(SIDE_MAX).nullish(),
	hr_upscaler: z.string().max(64).nullish(),
	/** 0 for as many as the first pass. */
	hr_second_pass_steps: z.int().min(0).max(L.stepsMax).nullish(),
	hr_sampler_name: z.string().max(64).nullish(),
	hr_scheduler: z.string().max(64).nullish(),
	hr_prompt: text.nullish(),
	hr_negative_prompt: text.nullish(),
	hr_checkpoint_name: z.string().max(L.modelNameChars).nullish(),
	firstphase_width: z.int().min(0).max(SIDE_MAX).nullish(),
	firstphase_height: z.int().min(0).max(SIDE_MAX).nullish(),
};

const img2img = {
	enable_hr: only(FALSY, 'enable_hr'),
	init_images: z.array(z.string().min(1)).length(1, 'must hold exactly one picture'),
	mask: z.string().min(1).nullish(),
	resize_mode: only([null, 0], 'resize_mode other than 0 (just resize)'),
	mask_blur: z.int().min(0).max(L.maskPxMax).nullish(),
	mask_blur_x: z.int().min(0).max(L.maskPxMax).nullish(),
	mask_blur_y: z.int().min(0).max(L.maskPxMax).nullish(),
	/** 0 fill with the colours around, 1 original, 2 latent noise, 3 latent nothing. */
	inpainting_fill: z.int().min(0).max(3).nullish(),
	inpaint_full_res: z.union([z.boolean(), z.int().min(0).max(1)]).nullish(),
	inpaint_full_res_padding: z.int().min(0).max(L.maskPxMax).nullish(),
	inpainting_mask_invert: z.union([z.boolean(), z.int().min(0).max(1)]).nullish(),
	include_init_images: z.boolean().nullish(),
	initial_noise_multiplier: only([null, 0, 1], 'initial_noise_multiplier'),
	image_cfg_scale: anything,
	latent_mask: only(FALSY, 'latent_mask'),
	mask_round: anything,
};

export const Txt2Img = named(z.strictObject({ ...shared, ...hires }), 'A1111Txt2Img');
export type Txt2Img = z.infer<typeof Txt2Img>;
export const Img2Img = named(z.strictObject({ ...shared, ...img2img }), 'A1111Img2Img');
export type Img2Img = z.infer<typeof Img2Img>;
/** Fields of both. */
export type Common = Omit<Txt2Img, keyof typeof hires>;

export const Generated = named(
	z.object({
		images: z.array(z.string()),
		parameters: z.record(z.string(), z.unknown()),
		/** JSON, as a text. */
		info: z.string(),
	}),
	'A1111Images',
);

const State = z.object({
	skipped: z.boolean(),
	interrupted: z.boolean(),
	stopping_generation: z.boolean(),
	job: z.string(),
	job_count: z.int(),
	job_timestamp: z.string(),
	job_no: z.int(),
	sampling_step: z.int(),
	sampling_steps: z.int(),
});
export const Progress = named(
	z.object({
		progress: z.number(),
		eta_relative: z.number(),
		state: State,
		current_image: z.string().nullable(),
		textinfo: z.string().nullable(),
		current_task: z.string().nullable(),
	}),
	'A1111Progress',
);
export type Progress = z.infer<typeof Progress>;

export const TaskProgress = named(
	z.object({
		active: z.boolean(),
		queued: z.boolean(),
		paused: z.boolean(),
		completed: z.boolean(),
		progress: z.number().nullable(),
		eta: z.number().nullable(),
		live_preview: z.string().nullable(),
		id_live_preview: z.int().nullable(),
		textinfo: z.string().nullable(),
	}),
	'A1111TaskProgress',
);

export const A1111Error = named(
	z.object({
		error: z.string().optional(),
		detail: z.union([z.string(), z.array(z.object({ loc: z.array(z.string()), msg: z.string(), type: z.string() }))]),
		errors: z.string().optional(),
	}),
	'A1111Error',
);
