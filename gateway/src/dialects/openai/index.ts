/**
 * OpenAI's Images API: `POST /v1/images/generations`, `/edits`, `/variations`.
 * @module
 */
import { createRoute } from '@hono/zod-openapi';
import { BODY_LIMITS, LimnerError, type InputImage } from '@limner/shared';
import type { z } from 'zod';
import { requireScope } from '../../lib/auth.ts';
import type { AppContext } from '../../lib/context.ts';
import type { KnownModel } from '../../lib/catalog.ts';
import { readJsonText } from '../../lib/json-body.ts';
import { eventStream, jsonResponse, newApp, securedJson } from '../../lib/openapi.ts';
import { fieldErrors, validationError } from '../../lib/problem.ts';
import type { AssetRow } from '../../rpc.ts';
import { modelFor, sizeFor, warn } from '../lib/model.ts';
import { assetOf, decodeInline } from '../lib/pictures.ts';
import { sizeOfRatio, type Size } from '../lib/size.ts';
import { fileBytes, readForm } from './form.ts';
import { make, refuse, type Order } from './make.ts';
import { formatFor, ignoredOf, jobOf, parseSize, type JobInput } from './request.ts';
import {
	EditFields,
	EditForm,
	EditJson,
	GenerationBody,
	IMAGES_MAX,
	ImagesResponse,
	OpenAIError,
	VariationFields,
	VariationForm,
} from './schema.ts';

/** Mounted at `/v1/images`. */
export const openaiRoutes = newApp();
openaiRoutes.onError((error, c) => refuse(c, error));

const tags = ['openai'];
const error = (description: string) => jsonResponse(OpenAIError, description);
const responses = {
	200: {
		description: 'The pictures; with `stream` as events',
		content: {
			'application/json': { schema: ImagesResponse },
			...eventStream,
		},
	},
	400: error('A field has a value that is not allowed'),
	401: error('A valid API key is needed'),
	403: error('The key lacks the needed scope'),
	404: error('There is no such model'),
	413: error('The body is too large'),
	415: error('The content type is not supported'),
	429: error('Too many requests or too many open jobs'),
	500: error('Something went wrong on our side'),
	503: error('The gateway is overloaded'),
};

const invalid = (pointer: string, detail: string): LimnerError => validationError([{ pointer, detail }]);

const parsed = <T>(schema: z.ZodType<T>, value: unknown): T => {
	const result = schema.safeParse(value);
	if (!result.success) throw validationError(fieldErrors(result.error));
	return result.data;
};

/** Things that OpenAI's models can and the pool cannot: refused by name. */
const checkPossible = (fields: JobInput['fields']): void => {
	if (fields.background === 'transparent') throw invalid('/background', 'transparent pictures cannot be made here; use "opaque" or "auto"');
	if (fields.partial_images !== undefined && fields.partial_images !== null && fields.partial_images > 0 && fields.stream !== true) {
		throw invalid('/partial_images', 'works only together with "stream": true');
	}
};

const orderOf = (
	kind: Order['kind'],
	fields: JobInput['fields'],
	rest: Pick<Order, 'request' | 'body' | 'inputs' | 'startedAt'> & { older?: true },
): Order => ({
	kind,
	...rest,
	format: formatFor(fields, rest.older === true),
	stream: fields.stream === true,
	partials: fields.partial_images ?? 0,
	quality: fields.quality ?? 'auto',
});

const generate = async (c: AppContext, fields: GenerationBody): Promise<Response> => {
	const startedAt = Date.now();
	checkPossible(fields);
	for (const sentence of ignoredOf(fields)) warn(c, sentence);
	const model = await modelFor(c, fields.model ?? undefined);
	const size = sizeFor(c, model, parseSize(fields.size));
	const request = jobOf({ fields, prompt: fields.prompt, model, size });
	return make(c, orderOf('image_generation', fields, { request, body: fields, inputs: [], startedAt }));
};

openaiRoutes.openapi(
	createRoute({
		method: 'post',
		path: '/generations',
		operationId: 'openaiGenerateImages',
		tags,
		summary: 'Make pictures from a prompt (OpenAI)',
		...securedJson('jobs:write', { replay: 'own' }),
		request: { body: { required: true, content: { 'application/json': { schema: GenerationBody } } } },
		responses,
	}),
	(c) => generate(c, c.req.valid('json')),
);

interface EditInput {
	fields: EditFields;
	images: Uint8Array<ArrayBuffer>[];
	mask: Uint8Array<ArrayBuffer> | undefined;
}

const isForm = (c: AppContext): boolean => /^multipart\/form-data\s*;/i.test(c.req.header('content-type') ?? '');

const jsonEdit = async (c: AppContext): Promise<EditInput> => {
	if (!/^application\/json\b/i.test(c.req.header('content-type') ?? '')) {
		throw new LimnerError('unsupported_media_type', { detail: 'send multipart/form-data, or JSON with "images"' });
	}
	const { images, mask, ...fields } = parsed(EditJson, JSON.parse(await readJsonText(c.req.raw, BODY_LIMITS.pictureJsonBytes)));
	return {
		fields,
		images: images.map(({ image_url: url }, i) => decodeInline(url, `images[${i}].image_url`)),
		mask: mask === null || mask === undefined ? undefined : decodeInline(mask.image_url, 'mask.image_url'),
	};
};

const formEdit = async (c: AppContext): Promise<EditInput> => {
	const form = await readForm(c);
	const fields = parsed(EditFields, form.fields);
	if (form.images.length > IMAGES_MAX) throw invalid('/image', `at most ${IMAGES_MAX} pictures can be sent`);
	return {
		fields,
		images: await Promise.all(form.images.map(fileBytes)),
		mask: form.mask === undefined ? undefined : await fileBytes(form.mask),
	};
};

/** The size of an edit: what is asked for, or the shape of the picture at the model's own area. */
const editSize = (c: AppContext, model: KnownModel, wanted: string | null | undefined, asset: AssetRow): Size => {
	const size = parseSize(wanted);
	return size === undefined ? sizeOfRatio(model, asset.width, asset.height) : sizeFor(c, model, size);
};

const named = (asset: AssetRow): InputImage => ({ asset: asset.id });

const edit = async (c: AppContext): Promise<Response> => {
	const startedAt = Date.now();
	const { fields, images, mask } = await (isForm(c) ? formEdit(c) : jsonEdit(c));
	const [first, ...others] = images;
	if (first === undefined) throw invalid('/image', 'a picture to edit is needed');
	checkPossible(fields);
	for (const sentence of ignoredOf(fields)) warn(c, sentence);
	if (others.length > 0) warn(c, `only the first of ${images.length} pictures is edited; the models of this pool take one`);
	const model = await modelFor(c, fields.model ?? undefined, mask !== undefined);
	const asset = await assetOf(c, first);
	const maskAsset = mask === undefined ? undefined : await assetOf(c, mask);
	const size = editSize(c, model, fields.size, asset);
	const init = { init: named(asset), ...(maskAsset === undefined ? {} : { mask: named(maskAsset) }) };
	const request = jobOf({ fields, prompt: fields.prompt, model, size, ...init });
	const body = { ...fields, image: asset.sha256, mask: maskAsset?.sha256 ?? null };
	return make(c, orderOf('image_edit', fields, { request, body, inputs: [asset], startedAt }));
};

const VARIATION_STRENGTH = 0.6;

/** A variation follows the picture alone: no words, so that guidance has nothing to push towards. */
const variation = async (c: AppContext): Promise<Response> => {
	const startedAt = Date.now();
	if (!isForm(c)) throw new LimnerError('unsupported_media_type', { detail: 'send multipart/form-data with the file "image"' });
	const form = await readForm(c);
	const fields = parsed(VariationFields, form.fields);
	const [first] = form.images;
	if (first === undefined || form.images.length > 1) throw invalid('/image', 'exactly one picture is needed');
	const model = await modelFor(c, fields.model ?? undefined);
	const asset = await assetOf(c, await fileBytes(first));
	const size = editSize(c, model, fields.size, asset);
	const wanted = { ...fields, strength: fields.strength ?? VARIATION_STRENGTH, guidance_scale: fields.guidance_scale ?? 1 };
	const request = jobOf({ fields: wanted, prompt: ' ', model, size, init: named(asset) });
	const body = { ...fields, image: asset.sha256 };
	return make(c, orderOf('image_edit', fields, { request, body, inputs: [asset], startedAt, older: true }));
};

// Two content types on one path: the body is read by hand, and the document tells what it may be.
openaiRoutes.openAPIRegistry.registerPath({
	method: 'post',
	path: '/edits',
	operationId: 'openaiEditImage',
	tags,
	summary: 'Change a picture, or what a mask shows of it (OpenAI)',
	security: [{ ApiKey: ['jobs:write'] }],
	request: {
		body: { required: true, content: { 'multipart/form-data': { schema: EditForm }, 'application/json': { schema: EditJson } } },
	},
	responses,
});
openaiRoutes.post('/edits', requireScope('jobs:write'), edit);

openaiRoutes.openAPIRegistry.registerPath({
	method: 'post',
	path: '/variations',
	operationId: 'openaiVaryImage',
	tags,
	summary: 'Pictures that resemble one (OpenAI)',
	security: [{ ApiKey: ['jobs:write'] }],
	request: { body: { required: true, content: { 'multipart/form-data': { schema: VariationForm } } } },
	responses,
});
openaiRoutes.post('/variations', requireScope('jobs:write'), variation);
