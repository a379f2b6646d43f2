/**
 * Nodes: connections, hello with reconciliation, modes, failure policy.
 * @module
 */
import { CLOSE, PROTOCOL_VERSION, TIMING, type GatewayFrame, type GrantRef, type ModelInfo, type SlotInfo } from '@limner/shared';
import { occupy, removeFree, whileUnlisted } from './free.ts';
import { armTask, orphan, refreshNode, refreshSlot, releaseSlot, tellCancel } from './grants.ts';
import { wakeSpecial } from './pens.ts';
import { dequeueTask } from './queue.ts';
import {
	slotNamed,
	taskKey,
	type Ctx,
	type EventMap,
	type HelloFrame,
	type Job,
	type NodeIdentity,
	type PoolNode,
	type Slot,
	type Task,
} from './model.ts';
import { createNode, createSlot, offerService } from './new-node.ts';
import { delist, enlist } from './owners.ts';
import { lastSeen } from './placement.ts';
import { isSame } from './same.ts';
import { arm, disarm } from './timers.ts';
import { markDirty } from './workstats.ts';

export const sendTo = (ctx: Ctx, connId: string, frame: GatewayFrame): void => {
	ctx.sends.push({ kind: 'frame', connId, frame });
};

export const closeConn = (ctx: Ctx, connId: string, code: number, reason: string): void => {
	ctx.sends.push({ kind: 'close', connId, code, reason });
};

/** A socket was accepted; it has to say hello in time. */
export const onConnect = (ctx: Ctx, { connId }: EventMap['connect']): void => {
	const until = ctx.now + TIMING.helloMs;
	ctx.state.pending.set(connId, until);
	arm(ctx.state.timers, `c:${connId}`, until);
};

/** Job and task of a grant that is this node's at this very epoch; undefined = stale. */
export const heldTask = (ctx: Ctx, nodeId: string, ref: GrantRef): { job: Job; task: Task } | undefined => {
	const job = ctx.state.jobs.get(ref.jobId);
	const task = job?.tasks[ref.index];
	if (job === undefined || task === undefined) return undefined;
	return task.state === 'leased' && task.epoch === ref.epoch && task.nodeId === nodeId && task.run !== null ? { job, task } : undefined;
};

/**
 * Takes an orphaned grant back at its epoch, without a write. Refused when the slot was given to another task
 * meanwhile: a slot never holds two.
 */
export const adopt = (ctx: Ctx, job: Job, task: Task, slotId: string | undefined, generated: boolean): boolean => {
	const { run } = task;
	const node = task.nodeId === null ? undefined : ctx.state.nodes.get(task.nodeId);
	if (run === null || node === undefined) return false;
	if (!generated) {
		const slot = slotNamed(node, slotId ?? task.slotId ?? '');
		const key = taskKey(job.id, task.index);
		if (slot === undefined || (slot.grant !== null && !isMate(ctx, slot, key, task))) return false;
		occupy(ctx.state, slot, key, job.ws);
		task.slotId = slot.info.id;
		refreshSlot(ctx, slot);
	}
	dequeueTask(ctx.state, job, task);
	run.orphanAt = null;
	run.acked = true;
	run.ackBy = null;
	run.generated = generated;
	run.phase = generated ? 'uploading' : run.phase;
	run.leaseUntil = ctx.now + Math.max(task.leaseMs, TIMING.leaseMinMs);
	run.lastStepAt = ctx.now;
	armTask(ctx, job, task);
	arm(ctx.state.timers, `n:${node.id}`, ctx.now + TIMING.suspectMs);
	return true;
};

/** Whether a slot works on this task, or on others that were granted together with it. */
const isMate = (ctx: Ctx, slot: Slot, key: string, task: Task): boolean => {
	if (slot.batch.has(key)) return true;
	const other = lookup(ctx, slot.grant ?? '')?.task;
	return other !== undefined && slot.info.maxBatch > slot.batch.size && other.grantedAt === task.grantedAt && other.slotId === task.slotId;
};

/** Job and task of a task key. */
export const lookup = (ctx: Ctx, key: string): { job: Job; task: Task } | undefined => {
	const slash = key.lastIndexOf('/');
	const job = ctx.state.jobs.get(key.slice(0, slash));
	const task = job?.tasks[Number(key.slice(slash + 1))];
	return job === undefined || task === undefined ? undefined : { job, task };
};

/** Takes over what a node says of its slots; a slot that is gone gives its task back. */
export const setSlots = (ctx: Ctx, node: PoolNode, infos: SlotInfo[]): boolean => {
	const before = [...node.slots.values()].map((slot) => slot.info);
	const changed = !isSame(before, infos, 'loaded');
	const ids = new Set(infos.map((info) => info.id));
	for (const [id, slot] of node.slots) {
		if (ids.has(id)) continue;
		for (const key of slot.batch) {
			const held = lookup(ctx, key);
			if (held !== undefined) orphan(ctx, held.job, held.task, ctx.now);
		}
		node.slots.delete(id);
		removeFree(ctx.state, slot);
	}
	for (const info of infos) {
		const slot = node.slots.get(info.id);
		if (slot === undefined) node.slots.set(info.id, createSlot(node, info));
		else slot.info = info;
	}
	refreshNode(ctx, node);
	if (changed) wakeSpecial(ctx.state, node);
	return changed;
};

export const setModels = (ctx: Ctx, node: PoolNode, models: ModelInfo[]): boolean => {
	if (isSame(node.models, models, 'warm')) {
		if (!isSame(node.models, models)) node.models = models;
		return false;
	}
	whileUnlisted(ctx.state, node, () => {
		node.models = models;
	});
	wakeSpecial(ctx.state, node);
	ctx.match = true;
	return true;
};

/** What a change of is written at once. */
const facts = ({ name, ws, trust, agentVersion, platform, labels, keyVersion, taskTypes, autoPull }: PoolNode): unknown[] => [
	name,
	ws,
	trust,
	agentVersion,
	platform,
	labels,
	keyVersion,
	taskTypes,
	autoPull,
];

/** Enters a node with whom its certificate says that it works for. */
const assign = (ctx: Ctx, node: PoolNode, { ws, trust }: NodeIdentity): void => {
	if (node.ws !== ws || node.trust !== trust) delist(ctx.state, node);
	node.ws = ws;
	node.trust = trust;
	enlist(ctx.state, node);
};

const describe = (ctx: Ctx, node: PoolNode, identity: NodeIdentity, frame: HelloFrame): void => {
	const before = facts(node);
	node.labels = identity.labels ?? [];
	node.keyVersion = Math.max(node.keyVersion, identity.keyVersion ?? 1);
	node.name = frame.name;
	assign(ctx, node, identity);
	node.agentVersion = frame.agentVersion;
	node.platform = frame.platform;
	node.diskFreeBytes = frame.diskFreeBytes ?? null;
	node.memoryBytes = frame.memoryBytes ?? null;
	const taskTypes = frame.taskTypes ?? [];
	if (!isSame(node.taskTypes, taskTypes)) node.taskTypes = taskTypes;
	node.autoPull = frame.autoPull ?? true;
	node.movedTo = null;
	offerService(node);
	const changedSlots = setSlots(ctx, node, frame.slots);
	const changedModels = setModels(ctx, node, frame.models);
	const changed = changedSlots || changedModels || !isSame(before, facts(node));
	// A rebuilt pool must know what a hibernating socket offers, so a change is written at once; it is rare.
	if (changed || node.savedAt === 0) ctx.writes.nodes.add(node);
};

/** Grants of a node that is (again) there, as `[job, task]`. */
export const grantsOf = (ctx: Ctx, node: PoolNode): { job: Job; task: Task }[] => [...node.grants].flatMap((key) => lookup(ctx, key) ?? []);

/** Compares what the node says it has with what the rows say: keep, drop, or grant again at once. */
const reconcile = (ctx: Ctx, node: PoolNode, frame: HelloFrame): { keep: GrantRef[]; drop: GrantRef[] } => {
	const keep: GrantRef[] = [];
	const drop: GrantRef[] = [];
	const kept = new Set<string>();
	const consider = (ref: GrantRef, slotId: string | undefined, generated: boolean): void => {
		const bare = { jobId: ref.jobId, index: ref.index, epoch: ref.epoch };
		const held = heldTask(ctx, node.id, ref);
		if (held !== undefined && adopt(ctx, held.job, held.task, slotId, generated)) {
			keep.push(bare);
			kept.add(taskKey(ref.jobId, ref.index));
			return;
		}
		// A finished picture of a job that this shard does not know belongs to another shard: its upload decides.
		if (generated && !ctx.state.jobs.has(ref.jobId) && !ctx.state.settled.has(ref.jobId)) keep.push(bare);
		else drop.push(bare);
	};
	for (const ref of frame.running) consider(ref, ref.slotId, false);
	for (const ref of frame.finished) consider(ref, undefined, true);
	for (const { job, task } of grantsOf(ctx, node)) {
		if (kept.has(taskKey(job.id, task.index)) || task.run === null) continue;
		// The holder came back without it: waiting longer is of no use.
		if (task.queued) continue;
		task.run.orphanAt = null;
		orphan(ctx, job, task, ctx.now);
	}
	return { keep, drop };
};

const refuseHello = (ctx: Ctx, connId: string, identity: NodeIdentity, frame: HelloFrame, node: PoolNode | undefined): boolean => {
	if (frame.v < PROTOCOL_VERSION) {
		closeConn(ctx, connId, CLOSE.outdated, `This gateway speaks protocol ${PROTOCOL_VERSION}; please update limner.`);
		return true;
	}
	if (node !== undefined && (identity.keyVersion ?? 1) < node.keyVersion) {
		closeConn(ctx, connId, CLOSE.unauthorized, 'This key was replaced by a newer one.');
		return true;
	}
	if (node?.mode !== 'terminated') return false;
	closeConn(ctx, connId, CLOSE.banned, `This node was terminated${node.modeReason === null ? '' : `: ${node.modeReason}`}`);
	return true;
};

/** A node that was restarted with another number of slots than its owner asked for is told again. */
const tellWantedSlots = (ctx: Ctx, node: PoolNode): void => {
	if (node.conn === null || node.wantedSlots === null || node.wantedSlots === node.slots.size) return;
	sendTo(ctx, node.conn.id, { t: 'resize', slots: node.wantedSlots });
};

/** A node introduces itself; the shell has checked the signature. */
export const onHello = (ctx: Ctx, { connId, identity, frame }: EventMap['hello']): void => {
	const { state, now } = ctx;
	if (!state.pending.delete(connId)) return;
	disarm(state.timers, `c:${connId}`);
	const known = state.nodes.get(identity.nodeId);
	if (refuseHello(ctx, connId, identity, frame, known)) return;
	const node = known ?? createNode(identity);
	state.nodes.set(node.id, node);
	if (node.conn !== null) {
		closeConn(ctx, node.conn.id, CLOSE.replaced, 'A newer connection of this node took over.');
		loseConn(ctx, node, now + TIMING.graceClosedMs);
	}
	node.conn = { id: connId, bootId: frame.bootId, at: now, lastFrameAt: now };
	node.excludedUntil = 0;
	state.connNode.set(connId, node.id);
	for (const slot of node.slots.values()) slot.stopping = null;
	describe(ctx, node, identity, frame);
	const { keep, drop } = reconcile(ctx, node, frame);
	sendTo(ctx, connId, {
		t: 'welcome',
		nodeId: node.id,
		connId,
		minVersion: PROTOCOL_VERSION,
		mode: node.mode,
		config: {
			pingMs: TIMING.pingMs,
			progressMs: TIMING.progressMs,
			watchProgressMs: TIMING.watchProgressMs,
			telemetryMs: TIMING.telemetryMs,
		},
		keep,
		drop,
	});
	tellWantedSlots(ctx, node);
	node.statusText = '';
	refreshNode(ctx, node);
	wakeSpecial(state, node);
	arm(state.timers, 'sweep', now + TIMING.sweepMs);
	if (node.grants.size > 0) arm(state.timers, `n:${node.id}`, now + TIMING.suspectMs);
	ctx.match = true;
};

/** The connection is gone. Nothing is written: until somebody else has taken its tasks, the node may come back for them. */
export const loseConn = (ctx: Ctx, node: PoolNode, orphanAt: number): void => {
	if (node.conn === null) return;
	node.lastSeenAt = lastSeen(ctx.state, node);
	markDirty(node);
	ctx.state.connNode.delete(node.conn.id);
	node.conn = null;
	for (const slot of node.slots.values()) slot.stopping = null;
	for (const { job, task } of grantsOf(ctx, node)) orphan(ctx, job, task, orphanAt);
	refreshNode(ctx, node);
	wakeSpecial(ctx.state, node);
	ctx.match = true;
};

export const onClosed = (ctx: Ctx, { connId }: EventMap['closed']): void => {
	ctx.state.pending.delete(connId);
	disarm(ctx.state.timers, `c:${connId}`);
	const node = ctx.state.nodes.get(ctx.state.connNode.get(connId) ?? '');
	// The close of a socket that a newer one replaced says nothing about the node.
	if (node?.conn?.id === connId) loseConn(ctx, node, ctx.now + TIMING.graceClosedMs);
};

/** No ack in time: the node gets nothing for a while, the task goes elsewhere at once. */
export const onAckTimeout = (ctx: Ctx, job: Job, task: Task): void => {
	const node = ctx.state.nodes.get(task.nodeId ?? '');
	if (node !== undefined) node.excludedUntil = ctx.now + TIMING.ackExcludeMs;
	tellCancel(ctx, job, task, 'no ack');
	releaseSlot(ctx, job, task, false);
	orphan(ctx, job, task, ctx.now);
};
