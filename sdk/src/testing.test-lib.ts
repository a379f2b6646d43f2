/** A gateway that a test scripts: each request is answered by the next handler. */
import type { Job } from './types.ts';

export interface Seen {
	method: string;
	path: string;
	headers: Headers;
	body: string;
}
export type Handler = (seen: Seen, signal: AbortSignal) => Response | Promise<Response>;

export class Script {
	readonly seen: Seen[] = [];
	readonly #handlers: Handler[];
	constructor(...handlers: Handler[]) {
		this.#handlers = handlers;
	}

	/** Serves one request; the last handler serves all further ones. */
	readonly fetch = async (url: string, init: RequestInit): Promise<Response> => {
		const { pathname, search } = new URL(url);
		const seen: Seen = {
			method: init.method ?? 'GET',
			path: pathname + search,
			headers: new Headers(init.headers),
			body: typeof init.body === 'string' ? init.body : init.body instanceof Blob ? `blob of ${init.body.size}` : '',
		};
		this.seen.push(seen);
		const handler = this.#handlers[Math.min(this.seen.length, this.#handlers.length) - 1];
		const signal = init.signal ?? new AbortController().signal;
		signal.throwIfAborted();
		if (handler === undefined) throw new Error('the script has no handler');
		return handler(seen, signal);
	};
}

export const json =
	(body: unknown, status = 200, headers: Record<string, string> = {}): Handler =>
	() =>
		Response.json(body, { status, headers });

export const problem = (status: number, code: string, extra: object = {}): Handler =>
	json({ type: 'about:blank', title: code, status, code, requestId: 'req_1', ...extra }, status, {
		'content-type': 'application/problem+json',
	});

/** An event stream; `cut` breaks the connection at its end. */
export const stream =
	(text: string, cut = false): Handler =>
	() =>
		new Response(
			new ReadableStream({
				start: (controller) => {
					controller.enqueue(new TextEncoder().encode(text));
					if (!cut) controller.close();
				},
				pull: (controller) => {
					if (cut) controller.error(new TypeError('terminated'));
				},
			}),
			{ headers: { 'content-type': 'text/event-stream' } },
		);

export const event = (name: string, data: object, id?: number): string =>
	`${id === undefined ? '' : `id: ${id}\n`}event: ${name}\ndata: ${JSON.stringify(data)}\n\n`;

export const jobOf = (state: Job['state'], extra: Partial<Job> = {}): Job =>
	({ id: 'job_1', state, request: { n: 2, prompt: 'p' }, images: [], warnings: [], history: [], ...extra }) as unknown as Job;
