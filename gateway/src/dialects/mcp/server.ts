/**
 * One MCP server for one request: the tools, resources and prompts that its caller may use.
 * @module
 */
import { LIMNER_VERSION, LimnerError, MCP_INSTRUCTIONS, type ModelView } from '@limner/shared';
import { McpServer, type CallToolResult, type McpRequestContext, type ServerContext } from '@modelcontextprotocol/server';
import { hasScope } from '../../lib/auth.ts';
import { baseUrl, type AppContext } from '../../lib/context.ts';
import { describeError } from '../../lib/log.ts';
import { normalise } from '../../lib/problem.ts';
import { createApi, type Api, type FetchApp } from './api.ts';
import { refusal, type ToolCall } from './call.ts';
import { iconsOf, SERVER_ICONS } from './icons.ts';
import { addPrompts } from './prompts.ts';
import { addResources, recentImages, VIEW_URI } from './resources.ts';
import { toolsFor, type ListedTool } from './tools/index.ts';
import type { Tell } from './wait.ts';

const tellerOf = ({ mcpReq }: ServerContext): Tell | undefined => {
	const { _meta: meta } = mcpReq;
	const progressToken = meta?.progressToken;
	if (progressToken === undefined) return undefined;
	return (progress, message) =>
		mcpReq.notify({ method: 'notifications/progress', params: { progressToken, progress, total: 100, message } });
};

/** Runs a tool; refusals become results that a model can act on, and faults say nothing of themselves. */
const runTool = async (tool: ListedTool, input: unknown, call: ToolCall): Promise<CallToolResult> => {
	try {
		return await tool.run(input as never, call);
	} catch (error) {
		const known = error instanceof LimnerError ? error : normalise(error);
		if (known.status >= 500) call.c.get('log').error('a tool failed', { tool: tool.name, ...describeError(error) });
		return refusal(known);
	}
};

const addTool = (server: McpServer, c: AppContext, api: Api, tool: ListedTool, era: ToolCall['era']): void => {
	const { name, title, description, input, output, annotations, view } = tool;
	server.registerTool(
		name,
		{
			title,
			description,
			inputSchema: input,
			outputSchema: output,
			annotations: { title, ...annotations },
			icons: iconsOf(name),
			...(view === true ? { _meta: { ui: { resourceUri: VIEW_URI }, 'ui/resourceUri': VIEW_URI } } : {}),
		},
		(args: unknown, ctx: ServerContext) => {
			const run = runTool(tool, args, { c, api, era, signal: ctx.mcpReq.signal, tell: tellerOf(ctx) });
			// A pending promise is what makes the runtime tell a hang-up, and leaves time to cancel the job after it.
			c.executionCtx.waitUntil(run);
			return run;
		},
	);
};

/** Names of models for completions. */
const modelNames = async (api: Api): Promise<string[]> =>
	(await api.json<{ data: ModelView[] }>('/api/v1/models')).data.map(({ name }) => name);

/**
 * Builds the server.
 * @param routes of this gateway: a tool is listed when the route that it stands on exists
 */
export const buildServer = (c: AppContext, app: FetchApp, routes: readonly string[], { era }: McpRequestContext): McpServer => {
	const { scopes } = c.get('principal');
	const api = createApi(c, app);
	const base = baseUrl(c.env.PUBLIC_URL, c.req.url);
	const server = new McpServer(
		{ name: 'limner', title: 'Limner', version: LIMNER_VERSION, websiteUrl: base, icons: SERVER_ICONS },
		{
			instructions: MCP_INSTRUCTIONS,
			capabilities: { tools: { listChanged: false }, resources: { listChanged: false }, prompts: { listChanged: false }, completions: {} },
			cacheHints: {
				'tools/list': { ttlMs: 60_000, cacheScope: 'private' },
				'prompts/list': { ttlMs: 300_000, cacheScope: 'private' },
				'resources/templates/list': { ttlMs: 300_000, cacheScope: 'private' },
				'server/discover': { ttlMs: 60_000, cacheScope: 'private' },
			},
		},
	);
	for (const tool of toolsFor(scopes, routes)) addTool(server, c, api, tool, era);
	const may = { images: hasScope(scopes, 'images:read'), jobs: hasScope(scopes, 'jobs:read') };
	addResources(server, api, base, may);
	addPrompts(server, { models: () => modelNames(api), images: async () => (await recentImages(api)).map(({ id }) => id) });
	return server;
};
