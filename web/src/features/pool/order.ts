/**
 * The queue as a person reads it: what is being made first, then what comes next. Pure.
 * @module
 */
import type { Job } from '@limner/sdk';

const STATES: Partial<Record<Job['state'], number>> = { running: 0, queued: 1, waiting: 2 };
/** A step of priority is worth this much waiting; the scheduler's own rule (docs/scheduling.md). */
const PRIORITY_MS = 60_000;
const BATCH_MS = 600_000;

const score = ({ createdAt, request }: Job): number =>
	new Date(createdAt).getTime() - request.priority * PRIORITY_MS + (request.class === 'batch' ? BATCH_MS : 0);

const LAST = Number.MAX_SAFE_INTEGER;

/** Jobs by state, then by the place that the gateway gave them, then by the scheduler's score. */
export const inOrder = (jobs: readonly Job[]): Job[] =>
	jobs.toSorted(
		(a, b) =>
			(STATES[a.state] ?? 3) - (STATES[b.state] ?? 3) ||
			(a.queue?.position ?? LAST) - (b.queue?.position ?? LAST) ||
			score(a) - score(b) ||
			(a.id < b.id ? -1 : 1),
	);

/** The list with another priority for one job, until the gateway says where it stands: its old place is forgotten. */
export const withPriority = (jobs: readonly Job[], id: string, priority: number): Job[] =>
	jobs.map((job) => {
		const { position: _place, etaMs: _eta, ...queue } = job.queue ?? { feasible: true };
		const request = job.id === id ? { ...job.request, priority } : job.request;
		return { ...job, request, queue };
	});
