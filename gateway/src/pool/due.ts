/**
 * What happens when a deadline passes and nobody has called: the alarm's work. Everything here looks again whether the
 * deadline is still true, because an entry may stand earlier than its owner's deadline.
 * @module
 */
import { CLOSE, TIMING } from '@limner/shared';
import { jobIsOver, purgeSettled } from './ending.ts';
import { takeUp } from './free.ts';
import { armTask, failAttempt, makeRegrantable, orphan, tellCancel, taskDueAt } from './grants.ts';
import { expireJob } from './jobs.ts';
import type { Ctx, Job, PoolNode, Task } from './model.ts';
import { blame } from './modes.ts';
import { wakeAll } from './pens.ts';
import { closeConn, lookup, loseConn, onAckTimeout } from './nodes.ts';
import { lastSeen } from './placement.ts';
import { arm, takeDue } from './timers.ts';

/** Deadlines handled in one turn; the rest follows in the next, a second later. */
const DUE_BATCH = 1000;

const timeOut = (ctx: Ctx, job: Job, task: Task): void => {
	const { run } = task;
	if (run === null) return;
	if (run.generated) {
		// The picture was made but never arrived: no fault of the request.
		tellCancel(ctx, job, task, 'upload overdue');
		orphan(ctx, job, task, ctx.now);
		return;
	}
	const seconds = Math.round((ctx.now - run.lastStepAt) / 1000);
	const message = `no progress for ${seconds} s while ${run.phase}`;
	const node = ctx.state.nodes.get(task.nodeId ?? '');
	if (node !== undefined) blame(ctx, node, 'timeout', message, job.id, task.slotId);
	failAttempt(ctx, job, task, 'timeout', message, true);
};

const onTask = (ctx: Ctx, key: string): void => {
	const found = lookup(ctx, key);
	if (found === undefined) return;
	const { job, task } = found;
	const at = taskDueAt(task);
	if (at === undefined || task.run === null) return;
	if (at > ctx.now) armTask(ctx, job, task);
	else if (task.run.orphanAt !== null) makeRegrantable(ctx, job, task);
	else if (task.run.ackBy !== null && task.run.ackBy <= ctx.now) onAckTimeout(ctx, job, task);
	else timeOut(ctx, job, task);
};

const cutIfSilent = (ctx: Ctx, node: PoolNode): boolean => {
	if (node.conn === null || lastSeen(ctx.state, node) + TIMING.suspectMs > ctx.now) return false;
	closeConn(ctx, node.conn.id, CLOSE.silent, 'Not heard from for 11 seconds.');
	loseConn(ctx, node, ctx.now);
	return true;
};

const onNode = (ctx: Ctx, nodeId: string): void => {
	const node = ctx.state.nodes.get(nodeId);
	if (node === undefined || node.conn === null || cutIfSilent(ctx, node)) return;
	if (node.grants.size > 0) arm(ctx.state.timers, `n:${nodeId}`, lastSeen(ctx.state, node) + TIMING.suspectMs);
};

const onJob = (ctx: Ctx, jobId: string): void => {
	const job = ctx.state.jobs.get(jobId);
	if (job === undefined || jobIsOver(job)) return;
	if (job.spec.deadlineAt > ctx.now) arm(ctx.state.timers, `j:${jobId}`, job.spec.deadlineAt);
	else expireJob(ctx, job);
};

const onConn = (ctx: Ctx, connId: string): void => {
	if (ctx.state.pending.delete(connId)) closeConn(ctx, connId, CLOSE.helloTimeout, 'No hello within 5 seconds.');
};

/** Keeps the alarm armed while a batch is unacknowledged; the batch itself goes out at the end of the step. */
const onOutbox = (ctx: Ctx, ws: string): void => {
	const outbox = ctx.state.outbox.get(ws);
	if (outbox !== undefined) arm(ctx.state.timers, `o:${ws}`, Math.max(outbox.flushAt, ctx.now + 2000));
};

/** Every five minutes while sockets exist: cut what is dead, save what changed. */
const onSweep = (ctx: Ctx): void => {
	let connected = false;
	for (const node of ctx.state.nodes.values()) {
		cutIfSilent(ctx, node);
		if (node.dirty) ctx.writes.nodes.add(node);
		connected ||= node.conn !== null;
	}
	if (connected) arm(ctx.state.timers, 'sweep', ctx.now + TIMING.sweepMs);
};

/** Work waits for something that passes with time: look again. */
const onRecheck = (ctx: Ctx): void => {
	wakeAll(ctx.state);
	ctx.match = true;
};

/** A node was silent or did not answer: look at it again, and cut it when it stays silent. */
const onAside = (ctx: Ctx, nodeId: string): void => {
	const node = ctx.state.nodes.get(nodeId);
	if (node === undefined || cutIfSilent(ctx, node)) return;
	takeUp(ctx.state, node);
	ctx.match = true;
};

const fire = (ctx: Ctx, key: string): void => {
	const name = key.slice(2);
	switch (key.slice(0, 2)) {
		case 't:':
			onTask(ctx, name);
			break;
		case 'n:':
			onNode(ctx, name);
			break;
		case 'j:':
			onJob(ctx, name);
			break;
		case 'c:':
			onConn(ctx, name);
			break;
		case 'a:':
			onAside(ctx, name);
			break;
		case 'o:':
			onOutbox(ctx, name);
			break;
		default:
			if (key === 'purge') purgeSettled(ctx);
			else if (key === 'sweep') onSweep(ctx);
			else onRecheck(ctx);
	}
};

/** Does everything that is due. */
export const fireDue = (ctx: Ctx): void => {
	for (let i = 0; i < DUE_BATCH; i++) {
		const key = takeDue(ctx.state.timers, ctx.now);
		if (key === undefined) return;
		fire(ctx, key);
	}
};
