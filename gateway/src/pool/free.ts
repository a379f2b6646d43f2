/**
 * Which slots are free, and what the others work on.
 * @module
 */
import { touch } from './census.ts';
import { countBusy } from './lanes.ts';
import { listSlot, unlistSlot } from './pens.ts';
import type { PoolNode, PoolState, Slot } from './model.ts';

/** All places of a node, the one for tasks that need no device included. */
export const slotsOf = (node: PoolNode): Slot[] => [...node.slots.values(), ...(node.service === null ? [] : [node.service])];

/** Takes a task of a workspace into a slot, alone or beside the others of its batch. */
export const occupy = (state: PoolState, slot: Slot, key: string, ws: string): void => {
	if (slot.batch.has(key)) return;
	touch(state, slot.node);
	slot.grant ??= key;
	slot.batch.add(key);
	if (slot !== slot.node.service) countBusy(state, ws, 1);
};

/** Takes a task out of a slot; answers whether the slot is empty now. */
export const vacate = (state: PoolState, slot: Slot, key: string, ws: string): boolean => {
	touch(state, slot.node);
	if (slot.batch.delete(key) && slot !== slot.node.service) countBusy(state, ws, -1);
	if (slot.grant === key) slot.grant = slot.batch.values().next().value ?? null;
	return slot.grant === null;
};

/** Marks a slot as free; answers whether it was not before. */
export const addFree = (state: PoolState, slot: Slot): boolean => {
	const set = slot === slot.node.service ? state.service : state.free;
	if (set.has(slot)) return false;
	set.add(slot);
	if (set === state.free) state.idle.add(slot.node);
	listSlot(state, slot);
	return true;
};

export const removeFree = (state: PoolState, slot: Slot): void => {
	if (!state.service.delete(slot) && !state.free.delete(slot)) return;
	if (state.aside.delete(slot)) touch(state, slot.node);
	else unlistSlot(state, slot);
};

/** A free slot whose node is out of reach for a moment: no decision has to look at it until it is taken up again. */
export const setAside = (state: PoolState, slot: Slot, reason: string): void => {
	state.aside.set(slot, reason);
	touch(state, slot.node);
	unlistSlot(state, slot);
};

/** Takes the slots of a node up again that were set aside. */
export const takeUp = (state: PoolState, node: PoolNode): void => {
	touch(state, node);
	for (const slot of slotsOf(node)) if (state.aside.delete(slot)) listSlot(state, slot);
};

/** Runs a change of a node's models with its slots out of the index. */
export const whileUnlisted = (state: PoolState, node: PoolNode, change: () => void): void => {
	const slots = slotsOf(node).filter((slot) => (state.free.has(slot) || state.service.has(slot)) && !state.aside.has(slot));
	for (const slot of slots) unlistSlot(state, slot);
	touch(state, node);
	change();
	for (const slot of slots) listSlot(state, slot);
};
