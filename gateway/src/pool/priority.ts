/**
 * Another place in the queue for a job that waits.
 * @module
 */
import { POOL_LIMITS, REQUEST_LIMITS, refuse } from '@limner/shared';
import { jobIsOver } from './ending.ts';
import { record } from './history.ts';
import type { Ctx, EventMap, Job, Replies, Task } from './model.ts';
import { dequeueTask, enqueueTask } from './queue.ts';

/** Something of it may still be granted: a task in the queue, or one that the end of another job puts there. */
const stillWaits = (job: Job): boolean => job.state === 'waiting' || job.tasks.some((task) => task.queued);

/** The order of a queue is by what a job asks for, so a task leaves it before that changes. Its waiting time goes on. */
const whileOut = (ctx: Ctx, job: Job, change: () => void): void => {
	const out = job.tasks.filter((task) => task.queued).map((task): [Task, number] => [task, task.readyAt]);
	for (const [task] of out) dequeueTask(ctx.state, job, task);
	change();
	for (const [task, readyAt] of out) enqueueTask(ctx.state, job, task, readyAt);
};

/**
 * Changes the priority of a job of which something waits. What runs goes on where it is; should it come back to the
 * queue, the new priority counts for it too.
 */
export const onPrioritize = (ctx: Ctx, { ws, jobId, priority, who }: EventMap['prioritize']): Replies['prioritize'] => {
	const job = ctx.state.jobs.get(jobId);
	// A job that was cancelled before it came has no pictures: its row only keeps the late hand-over out.
	if (job === undefined || job.ws !== ws) return refuse('not_found', 'There is no such job.');
	if (!Number.isInteger(priority) || priority < REQUEST_LIMITS.priorityMin || priority > REQUEST_LIMITS.priorityMax)
		return refuse('validation_failed', `A priority is ${REQUEST_LIMITS.priorityMin} to ${REQUEST_LIMITS.priorityMax}.`);
	if (jobIsOver(job)) return refuse('conflict', `The job has already ${job.state}.`);
	const before = job.spec.priority;
	if (before === priority) return { ok: true, before };
	if (!stillWaits(job))
		return refuse('conflict', 'Every picture of the job is being made already, so there is nothing to put forward or back.');
	const changes = job.hist.filter(({ type }) => type === 'priority').length;
	if (changes >= POOL_LIMITS.priorityChangesMax)
		return refuse(
			'conflict',
			`The priority of a job can be changed ${POOL_LIMITS.priorityChangesMax} times; cancel it and submit it anew.`,
		);
	whileOut(ctx, job, () => {
		job.spec = { ...job.spec, priority };
	});
	record(ctx, job, { type: 'priority', who, from: String(before), to: String(priority) });
	ctx.match = true;
	return { ok: true, before };
};
