/**
 * Follows a job's event stream to its end, across lost connections: each durable event is delivered exactly once.
 * @module
 */
import { TERMINAL_EVENTS, TIMING, type JobView } from '@limner/shared';
import { createParser, type EventSourceMessage } from 'eventsource-parser';
import { fullJitter, sleep } from '../lib/backoff.ts';
import { UserError } from '../lib/user-error.ts';
import { call, GatewayError, UnreachableError } from './http.ts';
import { getJob } from './jobs.ts';

/** One event of the stream. `id` is the revision of a durable event; events without it are overtaken by later ones. */
export interface JobEvent {
	event: string;
	id?: number;
	data: unknown;
}

export interface FollowOptions {
	onEvent?: (event: JobEvent) => void;
	/** The connection was lost and is opened again after `waitMs`. */
	onReconnect?: (waitMs: number) => void;
	signal?: AbortSignal;
	/** Tries in a row without a single event before giving up; default 30. */
	maxTries?: number;
	random?: () => number;
}

/** The gateway sends a comment every 10 s; three missing ones mean a dead connection. */
const SILENCE_MS = 3 * TIMING.sseKeepAliveMs;
const MAX_TRIES = 30;
const BACKOFF = { firstMs: 500, capMs: 10_000 } as const;

const toEvent = (message: EventSourceMessage): JobEvent => {
	const id = message.id === undefined || message.id === '' ? undefined : Number(message.id);
	let data: unknown = message.data;
	try {
		data = JSON.parse(message.data);
	} catch {
		// Not JSON: delivered as the text it is.
	}
	return { event: message.event ?? 'message', data, ...(id === undefined || !Number.isFinite(id) ? {} : { id }) };
};

/** Decides what an arriving event is worth: a replayed one is dropped, a terminal one ends the stream. */
export const judgeEvent = (lastRev: number, event: JobEvent): { deliver: boolean; lastRev: number; end: boolean } => {
	if (event.event === 'end') return { deliver: false, lastRev, end: true };
	if (event.id === undefined) return { deliver: true, lastRev, end: false };
	const end = TERMINAL_EVENTS.has(event.event);
	return event.id <= lastRev ? { deliver: false, lastRev, end } : { deliver: true, lastRev: event.id, end };
};

const openStream = async (base: string, key: string, id: string, lastRev: number, signal: AbortSignal): Promise<Response> =>
	call(base, key, `/api/v1/jobs/${encodeURIComponent(id)}/events`, {
		headers: { accept: 'text/event-stream', ...(lastRev > 0 ? { 'last-event-id': String(lastRev) } : {}) },
		signal,
	});

/** Reads one connection until it ends; answers whether the job has ended. */
const readOnce = async (
	base: string,
	key: string,
	id: string,
	state: { lastRev: number; heard: boolean },
	options: FollowOptions,
): Promise<boolean> => {
	const silence = new AbortController();
	const signal = options.signal === undefined ? silence.signal : AbortSignal.any([silence.signal, options.signal]);
	let timer = setTimeout(() => silence.abort(), SILENCE_MS);
	let ended = false;
	const parser = createParser({
		onEvent: (message) => {
			const event = toEvent(message);
			const verdict = judgeEvent(state.lastRev, event);
			state.lastRev = verdict.lastRev;
			state.heard = true;
			ended ||= verdict.end;
			if (verdict.deliver) options.onEvent?.(event);
		},
	});
	try {
		const response = await openStream(base, key, id, state.lastRev, signal);
		const decoder = new TextDecoder();
		for await (const chunk of response.body ?? []) {
			clearTimeout(timer);
			timer = setTimeout(() => silence.abort(), SILENCE_MS);
			parser.feed(decoder.decode(chunk, { stream: true }));
			if (ended) break;
		}
		return ended;
	} finally {
		clearTimeout(timer);
		silence.abort();
	}
};

/** A refusal that no reconnect can mend. */
const isFinal = (error: unknown): boolean =>
	error instanceof GatewayError && error.status < 500 && error.status !== 429 && error.status !== 408;

const givenUp = (id: string, error: unknown): Error =>
	error instanceof UnreachableError
		? error
		: new UserError(`The gateway stopped answering about ${id}; look for it later with GET /api/v1/jobs/${id}.`, { cause: error });

/** One connection and one look at the job; `undefined` while it is open. */
const followOnce = async (
	base: string,
	key: string,
	id: string,
	state: { lastRev: number; heard: boolean },
	options: FollowOptions,
): Promise<JobView | undefined> => {
	const ended = await readOnce(base, key, id, state, options);
	const view = await getJob(base, key, id, options.signal);
	// A stream may end for many reasons; only the job itself says whether it is over.
	if (TERMINAL_EVENTS.has(view.state)) return view;
	// The terminal event may overtake the row it announces by a moment.
	if (ended) await sleep(50, options.signal);
	return undefined;
};

/**
 * Follows a job until it has ended and answers its final view. Lost connections are resumed with `Last-Event-ID`.
 * @throws {GatewayError} when the gateway refuses for good (wrong key, no such job)
 * @throws {UserError} when the gateway stays away, or when the signal fires
 */
export const followJob = async (base: string, key: string, id: string, options: FollowOptions = {}): Promise<JobView> => {
	const state = { lastRev: 0, heard: false };
	const random = options.random ?? Math.random;
	let lastError: unknown;
	const maxTries = options.maxTries ?? MAX_TRIES;
	for (let attempt = 0; attempt < maxTries; attempt++) {
		try {
			const view = await followOnce(base, key, id, state, options);
			if (view !== undefined) return view;
		} catch (error) {
			if (isFinal(error)) throw error;
			lastError = error;
		}
		if (options.signal?.aborted === true) throw new UserError('Stopped following the job; it goes on at the gateway.');
		if (state.heard) attempt = -1;
		state.heard = false;
		const waitMs = fullJitter(Math.max(0, attempt), random(), BACKOFF);
		options.onReconnect?.(waitMs);
		await sleep(waitMs, options.signal);
	}
	throw givenUp(id, lastError);
};
