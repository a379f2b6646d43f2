/**
 * What an operator asks of the pool as a whole: how many slots, where nodes live, on, off, and failing a slot by hand.
 * @module
 */
import { POOL_LIMITS, refuse, type Result } from '@limner/shared';
import type { NodeView } from '../rpc.ts';
import { failAttempt } from './grants.ts';
import { slotNamed, type Ctx, type EventMap, type PoolNode, type PoolState, type Replies } from './model.ts';
import { applyMode, blame, takeBack } from './modes.ts';
import { nodesOf } from './owners.ts';
import { lookup, sendTo } from './nodes.ts';
import { nodeView, poolTaskView } from './views.ts';

const SHUT = 'the pool was shut down';
const LEFT_OUT = 'the pool was initialised with fewer slots than it has nodes';

/** A node of a workspace; somebody else's does not exist. */
const ownNode = (state: PoolState, ws: string, nodeId: string): PoolNode | undefined => {
	const node = state.nodes.get(nodeId);
	return node?.ws === ws ? node : undefined;
};

const NO_NODE = refuse('not_found', 'There is no such node.');

const want = (ctx: Ctx, node: PoolNode, slots: number): void => {
	node.wantedSlots = slots;
	ctx.writes.nodes.add(node);
	if (node.conn !== null && node.slots.size !== slots) sendTo(ctx, node.conn.id, { t: 'resize', slots });
};

/** The node answers with its slots; those that are too many end after their task. */
export const onResize = (ctx: Ctx, { ws, nodeId, slots }: EventMap['resize']): Result<{ node: NodeView }> => {
	const node = ownNode(ctx.state, ws, nodeId);
	if (node === undefined) return NO_NODE;
	if (!Number.isInteger(slots) || slots < 1 || slots > POOL_LIMITS.maxPoolSize)
		return refuse('validation_failed', `A node has 1 to ${POOL_LIMITS.maxPoolSize} slots.`);
	if (node.mode === 'terminated') return refuse('conflict', 'The node was terminated.');
	want(ctx, node, slots);
	return { ok: true, node: nodeView(ctx.state, ctx.now, node) };
};

/** Jobs never move; nodes do, and only when they have nothing to do. */
export const onMove = (ctx: Ctx, { ws, nodeId, shard }: EventMap['move']): Result<{ node: NodeView }> => {
	const node = ownNode(ctx.state, ws, nodeId);
	if (node === undefined) return NO_NODE;
	if (node.conn === null || node.mode === 'terminated')
		return refuse('conflict', 'The node is not connected, so it cannot be told to move.');
	if (node.trust === 'own')
		return refuse('conflict', 'A node with trust "own" works for its workspace only and stays in that workspace\'s home shard.');
	if (node.grants.size > 0) return refuse('conflict', 'The node has work; drain it and move it when it is idle.');
	node.movedTo = shard;
	ctx.writes.nodes.add(node);
	ctx.sends.push({ kind: 'move', connId: node.conn.id, shard });
	return { ok: true, node: nodeView(ctx.state, ctx.now, node) };
};

const livingNodes = (state: PoolState, ws: string): PoolNode[] =>
	[...nodesOf(state, ws)].filter((node) => node.mode !== 'terminated' && node.movedTo === null);

const configure = (ctx: Ctx, ws: string, state: 'ready' | 'shut', size: number | null, who: string): void => {
	ctx.state.pools.set(ws, { state, size, at: ctx.now, who });
	ctx.writes.pools.add(ws);
};

/** Was this node put aside by us, and not by a person or by its failures? */
const wasPutAside = (node: PoolNode): boolean => node.mode === 'active' || node.modeReason === SHUT || node.modeReason === LEFT_OUT;

const share = (size: number, nodes: number, i: number): number =>
	Math.min(POOL_LIMITS.maxPoolSize, Math.floor(size / nodes) + (i < size % nodes ? 1 : 0));

/** Spreads slots evenly over connected nodes; nodes that get none are paused. */
export const onInitialize = (ctx: Ctx, { ws, size, who }: EventMap['initialize']): Replies['initialize'] => {
	if (!Number.isInteger(size) || size < 1 || size > POOL_LIMITS.maxPoolSize)
		return refuse('validation_failed', `A pool has 1 to ${POOL_LIMITS.maxPoolSize} slots.`);
	const nodes = livingNodes(ctx.state, ws).filter((node) => node.conn !== null && wasPutAside(node));
	if (nodes.length === 0) return refuse('conflict', 'No node of this workspace is connected. Start one with `limner node`.');
	for (const [i, node] of nodes.entries()) {
		const slots = share(size, nodes.length, i);
		if (slots === 0) {
			if (node.mode === 'active') applyMode(ctx, node, 'paused', LEFT_OUT);
			continue;
		}
		if (node.mode !== 'active') applyMode(ctx, node, 'active', '');
		want(ctx, node, slots);
	}
	configure(ctx, ws, 'ready', size, who);
	return { ok: true, nodes: nodes.map((node) => nodeView(ctx.state, ctx.now, node)) };
};

/** Pauses every node of the workspace. Jobs stay where they are and wait. */
export const onShutdown = (ctx: Ctx, { ws, now, who }: EventMap['shutdown']): Replies['shutdown'] => {
	const nodes = livingNodes(ctx.state, ws);
	for (const node of nodes) {
		if (node.mode === 'active') applyMode(ctx, node, 'paused', SHUT);
		if (now) takeBack(ctx, node, SHUT, who);
	}
	configure(ctx, ws, 'shut', ctx.state.pools.get(ws)?.size ?? null, who);
	return { ok: true, nodes: nodes.map((node) => nodeView(ctx.state, ctx.now, node)) };
};

/** A person says that what this slot does is wrong: the attempt has failed. */
export const onFailAgent = (ctx: Ctx, { ws, agentId, reason, who }: EventMap['failAgent']): Replies['failAgent'] => {
	const slash = agentId.indexOf('/');
	const node = ownNode(ctx.state, ws, agentId.slice(0, slash));
	const slot = node === undefined ? undefined : slotNamed(node, agentId.slice(slash + 1));
	if (node === undefined || slot === undefined) return refuse('not_found', 'There is no such slot.');
	const message = `failed by hand (${who}): ${reason}`;
	const held = slot.grant === null ? undefined : lookup(ctx, slot.grant);
	for (const key of slot.batch) {
		const each = lookup(ctx, key);
		if (each !== undefined) failAttempt(ctx, each.job, each.task, 'engine', message, true);
	}
	blame(ctx, node, 'engine', message, held?.job.id ?? '', slot.info.id);
	ctx.writes.nodes.add(node);
	const task = held === undefined ? {} : { task: poolTaskView(held.job, held.task) };
	return { ok: true, node: nodeView(ctx.state, ctx.now, node), ...task };
};
