/**
 * A job's event stream, across lost connections: durable events arrive exactly once, in order.
 * @module
 */
import { ApiError, ConnectionError } from './errors.ts';
import { backoffMs, isTransient, sleep, type CallOptions, type Http } from './http.ts';
import { readStream } from './stream.ts';
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
export const SILENCE_MS = 35_000;

interface Position {
	/** Last durable revision that was passed on. */
	after: number;
	/** Connections in a row that brought nothing. */
	failures: number;
	ended: boolean;
}

/** Events of one connection. Throws when it breaks. */
async function* readConnection(http: Http, jobId: string, position: Position, options: EventsOptions): AsyncGenerator<JobEvent> {
	// 204: there is nothing after `Last-Event-ID`: the job has ended, and its last event was read.
	position.ended = yield* readStream(http, `/api/v1/jobs/${encodeURIComponent(jobId)}/events`, {
		...(position.after > 0 ? { headers: { 'last-event-id': String(position.after) } } : {}),
		signal: options.signal,
		silenceMs: options.silenceMs ?? SILENCE_MS,
	});
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
