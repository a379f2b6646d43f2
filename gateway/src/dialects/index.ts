/**
 * The interfaces of other services, each a thin adapter over the same jobs.
 * @module
 */
import type { OpenAPIHono } from '@hono/zod-openapi';
import type { AppEnv } from '../lib/context.ts';
import { a1111Routes } from './a1111/index.ts';
import { internalRoutes } from './a1111/lists.ts';
import { mcpRoutes } from './mcp/index.ts';
import { cogRoutes, replicateRoutes } from './cog/index.ts';
import { kserveRoutes } from './kserve/index.ts';
import { dialectModelsRoutes } from './models/index.ts';
import { openaiRoutes } from './openai/index.ts';

/** Mounts every dialect at the path where its clients look for it. */
export const mountDialects = (app: OpenAPIHono<AppEnv>): void => {
	app.route('/v1/images', openaiRoutes);
	app.route('/v1/models', dialectModelsRoutes);
	app.route('/', kserveRoutes);
	app.route('/', cogRoutes);
	app.route('/v1', replicateRoutes);
	app.route('/sdapi/v1', a1111Routes);
	app.route('/', internalRoutes);
	app.route(
		'/',
		mcpRoutes(() => app),
	);
};
