/**
 * Answers that take long. Proxies give up on a connection on which nothing comes for a minute, so after a while the
 * answer begins with white space, which JSON allows before a value.
 * @module
 */
import { TIMING } from '@limner/shared';

/** So long an answer keeps its own status. After it the status is 200, and an error is told in the body alone. */
export const HOLD_MS = 45_000;

const encoder = new TextEncoder();

/**
 * Holds a request until its answer is there; from `holdMs` on with a white space every ten seconds.
 * @param answer never rejects: faults are answers
 * @param onHangUp the reader went away after the answer had begun
 */
export const held = async (answer: Promise<Response>, onHangUp: () => void, holdMs: number = HOLD_MS): Promise<Response> => {
	const late = Symbol('late');
	let timer: ReturnType<typeof setTimeout> | undefined;
	const first = await Promise.race([
		answer,
		new Promise<typeof late>((resolve) => {
			timer = setTimeout(() => resolve(late), holdMs);
		}),
	]);
	clearTimeout(timer);
	if (first !== late) return first;
	let beat: ReturnType<typeof setInterval> | undefined;
	const body = new ReadableStream<Uint8Array>({
		start: (controller) => {
			controller.enqueue(encoder.encode(' '));
			beat = setInterval(() => controller.enqueue(encoder.encode(' ')), TIMING.sseKeepAliveMs);
			void answer
				.then(async (response) => controller.enqueue(new Uint8Array(await response.arrayBuffer())))
				.then(() => controller.close())
				.catch((error: unknown) => controller.error(error))
				.finally(() => clearInterval(beat));
		},
		cancel: () => {
			clearInterval(beat);
			onHangUp();
		},
	});
	return new Response(body, { headers: { 'content-type': 'application/json', 'x-accel-buffering': 'no' } });
};
