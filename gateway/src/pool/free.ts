/**
 * The free slots, and the same by model, so that a decision looks only at slots that could take the task.
 * @module
 */
import type { PoolNode, PoolState, Slot } from './model.ts';

const unlist = (state: PoolState, slot: Slot): void => {
	for (const { name } of slot.node.models) {
		const slots = state.freeFor.get(name);
		if (slots?.delete(slot) === true && slots.size === 0) state.freeFor.delete(name);
	}
};

const list = (state: PoolState, slot: Slot): void => {
	for (const { name } of slot.node.models) {
		const slots = state.freeFor.get(name);
		if (slots === undefined) state.freeFor.set(name, new Set([slot]));
		else slots.add(slot);
	}
};

/** Takes a task into a slot, alone or beside the others of its batch. */
export const occupy = (slot: Slot, key: string): void => {
	slot.grant ??= key;
	slot.batch.add(key);
};

/** Takes a task out of a slot; answers whether the slot is empty now. */
export const vacate = (slot: Slot, key: string): boolean => {
	slot.batch.delete(key);
	if (slot.grant === key) slot.grant = slot.batch.values().next().value ?? null;
	return slot.grant === null;
};

/** Marks a slot as free; answers whether it was not before. */
export const addFree = (state: PoolState, slot: Slot): boolean => {
	if (slot === slot.node.service) {
		const added = !state.service.has(slot);
		state.service.add(slot);
		return added;
	}
	if (state.free.has(slot)) return false;
	state.free.add(slot);
	list(state, slot);
	return true;
};

export const removeFree = (state: PoolState, slot: Slot): void => {
	state.service.delete(slot);
	if (state.free.delete(slot)) unlist(state, slot);
};

/** Runs a change of a node's models with its slots out of the index. */
export const whileUnlisted = (state: PoolState, node: PoolNode, change: () => void): void => {
	const slots = [...node.slots.values()].filter((slot) => state.free.has(slot));
	for (const slot of slots) unlist(state, slot);
	change();
	for (const slot of slots) list(state, slot);
};
