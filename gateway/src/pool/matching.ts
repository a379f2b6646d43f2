/**
 * Puts waiting tasks and free slots together.
 * @module
 */
import { NODE_LIMITS, batchKey, isChore } from '@limner/shared';
import { careWait } from './care.ts';
import { grant } from './grants.ts';
import { setAside } from './free.ts';
import { hold, nextTurn, type Turn } from './lanes.ts';
import { freeCount, park, type Lane } from './pens.ts';
import { typeOf, type Ctx, type PoolState, type QueueItem, type Slot } from './model.ts';
import { inOrder, sizeOf } from './ordered.ts';
import { bestSlot } from './placement.ts';
import { arm } from './timers.ts';

/** Of a lane so many tasks behind the first are looked at for a batch. */
const MATES_LOOK = 64;

const isPlain = ({ job, task }: QueueItem): boolean => typeOf(job) === 'GENERAL' && task.fails.length === 0 && task.losses === 0;

/** How many more pictures the workspace may have in work. When one ends, matching starts again. */
const roomOf = (state: PoolState, { job }: QueueItem): number => {
	const { maxConcurrent } = job.spec;
	if (isChore(typeOf(job))) return Number.POSITIVE_INFINITY;
	return typeof maxConcurrent === 'number' ? maxConcurrent - (state.lanes.busy.get(job.ws) ?? 0) : Number.POSITIVE_INFINITY;
};

/** Texts are made once for each waiting task: every grant to a slot that makes several pictures compares many. */
const shapeOf = (item: QueueItem): string => (item.shape ??= batchKey(item.job.spec));

/** Tasks behind the first of a lane that can be made together with it, as far as they are enough. */
const alike = (lane: Lane, first: QueueItem, enough: number): QueueItem[] => {
	const shape = shapeOf(first);
	const same: QueueItem[] = [];
	let looked = 0;
	for (const item of inOrder(lane.items)) {
		if (looked++ > MATES_LOOK || same.length >= enough) break;
		if (item.task !== first.task && isPlain(item) && shapeOf(item) === shape) same.push(item);
	}
	return same;
};

/**
 * Tasks that go into the slot together with the first of a lane. Pictures are spread over the free slots before they are
 * put together: two slots finish two pictures sooner than one slot makes both.
 */
const matesFor = (ctx: Ctx, { lane, item }: Turn, slot: Slot): QueueItem[] => {
	const { maxBatch, maxBatchPx } = slot.info;
	if (maxBatch <= 1 || !isPlain(item)) return [];
	const free = Math.max(1, freeCount(lane));
	// A slot for each of them: who is alike need not be asked.
	if (free >= Math.min(sizeOf(lane.items), MATES_LOOK + 1)) return [];
	const most = Math.min(maxBatch, NODE_LIMITS.batchMax);
	const same = alike(lane, item, free * most - 1);
	if (same.length === 0) return [];
	const share = Math.ceil((same.length + 1) / free);
	const px = item.job.spec.width * item.job.spec.height;
	const fits = maxBatchPx === undefined ? Number.POSITIVE_INFINITY : Math.max(1, Math.floor(maxBatchPx / px));
	return same.slice(0, Math.min(share, most, fits, roomOf(ctx.state, item)) - 1);
};

const parkUntil = (state: PoolState, { group }: Turn, recheckAt: number | undefined): void => {
	park(state, group);
	if (recheckAt !== undefined) arm(state.timers, 'recheck', recheckAt);
};

/** Grants, parks or holds whose turn it is. */
const take = (ctx: Ctx, turn: Turn): void => {
	const { state, now } = ctx;
	const { job, task } = turn.item;
	if (roomOf(state, turn.item) <= 0) {
		hold(state, turn.lane);
		return;
	}
	const wait = careWait(state, now, job, task);
	if (wait !== null) {
		parkUntil(state, turn, wait.recheckAt);
		return;
	}
	const { slot, recheckAt, resting } = bestSlot(state, now, turn.lane, turn.item);
	for (const { slot: tired, until, reason } of resting) {
		setAside(state, tired, reason);
		arm(state.timers, `a:${tired.node.id}`, until);
	}
	if (slot !== null) {
		grant(ctx, job, task, slot, matesFor(ctx, turn, slot));
		return;
	}
	parkUntil(state, turn, recheckAt);
};

/** Matches waiting tasks with free slots until one side is empty or nothing fits. */
export const matchAll = (ctx: Ctx): void => {
	for (let turn = nextTurn(ctx.state); turn !== undefined; turn = nextTurn(ctx.state)) take(ctx, turn);
};
