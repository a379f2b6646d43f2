/**
 * The source documents' paths: the same handlers, found under another name.
 * @module
 */
import type { OpenAPIHono } from '@hono/zod-openapi';
import { createMiddleware } from 'hono/factory';
import type { AppEnv } from '../../lib/context.ts';
import { aliasOf } from './paths.ts';

/**
 * Answers an aliased path as its real one. A request that is rewritten keeps its body, its headers and its signal.
 * @param app answers the real path
 */
export const aliases = (app: () => Pick<OpenAPIHono<AppEnv>, 'fetch'>) =>
	createMiddleware<AppEnv>(async (c, next) => {
		const path = aliasOf(c.req.path, c.req.method);
		if (path === undefined) return next();
		const url = new URL(c.req.url);
		url.pathname = path;
		return app().fetch(new Request(url, c.req.raw), c.env, c.executionCtx);
	});
