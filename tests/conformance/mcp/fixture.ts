/**
 * What the scenarios of `@modelcontextprotocol/conformance` call by name: tools, resources and prompts whose answers
 * they know.
 * @module
 */
import { fromJsonSchema, McpServer, ResourceTemplate, type CallToolResult, type ServerEventBus } from '@modelcontextprotocol/server';
import { z } from 'zod';
import { addInputTools, stateCodec } from './inputs.ts';

export const PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==';
const SILENCE = 'UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA=';

const text = (value: string): CallToolResult => ({ content: [{ type: 'text', text: value }] });
const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));
const none = z.object({});
const image = { type: 'image' as const, data: PIXEL, mimeType: 'image/png' };
const embedded = (uri: string, mimeType: string, value: string) => ({
	type: 'resource' as const,
	resource: { uri, mimeType, text: value },
});

const addContentTools = (server: McpServer): void => {
	const plain: Record<string, CallToolResult> = {
		test_simple_text: text('This is a simple text response for testing.'),
		test_image_content: { content: [image] },
		test_audio_content: { content: [{ type: 'audio', data: SILENCE, mimeType: 'audio/wav' }] },
		test_embedded_resource: { content: [embedded('test://embedded-resource', 'text/plain', 'This is an embedded resource content.')] },
		test_multiple_content_types: {
			content: [
				{ type: 'text', text: 'Multiple content types test:' },
				image,
				embedded('test://mixed-content-resource', 'application/json', JSON.stringify({ test: 'data', value: 123 })),
			],
		},
		test_streaming_elicitation: text('a stream of its own, without a request in it'),
	};
	for (const [name, result] of Object.entries(plain)) {
		server.registerTool(name, { description: `Answers what ${name} expects`, inputSchema: none }, () => result);
	}
	server.registerTool('test_error_handling', { description: 'Fails', inputSchema: none }, () => {
		throw new Error('This tool intentionally returns an error for testing');
	});
};

const addTalkingTools = (server: McpServer): void => {
	server.registerTool('test_tool_with_logging', { description: 'Logs while it runs', inputSchema: none }, async (_args, { mcpReq }) => {
		for (const data of ['Tool execution started', 'Tool processing data', 'Tool execution completed']) {
			await mcpReq.notify({ method: 'notifications/message', params: { level: 'info', data } });
			await pause(50);
		}
		return text('logged');
	});
	server.registerTool('test_logging_tool', { description: 'Logs to who asked for it', inputSchema: none }, async (_args, { mcpReq }) => {
		await mcpReq.log('info', 'test_logging_tool ran');
		return text('logged');
	});
	server.registerTool('test_tool_with_progress', { description: 'Tells progress', inputSchema: none }, async (_args, { mcpReq }) => {
		const { _meta: meta } = mcpReq;
		const progressToken = meta?.progressToken;
		for (const progress of progressToken === undefined ? [] : [0, 50, 100]) {
			await mcpReq.notify({ method: 'notifications/progress', params: { progressToken, progress, total: 100 } });
			await pause(50);
		}
		return text(String(progressToken ?? 'no token'));
	});
};

/** As text: `then` among the keys of an object would make it a promise to some. */
const SCHEMA_2020_12 = `{
	"$schema": "https://json-schema.org/draft/2020-12/schema",
	"type": "object",
	"$defs": {
		"address": {
			"$anchor": "addressDef", "type": "object",
			"properties": { "street": { "type": "string" }, "city": { "type": "string" } }
		}
	},
	"properties": {
		"name": { "type": "string" },
		"address": { "$ref": "#/$defs/address" },
		"contactMethod": { "type": "string", "enum": ["phone", "email"] },
		"phone": { "type": "string" },
		"email": { "type": "string" }
	},
	"allOf": [{ "anyOf": [{ "required": ["phone"] }, { "required": ["email"] }] }],
	"if": { "properties": { "contactMethod": { "const": "phone" } }, "required": ["contactMethod"] },
	"then": { "required": ["phone"] },
	"else": { "required": ["email"] },
	"additionalProperties": false
}`;

const addSchemaTools = (server: McpServer): void => {
	// Not written in place: the type of a schema knows no extensions.
	const region = { type: 'string' as const, 'x-mcp-header': 'Region' };
	server.registerTool(
		'test_x_mcp_header',
		{
			description: 'An argument that is mirrored into a header',
			inputSchema: fromJsonSchema<{ region?: string }>({ type: 'object', properties: { region, level: { type: 'integer' } } }),
		},
		(args) => text(`region=${args.region ?? 'none'}`),
	);
	server.registerTool(
		'json_schema_2020_12_tool',
		{
			description: 'A schema with all that 2020-12 has',
			inputSchema: fromJsonSchema(JSON.parse(SCHEMA_2020_12) as Parameters<typeof fromJsonSchema>[0]),
		},
		(args) => text(JSON.stringify(args)),
	);
};

/** What a list says when it has changed: the suite listens on one request and triggers on another. */
const addTriggers = (server: McpServer, bus: ServerEventBus): void => {
	server.registerTool('test_trigger_tool_change', { description: 'Says that the tools have changed', inputSchema: none }, () => {
		bus.publish({ kind: 'tools_list_changed' });
		return text('told');
	});
	server.registerTool('test_trigger_prompt_change', { description: 'Says that the prompts have changed', inputSchema: none }, () => {
		bus.publish({ kind: 'prompts_list_changed' });
		return text('told');
	});
};

const one = (uri: string, mimeType: string, value: string) => ({ contents: [{ uri, mimeType, text: value }] });

const addResources = (server: McpServer): void => {
	server.registerResource('static-text', 'test://static-text', { mimeType: 'text/plain', description: 'A text' }, () =>
		one('test://static-text', 'text/plain', 'This is the content of the static text resource.'),
	);
	server.registerResource('static-binary', 'test://static-binary', { mimeType: 'image/png', description: 'A picture' }, () => ({
		contents: [{ uri: 'test://static-binary', mimeType: 'image/png', blob: PIXEL }],
	}));
	server.registerResource('watched-resource', 'test://watched-resource', { mimeType: 'text/plain', description: 'To subscribe to' }, () =>
		one('test://watched-resource', 'text/plain', 'Watched resource content'),
	);
	server.registerResource(
		'template',
		new ResourceTemplate('test://template/{id}/data', { list: undefined }),
		{ mimeType: 'application/json', description: 'By id' },
		(uri, { id }) => one(uri.href, 'application/json', JSON.stringify({ id, templateTest: true, data: `Data for ID: ${String(id)}` })),
	);
	server.server.setRequestHandler('resources/subscribe', () => ({}));
	server.server.setRequestHandler('resources/unsubscribe', () => ({}));
};

const user = (content: { type: 'text'; text: string } | typeof image | ReturnType<typeof embedded>) => ({ role: 'user' as const, content });

const addPrompts = (server: McpServer): void => {
	server.registerPrompt('test_simple_prompt', { description: 'Without arguments' }, () => ({
		messages: [user({ type: 'text', text: 'This is a simple prompt for testing.' })],
	}));
	server.registerPrompt(
		'test_prompt_with_arguments',
		{ description: 'With arguments', argsSchema: z.object({ arg1: z.string(), arg2: z.string() }) },
		({ arg1, arg2 }) => ({ messages: [user({ type: 'text', text: `Prompt with arguments: arg1='${arg1}', arg2='${arg2}'` })] }),
	);
	server.registerPrompt(
		'test_prompt_with_embedded_resource',
		{ description: 'With a resource', argsSchema: z.object({ resourceUri: z.string() }) },
		({ resourceUri }) => ({
			messages: [
				user(embedded(resourceUri, 'text/plain', 'Embedded resource content for testing.')),
				user({ type: 'text', text: 'Please process the embedded resource above.' }),
			],
		}),
	);
	server.registerPrompt('test_prompt_with_image', { description: 'With a picture' }, () => ({
		messages: [user(image), user({ type: 'text', text: 'Please analyze the image above.' })],
	}));
};

/** A fixture server for one request. */
export const buildFixture = (bus: ServerEventBus): McpServer => {
	const server = new McpServer(
		{ name: 'limner-mcp-conformance', version: '1.0.0' },
		{
			capabilities: {
				tools: { listChanged: true },
				resources: { subscribe: true, listChanged: true },
				prompts: { listChanged: true },
				logging: {},
				completions: {},
			},
			requestState: { verify: (state, ctx) => stateCodec.verify(state, ctx) },
			cacheHints: { 'tools/list': { ttlMs: 1000, cacheScope: 'public' } },
		},
	);
	addContentTools(server);
	addTalkingTools(server);
	addSchemaTools(server);
	addTriggers(server, bus);
	addInputTools(server);
	addResources(server);
	addPrompts(server);
	server.server.setRequestHandler('logging/setLevel', () => ({}));
	server.server.setRequestHandler('completion/complete', () => ({ completion: { values: [], total: 0, hasMore: false } }));
	return server;
};
