/**
 * Why a node gets no work, in words: for its owner, and for the node itself, which is told on change.
 * @module
 */
import { targetOf } from './care.ts';
import { kindOf, type Kind } from './census.ts';
import { typeOf, type Ctx, type PoolNode, type PoolState, type QueueItem } from './model.ts';
import { sendTo } from './nodes.ts';
import { kindRefusal, restRefusal } from './placement.ts';
import { queuedTasks } from './queue.ts';

/** A node hears of changes at most this often. */
const STATUS_MS = 2000;
/** So many nodes are looked at in one step; more take turns. */
const NODES_LOOK = 16;
/** Between two looks where nodes take turns. */
const TURN_MS = 20;
/** Where nodes take turns, what they are told may be so old. */
const TEXTS_MS = 250;
/** Of a long queue only so many entries are looked at. */
const QUEUE_LOOK = 64;

export const plural = (count: number, what: string): string => `${count} ${what}${count === 1 ? '' : 's'}`;

const MODE_TEXT = {
	draining: 'It finishes what it has and takes nothing new',
	paused: 'It is paused',
	terminated: 'It was terminated',
} as const;

/** The head of the queue: tasks that the same nodes refuse for the same reason, counted. */
interface Head {
	needs: { item: QueueItem; count: number; ofWs: Map<string, number> }[];
	count: number;
	/** Nodes that some of these tasks are meant for, and workspaces that alone may do some. */
	targets: ReadonlySet<string>;
	owners: ReadonlySet<string>;
}

const headOf = (state: PoolState): Head => {
	const needs = new Map<string, Head['needs'][number]>();
	const targets = new Set<string>();
	const owners = new Set<string>();
	let count = 0;
	for (const item of queuedTasks(state)) {
		if (count === QUEUE_LOOK) break;
		count++;
		const need = needs.get(item.need) ?? { item, count: 0, ofWs: new Map<string, number>() };
		needs.set(item.need, need);
		need.count++;
		need.ofWs.set(item.job.ws, (need.ofWs.get(item.job.ws) ?? 0) + 1);
		const target = targetOf(item.job, item.task);
		if (target !== undefined) targets.add(target);
		if (typeOf(item.job) !== 'GENERAL') owners.add(item.job.ws);
	}
	return { needs: [...needs.values()], count, targets, owners };
};

const queuedReason = (state: PoolState, now: number, node: PoolNode, head: Head): string => {
	const reasons = new Map<string, number>();
	let foreign = head.count;
	const rest = restRefusal(state, now, node);
	for (const { item, count: ofAll, ofWs } of head.needs) {
		const count = node.trust === 'shared' ? ofAll : (ofWs.get(node.ws) ?? 0);
		if (count === 0) continue;
		foreign -= count;
		const refusal = kindRefusal(state, now, node, item.job, item.task) ?? rest;
		const reason = refusal?.reason ?? 'failed here before, or waits for more memory';
		reasons.set(reason, (reasons.get(reason) ?? 0) + count);
	}
	const parts = [...reasons].map(([reason, count]) => `${plural(count, 'task')}: this node ${reason}`);
	if (foreign > 0) parts.push(`${plural(foreign, 'task')} of other workspaces, which a node with trust "own" does not take`);
	return `${plural(state.backlog, 'task')} waiting, none for this node (${parts.join('; ')}).`;
};

/** What nodes of a kind are told in one step, or, where nodes take turns, within a moment. */
export interface Texts {
	at: number;
	head?: Head;
	of: Map<Kind, string>;
}

/** Where very many nodes stand idle, what others were told a moment ago will do. */
const textsAt = (state: PoolState, now: number): Texts => {
	const recent = state.idle.size > NODES_LOOK && state.idleTexts.at + TEXTS_MS > now;
	if (!recent) state.idleTexts = { at: now, of: new Map() };
	return state.idleTexts;
};

const waitingText = (state: PoolState, now: number, node: PoolNode, texts: Texts): string => {
	const head = (texts.head ??= headOf(state));
	// What is meant for one node, and who is out of reach for a moment, says nothing of its kind.
	const apart = head.targets.has(node.id) || restRefusal(state, now, node) !== null;
	const kind = apart ? undefined : kindOf(state, node, head.owners.has(node.ws));
	const known = kind === undefined ? undefined : texts.of.get(kind);
	if (known !== undefined) return known;
	const text = queuedReason(state, now, node, head);
	if (kind !== undefined) texts.of.set(kind, text);
	return text;
};

/** Why a node gets no work now, in words; undefined while it works. */
export const idleReason = (state: PoolState, now: number, node: PoolNode, texts = textsAt(state, now)): string | undefined => {
	if (node.mode !== 'active') return `${MODE_TEXT[node.mode]}${node.modeReason === null ? '' : `: ${node.modeReason}`}.`;
	if (node.conn === null) return 'It is not connected.';
	for (const slot of node.slots.values()) if (slot.grant !== null) return undefined;
	if (node.models.length === 0) return 'It offers no model.';
	if (node.excludedUntil > now) return 'It did not answer a task within 3 seconds and gets the next one in half a minute.';
	return state.backlog === 0 ? 'Ready; nothing is waiting.' : waitingText(state, now, node, texts);
};

const hasFree = (state: PoolState, node: PoolNode): boolean => {
	for (const slot of node.slots.values()) if (state.free.has(slot)) return true;
	return false;
};

/** The next ones of those that stand by while work waits. Whoever was looked at goes to the end of the row. */
const whoStandsBy = (ctx: Ctx): PoolNode[] => {
	const { state, now } = ctx;
	const { idle } = state;
	if (state.backlog === 0 || idle.size === 0 || state.idleLookAt > now) return [];
	if (idle.size > NODES_LOOK) state.idleLookAt = now + TURN_MS;
	const found: PoolNode[] = [];
	for (const node of idle) if (found.push(node) === NODES_LOOK) break;
	const many = idle.size > NODES_LOOK;
	for (const node of found) {
		const stays = hasFree(state, node);
		if (many || !stays) idle.delete(node);
		if (many && stays) idle.add(node);
	}
	return found;
};

/** Tells nodes that stand idle why, on change only. Where very many do, the one that just acted waits for its turn like the others. */
export const tellIdle = (ctx: Ctx, touched: PoolNode | undefined): void => {
	const { state, now } = ctx;
	const nodes = whoStandsBy(ctx).filter((node) => node !== touched && node.statusAt + STATUS_MS <= now);
	const takesTurns = state.backlog > 0 && state.idle.size > NODES_LOOK;
	if (touched !== undefined && !(takesTurns && state.idle.has(touched))) nodes.push(touched);
	const texts = textsAt(state, now);
	for (const node of nodes) {
		const text = idleReason(state, now, node, texts) ?? '';
		if (node.conn === null || text === node.statusText) continue;
		node.statusText = text;
		node.statusAt = now;
		if (text !== '') sendTo(ctx, node.conn.id, { t: 'status', text, queued: state.backlog });
	}
};
