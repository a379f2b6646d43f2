/**
 * A job's event stream, across lost connections: durable events arrive exactly once, in order.
 * @module
 */
import { createParser, type EventSourceMessage } from 'eventsource-parser';
import { ApiError, ConnectionError } from './errors.ts';
import { backoffMs, isTransient, sleep, type CallOptions, type Http } from './http.ts';
import { TERMINAL_STATES } from './types.ts';

/** Names of the events; those with an `id` are never lost, of the others only the latest counts. */
export type JobEventName =
	| 'queued'
	| 'priority'
	| 'assigned'
	| 'requeued'
	| 'image'
	| 'succeeded'
	| 'failed'
	| 'canceled'
	| 'expired'
	| 'position'
	| 'waiting'
	| 'loading'
	| 'progress'
	| 'preview';

export interface JobEvent {
	/** A `JobEventName`; newer gateways may send others. */
	event: JobEventName | (string & {});
	/** Revision of a durable event, counted from 1. */
	id?: number;
	data: Record<string, unknown>;
}

export interface EventsOptions extends CallOptions {
	/** Revision of the last durable event that you have; default 0 = from the start. */
	after?: number;
	/** Connections in a row that bring nothing before giving up; default 20. */
	maxTries?: number;
	/** Silence after which a connection counts as dead, in milliseconds; default 35,000 (the gateway says something every 10 s). */
	silenceMs?: number;
}

const MAX_TRIES = 20;
const SILENCE_MS = 35_000;

const dataOf = (text: string): Record<string, unknown> => {
	try {
		const value: unknown = JSON.parse(text);
		if (typeof value === 'object' && value !== null && !Array.isArray(value)) return value as Record<string, unknown>;
		return { value };
	} catch {
		return { value: text };
	}
};

const toEvent = ({ id: text, event, data }: EventSourceMessage): JobEvent => {
	const id = text === undefined || text === '' ? Number.NaN : Number(text);
	return { event: event ?? 'message', data: dataOf(data), ...(Number.isFinite(id) ? { id } : {}) };
};

/**
 * Events of an answer's body. Read by hand and not through piped streams, which throw away what waits in them when the
 * connection breaks.
 * @param signal ends the reading, also for a `fetch` that does not watch its signal after the head
 */
async function* readBody(body: ReadableStream<Uint8Array>, signal: AbortSignal, heard: () => void): AsyncGenerator<JobEvent> {
	const events: JobEvent[] = [];
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

interface Position {
	/** Last durable revision that was passed on. */
	after: number;
	/** Connections in a row that brought nothing. */
	failures: number;
	ended: boolean;
}

/** Events of one connection. Throws when it breaks. */
async function* readConnection(http: Http, jobId: string, position: Position, options: EventsOptions): AsyncGenerator<JobEvent> {
	const dead = new AbortController();
	const signal = options.signal === undefined ? dead.signal : AbortSignal.any([dead.signal, options.signal]);
	const response = await http.request(`/api/v1/jobs/${encodeURIComponent(jobId)}/events`, {
		headers: { accept: 'text/event-stream', ...(position.after > 0 ? { 'last-event-id': String(position.after) } : {}) },
		signal,
	});
	// There is nothing after `Last-Event-ID`: the job has ended, and its last event was read.
	if (response.status === 204) position.ended = true;
	if (response.status === 204 || response.body === null) return;
	const silenceMs = options.silenceMs ?? SILENCE_MS;
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
}

/** What a broken connection throws on: the caller's abort and refusals for good; anything else means another try. */
const rethrowFinal = (error: unknown, signal: AbortSignal | undefined): void => {
	signal?.throwIfAborted();
	if (error instanceof ApiError && !isTransient(error)) throw error;
};

/** One connection's events without those that came before; notes where it got to. */
async function* fresh(http: Http, jobId: string, position: Position, options: EventsOptions): AsyncGenerator<JobEvent> {
	for await (const event of readConnection(http, jobId, position, options)) {
		position.failures = 0;
		if (event.id !== undefined) {
			if (event.id <= position.after) continue;
			position.after = event.id;
			position.ended = TERMINAL_STATES.has(event.event);
		}
		yield event;
		if (position.ended) return;
	}
}

/**
 * Events of a job until it ends. A lost connection is opened again where it broke off (`Last-Event-ID`).
 * @throws {ApiError} when the gateway refuses for good (no such job, wrong key)
 * @throws {ConnectionError} when the gateway stays away
 */
export async function* jobEvents(http: Http, jobId: string, options: EventsOptions = {}): AsyncGenerator<JobEvent, void, undefined> {
	const position: Position = { after: options.after ?? 0, failures: 0, ended: false };
	let cause: unknown;
	while (position.failures < (options.maxTries ?? MAX_TRIES)) {
		try {
			yield* fresh(http, jobId, position, options);
			if (position.ended) return;
		} catch (error) {
			rethrowFinal(error, options.signal);
			cause = error;
		}
		await sleep(backoffMs(position.failures, Math.random()), options.signal);
		position.failures++;
	}
	throw new ConnectionError(`the event stream of ${jobId} kept breaking off`, { cause });
}
