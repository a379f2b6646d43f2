/**
 * KServe: v1 `:predict`, and v2, the Open Inference Protocol.
 * @module
 */
import { createRoute, z } from '@hono/zod-openapi';
import { BODY_LIMITS, LIMNER_VERSION, LimnerError } from '@limner/shared';
import { requireScope } from '../../lib/auth.ts';
import type { AppContext } from '../../lib/context.ts';
import type { KnownModel } from '../../lib/catalog.ts';
import { modelsOf } from '../../lib/models.ts';
import { readJsonText } from '../../lib/json-body.ts';
import { jsonRequest, jsonResponse, named, newApp, secured } from '../../lib/openapi.ts';
import { fieldErrors, validationError } from '../../lib/problem.ts';
import { check } from '../../routes/health/index.ts';
import { answer, securedPictureJson } from '../lib/answer.ts';
import { faultOf, faultResponse, logFault } from '../lib/fault.ts';
import { modelFor, sizeFor } from '../lib/model.ts';
import { assetOf, base64All, decodeInline } from '../lib/pictures.ts';
import { runJob, type Done } from '../lib/run.ts';
import { InferBody, Inferred, jobFields, KServeError, PredictBody, Predictions, TENSORS, Wish, wishesOf, wishFields } from './request.ts';

const NOT_POSSIBLE = new Set([422, 415]);

/** A thrown thing as KServe's answer: 400 for what the caller can mend, and a sentence. */
const refuse = (c: AppContext, thrown: unknown): Response => {
	const fault = faultOf(thrown, c.get('requestId'));
	logFault(c, thrown, fault);
	const status = fault.code === 'model_unknown' ? 404 : NOT_POSSIBLE.has(fault.status) ? 400 : fault.status;
	return faultResponse({ ...fault, status }, { error: fault.message });
};

/** Mounted at the root. */
export const kserveRoutes = newApp();
kserveRoutes.onError((error, c) => refuse(c, error));

const tags = ['kserve'];
const refusal = (description: string) => jsonResponse(KServeError, description);
const refusals = {
	400: refusal('The request could not be understood'),
	401: refusal('A valid API key is needed'),
	403: refusal('The key lacks the needed scope'),
	404: refusal('There is no such model'),
	413: refusal('The body is too large'),
	429: refusal('Too many requests or too many open jobs'),
	500: refusal('Something went wrong on our side'),
	503: refusal('The model is not ready'),
};

const parsed = <T>(schema: z.ZodType<T>, value: unknown): T => {
	const result = schema.safeParse(value);
	if (!result.success) throw validationError(fieldErrors(result.error));
	return result.data;
};

const grant = (c: AppContext, wish: Wish, model: KnownModel): Pick<Wish, 'width' | 'height'> =>
	sizeFor(
		c,
		model,
		wish.width === undefined && wish.height === undefined
			? undefined
			: { width: wish.width ?? model.nativeWidth, height: wish.height ?? model.nativeHeight },
	);

/** Draws one wish. */
const draw = async (c: AppContext, model: KnownModel, wish: Wish, signal: AbortSignal): Promise<Done> => {
	const init = wish.image === undefined ? undefined : await assetOf(c, decodeInline(wish.image, 'image'));
	const mask = wish.mask === undefined ? undefined : await assetOf(c, decodeInline(wish.mask, 'mask'));
	const request = {
		...jobFields(wish),
		...grant(c, wish, model),
		model: model.name,
		...(init === undefined ? {} : { initImage: { asset: init.id } }),
		...(mask === undefined ? {} : { maskImage: { asset: mask.id } }),
	};
	return runJob(c, { request }, { signal });
};

/** Draws all wishes, or none: when one fails, the others have nobody left to give their pictures to. */
const drawAll = async (c: AppContext, model: KnownModel, wishes: readonly Wish[], signal: AbortSignal): Promise<Done[]> => {
	const failed = new AbortController();
	const either = AbortSignal.any([signal, failed.signal]);
	try {
		return await Promise.all(wishes.map((wish) => draw(c, model, wish, either)));
	} catch (error) {
		failed.abort();
		throw error;
	}
};

const predict = async (c: AppContext): Promise<Response> => {
	const name = decodeURIComponent((c.req.param('target') ?? '').slice(0, -':predict'.length));
	const body: unknown = JSON.parse(await readJsonText(c.req.raw, BODY_LIMITS.pictureJsonBytes));
	const wishes = wishesOf(parsed(PredictBody, body)).map((wish) => parsed(Wish, wish));
	const model = await modelFor(c, name);
	return answer(
		c,
		async (signal) => {
			const done = await drawAll(c, model, wishes, signal);
			const records = done.flatMap(({ images }) => images);
			const base64 = await base64All(c, records);
			const predictions = records.map(({ contentType, seed }, i) => ({ bytesBase64Encoded: base64[i] ?? '', mimeType: contentType, seed }));
			return Response.json({ predictions } satisfies z.infer<typeof Predictions>);
		},
		(thrown) => refuse(c, thrown),
	);
};

// A router's pattern cannot have a literal after a parameter; the document tells the path as KServe writes it.
kserveRoutes.openAPIRegistry.registerPath({
	method: 'post',
	path: '/v1/models/{model}:predict',
	operationId: 'kservePredict',
	tags,
	summary: 'Make pictures (KServe v1, in the shape of Vertex AI)',
	security: [{ ApiKey: ['jobs:write'] }],
	request: { params: z.object({ model: z.string() }), body: jsonRequest(PredictBody) },
	responses: { 200: jsonResponse(Predictions, 'The pictures'), ...refusals },
});
kserveRoutes.post('/v1/models/:target{.+:predict}', requireScope('jobs:write'), predict);

const Server = named(z.object({ name: z.string(), version: z.string(), extensions: z.array(z.string()) }), 'KServeServer');
const TensorMeta = z.object({ name: z.string(), datatype: z.string(), shape: z.array(z.int()) });
const ModelMeta = named(
	z.object({
		name: z.string(),
		versions: z.array(z.string()),
		platform: z.string(),
		inputs: z.array(TensorMeta),
		outputs: z.array(TensorMeta),
	}),
	'KServeModel',
);
const ModelReady = named(z.object({ name: z.string(), ready: z.boolean() }), 'KServeModelReady');
const tensor = (name: string, datatype: string, shape: number[]) => ({ name, datatype, shape });
const ModelPath = z.object({ model: z.string().min(1).max(200) });

kserveRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/v2',
		operationId: 'kserveServer',
		tags,
		summary: 'What this server is (KServe v2)',
		responses: { 200: jsonResponse(Server, 'The server'), 500: refusals[500] },
	}),
	(c) => c.json({ name: 'limner', version: LIMNER_VERSION, extensions: [] }, 200),
);
kserveRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/v2/health/live',
		operationId: 'kserveLive',
		tags,
		summary: 'Whether the server answers (KServe v2)',
		responses: { 200: jsonResponse(named(z.object({ live: z.boolean() }), 'KServeLive'), 'It does'), 500: refusals[500] },
	}),
	(c) => c.json({ live: true }, 200),
);
const ReadyBody = named(z.object({ ready: z.boolean() }), 'KServeReady');
kserveRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/v2/health/ready',
		operationId: 'kserveReady',
		tags,
		summary: 'Whether pool and storage answer (KServe v2)',
		responses: { 200: jsonResponse(ReadyBody, 'They do'), 500: refusals[500], 503: jsonResponse(ReadyBody, 'They do not') },
	}),
	async (c) => {
		const ready = await check(c).then(
			() => true,
			() => false,
		);
		return ready ? c.json({ ready }, 200) : c.json({ ready }, 503);
	},
);
kserveRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/v2/models',
		operationId: 'kserveModels',
		tags,
		summary: 'Names of the models (KServe v2)',
		...secured('jobs:read'),
		responses: { 200: jsonResponse(named(z.object({ models: z.array(z.string()) }), 'KServeModels'), 'The models'), ...refusals },
	}),
	async (c) => c.json({ models: (await modelsOf(c, c.get('principal').ws)).map(({ name }) => name) }, 200),
);
kserveRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/v2/models/{model}',
		operationId: 'kserveModel',
		tags,
		summary: 'Inputs and outputs of a model (KServe v2)',
		...secured('jobs:read'),
		request: { params: ModelPath },
		responses: { 200: jsonResponse(ModelMeta, 'The model'), ...refusals },
	}),
	async (c) => {
		const model = await modelFor(c, c.req.valid('param').model);
		const inputs = TENSORS.map(({ name, datatype }) => tensor(name, datatype, [1]));
		const outputs = [tensor('image', 'BYTES', [-1]), tensor('seed', 'INT64', [-1])];
		return c.json({ name: model.name, versions: ['1'], platform: 'limner', inputs, outputs }, 200);
	},
);
kserveRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/v2/models/{model}/ready',
		operationId: 'kserveModelReady',
		tags,
		summary: 'Whether a node offers a model now (KServe v2)',
		...secured('jobs:read'),
		request: { params: ModelPath },
		responses: { 200: jsonResponse(ModelReady, 'It does'), ...refusals },
	}),
	async (c) => {
		const { name, nodes } = await modelFor(c, c.req.valid('param').model);
		if (nodes === 0) throw new LimnerError('not_ready', { detail: `Model with name ${name} is not ready.` });
		return c.json({ name, ready: true }, 200);
	},
);
kserveRoutes.openapi(
	createRoute({
		method: 'post',
		path: '/v2/models/{model}/infer',
		operationId: 'kserveInfer',
		tags,
		summary: 'Make pictures (KServe v2)',
		...securedPictureJson('jobs:write'),
		request: { params: ModelPath, body: jsonRequest(InferBody) },
		responses: { 200: jsonResponse(Inferred, 'The pictures'), ...refusals },
	}),
	async (c) => {
		const body = c.req.valid('json');
		const wish = parsed(Wish, wishFields(body));
		const model = await modelFor(c, c.req.valid('param').model);
		return answer(
			c,
			async (signal) => {
				const { row, images } = await draw(c, model, wish, signal);
				const shape = [images.length];
				const content_type = images[0]?.contentType ?? 'image/png';
				const picture = { name: 'image', shape, datatype: 'BYTES', data: await base64All(c, images), parameters: { content_type } };
				const seed = { name: 'seed', shape, datatype: 'INT64', data: images.map((image) => image.seed) };
				return Response.json({ model_name: model.name, model_version: '1', id: body.id ?? row.id, outputs: [picture, seed] });
			},
			(thrown) => refuse(c, thrown),
		) as never;
	},
);
