/**
 * All tools with what runs them, and which of them a caller sees.
 * @module
 */
import { MCP_ADMIN_TOOLS, MCP_TOOLS, type McpTool } from '@limner/shared';
import { hasScope } from '../../../lib/auth.ts';
import type { ToolHandler } from '../call.ts';
import { cancelGeneration, generateImage, getGeneration, regenerate } from './generate.ts';
import {
	coordinationMetrics,
	failCoordinationAgent,
	initializePool,
	isolationReport,
	shutdownCoordinationPool,
	submitCoordinationTask,
	submitWorkflow,
} from './operate.ts';
import { getUsage, listGenerations, listModels, uploadImage, viewImage } from './read.ts';

type Runs = (input: never, call: Parameters<ToolHandler<unknown>>[1]) => ReturnType<ToolHandler<unknown>>;

/** A tool that stands on a route which this gateway may not have. */
interface Entry {
	run: Runs;
	route?: string;
}

const ENTRIES: Record<keyof typeof MCP_TOOLS | keyof typeof MCP_ADMIN_TOOLS, Entry> = {
	generate_image: { run: generateImage },
	get_generation: { run: getGeneration },
	regenerate: { run: regenerate },
	view_image: { run: viewImage },
	cancel_generation: { run: cancelGeneration },
	list_generations: { run: listGenerations },
	upload_image: { run: uploadImage },
	list_models: { run: listModels },
	get_usage: { run: getUsage },
	submit_workflow: { run: submitWorkflow, route: 'POST /api/v1/workflows' },
	initialize_pool: { run: initializePool, route: 'POST /api/v1/pool/initialize' },
	submit_coordination_task: { run: submitCoordinationTask, route: 'POST /api/v1/jobs' },
	fail_coordination_agent: { run: failCoordinationAgent, route: 'POST /api/v1/pool/agents/:id/fail' },
	isolation_report: { run: isolationReport, route: 'GET /api/v1/pool/isolation-report' },
	coordination_metrics: { run: coordinationMetrics, route: 'GET /api/v1/pool/metrics' },
	shutdown_coordination_pool: { run: shutdownCoordinationPool, route: 'POST /api/v1/pool/shutdown' },
};

export interface ListedTool extends McpTool {
	name: string;
	run: Runs;
}

const shape = (route: string): string => route.replaceAll(/:\w+(?:\{[^}]*\})?/g, ':').replace(/\/$/, '');

/**
 * Tools that a caller may use, in a fixed order.
 * @param scopes of the caller's key
 * @param routes of this gateway, as `METHOD /path`
 */
export const toolsFor = (scopes: readonly string[], routes: readonly string[]): ListedTool[] => {
	const known = new Set(routes.map(shape));
	return Object.entries<McpTool>({ ...MCP_TOOLS, ...MCP_ADMIN_TOOLS }).flatMap(([name, tool]) => {
		const { run, route } = ENTRIES[name as keyof typeof ENTRIES];
		const possible = route === undefined || known.has(shape(route));
		return possible && tool.scopes.every((scope) => hasScope(scopes, scope)) ? [{ name, ...tool, run }] : [];
	});
};
