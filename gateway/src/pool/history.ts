/**
 * History of a job and what its watchers see of it. Durable events are the history entries themselves.
 * @module
 */
import { megapixelSteps, transition, type BridgeFrame, type HistEntry, type ImageRecord, type JobState, type Usage } from '@limner/shared';
import type { Ctx, Job } from './model.ts';

/** Accepted pictures, by index. */
export const imagesOf = (job: Job): ImageRecord[] => job.tasks.flatMap((task) => (task.image === null ? [] : [task.image]));

/** Only pictures that exist are charged. */
export const usageOf = (job: Job): Usage => {
	const images = imagesOf(job).length;
	return { images, megapixelSteps: megapixelSteps(job.spec.width, job.spec.height, job.spec.steps, images) };
};

const TERMINAL_TYPES: ReadonlySet<string> = new Set(['succeeded', 'failed', 'canceled', 'expired']);

/** A history entry as watchers get it: pictures and outcome are added, so that the Worker needs no second question. */
export const durableFrame = (job: Job, entry: HistEntry): BridgeFrame => {
	const data: Record<string, unknown> = { ...entry };
	if (entry.type === 'image') data['image'] = job.tasks[entry.index ?? -1]?.image ?? undefined;
	if (TERMINAL_TYPES.has(entry.type)) {
		data['images'] = imagesOf(job);
		data['warnings'] = job.warnings;
		data['usage'] = usageOf(job);
		if (job.error !== null) data['error'] = job.error;
	}
	return { event: entry.type, id: entry.rev, data };
};

/** Appends to the history, marks the row for writing and tells the watchers. */
export const record = (ctx: Ctx, job: Job, entry: Omit<HistEntry, 'rev' | 'at'>): void => {
	job.rev++;
	const full = {
		...entry,
		rev: job.rev,
		at: ctx.now,
		...(job.traceId === null ? {} : { traceId: job.traceId }),
	} as HistEntry;
	job.hist.push(full);
	ctx.writes.jobs.add(job);
	if (ctx.state.watched.has(job.id)) ctx.sends.push({ kind: 'watch', jobId: job.id, frame: durableFrame(job, full) });
};

/** Moves a job along an edge of its state machine. */
export const moveJob = (ctx: Ctx, job: Job, to: JobState): void => {
	job.state = transition('job', job.state, to);
	ctx.writes.jobs.add(job);
};
