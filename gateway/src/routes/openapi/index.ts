/**
 * `GET /openapi.json` and `GET /docs`.
 * @module
 */
import type { OpenAPIHono } from '@hono/zod-openapi';
import type { AppEnv } from '../../lib/context.ts';
import { newApp } from '../../lib/openapi.ts';
import { openapiDocument } from './document.ts';
import { docsPage, docsPolicy } from './page.ts';

/** @param whole the app that the document describes, asked for only once all its routes are there */
export const openapiRoutes = (whole: () => OpenAPIHono<AppEnv>): OpenAPIHono<AppEnv> => {
	const app = newApp();
	let text: string | undefined;
	let page: string | undefined;
	app.get('/openapi.json', (c) => {
		text ??= JSON.stringify(openapiDocument(whole()));
		return c.body(text, 200, { 'Content-Type': 'application/json', 'Cache-Control': 'public, max-age=300' });
	});
	app.get('/docs', (c) => {
		page ??= docsPage(openapiDocument(whole()));
		return c.html(page, 200, { 'Content-Security-Policy': docsPolicy(), 'Cache-Control': 'public, max-age=300' });
	});
	return app;
};
