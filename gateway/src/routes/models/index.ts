/**
 * `GET /api/v1/models`: what the pool can make now.
 * @module
 */
import { createRoute } from '@hono/zod-openapi';
import { ModelView } from '@limner/shared';
import { modelView } from '../../lib/catalog.ts';
import { modelsOf } from '../../lib/models.ts';
import { jsonResponse, named, newApp, pageOf, problems, secured } from '../../lib/openapi.ts';

export const modelsRoutes = newApp();

modelsRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/',
		operationId: 'listModels',
		tags: ['models'],
		summary: 'Models with their scope, native size and defaults',
		...secured('jobs:read'),
		responses: { 200: jsonResponse(pageOf(named(ModelView, 'Model')), 'All models'), ...problems(401, 403, 429) },
	}),
	async (c) => {
		const { ws, models: allowed } = c.get('principal');
		const models = (await modelsOf(c, ws)).filter((model) => allowed?.includes(model.name) ?? true);
		return c.json({ data: models.map((model) => modelView(model, c.env.DEFAULT_MODEL)), nextCursor: null }, 200);
	},
);
