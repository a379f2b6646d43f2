/**
 * Waiting times between tries.
 * @module
 */

/**
 * Full jitter: anything between 0 and an exponentially growing bound, so that clients of one gateway that restarted do
 * not come back in step.
 * @param attempt 0 for the first try after a failure
 * @param random 0..1
 * @returns milliseconds
 */
export const fullJitter = (attempt: number, random: number, bounds: { firstMs: number; capMs: number }): number =>
	Math.floor(random * Math.min(bounds.capMs, bounds.firstMs * 2 ** Math.min(attempt, 30)));

/** Waits, and ends early without an error when the signal fires. */
export const sleep = async (ms: number, signal?: AbortSignal): Promise<void> => {
	if (signal?.aborted === true) return;
	await new Promise<void>((resolve) => {
		const finish = (): void => {
			clearTimeout(timer);
			signal?.removeEventListener('abort', finish);
			resolve();
		};
		const timer = setTimeout(finish, ms);
		signal?.addEventListener('abort', finish, { once: true });
	});
};
