/**
 * Bounded wait: while a workspace has a task that a slot could take, others cannot be served on such slots for longer
 * than start-time fair queueing allows. And no slot stands idle while a task that it could take waits.
 * @module
 */
import { isChore } from '@limner/shared';
import { careWait } from '../care.ts';
import { typeOf, type PoolState, type QueueItem, type Send, type Slot } from '../model.ts';
import { nodeRefusal, slotRefusal, worksFor } from '../placement.ts';
import { inOrder } from '../ordered.ts';
import { queuedTasks, taskCost } from '../queue.ts';

/** Start-time fair queueing passes a workspace over for one task of each side; three times that is unfair for sure. */
const SLACK = 3;

export class FairWatch {
	/** Normalised service that others got on slots that the waiting workspace could have used, since it was last served. */
	readonly #passed = new Map<string, Map<string, { service: number; most: number }>>();

	reset(): void {
		this.#passed.clear();
	}

	check(state: PoolState, sends: readonly Send[], now: number): void {
		for (const send of sends) if (send.kind === 'task') this.#grant(state, send, now);
		for (const ws of this.#passed.keys()) if (!state.queues.has(ws)) this.#passed.delete(ws);
		checkIdleSlots(state, now);
	}

	#grant(state: PoolState, send: Extract<Send, { kind: 'task' }>, now: number): void {
		const { job } = send;
		if (isChore(typeOf(job))) return;
		this.#passed.delete(job.ws);
		const node = state.nodes.get(state.connNode.get(send.connId) ?? '');
		if (node === undefined) return;
		const service = taskCost(job) / job.weight;
		for (const [ws, queue] of state.queues) {
			if (ws === job.ws || !worksFor(node, ws)) continue;
			const items = [...inOrder(queue)];
			const head = items.find((item) => item.task.fails.length === 0 && nodeRefusal(state, now, node, item.job, item.task) === null);
			if (head === undefined) continue;
			const others = this.#passed.get(ws) ?? new Map<string, { service: number; most: number }>();
			this.#passed.set(ws, others);
			const before = others.get(job.ws) ?? { service: 0, most: 0 };
			const after = { service: before.service + service, most: Math.max(before.most, service) };
			others.set(job.ws, after);
			const own = Math.max(...items.map((item) => taskCost(item.job) / item.job.weight));
			if (after.service > SLACK * (after.most + own))
				throw new Error(`invariant: ${ws} waits while ${job.ws} got ${after.service.toFixed(2)} on slots that ${ws} could use`);
		}
	}
}

/** A node that was silent is looked at again after so long: nothing else tells that it was heard of. */
const SECOND_LOOK_MS = 1000;

const checkIdleSlots = (state: PoolState, now: number): void => {
	const secondLookAt = state.timers.armed.get('recheck') ?? Number.POSITIVE_INFINITY;
	if (secondLookAt <= now + SECOND_LOOK_MS) return;
	const check = ({ job, task }: QueueItem, slots: ReadonlySet<Slot>): void => {
		if (careWait(state, now, job, task) !== null) return;
		for (const slot of slots) {
			// What is set aside is looked at again when its timer fires.
			if (state.aside.has(slot) || !worksFor(slot.node, job.ws) || slotRefusal(state, now, slot, job, task) !== null) continue;
			throw new Error(`invariant: ${job.id}/${task.index} waits while ${slot.node.id}/${slot.info.id} is free for it`);
		}
	};
	if (state.free.size > 0) for (const item of queuedTasks(state)) check(item, state.free);
	if (state.service.size > 0) for (const item of inOrder(state.chores)) check(item, state.service);
};
