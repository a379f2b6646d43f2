/**
 * AUTOMATIC1111's web UI API below `/sdapi/v1`: making pictures and watching them.
 * @module
 */
import { createRoute, z } from '@hono/zod-openapi';
import { parseInfotext } from '@limner/shared';
import type { AppContext } from '../../lib/context.ts';
import { jsonRequest, jsonResponse, named, newApp, secured } from '../../lib/openapi.ts';
import { securedPictureJson } from '../lib/answer.ts';
import { modelFor, sizeFor, warn } from '../lib/model.ts';
import { assetOf, decodeInline } from '../lib/pictures.ts';
import { abandon } from '../lib/run.ts';
import { refusals, refuse } from './errors.ts';
import { addExtras } from './extras.ts';
import { addLists } from './lists.ts';
import { readOptions } from './options.ts';
import { pngTexts } from './png-text.ts';
import { jobsOfKey, progressOf } from './progress.ts';
import { img2imgJob, settingsOf, txt2imgJob, wantedSize } from './request.ts';
import { run, runHires } from './run.ts';
import { Generated, Img2Img, Progress, Txt2Img, type Common } from './schema.ts';

/** Mounted at `/sdapi/v1`. */
export const a1111Routes = newApp();
a1111Routes.onError((error, c) => refuse(c, error));

const tags = ['a1111'];

/** Model, size and remembered settings of a request. */
const prepare = async (c: AppContext, body: Common, masked = false) => {
	const stored = await readOptions(c);
	const settings = settingsOf({ ...stored, ...body.override_settings });
	if (settings.ignored.length > 0) warn(c, `override_settings has no effect on ${settings.ignored.join(', ')}`);
	const model = await modelFor(c, settings.model, masked);
	const size = sizeFor(c, model, wantedSize(body, model));
	const format = settings.outputFormat === undefined ? {} : { outputFormat: settings.outputFormat };
	return { model, size, format };
};

a1111Routes.openapi(
	createRoute({
		method: 'post',
		path: '/txt2img',
		operationId: 'a1111Txt2Img',
		tags,
		summary: 'Make pictures from a prompt (A1111)',
		description:
			'`enable_hr` draws each picture again, enlarged with Lanczos: `hr_scale` or `hr_resize_x` and `hr_resize_y`, `hr_second_pass_steps`, `denoising_strength`. Both passes are jobs of one workflow.',
		...securedPictureJson('jobs:write'),
		request: { body: jsonRequest(Txt2Img) },
		responses: { 200: jsonResponse(Generated, 'The pictures'), ...refusals },
	}),
	async (c) => {
		const body = c.req.valid('json');
		const { model, size, format } = await prepare(c, body);
		const request = { ...txt2imgJob(body, model, size), ...format };
		return (await (body.enable_hr === true ? runHires(c, body, model, request) : run(c, body, request))) as never;
	},
);

a1111Routes.openapi(
	createRoute({
		method: 'post',
		path: '/img2img',
		operationId: 'a1111Img2Img',
		tags,
		summary: 'Change a picture, or what a mask shows of it (A1111); white is repainted',
		...securedPictureJson('jobs:write'),
		request: { body: jsonRequest(Img2Img) },
		responses: { 200: jsonResponse(Generated, 'The pictures'), ...refusals },
	}),
	async (c) => {
		const body = c.req.valid('json');
		const { model, size, format } = await prepare(c, body, typeof body.mask === 'string');
		const init = await assetOf(c, decodeInline(body.init_images[0] ?? '', 'init_images'));
		const mask = body.mask === null || body.mask === undefined ? undefined : await assetOf(c, decodeInline(body.mask, 'mask'));
		const images = { init: { asset: init.id }, ...(mask === undefined ? {} : { mask: { asset: mask.id } }) };
		const echo = body.include_init_images === true ? {} : { init_images: null, mask: null };
		return run(c, body, { ...img2imgJob(body, model, size, images), ...format }, echo) as never;
	},
);

a1111Routes.openapi(
	createRoute({
		method: 'get',
		path: '/progress',
		operationId: 'a1111Progress',
		tags,
		summary: 'Progress of this key’s job (A1111)',
		...secured('jobs:read'),
		request: { query: z.object({ skip_current_image: z.enum(['true', 'false', 'True', 'False', '1', '0']).optional() }) },
		responses: { 200: jsonResponse(Progress, 'The progress; all zero when there is none'), ...refusals },
	}),
	async (c) => c.json(await progressOf(c, !/^(?:true|1)$/i.test(c.req.valid('query').skip_current_image ?? 'false')), 200),
);

const Empty = named(z.object({}), 'A1111Empty');

/** Interrupt and skip are one here: every picture of a job may be on another node. */
for (const [path, operationId] of [
	['/interrupt', 'a1111Interrupt'],
	['/skip', 'a1111Skip'],
] as const) {
	a1111Routes.openapi(
		createRoute({
			method: 'post',
			path,
			operationId,
			tags,
			summary: 'Cancel this key’s open jobs (A1111); pictures that are made stay',
			...secured('jobs:write'),
			responses: { 200: jsonResponse(Empty, 'Done'), ...refusals },
		}),
		async (c) => {
			await Promise.all((await jobsOfKey(c, true)).map((row) => abandon(c, row.id)));
			return c.json({}, 200);
		},
	);
}

const PngInfo = named(
	z.object({ info: z.string(), items: z.record(z.string(), z.string()), parameters: z.record(z.string(), z.string()) }),
	'A1111PngInfo',
);

a1111Routes.openapi(
	createRoute({
		method: 'post',
		path: '/png-info',
		operationId: 'a1111PngInfo',
		tags,
		summary: 'How a PNG was made, from its own text (A1111)',
		...securedPictureJson('jobs:read'),
		request: { body: jsonRequest(named(z.object({ image: z.string().min(1) }), 'A1111PngInfoRequest')) },
		responses: { 200: jsonResponse(PngInfo, 'The text; empty when there is none'), ...refusals },
	}),
	async (c) => {
		const items = await pngTexts(decodeInline(c.req.valid('json').image, 'image'));
		const info = items['parameters'] ?? '';
		if (info === '') return c.json({ info, items, parameters: {} }, 200);
		const { prompt, negativePrompt, fields } = parseInfotext(info);
		return c.json({ info, items, parameters: { Prompt: prompt, 'Negative prompt': negativePrompt ?? '', ...fields } }, 200);
	},
);

addExtras(a1111Routes);
addLists(a1111Routes);
