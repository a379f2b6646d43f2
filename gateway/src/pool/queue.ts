/**
 * Queues of tasks: an ordered one for each workspace, start-time fair queueing between them.
 * @module
 */
import { isChore, megapixelSteps } from '@limner/shared';
import { enterLane, leaveLane } from './lanes.ts';
import { itemBefore } from './pens.ts';
import { typeOf, type Job, type PoolState, type QueueItem, type Task } from './model.ts';
import { createOrdered, inOrder, insert, placeOf, remove, sizeOf, startingBelow } from './ordered.ts';
import { needOf, needText } from './placement.ts';

/** A priority step is worth this much waiting, so that an old job of low priority overtakes in the end. */
const AGEING_MS_PER_PRIORITY = 60_000;
/** `batch` work yields to interactive work that came up to this much later. */
const BATCH_YIELDS_MS = 600_000;

/** A deadline that is this near counts like nothing else. */
const DEADLINE_LEAD_MS = 600_000;

/** Linear ageing makes the order independent of the time at which it is asked. */
const scoreOf = (job: Job): number =>
	Math.min(
		job.createdAt - job.spec.priority * AGEING_MS_PER_PRIORITY + (job.spec.class === 'batch' ? BATCH_YIELDS_MS : 0),
		job.spec.deadlineAt - DEADLINE_LEAD_MS,
	);

/** The smallest share that a task counts for: every grant moves virtual time. */
const SHARE_MIN = 0.001;

/** Share of the pool that one task takes. */
export const taskCost = (job: Job): number => megapixelSteps(job.spec.width, job.spec.height, job.spec.steps, 1);

/** How far a grant of the job moves its workspace's tag. */
const fairShare = (job: Job): number => Math.max(taskCost(job), SHARE_MIN) / Math.max(job.weight, SHARE_MIN);

/** A task as queues know it. What it needs does not decide its place. */
const itemOf = (job: Job, task: Task, need = ''): QueueItem => ({ job, task, score: scoreOf(job), need, lane: '' });

/** Puts a task into its workspace's queue; a no-op when it stands there. */
export const enqueueTask = (state: PoolState, job: Job, task: Task, now: number): void => {
	if (task.queued) return;
	task.readyAt = now;
	task.queued = true;
	const need = needOf(job, task);
	const item = itemOf(job, task, needText(need));
	enterLane(state, item, need);
	if (isChore(typeOf(job))) {
		insert(state.chores, item, 0, itemBefore);
		return;
	}
	const queue = state.queues.get(job.ws) ?? createOrdered<QueueItem>();
	state.queues.set(job.ws, queue);
	insert(queue, item, fairShare(job), itemBefore);
	state.backlog++;
};

/** Takes a task out of its queue, as it stands there: before it changes. A no-op when it is not there. */
export const dequeueTask = (state: PoolState, job: Job, task: Task): void => {
	if (!task.queued) return;
	const chore = isChore(typeOf(job));
	const queue = chore ? state.chores : state.queues.get(job.ws);
	const item = queue === undefined ? undefined : remove(queue, itemOf(job, task), itemBefore);
	if (item?.task !== task) throw new Error(`${job.id}/${task.index} is not in its place`);
	leaveLane(state, item);
	task.queued = false;
	if (chore) return;
	if (queue !== undefined && sizeOf(queue) === 0) state.queues.delete(job.ws);
	state.backlog--;
};

/** Waiting tasks of a workspace, or of all one after another, in the order of each. */
export function* queuedTasks(state: PoolState, ws?: string): Generator<QueueItem, void, undefined> {
	for (const [owner, queue] of state.queues) if (ws === undefined || ws === owner) yield* inOrder(queue);
}

/** Virtual time at which the workspace's next task starts. */
export const startTag = (state: PoolState, ws: string): number => Math.max(state.fair.v, state.fair.f.get(ws) ?? 0);

/** Charges a grant to its workspace and moves virtual time to the grant's start. */
export const chargeGrant = (state: PoolState, job: Job): void => {
	const start = startTag(state, job.ws);
	state.fair.v = start;
	job.ftag = start + fairShare(job);
	state.fair.f.set(job.ws, job.ftag);
	// A tag behind virtual time says nothing any more.
	if (state.fair.f.size > 1000) for (const [ws, tag] of state.fair.f) if (tag < start) state.fair.f.delete(ws);
};

/**
 * Restores the tags from rows: F = largest tag of a workspace, V = the start of the latest grant. The smallest F among
 * the backlogged would not do for V: a workspace that has never had a grant would take V back to the beginning, and its
 * whole queue would go before everybody else's.
 */
export const rebuildFair = (state: PoolState): void => {
	for (const job of state.jobs.values()) {
		if (job.ftag === 0) continue;
		state.fair.f.set(job.ws, Math.max(job.ftag, state.fair.f.get(job.ws) ?? 0));
		state.fair.v = Math.max(state.fair.v, job.ftag - fairShare(job));
	}
};

/** Place of a job's first queued task among all queued tasks of its kind, those with a device or those without (1 = next); undefined when none of it is queued. */
export const positionOf = (state: PoolState, job: Job): number | undefined => {
	const task = job.tasks.find((each) => each.queued);
	if (task !== undefined && isChore(typeOf(job))) return placeOf(state.chores, itemOf(job, task), itemBefore).count + 1;
	const own = state.queues.get(job.ws);
	if (task === undefined || own === undefined) return undefined;
	const { count, weight } = placeOf(own, itemOf(job, task), itemBefore);
	const tag = startTag(state, job.ws) + weight;
	let ahead = count;
	for (const [ws, queue] of state.queues) if (ws !== job.ws) ahead += startingBelow(queue, tag - startTag(state, ws));
	return ahead + 1;
};
