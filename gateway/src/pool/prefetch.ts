/**
 * Hints to fetch a model: when what waits for it takes longer on the nodes that have it than another node would need to
 * get it, or when none of them is there and work has waited as long as that.
 * @module
 */
import { TASK_LIMITS, TIMING, type ModelInfo } from '@limner/shared';
import { typeOf, type Ctx, type PoolNode, type PoolState, type QueueItem } from './model.ts';
import { nodesFor } from './owners.ts';
import { expectedMs, lastSeen, worksFor } from './placement.ts';
import { sendTo } from './nodes.ts';
import { queuedTasks } from './queue.ts';
import { arm } from './timers.ts';

/** Of a queue so many tasks are enough to see that it is long. */
const LOOKS = 256;
/** Between two looks. */
const LOOK_MS = 1000;
/** Room that the files of a model take beside themselves while they come. */
const ROOM_FACTOR = 1.2;

interface Pressure {
	/** Expected work that waits, in milliseconds. */
	waitMs: number;
	first: QueueItem;
	info: ModelInfo;
	/** Of nodes that are there. */
	slots: number;
	/** What one task takes, in milliseconds. */
	taskMs: number;
}

/**
 * Slots that have a model, and how it is described. Nodes that are away still tell where it came from: they may stay away,
 * and others can get it there.
 */
const offer = (state: PoolState, { job }: QueueItem): { slots: number; info: ModelInfo | undefined; taskMs: number } => {
	let slots = 0;
	let taskMs = 0;
	let info: ModelInfo | undefined;
	for (const node of nodesFor(state, job.ws)) {
		const found = node.models.find((each) => each.name === job.spec.model);
		if (found === undefined) continue;
		if (info?.source === undefined) info = found;
		if (node.conn === null || node.mode !== 'active') continue;
		for (const slot of node.slots.values()) taskMs = Math.max(taskMs, expectedMs(slot, job));
		slots += node.slots.size;
	}
	return { slots, info, taskMs };
};

const pressures = (state: PoolState): Pressure[] => {
	const found = new Map<string, Pressure | null>();
	let looked = 0;
	for (const item of queuedTasks(state)) {
		if (looked++ >= LOOKS) break;
		if (typeOf(item.job) !== 'GENERAL') continue;
		const { model } = item.job.spec;
		let known = found.get(model);
		if (known === undefined) {
			const { slots, info, taskMs } = offer(state, item);
			known = info?.source === undefined ? null : { waitMs: 0, first: item, info, slots, taskMs };
			found.set(model, known);
		}
		if (known !== null && known.slots > 0) known.waitMs += known.taskMs / known.slots;
	}
	return [...found.values()].filter((each) => each !== null);
};

const couldFetch = (state: PoolState, now: number, node: PoolNode, { first, info }: Pressure): boolean =>
	worksFor(node, first.job.ws) &&
	node.conn !== null &&
	node.mode === 'active' &&
	node.autoPull &&
	node.taskTypes.includes('INGEST') &&
	lastSeen(state, node) >= now - TIMING.candidateSeenMs &&
	!node.models.some((model) => model.name === info.name) &&
	(node.diskFreeBytes ?? 0) > info.bytes * ROOM_FACTOR &&
	[...node.slots.values()].every((slot) => slot.grant === null);

/**
 * From when on a model is worth fetching. Nobody knows how long a node that is away stays away: work waits for it as
 * long as a download takes, so that the wait is at most twice the best possible one.
 */
const dueAt = (state: PoolState, now: number, { info, waitMs, slots, first }: Pressure): number => {
	const fetchMs = (info.bytes / TASK_LIMITS.downloadBytesPerS) * 1000 + 1000;
	const asked = state.prefetchedAt.get(info.name);
	const again = asked === undefined ? now : asked + TASK_LIMITS.prefetchGapMs;
	if (slots === 0) return Math.max(again, first.job.createdAt + fetchMs);
	return waitMs > fetchMs ? again : Number.POSITIVE_INFINITY;
};

/** Tells one idle node for each model that is short. Looked at only while something waits and somebody is idle. */
export const hintPrefetch = (ctx: Ctx): void => {
	const { state, now } = ctx;
	if (state.backlog === 0 || state.free.size === 0 || state.prefetchLookAt > now) return;
	state.prefetchLookAt = now + LOOK_MS;
	for (const pressure of pressures(state)) {
		const { info } = pressure;
		const due = dueAt(state, now, pressure);
		if (info.source === undefined || due === Number.POSITIVE_INFINITY) continue;
		const node = [...new Set([...state.free].map((slot) => slot.node))].find((each) => couldFetch(state, now, each, pressure));
		if (node === undefined || node.conn === null) continue;
		// where nobody has the model nothing else may happen until then
		const next = due > now ? Math.max(due, state.prefetchLookAt) : now + TASK_LIMITS.prefetchGapMs;
		if (pressure.slots === 0) arm(state.timers, 'recheck', next);
		if (due > now) continue;
		state.prefetchedAt.set(info.name, now);
		state.counters.prefetches++;
		sendTo(ctx, node.conn.id, { t: 'prefetch', model: info.name, source: info.source });
	}
};
