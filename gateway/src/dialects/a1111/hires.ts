/**
 * The web UI's "hires fix": a picture is drawn at a size that the model knows, enlarged with Lanczos, and drawn over at the larger
 * size. Here these are jobs of one workflow: the second ones start from pictures of the first, which nodes resize with Lanczos
 * as they do with every picture that a job starts from. Pure.
 * @module
 */
import { LimnerError, REQUEST_LIMITS as L, taskSeed, type JobRequest, type WorkflowRequest } from '@limner/shared';
import type { KnownModel } from '../../lib/catalog.ts';
import { sizeText, type Size } from '../lib/size.ts';
import { checkPrompt, schedulerOf, STRENGTH } from './request.ts';
import type { Txt2Img } from './schema.ts';

/** What enlarges pictures here, as the web UI calls it. Its `None` resizes with Lanczos, too. */
export const UPSCALER = 'Lanczos';
const UPSCALERS = new Set(['', 'none', UPSCALER.toLowerCase()]);
const FIRST = 'first';
/** The web UI's own default. */
const SCALE = 2;

const refuse = (field: string, detail: string): LimnerError =>
	new LimnerError('validation_failed', { detail, errors: [{ pointer: `/${field}`, detail }] });

const same = (name: string | null | undefined, sentinel: string): boolean =>
	name === null || name === undefined || name === '' || name.toLowerCase() === sentinel;

/** Everything of the second pass that cannot be honoured, by name. */
const checkHires = (body: Txt2Img, model: KnownModel): void => {
	if (!UPSCALERS.has((body.hr_upscaler ?? '').toLowerCase()))
		throw refuse('hr_upscaler', `hr_upscaler ${body.hr_upscaler ?? ''} does not exist here; there is: ${UPSCALER}`);
	if (!same(body.hr_checkpoint_name, 'use same checkpoint') && body.hr_checkpoint_name !== model.name)
		throw refuse('hr_checkpoint_name', 'hr_checkpoint_name: a second model is not possible here');
	for (const field of ['firstphase_width', 'firstphase_height'] as const)
		if ((body[field] ?? 0) > 0) throw refuse(field, `${field} is not possible here; use width and height, and hr_resize_x and hr_resize_y`);
	if (!model.operations.includes('img2img'))
		throw refuse('enable_hr', `enable_hr: the model ${model.name} cannot start from a picture, which the second pass does`);
	checkPrompt(body.hr_prompt ?? '', 'hr_prompt');
	checkPrompt(body.hr_negative_prompt ?? '', 'hr_negative_prompt');
};

/** A side of the second pass, and the field that asked for it. */
const sideOf = (wanted: number, multiple: number, field: string): number => {
	const side = Math.max(multiple, Math.round(wanted / multiple) * multiple);
	if (side > L.sizeMaxPx) throw refuse(field, `${field} would make a side of ${side} pixels; at most ${L.sizeMaxPx} are possible`);
	return side;
};

/** Size of the second pass, in steps of the model's multiple. */
export const secondSize = (
	body: Pick<Txt2Img, 'hr_scale' | 'hr_resize_x' | 'hr_resize_y'>,
	first: Size,
	multiple: number,
): Size & { asked: Size } => {
	const [x, y] = [body.hr_resize_x ?? 0, body.hr_resize_y ?? 0];
	const given = x > 0 || y > 0;
	const scale = given ? Math.max(x / first.width, y / first.height) : (body.hr_scale ?? SCALE);
	const asked = { width: x > 0 ? x : first.width * scale, height: y > 0 ? y : first.height * scale };
	const whole = { width: Math.round(asked.width), height: Math.round(asked.height) };
	// The web UI would cut off what juts out.
	if (Math.abs(asked.width * first.height - asked.height * first.width) > multiple * Math.max(first.width, first.height))
		throw refuse(
			'hr_resize_x',
			`hr_resize_x and hr_resize_y must have the shape of the first pass, ${sizeText(first)}; one of them may be 0`,
		);
	return {
		width: sideOf(asked.width, multiple, given ? 'hr_resize_x' : 'hr_scale'),
		height: sideOf(asked.height, multiple, given ? 'hr_resize_y' : 'hr_scale'),
		asked: whole,
	};
};

/**
 * Steps of a job that starts from a picture such that `run` of them are run at a strength: the web UI counts the steps of its
 * second pass as those that are run, a job those of the whole way from noise.
 */
export const stepsThatRun = (run: number, strength: number): number => {
	let steps = Math.max(run, Math.floor(run / strength));
	while (Math.trunc(steps * strength) < run) steps++;
	return steps;
};

const secondSteps = (body: Txt2Img, first: number, strength: number): number => {
	const given = body.hr_second_pass_steps ?? 0;
	const wanted = given === 0 ? first : given;
	if (strength <= 0) throw refuse('denoising_strength', 'denoising_strength must be above 0 with enable_hr');
	const steps = stepsThatRun(wanted, strength);
	if (steps > L.stepsMax) {
		const most = Math.trunc(L.stepsMax * strength);
		throw refuse('hr_second_pass_steps', `at denoising_strength ${strength} the second pass can run at most ${most} steps, not ${wanted}`);
	}
	return steps;
};

export interface Hires {
	workflow: WorkflowRequest;
	/** The web UI's own names of what was done, for `info` and the texts of the pictures. */
	params: Record<string, string | number>;
	strength: number;
	/** The size that was asked for, where another is drawn. */
	warning?: string;
}

type Words = { prompt?: string; negativePrompt?: string };

/** Words and scheduler of the second pass, where they are not those of the first. */
const ownOf = (body: Txt2Img): Words & { scheduler?: string } => {
	const sampler = same(body.hr_sampler_name, 'use same sampler') ? (body.sampler_name ?? body.sampler_index) : body.hr_sampler_name;
	const schedule = same(body.hr_scheduler, 'use same scheduler') ? body.scheduler : body.hr_scheduler;
	const scheduler = schedulerOf(sampler, schedule);
	const { hr_prompt: prompt, hr_negative_prompt: negativePrompt } = body;
	return {
		...(scheduler === undefined ? {} : { scheduler }),
		...(prompt ? { prompt } : {}),
		...(negativePrompt ? { negativePrompt } : {}),
	};
};

const paramsOf = (body: Txt2Img, { prompt, negativePrompt }: Words): Hires['params'] => {
	const [width, height] = [body.hr_resize_x ?? 0, body.hr_resize_y ?? 0];
	const resized = width > 0 || height > 0;
	return {
		...(resized ? { 'Hires resize': sizeText({ width, height }) } : { 'Hires upscale': body.hr_scale ?? SCALE }),
		...(body.hr_second_pass_steps ? { 'Hires steps': body.hr_second_pass_steps } : {}),
		'Hires upscaler': UPSCALER,
		...(prompt === undefined ? {} : { 'Hires prompt': prompt }),
		...(negativePrompt === undefined ? {} : { 'Hires negative prompt': negativePrompt }),
	};
};

/**
 * The workflow of a text job with a second pass: the first pass, then one job for each of its pictures.
 * @param first the first pass, with its size
 * @param seed of its first picture
 * @throws {LimnerError} `validation_failed`, with the field that cannot be honoured
 */
export const hiresOf = (body: Txt2Img, model: KnownModel, first: JobRequest & Size, seed: number): Hires => {
	checkHires(body, model);
	const strength = body.denoising_strength ?? STRENGTH;
	const { asked, ...size } = secondSize(body, first, model.sizeMultiple);
	const steps = secondSteps(body, first.steps ?? model.defaults.steps, strength);
	const own = ownOf(body);
	const passes = Array.from({ length: first.n ?? 1 }, (_, index) => ({
		...first,
		...size,
		...own,
		steps,
		strength,
		n: 1,
		key: `second-${index}`,
		seed: taskSeed(seed, index),
		initImage: { job: FIRST, index },
	}));
	const warning = `the second pass of ${sizeText(asked)} is drawn at ${sizeText(size)}, which ${model.name} can draw`;
	return {
		// The first pass without loss, whatever the pictures that are answered are.
		workflow: { jobs: [{ ...first, outputFormat: 'png', seed, key: FIRST }, ...passes] },
		params: paramsOf(body, own),
		strength,
		...(sizeText(asked) === sizeText(size) ? {} : { warning }),
	};
};
