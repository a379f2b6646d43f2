/**
 * Server-sent events of a dialect: every event counts, so none is left out.
 * @module
 */
import { TIMING } from '@limner/shared';

export interface DialectEvent {
	event?: string;
	data: unknown;
}

/** An event as text. JSON never holds a raw line break. */
export const eventText = ({ event, data }: DialectEvent): string =>
	`${event === undefined ? '' : `event: ${event}\n`}data: ${typeof data === 'string' ? data : JSON.stringify(data)}\n\n`;

export interface EventStreamInput {
	/** Runs until the stream is over. Throws only what has no event of its own. */
	run: (emit: (event: DialectEvent) => void, signal: AbortSignal) => Promise<void>;
	/** The caller's going away. */
	signal: AbortSignal;
	onError: (error: unknown) => void;
}

/** Body of a streaming answer, with comments as keep-alives. A caller that goes away aborts `run`. */
export const eventStream = ({ run, signal, onError }: EventStreamInput): { body: ReadableStream<Uint8Array>; done: Promise<void> } => {
	const encoder = new TextEncoder();
	const gone = new AbortController();
	const done = Promise.withResolvers<void>();
	let open = true;
	let beat: ReturnType<typeof setInterval> | undefined;
	const stop = (): void => {
		open = false;
		clearInterval(beat);
	};
	const hangUp = (): void => {
		stop();
		gone.abort();
	};
	const start = (controller: ReadableStreamDefaultController<Uint8Array>): void => {
		const send = (text: string): void => {
			if (open) controller.enqueue(encoder.encode(text));
		};
		signal.addEventListener('abort', hangUp, { once: true });
		if (signal.aborted) hangUp();
		beat = setInterval(() => send(': keep-alive\n\n'), TIMING.sseKeepAliveMs);
		const finish = (): void => {
			const wasOpen = open;
			stop();
			if (wasOpen) controller.close();
			done.resolve();
		};
		run((event) => send(eventText(event)), gone.signal)
			.catch(onError)
			.finally(finish);
	};
	return { body: new ReadableStream<Uint8Array>({ start, cancel: hangUp }), done: done.promise };
};

export const EVENT_STREAM_HEADERS = {
	'content-type': 'text/event-stream; charset=utf-8',
	'cache-control': 'no-cache, no-transform',
	'x-accel-buffering': 'no',
};
