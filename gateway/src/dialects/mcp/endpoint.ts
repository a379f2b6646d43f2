/**
 * What stands before every MCP server here: who may call from where, CORS, the protocol handler.
 * @module
 */
import { MCP_LIMITS } from '@limner/shared';
import { createMcpHandler, type McpServerFactory, type ServerEventBus } from '@modelcontextprotocol/server';
import { baseUrl, type AppContext } from '../../lib/context.ts';
import { describeError } from '../../lib/log.ts';
import { hostAllowed, originAllowed } from './address.ts';

const ALLOWED_HEADERS =
	'Content-Type, Accept, Authorization, X-API-Key, Last-Event-ID, MCP-Protocol-Version, Mcp-Method, Mcp-Name, Mcp-Session-Id, traceparent';

const refused = (message: string): Response =>
	Response.json({ jsonrpc: '2.0', id: null, error: { code: -32_000, message } }, { status: 403 });

/** The answer to a request from a place that may not call; `undefined` for one that may. */
export const refusePlace = (c: AppContext): Response | undefined => {
	const { hostname, origin: own } = new URL(c.req.url);
	if (!hostAllowed(hostname, c.env.PUBLIC_URL)) return refused(`this gateway is not ${hostname}; its operator can set PUBLIC_URL`);
	const origin = c.req.header('origin');
	const ours = c.env.PUBLIC_URL === '' ? own : new URL(baseUrl(c.env.PUBLIC_URL, c.req.url)).origin;
	if (origin === undefined || originAllowed(origin, ours, c.env.CORS_ORIGINS)) return undefined;
	return refused(`pages of ${origin} may not call; the gateway's operator can add it to CORS_ORIGINS`);
};

/** Headers that let an allowed page read the answer. */
export const withCors = (c: AppContext, response: Response): Response => {
	const origin = c.req.header('origin');
	if (origin === undefined) return response;
	const headers = new Headers(response.headers);
	headers.set('Access-Control-Allow-Origin', origin);
	headers.append('Vary', 'Origin');
	headers.set('Access-Control-Expose-Headers', 'WWW-Authenticate, X-Request-Id, Mcp-Session-Id, MCP-Protocol-Version');
	headers.set('Cross-Origin-Resource-Policy', 'cross-origin');
	return new Response(response.body, { status: response.status, statusText: response.statusText, headers });
};

/** Answer to a browser's question before the call. */
export const preflight = (c: AppContext): Response =>
	withCors(
		c,
		new Response(null, {
			status: 204,
			headers: {
				'Access-Control-Allow-Methods': 'POST, GET, DELETE, OPTIONS',
				'Access-Control-Allow-Headers': ALLOWED_HEADERS,
				'Access-Control-Max-Age': '86400',
			},
		}),
	);

export interface ServeOptions {
	/**
	 * Whether a call of this tool streams from its first byte on. Only a write tells that a client has gone, so that what
	 * takes long must stream; what does not may still answer an HTTP status of its own.
	 */
	streams: (tool: string) => boolean;
	/** Change events, for a server that has any. */
	bus?: ServerEventBus;
}

/** Serves one request of either protocol era with a server of its own. */
export const serveMcp = (c: AppContext, factory: McpServerFactory, { streams, bus }: ServeOptions): Promise<Response> => {
	const log = c.get('log');
	const handler = createMcpHandler(factory, {
		// The handler checks that the header says what the body says.
		responseMode: streams(c.req.header('mcp-name') ?? '') ? 'sse' : 'auto',
		keepAliveMs: MCP_LIMITS.keepAliveMs,
		maxRequestBodySize: MCP_LIMITS.bodyBytes,
		...(bus === undefined ? {} : { bus }),
		onerror: (error) => log.info('an MCP request was refused', describeError(error)),
	});
	return handler.fetch(c.req.raw);
};
