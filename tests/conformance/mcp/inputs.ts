/**
 * Fixture tools that need something from the client before they can answer: over several rounds in the protocol of
 * 2026-07-28, over requests of the server's own in those before it (which a server without sessions cannot make).
 * @module
 */
import {
	acceptedContent,
	CLIENT_CAPABILITIES_META_KEY,
	createRequestStateCodec,
	inputRequired,
	type CallToolResult,
	type ClientCapabilities,
	type InputRequests,
	type InputRequiredResult,
	type McpServer,
	type ServerContext,
} from '@modelcontextprotocol/server';
import { z } from 'zod';

/** Keyed by a constant: each request may be served by another isolate, and nothing here is worth protecting. */
export const stateCodec = createRequestStateCodec<Record<string, unknown>>({
	key: new TextEncoder().encode('conformance-fixture-key-32-bytes'),
});

type Answer = CallToolResult | InputRequiredResult;
const text = (value: string): CallToolResult => ({ content: [{ type: 'text', text: value }] });
const form = (message: string, field: string, type: 'string' | 'boolean') => {
	const property = type === 'string' ? { type: 'string' as const } : { type: 'boolean' as const };
	return inputRequired.elicit({ message, requestedSchema: { type: 'object', properties: { [field]: property }, required: [field] } });
};
const question = (value: string, maxTokens: number) =>
	inputRequired.createMessage({ messages: [{ role: 'user', content: { type: 'text', text: value } }], maxTokens });
const mint = (payload: Record<string, unknown>): Promise<string> => stateCodec.mint({ ...payload, nonce: crypto.randomUUID() });
const replied = ({ mcpReq }: ServerContext, key: string): unknown => mcpReq.inputResponses?.[key];
const nameOf = ({ mcpReq }: ServerContext, key: string, field: string): string | undefined => {
	const value = acceptedContent<Record<string, unknown>>(mcpReq.inputResponses, key)?.[field];
	return typeof value === 'string' ? value : undefined;
};

const roots = (value: unknown): { uri?: string }[] | undefined => {
	const list = (value as { roots?: { uri?: string }[] } | undefined)?.roots;
	return Array.isArray(list) ? list : undefined;
};
const said = (value: unknown): string | undefined => (value as { content?: { text?: string } } | undefined)?.content?.text;

const elicitation = (ctx: ServerContext): Answer => {
	const name = nameOf(ctx, 'user_name', 'name');
	if (name !== undefined) return text(`Hello, ${name}!`);
	return inputRequired({ inputRequests: { user_name: form('What is your name?', 'name', 'string') } });
};

const sampling = (ctx: ServerContext): Answer => {
	const answer = replied(ctx, 'capital_question');
	if (answer !== undefined) return text(`Sampling response: ${said(answer) ?? JSON.stringify(answer)}`);
	return inputRequired({ inputRequests: { capital_question: question('What is the capital of France?', 100) } });
};

const missingCapability = (ctx: ServerContext): Answer =>
	replied(ctx, 'llm_answer') === undefined
		? inputRequired({ inputRequests: { llm_answer: question('Reply with the single word: pong', 16) } })
		: text('done');

const listRoots = (ctx: ServerContext): Answer => {
	const list = roots(replied(ctx, 'client_roots'));
	if (list !== undefined) return text(`Client exposed ${list.length} root(s): ${list.map(({ uri }) => uri).join(', ')}`);
	return inputRequired({ inputRequests: { client_roots: inputRequired.listRoots() } });
};

const confirmed =
	(word: string, tool: string) =>
	async (ctx: ServerContext): Promise<Answer> => {
		const { mcpReq } = ctx;
		const confirmation = acceptedContent(mcpReq.inputResponses, 'confirm');
		if (confirmation !== undefined && mcpReq.requestState() !== undefined) return text(`${word}: requestState verified`);
		return inputRequired({ inputRequests: { confirm: form('Please confirm', 'ok', 'boolean') }, requestState: await mint({ tool }) });
	};

const multiple = async (ctx: ServerContext): Promise<Answer> => {
	const name = nameOf(ctx, 'user_name', 'name');
	const greeting = said(replied(ctx, 'greeting'));
	const list = roots(replied(ctx, 'client_roots'));
	if (name !== undefined && greeting !== undefined && list !== undefined) return text(`${greeting} ${name}, ${list.length} root(s)`);
	return inputRequired({
		inputRequests: {
			user_name: form('What is your name?', 'name', 'string'),
			greeting: question('Generate a greeting', 50),
			client_roots: inputRequired.listRoots(),
		},
		requestState: await mint({ tool: 'multiple_inputs' }),
	});
};

const multiRound = async (ctx: ServerContext): Promise<Answer> => {
	const state = ctx.mcpReq.requestState<{ round?: number; name?: string }>();
	const round = state?.round ?? 0;
	if (round === 0) {
		return inputRequired({
			inputRequests: { step1: form('Step 1: your name?', 'name', 'string') },
			requestState: await mint({ round: 1 }),
		});
	}
	if (round === 1) {
		const name = nameOf(ctx, 'step1', 'name') ?? 'unknown';
		return inputRequired({
			inputRequests: { step2: form('Step 2: your favourite colour?', 'color', 'string') },
			requestState: await mint({ round: 2, name }),
		});
	}
	return text(`${state?.name ?? 'unknown'} likes ${nameOf(ctx, 'step2', 'color') ?? 'unknown'}`);
};

const capabilities = ({ mcpReq }: ServerContext): Answer => {
	if (mcpReq.inputResponses !== undefined) return text('asked only for what the client can do');
	const envelope = mcpReq.envelope as Record<string, unknown> | undefined;
	const declared = envelope?.[CLIENT_CAPABILITIES_META_KEY] as ClientCapabilities | undefined;
	const inputRequests: InputRequests = {
		...(declared?.elicitation === undefined ? {} : { user_name: form('What is your name?', 'name', 'string') }),
		...(declared?.sampling === undefined ? {} : { greeting: question('Generate a short greeting', 50) }),
		...(declared?.roots === undefined ? {} : { client_roots: inputRequired.listRoots() }),
	};
	return Object.keys(inputRequests).length === 0 ? text('the client can do nothing') : inputRequired({ inputRequests });
};

const ROUNDS: Record<string, (ctx: ServerContext) => Answer | Promise<Answer>> = {
	test_missing_capability: missingCapability,
	test_input_required_result_elicitation: elicitation,
	test_input_required_result_sampling: sampling,
	test_input_required_result_list_roots: listRoots,
	test_input_required_result_request_state: confirmed('state-ok', 'request_state'),
	test_input_required_result_multiple_inputs: multiple,
	test_input_required_result_multi_round: multiRound,
	test_input_required_result_tampered_state: confirmed('integrity-ok', 'tampered_state'),
	test_input_required_result_capabilities: capabilities,
};

/** Registers the tools and the prompt that ask back. */
export const addInputTools = (server: McpServer): void => {
	for (const [name, run] of Object.entries(ROUNDS)) {
		server.registerTool(name, { description: `Asks back: ${name}`, inputSchema: z.object({}) }, (_args, ctx) => run(ctx));
	}
	server.registerTool(
		'test_sampling',
		{ description: 'Asks the client’s model', inputSchema: z.object({ prompt: z.string() }) },
		async ({ prompt }, ctx) => {
			const messages = [{ role: 'user' as const, content: { type: 'text' as const, text: prompt } }];
			const answer = await ctx.mcpReq.send({ method: 'sampling/createMessage', params: { messages, maxTokens: 100 } });
			return text(`LLM response: ${said(answer) ?? 'none'}`);
		},
	);
	server.registerTool(
		'test_elicitation',
		{ description: 'Asks the user', inputSchema: z.object({ message: z.string() }) },
		async ({ message }, ctx) => {
			const requestedSchema = { type: 'object' as const, properties: { response: { type: 'string' as const } }, required: ['response'] };
			const answer = await ctx.mcpReq.send({ method: 'elicitation/create', params: { message, requestedSchema } });
			return text(`User response: ${JSON.stringify(answer)}`);
		},
	);
	server.registerPrompt(
		'test_input_required_result_prompt',
		{ description: 'Asks back before it is rendered', argsSchema: z.object({}) },
		(_args, ctx) => {
			const context = nameOf(ctx, 'user_context', 'context');
			if (context === undefined) {
				return inputRequired({ inputRequests: { user_context: form('What context should the prompt use?', 'context', 'string') } });
			}
			return { messages: [{ role: 'user', content: { type: 'text', text: `Use the following context: ${context}` } }] };
		},
	);
};
