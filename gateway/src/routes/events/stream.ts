/**
 * One SSE stream: frames in, bytes out, with keep-alives and back-pressure.
 * @module
 */
import { TIMING, type BridgeFrame } from '@limner/shared';
import { admit } from '../../lib/bridge-core.ts';

/** Bytes that may wait unread before what the next frame replaces is left out. */
const HIGH_WATER_BYTES = 64 * 1024;
/** What a browser waits before it comes back, in milliseconds. */
const RECONNECT_MS = 1000;

/** One event of a stream: a frame of a job's bridge, or of many jobs with an id that names a place in all of them. */
export interface StreamEvent {
	event: BridgeFrame['event'];
	id?: number | string;
	data: unknown;
}

/** A frame as SSE text. JSON never holds a raw line break, so one `data:` line is enough. */
export const sseText = (frame: StreamEvent): string =>
	`${frame.id === undefined ? '' : `id: ${frame.id}\n`}event: ${frame.event}\ndata: ${JSON.stringify(frame.data)}\n\n`;

export interface SseInput {
	/** Runs until the stream is over; calls `emit` for each frame, in order. */
	run: (emit: (frame: StreamEvent) => void, signal: AbortSignal) => Promise<void>;
	/** The client's going away. */
	signal: AbortSignal;
	onError: (error: unknown) => void;
}

/** Body of an SSE answer. */
export const sseStream = ({ run, signal, onError }: SseInput): ReadableStream<Uint8Array> => {
	const encoder = new TextEncoder();
	const abort = new AbortController();
	let over = false;
	let keepAlive: ReturnType<typeof setInterval> | undefined;
	const finish = (controller: ReadableStreamDefaultController<Uint8Array>): void => {
		if (over) return;
		over = true;
		clearInterval(keepAlive);
		abort.abort();
		try {
			controller.close();
		} catch {
			// Already cancelled by the reader.
		}
	};
	const start = (controller: ReadableStreamDefaultController<Uint8Array>): void => {
		const emit = (text: string, durable: boolean): void => {
			if (over) return;
			const admission = admit(durable, controller.desiredSize, HIGH_WATER_BYTES);
			if (admission === 'end') finish(controller);
			else if (admission === 'send') controller.enqueue(encoder.encode(text));
		};
		emit(`retry: ${RECONNECT_MS}\n\n`, true);
		keepAlive = setInterval(() => emit(': keep-alive\n\n', false), TIMING.sseKeepAliveMs);
		signal.addEventListener('abort', () => finish(controller), { once: true });
		if (signal.aborted) finish(controller);
		run((frame) => emit(sseText(frame), frame.id !== undefined), abort.signal)
			.catch(onError)
			.finally(() => finish(controller));
	};
	const cancel = (): void => {
		over = true;
		clearInterval(keepAlive);
		abort.abort();
	};
	return new ReadableStream<Uint8Array>({ start, cancel }, { highWaterMark: HIGH_WATER_BYTES, size: (chunk) => chunk?.byteLength ?? 0 });
};
