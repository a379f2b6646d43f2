/**
 * The MCP server that answers when no gateway does: it lists the same tools, and each of them says what is missing.
 * @module
 */
import { LIMNER_VERSION, MCP_INSTRUCTIONS, MCP_TOOLS, type McpTool } from '@limner/shared';
import { createMcpHandler, McpServer } from '@modelcontextprotocol/server';

const offlineServer = (why: string): McpServer => {
	const server = new McpServer({ name: 'limner', title: 'Limner', version: LIMNER_VERSION }, { instructions: MCP_INSTRUCTIONS });
	for (const [name, tool] of Object.entries<McpTool>(MCP_TOOLS)) {
		const { title, description, annotations } = tool;
		server.registerTool(
			name,
			{ title, description, inputSchema: tool.input, outputSchema: tool.output, annotations: { title, ...annotations } },
			() => ({
				content: [{ type: 'text', text: `Limner cannot be used now: ${why}. Then call the tool again.` }],
				isError: true,
			}),
		);
	}
	return server;
};

/** Answers one request of either protocol era. */
export const answerOffline = (request: Request, why: string): Promise<Response> =>
	createMcpHandler(() => offlineServer(why)).fetch(request);
