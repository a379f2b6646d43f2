/**
 * Queues of tasks: one sorted list per workspace, start-time fair queueing between them.
 * @module
 */
import { isChore, megapixelSteps } from '@limner/shared';
import { taskKey, typeOf, type Job, type PoolState, type QueueItem, type Task } from './model.ts';

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

const before = (a: QueueItem, b: QueueItem): boolean => {
	if (a.score !== b.score) return a.score < b.score;
	if (a.job.spec.deadlineAt !== b.job.spec.deadlineAt) return a.job.spec.deadlineAt < b.job.spec.deadlineAt;
	if (a.job.id !== b.job.id) return a.job.id < b.job.id;
	return a.task.index < b.task.index;
};

const placeOf = (queue: QueueItem[], item: QueueItem): number => {
	let low = 0;
	let high = queue.length;
	while (low < high) {
		const middle = (low + high) >> 1;
		if (before(queue[middle] as QueueItem, item)) low = middle + 1;
		else high = middle;
	}
	return low;
};

/** Puts a task into its workspace's queue; a no-op when it stands there. */
export const enqueueTask = (state: PoolState, job: Job, task: Task, now: number): void => {
	if (task.queued) return;
	task.readyAt = now;
	const item = { job, task, score: scoreOf(job) };
	if (isChore(typeOf(job))) {
		state.chores.set(taskKey(job.id, task.index), item);
		task.queued = true;
		return;
	}
	const queue = state.queues.get(job.ws) ?? [];
	queue.splice(placeOf(queue, item), 0, item);
	state.queues.set(job.ws, queue);
	task.queued = true;
	state.backlog++;
};

/** Takes a task out of its queue; a no-op when it is not there. */
export const dequeueTask = (state: PoolState, job: Job, task: Task): void => {
	if (!task.queued) return;
	if (state.chores.delete(taskKey(job.id, task.index))) {
		task.queued = false;
		return;
	}
	const queue = state.queues.get(job.ws);
	if (queue === undefined) throw new Error(`no queue for ${job.ws}`);
	const place = placeOf(queue, { job, task, score: scoreOf(job) });
	if (queue[place]?.task !== task) throw new Error(`${job.id}/${task.index} is not in its place`);
	queue.splice(place, 1);
	if (queue.length === 0) state.queues.delete(job.ws);
	task.queued = false;
	state.backlog--;
};

/** Waiting tasks that need no device, next one first. */
export const choresInOrder = (state: PoolState): QueueItem[] => [...state.chores.values()].toSorted((a, b) => (before(a, b) ? -1 : 1));

/** Virtual time at which the workspace's next task starts. */
export const startTag = (state: PoolState, ws: string): number => Math.max(state.fair.v, state.fair.f.get(ws) ?? 0);

/** Share of the pool that one task takes. */
export const taskCost = (job: Job): number => megapixelSteps(job.spec.width, job.spec.height, job.spec.steps, 1);

/** How far a grant of the job moves its workspace's tag. */
const fairShare = (job: Job): number => Math.max(taskCost(job), 0.001) / Math.max(job.weight, 0.001);

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

/** Backlogged workspaces, next one first. */
export const workspacesInOrder = (state: PoolState): string[] =>
	[...state.queues.keys()]
		.map((ws) => ({ ws, tag: startTag(state, ws) }))
		.toSorted((a, b) => a.tag - b.tag || (a.ws < b.ws ? -1 : 1))
		.map((entry) => entry.ws);

/** How many tasks of another workspace start before a virtual time; looks at `limit` of them at most. */
const startingBefore = (state: PoolState, ws: string, tag: number, limit: number): number => {
	const queue = state.queues.get(ws) ?? [];
	let start = startTag(state, ws);
	let count = 0;
	for (const { job } of queue) {
		if (start >= tag || count >= limit) break;
		start += taskCost(job) / job.weight;
		count++;
	}
	return count;
};

const POSITION_LOOKS = 2000;

/** Place of a job's first queued task among all queued tasks (1 = next); undefined when none of it is queued. */
export const positionOf = (state: PoolState, job: Job): number | undefined => {
	const task = job.tasks.find((each) => each.queued);
	const queue = state.queues.get(job.ws);
	if (task === undefined || queue === undefined) return undefined;
	const place = placeOf(queue, { job, task, score: scoreOf(job) });
	let tag = startTag(state, job.ws);
	for (const item of queue.slice(0, Math.min(place, POSITION_LOOKS))) tag += taskCost(item.job) / item.job.weight;
	let ahead = place;
	for (const ws of state.queues.keys()) {
		if (ws !== job.ws && ahead < POSITION_LOOKS) ahead += startingBefore(state, ws, tag, POSITION_LOOKS - ahead);
	}
	return ahead + 1;
};
