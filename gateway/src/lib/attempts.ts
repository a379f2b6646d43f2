/**
 * How often a task was tried, where it failed and how long it waited, read from a job's history: the same for a job that
 * runs and for one that ended long ago. Pure.
 * @module
 */
import type { HistEntry } from '@limner/shared';

export interface Attempts {
	/** `<node>/<slot>` that failed or lost it, in order. */
	failedSlotIds: string[];
	/** From being ready to being granted, of the latest grant, in milliseconds; absent before the first. */
	assignmentLatencyMs?: number;
}

/** Attempts of one task of a job. */
export const attemptsOf = (hist: readonly HistEntry[], index: number): Attempts => {
	const mine = hist.filter((entry) => entry.type === 'queued' || entry.index === index);
	const grants = mine.filter((entry) => entry.type === 'assigned');
	const lost = new Set(mine.filter((entry) => entry.type === 'requeued').map((entry) => entry.epoch));
	const failed = grants.filter((entry) => lost.has(entry.epoch));
	const latest = grants.at(-1);
	const ready = latest && mine.findLast((entry) => entry.rev < latest.rev && (entry.type === 'queued' || entry.type === 'requeued'));
	return {
		failedSlotIds: failed.map(({ nodeId, slotId }) => `${nodeId ?? ''}/${slotId ?? ''}`),
		...(latest === undefined || ready === undefined ? {} : { assignmentLatencyMs: latest.at - ready.at }),
	};
};
