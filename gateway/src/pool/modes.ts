/**
 * What owners and failures want of a node: modes, and the policy that drains a node that keeps failing.
 * @module
 */
import { CLOSE, POOL_LIMITS, canTransition, isChore, refuse, type FailureClass, type NodeMode, type Result } from '@limner/shared';
import type { NodeView } from '../rpc.ts';
import { wakeSpecial } from './pens.ts';
import { putBack, refreshNode, tellCancel } from './grants.ts';
import { typeOf, type Ctx, type EventMap, type PoolNode } from './model.ts';
import { closeConn, grantsOf, loseConn, sendTo } from './nodes.ts';
import { nodeView } from './views.ts';
import { markWorked, noteSlotError } from './workstats.ts';

const RECENT_ERRORS = 10;
const MODE_DONE = { active: 'resumed', draining: 'set to drain', paused: 'paused', terminated: 'terminated' } as const;

/**
 * Counts a failure against its node; too many in a short time and the node gets no more work until a person looks.
 * @param excused it failed for want of something that the gateway had to give
 */
export const blame = (
	ctx: Ctx,
	node: PoolNode,
	cls: FailureClass,
	message: string,
	jobId: string,
	slotId?: string | null,
	excused = false,
): void => {
	if (cls === 'invalid') return;
	node.failed++;
	markWorked(ctx, node);
	const job = ctx.state.jobs.get(jobId);
	// Chores use no device: a model that cannot be pulled says nothing of the pictures that the node makes.
	const harmless = excused || (job !== undefined && isChore(typeOf(job)));
	const latest = {
		at: ctx.now,
		class: cls,
		message,
		jobId,
		...(job === undefined ? {} : { model: job.spec.model }),
		...(harmless ? { harmless } : {}),
	};
	node.recentErrors = [...node.recentErrors, latest].slice(-RECENT_ERRORS);
	noteSlotError(node, slotId ?? null, latest);
	const since = ctx.now - POOL_LIMITS.nodeFailureWindowMs;
	const recent = node.recentErrors.filter((error) => error.at > since && error.harmless !== true);
	if (recent.length < POOL_LIMITS.nodeFailuresToDrain || node.mode !== 'active') return;
	const minutes = POOL_LIMITS.nodeFailureWindowMs / 60_000;
	applyMode(ctx, node, 'draining', `${recent.length} pictures failed on it within ${minutes} minutes, the last one with: ${message}`);
};

/** Puts a node into a mode and tells it. */
export const applyMode = (ctx: Ctx, node: PoolNode, mode: NodeMode, reason: string): void => {
	const wasTold = node.modeReason;
	node.mode = mode;
	node.modeReason = reason === '' ? null : reason;
	if (mode === 'active') {
		node.recentErrors = [];
		// Whoever resumes a node has looked at it: what it draws from now on is what counts.
		if (wasTold?.includes('canary') === true) node.canaries = {};
	}
	ctx.writes.nodes.add(node);
	ctx.match = true;
	const { conn } = node;
	if (conn !== null) sendTo(ctx, conn.id, { t: 'mode', mode, reason });
	if (mode === 'terminated' && conn !== null) {
		for (const { job, task } of grantsOf(ctx, node)) tellCancel(ctx, job, task, 'terminated');
		closeConn(ctx, conn.id, CLOSE.banned, 'This node was terminated.');
		loseConn(ctx, node, ctx.now);
	}
	refreshNode(ctx, node);
	wakeSpecial(ctx.state, node);
};

/** Takes everything from a node that it still works on. Pictures that are on their way here stay its own. */
export const takeBack = (ctx: Ctx, node: PoolNode, reason: string, who: string): void => {
	for (const { job, task } of grantsOf(ctx, node)) {
		if (task.run === null || task.run.generated || task.run.orphanAt !== null) continue;
		putBack(ctx, job, task, reason, true, who);
	}
};

/** Owner's intent. Pausing and draining let running tasks finish, unless `now`; terminating hands them to others at once. */
export const onSetMode = (ctx: Ctx, { ws, nodeId, mode, reason, now }: EventMap['setMode']): Result<{ node: NodeView }> => {
	const node = ctx.state.nodes.get(nodeId);
	if (node === undefined || node.ws !== ws) return refuse('not_found', 'There is no such node.');
	if (node.mode !== mode) {
		if (!canTransition('nodeMode', node.mode, mode)) return refuse('conflict', `A node that is ${node.mode} cannot become ${mode}.`);
		applyMode(ctx, node, mode, reason);
	}
	if (now === true && mode !== 'active') takeBack(ctx, node, `its node was ${MODE_DONE[mode]}`, 'pool');
	return { ok: true, node: nodeView(ctx.state, ctx.now, node) };
};
