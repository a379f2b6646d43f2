/**
 * What becomes of running tasks when the node stops: finished when that takes about ten seconds, else handed back. Pure.
 * @module
 */
import type { SlotRun } from '../slots/state.ts';

/** A node that stops waits this long for its tasks. */
export const FINISH_WITHIN_MS = 10_000;
/** A task that has just begun gets this long to show its pace. */
const SHOW_PACE_MS = 2000;

/** Milliseconds until the task ends, or `undefined` while its pace is unknown. */
export const remainingMs = (run: SlotRun): number | undefined => {
	if (run.phase === 'decoding') return 0;
	if (run.itPerS === undefined || run.itPerS <= 0 || run.step === 0) return undefined;
	return ((run.steps - run.step) / run.itPerS) * 1000;
};

/**
 * Which tasks to hand back now.
 * @param elapsedMs since the node was told to stop
 */
export const tasksToHandBack = (runs: readonly SlotRun[], elapsedMs: number): Set<string> => {
	const left = FINISH_WITHIN_MS - elapsedMs;
	const hopeless = runs.filter((run) => {
		const remaining = remainingMs(run);
		return remaining === undefined ? elapsedMs >= SHOW_PACE_MS : remaining > left;
	});
	return new Set(hopeless.flatMap((run) => run.tasks.map((task) => task.key)));
};
