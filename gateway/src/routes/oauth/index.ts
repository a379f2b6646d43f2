/**
 * OAuth 2.1 for MCP clients, on the gateway's accounts: metadata, registration, `/oauth/authorize`, `/oauth/token`,
 * `/oauth/revoke`. Why it is not a library: docs/decisions/0011.
 * @module
 */
import { LimnerError, OAUTH_LIMITS as L } from '@limner/shared';
import type { Hono } from 'hono';
import { addressOf, issuerOf } from '../../lib/auth.ts';
import type { AppContext, AppEnv } from '../../lib/context.ts';
import { readJsonText } from '../../lib/json-body.ts';
import { newApp } from '../../lib/openapi.ts';
import { beginAuthorization, continueAuthorization } from './authorize.ts';
import { registerClient } from './client.ts';
import { METADATA_HEADERS, OPEN, resourceMetadata, serverMetadata } from './metadata.ts';
import { oauthError, revocationEndpoint, tokenEndpoint } from './token.ts';

const preflight = (): Response =>
	new Response(null, {
		status: 204,
		headers: {
			...OPEN,
			'Access-Control-Allow-Methods': 'GET, POST, OPTIONS',
			'Access-Control-Allow-Headers': 'Content-Type, Accept, Authorization, MCP-Protocol-Version',
			'Access-Control-Max-Age': '86400',
		},
	});

const register = async (c: AppContext): Promise<Response> => {
	const { success } = await c.env.ADDRESS_LIMIT.limit({ key: addressOf(c) });
	if (!success) return oauthError(c, 'temporarily_unavailable', 'too many requests from this address', 429);
	let json: unknown;
	try {
		json = JSON.parse(await readJsonText(c.req.raw, L.formBytes));
	} catch (error) {
		if (!(error instanceof LimnerError)) throw error;
		return oauthError(c, 'invalid_client_metadata', error.message);
	}
	const now = Date.now();
	const made = registerClient(c.env.LIMNER_SECRET, json, now);
	if (!made.ok) return oauthError(c, made.error, made.why);
	const { id, name, redirects } = made.client;
	return c.json(
		{
			client_id: id,
			client_id_issued_at: Math.floor(now / 1000),
			client_name: name,
			redirect_uris: redirects,
			grant_types: ['authorization_code', 'refresh_token'],
			response_types: ['code'],
			// Whatever was asked for: clients here are public, and prove themselves by PKCE.
			token_endpoint_auth_method: 'none',
		},
		201,
		{ ...OPEN, 'Cache-Control': 'no-store' },
	);
};

const PROTECTED = '/.well-known/oauth-protected-resource';
const SERVER = '/.well-known/oauth-authorization-server';

/** The routes of OAuth, at the paths that its RFCs name. */
export const oauthRoutes = (): Hono<AppEnv> => {
	const routes = newApp();
	// The path's own document, and the one of clients that look at the root only.
	for (const path of [PROTECTED, `${PROTECTED}/mcp`]) {
		routes.get(path, (c) => c.json(resourceMetadata(issuerOf(c)), 200, METADATA_HEADERS));
		routes.options(path, preflight);
	}
	routes.get(SERVER, (c) => c.json(serverMetadata(issuerOf(c)), 200, METADATA_HEADERS));
	routes.options(SERVER, preflight);
	routes.post('/oauth/register', register);
	routes.get('/oauth/authorize', beginAuthorization);
	routes.post('/oauth/authorize', continueAuthorization);
	routes.post('/oauth/token', tokenEndpoint);
	routes.post('/oauth/revoke', revocationEndpoint);
	for (const path of ['/oauth/register', '/oauth/token', '/oauth/revoke']) routes.options(path, preflight);
	return routes;
};
