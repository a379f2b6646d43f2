/**
 * `/extra-single-image` and `/extra-batch-images`: pictures at another size, without drawing them. A node resizes them with Lanczos, in
 * a job that starts from the picture and changes nothing of it.
 * @module
 */
import { createRoute, z, type OpenAPIHono } from '@hono/zod-openapi';
import { LimnerError, REQUEST_LIMITS as L, type JobRequest } from '@limner/shared';
import type { KnownModel } from '../../lib/catalog.ts';
import type { AppContext, AppEnv } from '../../lib/context.ts';
import { jsonRequest, jsonResponse, named } from '../../lib/openapi.ts';
import type { AssetRow, JobRow } from '../../rpc.ts';
import { answer, securedPictureJson } from '../lib/answer.ts';
import { modelFor, warn } from '../lib/model.ts';
import { assetOf, base64All, decodeInline } from '../lib/pictures.ts';
import { startJob, waitForJob } from '../lib/run.ts';
import { sizeText, type Size } from '../lib/size.ts';
import { refusals, refuse } from './errors.ts';
import { UPSCALER } from './hires.ts';
import { readOptions } from './options.ts';
import { keyLabel } from './progress.ts';
import { anything, only, side } from './schema.ts';

const NONE = 'none';
const ZERO = [null, 0];

const shared = {
	/** 0: by `upscaling_resize`, 1: to `upscaling_resize_w` × `upscaling_resize_h`. */
	resize_mode: z.int().min(0).max(1).nullish(),
	upscaling_resize: z.number().positive().max(8).nullish(),
	upscaling_resize_w: side.nullish(),
	upscaling_resize_h: side.nullish(),
	upscaling_crop: z.boolean().nullish(),
	upscaler_1: z.string().max(64).nullish(),
	upscaler_2: z.string().max(64).nullish(),
	extras_upscaler_2_visibility: only(ZERO, 'extras_upscaler_2_visibility (a second upscaler)'),
	gfpgan_visibility: only(ZERO, 'gfpgan_visibility'),
	codeformer_visibility: only(ZERO, 'codeformer_visibility'),
	codeformer_weight: anything,
	show_extras_results: anything,
	upscale_first: anything,
};
export const ExtraFields = z.strictObject(shared);
type ExtraFields = z.infer<typeof ExtraFields>;
const Single = named(z.strictObject({ ...shared, image: z.string().min(1) }), 'A1111ExtraSingle');
const Item = z.strictObject({ data: z.string().min(1), name: z.string().max(255).optional() });
const Batch = named(z.strictObject({ ...shared, imageList: z.array(Item).min(1).max(L.nMax) }), 'A1111ExtraBatch');

const invalid = (field: string, detail: string): LimnerError =>
	new LimnerError('validation_failed', { detail, errors: [{ pointer: `/${field}`, detail }] });

/** Whether anything is to be done. @throws {LimnerError} for an upscaler that does not exist */
export const upscales = ({ upscaler_1: name }: Pick<ExtraFields, 'upscaler_1'>): boolean => {
	const wanted = (name ?? NONE).toLowerCase();
	if (wanted === NONE || wanted === '') return false;
	if (wanted === UPSCALER.toLowerCase()) return true;
	throw invalid('upscaler_1', `upscaler_1 ${name ?? ''} does not exist here; there is: ${UPSCALER}`);
};

/** The size that is asked for. Pure. @throws {LimnerError} for one whose picture would have to be cut */
export const askedSize = (body: ExtraFields, { width, height }: Size): Size => {
	const times = (by: number): Size => ({ width: Math.round(width * by), height: Math.round(height * by) });
	if (body.resize_mode !== 1) return times(body.upscaling_resize ?? 2);
	const wanted = { width: body.upscaling_resize_w ?? 512, height: body.upscaling_resize_h ?? 512 };
	const covering = times(Math.max(wanted.width / width, wanted.height / height));
	if (body.upscaling_crop === false || sizeText(covering) === sizeText(wanted)) return covering;
	throw invalid(
		'upscaling_crop',
		`${sizeText(wanted)} has not the shape of the picture, ${sizeText({ width, height })}, and nothing is cut here; set upscaling_crop to false`,
	);
};

const fits = (pixels: number): boolean => pixels >= L.sizeMinPx && pixels <= L.sizeMaxPx;

/** The nearest size that a job can have. Pure. @throws {LimnerError} when none is near */
export const madeSize = (asked: Size, multiple: number): Size => {
	const near = (pixels: number): number => Math.round(pixels / multiple) * multiple;
	const size = { width: near(asked.width), height: near(asked.height) };
	if (fits(size.width) && fits(size.height)) return size;
	throw invalid('upscaling_resize', `${sizeText(asked)} is not possible here; sides have ${L.sizeMinPx} to ${L.sizeMaxPx} pixels`);
};

const jobOf = (c: AppContext, model: KnownModel, size: Size, asset: AssetRow): JobRequest => ({
	// Nothing is drawn at strength 0, so that there is nothing to say and no step to make.
	prompt: ' ',
	model: model.name,
	...size,
	strength: 0,
	steps: L.stepsMin,
	initImage: { asset: asset.id },
	labels: ['a1111', keyLabel(c)],
});

const enlarge = async (c: AppContext, body: ExtraFields, pictures: { text: string; field: string }[]): Promise<JobRow[]> => {
	const model = await modelFor(c, (await readOptions(c)).sd_model_checkpoint);
	if (!model.operations.includes('img2img'))
		throw invalid('upscaler_1', `nodes with the model ${model.name} take no pictures; choose another one with POST /sdapi/v1/options`);
	const rows: JobRow[] = [];
	for (const { text, field } of pictures) {
		const asset = await assetOf(c, decodeInline(text, field));
		const asked = askedSize(body, asset);
		const size = madeSize(asked, model.sizeMultiple);
		if (sizeText(asked) !== sizeText(size)) warn(c, `${sizeText(asked)} was changed to ${sizeText(size)}`);
		const row = await startJob(c, { request: jobOf(c, model, size, asset) });
		c.header('Limner-Job', row.id, { append: true });
		rows.push(row);
	}
	return rows;
};

/** The pictures, each as a text of base64: as they came when there is nothing to do. */
const run = async (
	c: AppContext,
	body: ExtraFields,
	pictures: { text: string; field: string }[],
	shape: (info: string, made: string[]) => object,
): Promise<Response> => {
	if (!upscales(body)) {
		for (const { text, field } of pictures) decodeInline(text, field);
		return Response.json(
			shape(
				'',
				pictures.map(({ text }) => text.replace(/^data:[^,]*,/, '')),
			),
		);
	}
	const rows = await enlarge(c, body, pictures);
	return answer(
		c,
		async (signal) => {
			const done = await Promise.all(rows.map((row) => waitForJob(c, row, { signal })));
			return Response.json(
				shape(
					`Postprocess upscaler: ${UPSCALER}`,
					await base64All(
						c,
						done.flatMap(({ images }) => images),
					),
				),
			);
		},
		(thrown) => refuse(c, thrown),
	);
};

const description =
	'With `upscaler_1` `Lanczos` a node resizes the picture; with `None` it comes back as it is. Face restorers, a second upscaler and cutting are refused by name.';

/** Adds both routes. */
export const addExtras = (app: OpenAPIHono<AppEnv>): void => {
	app.openapi(
		createRoute({
			method: 'post',
			path: '/extra-single-image',
			operationId: 'a1111ExtraSingle',
			tags: ['a1111'],
			summary: 'A picture at another size (A1111)',
			description,
			...securedPictureJson('jobs:write'),
			request: { body: jsonRequest(Single) },
			responses: {
				200: jsonResponse(named(z.object({ html_info: z.string(), image: z.string() }), 'A1111Extra'), 'The picture'),
				...refusals,
			},
		}),
		async (c) => {
			const { image, ...body } = c.req.valid('json');
			return (await run(c, body, [{ text: image, field: 'image' }], (html_info, [made = '']) => ({ html_info, image: made }))) as never;
		},
	);
	app.openapi(
		createRoute({
			method: 'post',
			path: '/extra-batch-images',
			operationId: 'a1111ExtraBatch',
			tags: ['a1111'],
			summary: 'Pictures at another size (A1111)',
			description,
			...securedPictureJson('jobs:write'),
			request: { body: jsonRequest(Batch) },
			responses: {
				200: jsonResponse(named(z.object({ html_info: z.string(), images: z.array(z.string()) }), 'A1111Extras'), 'The pictures, in order'),
				...refusals,
			},
		}),
		async (c) => {
			const { imageList, ...body } = c.req.valid('json');
			const pictures = imageList.map(({ data }, i) => ({ text: data, field: `imageList[${i}].data` }));
			return (await run(c, body, pictures, (html_info, images) => ({ html_info, images }))) as never;
		},
	);
};
