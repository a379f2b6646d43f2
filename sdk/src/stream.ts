/**
 * One connection of server-sent events, read from `fetch`: an EventSource could not send the key.
 * @module
 */
import { createParser, type EventSourceMessage } from 'eventsource-parser';
import type { Http } from './http.ts';

export interface StreamEvent {
	event: string;
	/** Revision of a durable event, counted from 1. */
	id?: number;
	data: Record<string, unknown>;
}

export interface StreamOptions {
	signal?: AbortSignal | undefined;
	headers?: Record<string, string>;
	/** Silence after which a connection counts as dead, in milliseconds. */
	silenceMs: number;
}

const dataOf = (text: string): Record<string, unknown> => {
	try {
		const value: unknown = JSON.parse(text);
		if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
		return { value };
	} catch {
		return { value: text };
	}
};

const toEvent = ({ id: text, event, data }: EventSourceMessage): StreamEvent => {
	const id = text === undefined || text === '' ? Number.NaN : Number(text);
	return { event: event ?? 'message', data: dataOf(data), ...(Number.isFinite(id) ? { id } : {}) };
};

/**
 * Events of an answer's body. Read by hand and not through piped streams, which throw away what waits in them when the
 * connection breaks.
 * @param signal ends the reading, also for a `fetch` that does not watch its signal after the head
 */
async function* readBody(body: ReadableStream<Uint8Array>, signal: AbortSignal, heard: () => void): AsyncGenerator<StreamEvent> {
	const events: StreamEvent[] = [];
	const parser = createParser({ onEvent: (message) => events.push(toEvent(message)) });
	const decoder = new TextDecoder();
	const reader = body.getReader();
	const stop = (): void => void reader.cancel().catch(() => undefined);
	signal.addEventListener('abort', stop, { once: true });
	try {
		for (;;) {
			signal.throwIfAborted();
			const { done, value } = await reader.read();
			if (done) return;
			heard();
			parser.feed(decoder.decode(value, { stream: true }));
			yield* events.splice(0);
		}
	} finally {
		signal.removeEventListener('abort', stop);
		stop();
	}
}

/** Events of one connection; returns whether the gateway said that there is nothing to come (204). Throws when it breaks. */
export async function* readStream(http: Http, path: string, options: StreamOptions): AsyncGenerator<StreamEvent, boolean, undefined> {
	const dead = new AbortController();
	const signal = options.signal === undefined ? dead.signal : AbortSignal.any([dead.signal, options.signal]);
	const response = await http.request(path, { headers: { accept: 'text/event-stream', ...options.headers }, signal });
	if (response.status === 204 || response.body === null) return response.status === 204;
	const { silenceMs } = options;
	const late = (): void => dead.abort(new Error(`nothing came for ${silenceMs} ms`));
	let timer = setTimeout(late, silenceMs);
	const heard = (): void => {
		clearTimeout(timer);
		timer = setTimeout(late, silenceMs);
	};
	try {
		yield* readBody(response.body, signal, heard);
	} finally {
		clearTimeout(timer);
		// Also when the consumer leaves: an open connection would keep the gateway sending.
		dead.abort();
	}
	return false;
}
