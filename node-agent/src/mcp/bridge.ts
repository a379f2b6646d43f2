/**
 * Stdio to HTTP: JSON-RPC messages from a host's pipe go to a gateway's `/mcp`, and its answers come back. It knows no
 * methods: what it adds is the key, the headers of Streamable HTTP, and an answer when no gateway does.
 * @module
 */
import { createParser } from 'eventsource-parser';

export interface BridgeOptions {
	/** Address of the gateway, without a trailing slash. */
	url: string;
	apiKey: string | undefined;
	/** Writes one message to the host. */
	send: (message: string) => void;
	/** Answers instead of a gateway that does not, or does not know the key. `why` is a sentence for the user. */
	offline: (request: Request, why: string) => Promise<Response>;
	fetch?: (url: string, init: RequestInit) => Promise<Response>;
}

interface Message {
	id?: string | number;
	method?: string;
	params?: Record<string, unknown>;
	result?: unknown;
}

const MODERN_VERSION = 'io.modelcontextprotocol/protocolVersion';
/** What the `Mcp-Name` header repeats, by method. */
const NAMED: Readonly<Record<string, string>> = { 'tools/call': 'name', 'prompts/get': 'name', 'resources/read': 'uri' };

const text = (value: unknown): string | undefined => (typeof value === 'string' ? value : undefined);

/** A header's value; what is not plain ASCII goes as base64, as the protocol says. */
const headerText = (value: string): string =>
	/^[\x21-\x7e]+(?: [\x21-\x7e]+)*$/.test(value) ? value : `=?base64?${Buffer.from(value).toString('base64')}?=`;

const repeated = ({ method = '', params }: Message): Record<string, string> => {
	const name = text(params?.[NAMED[method] ?? '']);
	return { 'mcp-method': method, ...(name === undefined ? {} : { 'mcp-name': headerText(name) }) };
};

/**
 * Headers that repeat what a message says. Pure.
 * @param negotiated version of a connection that began with `initialize`
 */
export const headersOf = (message: Message, negotiated: string | undefined): Record<string, string> => {
	const { _meta: meta } = (message.params ?? {}) as { _meta?: Record<string, unknown> };
	const modern = text(meta?.[MODERN_VERSION]);
	const version = modern ?? (message.method === 'initialize' ? undefined : negotiated);
	return {
		'content-type': 'application/json',
		accept: 'application/json, text/event-stream',
		...(version === undefined ? {} : { 'mcp-protocol-version': version }),
		...(modern === undefined ? {} : repeated(message)),
	};
};

const parse = (line: string): Message | undefined => {
	try {
		const value: unknown = JSON.parse(line);
		return typeof value === 'object' && value !== null && !Array.isArray(value) ? value : undefined;
	} catch {
		return undefined;
	}
};

/** One host's connection. */
export class Bridge {
	readonly #options: BridgeOptions;
	readonly #running = new Map<string | number, AbortController>();
	#negotiated: string | undefined;
	constructor(options: BridgeOptions) {
		this.#options = options;
	}

	/** Takes one line from the host; answers when everything that it brings about has been sent. */
	async line(line: string): Promise<void> {
		if (line.trim() === '') return;
		const message = parse(line);
		if (message === undefined) {
			this.#send({ jsonrpc: '2.0', id: null, error: { code: -32_700, message: 'this line is no JSON-RPC message' } });
			return;
		}
		if (message.method === 'notifications/cancelled') {
			this.#running.get(message.params?.['requestId'] as string | number)?.abort();
			return;
		}
		const abort = new AbortController();
		if (message.id !== undefined && message.method !== undefined) this.#running.set(message.id, abort);
		try {
			await this.#deliver(message, line, abort.signal);
		} finally {
			if (message.id !== undefined) this.#running.delete(message.id);
		}
	}

	/** Ends every call: the host has gone. */
	close(): void {
		for (const abort of this.#running.values()) abort.abort();
	}

	#send(message: object): void {
		this.#options.send(JSON.stringify(message));
	}

	async #deliver(message: Message, line: string, signal: AbortSignal): Promise<void> {
		try {
			await this.#relay(message, await this.#ask(message, line, signal));
		} catch (error) {
			if (signal.aborted || message.id === undefined) return;
			const why = error instanceof Error ? error.message : String(error);
			this.#send({ jsonrpc: '2.0', id: message.id, error: { code: -32_000, message: `the gateway's answer broke off: ${why}` } });
		}
	}

	async #ask(message: Message, line: string, signal: AbortSignal): Promise<Response> {
		const { url, apiKey, offline } = this.#options;
		const headers = headersOf(message, this.#negotiated);
		const init = { method: 'POST', headers, body: line };
		const instead = (why: string): Promise<Response> => offline(new Request('http://127.0.0.1/mcp', init), why);
		if (apiKey === undefined || apiKey === '') return instead('there is no API key: run `limner login`, or set LIMNER_API_KEY');
		try {
			const response = await (this.#options.fetch ?? fetch)(`${url}/mcp`, {
				...init,
				headers: { ...headers, authorization: `Bearer ${apiKey}` },
				signal,
			});
			if (response.status !== 401) return response;
			await response.body?.cancel();
			return await instead(`the gateway at ${url} does not know the API key: run \`limner login\``);
		} catch (error) {
			if (signal.aborted) throw error;
			return instead(`no gateway answers at ${url}: start it with \`npm start\` in the folder of Limner, or set LIMNER_URL`);
		}
	}

	async #relay(message: Message, response: Response): Promise<void> {
		if ((response.headers.get('content-type') ?? '').includes('text/event-stream')) {
			const parser = createParser({ onEvent: ({ data }) => this.#pass(message, data) });
			const decoder = new TextDecoder();
			for await (const chunk of response.body ?? []) parser.feed(decoder.decode(chunk, { stream: true }));
			return;
		}
		const body = await response.text();
		if (body !== '') this.#pass(message, body, response.status);
	}

	/** Passes one message on, on one line. */
	#pass(request: Message, data: string, status = 200): void {
		const answer = parse(data);
		if (answer !== undefined && 'jsonrpc' in answer) {
			const { protocolVersion } = (answer.result ?? {}) as { protocolVersion?: string };
			if (request.method === 'initialize' && protocolVersion !== undefined) this.#negotiated = protocolVersion;
			this.#send(answer);
		} else if (request.id !== undefined) {
			const { detail } = (answer ?? {}) as { detail?: string };
			this.#send({ jsonrpc: '2.0', id: request.id, error: { code: -32_000, message: detail ?? `the gateway answered ${status}` } });
		}
	}
}
