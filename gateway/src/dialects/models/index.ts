/**
 * `GET /v1/models` and `GET /v1/models/{model}`: OpenAI's list and KServe's in one body, because both live on these paths
 * and the clients of each ignore what they do not know.
 * @module
 */
import { createRoute, z } from '@hono/zod-openapi';
import type { KnownModel } from '../../lib/catalog.ts';
import type { AppContext } from '../../lib/context.ts';
import { modelsOf } from '../../lib/models.ts';
import { jsonResponse, named, newApp, secured } from '../../lib/openapi.ts';
import { LISTED_ALIASES, parseAliases } from '../lib/aliases.ts';
import { modelFor } from '../lib/model.ts';
import { refuse } from '../openai/make.ts';
import { OpenAIError, OpenAIModel } from '../openai/schema.ts';

/** Mounted at `/v1/models`. */
export const dialectModelsRoutes = newApp();
dialectModelsRoutes.onError((error, c) => refuse(c, error));

const ListedModel = named(
	z.object({
		...OpenAIModel.shape,
		/** KServe's word for `id`. */
		name: z.string(),
		/** Whether a node offers it now. */
		ready: z.boolean(),
		/** An alias stands for this model. */
		root: z.string(),
		type: z.literal('image'),
	}),
	'DialectModel',
);
const ModelList = named(
	z.object({ object: z.literal('list'), data: z.array(ListedModel), models: z.array(z.string()) }),
	'DialectModelList',
);

/** OpenAI's models have dates of birth; these are files whose dates nobody knows. */
const CREATED = 0;

const entry = (id: string, model: KnownModel): z.infer<typeof ListedModel> => ({
	id,
	object: 'model',
	created: CREATED,
	owned_by: 'limner',
	name: id,
	ready: model.nodes > 0,
	root: model.name,
	type: 'image',
});

const listOf = async (c: AppContext): Promise<z.infer<typeof ModelList>> => {
	const models = await modelsOf(c, c.get('principal').ws);
	const byName = new Map(models.map((model) => [model.name, model]));
	const aliases = new Map([...LISTED_ALIASES.map((name) => [name, c.env.DEFAULT_MODEL] as const), ...parseAliases(c.env.MODEL_ALIASES)]);
	const own = models.map((model) => entry(model.name, model));
	const others = [...aliases].flatMap(([name, target]) => {
		const model = byName.get(target);
		return model === undefined || byName.has(name) ? [] : [entry(name, model)];
	});
	const data = [...own, ...others];
	return { object: 'list', data, models: models.map((model) => model.name) };
};

const tags = ['openai', 'kserve'];
const refusals = {
	401: jsonResponse(OpenAIError, 'A valid API key is needed'),
	403: jsonResponse(OpenAIError, 'The key lacks the needed scope'),
	404: jsonResponse(OpenAIError, 'There is no such model'),
	429: jsonResponse(OpenAIError, 'Too many requests'),
	500: jsonResponse(OpenAIError, 'Something went wrong on our side'),
};

dialectModelsRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/',
		operationId: 'dialectListModels',
		tags,
		summary: 'Models and their aliases (OpenAI, KServe v1)',
		...secured('jobs:read'),
		responses: { 200: jsonResponse(ModelList, 'The models'), ...refusals },
	}),
	async (c) => c.json(await listOf(c), 200),
);

dialectModelsRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/{model}',
		operationId: 'dialectGetModel',
		tags,
		summary: 'One model, and whether it is ready (OpenAI, KServe v1)',
		...secured('jobs:read'),
		request: { params: z.object({ model: z.string().min(1).max(200) }) },
		responses: { 200: jsonResponse(ListedModel, 'The model'), ...refusals },
	}),
	async (c) => {
		const { model: name } = c.req.valid('param');
		return c.json(entry(name, await modelFor(c, name)), 200);
	},
);
