/**
 * `/mcp`: the Model Context Protocol, with API keys or access tokens of OAuth as bearer tokens.
 * @module
 */
import { LimnerError } from '@limner/shared';
import type { Hono } from 'hono';
import { createMiddleware } from 'hono/factory';
import { authenticate, readApiKey } from '../../lib/auth.ts';
import { baseUrl, type AppContext, type AppEnv } from '../../lib/context.ts';
import { newApp } from '../../lib/openapi.ts';
import { onError } from '../../lib/problem.ts';
import { DEFAULT_SCOPES, resourceOf } from '../../routes/oauth/metadata.ts';
import { preflight, refusePlace, serveMcp, withCors } from './endpoint.ts';
import { buildServer } from './server.ts';

const METADATA = '/.well-known/oauth-protected-resource';

/** Tools that may wait for a job. */
const WAITING: ReadonlySet<string> = new Set(['generate_image', 'regenerate', 'get_generation']);
const waits = (tool: string): boolean => WAITING.has(tool);

const base = (c: AppContext): string => baseUrl(c.env.PUBLIC_URL, c.req.url);

/** The 401 or 403 that tells a client where to learn what it needs. */
const challenge = (c: AppContext, answer: Response): Response => {
	const parts = [`resource_metadata="${base(c)}${METADATA}/mcp"`, `scope="${DEFAULT_SCOPES.join(' ')}"`];
	if (readApiKey(c.req.raw.headers) !== undefined) parts.unshift('error="invalid_token"');
	answer.headers.set('WWW-Authenticate', `Bearer ${parts.join(', ')}`);
	return answer;
};

/**
 * Any key of a workspace may connect, and a token that was made for this address: what they may do is decided by what they
 * are shown, and by each route.
 */
const withKey = createMiddleware<AppEnv>(async (c, next) => {
	try {
		const principal = await authenticate(c, resourceOf(base(c)));
		const { success } = await c.env.KEY_LIMIT.limit({ key: `${principal.ws}/${principal.keyId}` });
		if (!success) throw new LimnerError('rate_limited', { retryAfterS: 60 });
		c.set('principal', principal);
	} catch (error) {
		const answer = onError(error, c);
		return withCors(c, answer.status === 401 ? challenge(c, answer) : answer);
	}
	await next();
	return undefined;
});

/**
 * The routes of MCP.
 * @param app the whole gateway, which tools call
 */
export const mcpRoutes = (app: () => Hono<AppEnv>): Hono<AppEnv> => {
	const routes = newApp();
	let known: string[] | undefined;
	const routesOf = (): string[] => (known ??= app().routes.map(({ method, path }) => `${method} ${path}`));
	routes.use('/mcp', async (c, next) => {
		const refused = refusePlace(c);
		if (refused !== undefined) return refused;
		if (c.req.method === 'OPTIONS') return preflight(c);
		await next();
		return undefined;
	});
	routes.use('/mcp', withKey);
	routes.on(['POST', 'GET', 'DELETE'], '/mcp', async (c) =>
		withCors(c, await serveMcp(c, (request) => buildServer(c, app, routesOf(), request), { streams: waits })),
	);
	routes.on('OPTIONS', '/mcp', preflight);
	return routes;
};
