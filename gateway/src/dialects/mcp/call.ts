/**
 * What a tool is given, apart from its arguments.
 * @module
 */
import { LimnerError } from '@limner/shared';
import type { CallToolResult } from '@modelcontextprotocol/server';
import type { AppContext } from '../../lib/context.ts';
import type { Api } from './api.ts';
import type { Tell } from './wait.ts';

export interface ToolCall {
	c: AppContext;
	api: Api;
	/** In `modern` (2026-07-28) a client that hangs up has cancelled its call; in `legacy` it has not. */
	era: 'legacy' | 'modern';
	/** The client's going away. */
	signal: AbortSignal;
	tell: Tell | undefined;
}

export type ToolHandler<Input> = (input: Input, call: ToolCall) => Promise<CallToolResult>;

const sentence = (text: string): string => (/[.!?]$/.test(text) ? text : `${text}.`);

/** A refusal as the error result that a model reads and acts on. */
export const refusal = (error: LimnerError): CallToolResult => {
	const fields = (error.errors ?? [])
		.map(({ pointer, detail }) => `${pointer}: ${detail}`)
		.filter((field) => !error.message.includes(field));
	const again = error.retryAfterS === undefined ? '' : ` Try again in ${Math.ceil(error.retryAfterS)} s.`;
	const text = `${sentence([error.message, ...fields].join('; '))}${again}`;
	return { content: [{ type: 'text', text }], isError: true, _meta: { 'limner/code': error.code } };
};

/** A result that is nothing but data. */
export const dataResult = (data: Record<string, unknown>, text?: string): CallToolResult => ({
	content: [{ type: 'text', text: text ?? JSON.stringify(data) }],
	structuredContent: data,
});

export const invalid = (detail: string): LimnerError => new LimnerError('validation_failed', { detail });
