/**
 * The pool's pure core: `step(state, event, now) → { writes, sends, wakeAt }`. It changes `state` in place and does
 * nothing else: the same function runs in the Durable Object and under virtual time in the simulator.
 * @module
 */
import { CLOSE } from '@limner/shared';
import { takeCensus } from './census.ts';
import { fireDue } from './due.ts';
import { flushOutboxes, nextFlushAt, onSettled, onSettleFailed } from './ending.ts';
import { onFrame, onPreview } from './frames.ts';
import { tellIdle } from './idle.ts';
import { matchAll } from './matching.ts';
import { onCancel, onComplete, onEnqueue, onEnqueueAll, onRefused, onReport } from './jobs.ts';
import { onSetMode } from './modes.ts';
import { onClosed, onConnect, onHello } from './nodes.ts';
import { onFailAgent, onInitialize, onMove, onResize, onShutdown } from './operations.ts';
import { hintPrefetch } from './prefetch.ts';
import { onPrioritize } from './priority.ts';
import type { Ctx, EventMap, EventType, PoolEvent, PoolNode, PoolState, ReplyOf, StepResult } from './model.ts';
import { nextAt } from './timers.ts';
import { saveDirty } from './workstats.ts';
import { flushWatched, refreshQueueViews, replay, unwatch } from './watching.ts';

const onBadFrame = (ctx: Ctx, { connId, known }: EventMap['badFrame']): void => {
	if (known) ctx.state.counters.badFrames++;
	else ctx.state.counters.unknownFrames++;
	// A node that cannot say hello properly never will.
	if (known && ctx.state.pending.has(connId)) ctx.sends.push({ kind: 'close', connId, code: CLOSE.badFrame, reason: 'Unreadable hello.' });
};

const onWatch = (ctx: Ctx, { ws, jobId, after, watcher }: EventMap['watch']): boolean => {
	const job = ctx.state.jobs.get(jobId);
	if (job === undefined || job.ws !== ws) return false;
	replay(ctx, job, after, watcher);
	return true;
};

type Handlers = { [T in EventType]: (ctx: Ctx, event: EventMap[T]) => unknown };

const HANDLERS: Handlers = {
	enqueue: onEnqueue,
	enqueueAll: onEnqueueAll,
	cancel: onCancel,
	prioritize: onPrioritize,
	complete: onComplete,
	report: onReport,
	refused: onRefused,
	connect: onConnect,
	hello: onHello,
	frame: onFrame,
	preview: onPreview,
	badFrame: onBadFrame,
	closed: onClosed,
	setMode: onSetMode,
	resize: onResize,
	move: onMove,
	initialize: onInitialize,
	shutdown: onShutdown,
	failAgent: onFailAgent,
	watch: onWatch,
	unwatch: (ctx, { jobId }) => {
		unwatch(ctx, jobId);
	},
	settled: (ctx, { ws, jobIds }) => {
		onSettled(ctx, ws, jobIds);
	},
	settleFailed: (ctx, { ws, jobIds }) => {
		onSettleFailed(ctx, ws, jobIds);
	},
	tick: (ctx) => {
		flushWatched(ctx);
		refreshQueueViews(ctx);
	},
};

const touchedNode = (state: PoolState, event: PoolEvent): PoolNode | undefined => {
	if (event.t === 'complete' || event.t === 'report') return state.nodes.get(event.input.nodeId);
	if (event.t === 'setMode' || event.t === 'resize' || event.t === 'move') return state.nodes.get(event.nodeId);
	if (event.t === 'hello') return state.nodes.get(event.identity.nodeId);
	return 'connId' in event ? state.nodes.get(state.connNode.get(event.connId) ?? '') : undefined;
};

/** Frames that leave a node as busy as it was need no new status. */
const mayIdle = (event: PoolEvent): boolean => !(event.t === 'frame' && (event.frame.t === 'progress' || event.frame.t === 'ack'));

const finish = (ctx: Ctx, node: PoolNode | undefined, event: PoolEvent): void => {
	const { state, now } = ctx;
	if (ctx.match) {
		matchAll(ctx);
		hintPrefetch(ctx);
	}
	if (ctx.match && state.watched.size > 0) refreshQueueViews(ctx);
	if (ctx.match || mayIdle(event)) tellIdle(ctx, mayIdle(event) ? node : undefined);
	takeCensus(state);
	saveDirty(ctx);
	for (const each of ctx.writes.nodes) {
		each.savedAt = now;
		each.dirty = false;
	}
	flushOutboxes(ctx);
};

/**
 * One event, one commit: the caller applies writes and sends in one synchronous block.
 * @param now milliseconds since the epoch on the gateway's clock
 */
export const step = <T extends EventType>(state: PoolState, event: { t: T } & EventMap[T], now: number): StepResult<ReplyOf<T>> => {
	const ctx: Ctx = { state, now, writes: { jobs: new Set(), deleted: [], nodes: new Set(), pools: new Set() }, sends: [], match: false };
	const any = event as PoolEvent;
	const before = touchedNode(state, any);
	const answer = (HANDLERS[event.t] as (ctx: Ctx, event: EventMap[T]) => unknown)(ctx, event);
	// After the event: a sign of life or a result that arrives together with its deadline is in time.
	fireDue(ctx);
	finish(ctx, before ?? touchedNode(state, any), any);
	const reply = (typeof answer === 'function' ? (answer as () => unknown)() : answer) as ReplyOf<T>;
	const pokeAt = Math.min(state.pokeAt, ...[nextFlushAt(state), nextAt(state.saves)].map((at) => at ?? Number.POSITIVE_INFINITY));
	return {
		writes: ctx.writes,
		sends: ctx.sends,
		wakeAt: nextAt(state.timers),
		pokeAt: Number.isFinite(pokeAt) ? pokeAt : undefined,
		reply,
	};
};
