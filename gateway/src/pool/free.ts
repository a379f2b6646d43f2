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

/** Marks a slot as free; answers whether it was not before. */
export const addFree = (state: PoolState, slot: Slot): boolean => {
	if (state.free.has(slot)) return false;
	state.free.add(slot);
	list(state, slot);
	return true;
};

export const removeFree = (state: PoolState, slot: Slot): void => {
	if (state.free.delete(slot)) unlist(state, slot);
};

/** Runs a change of a node's models with its slots out of the index. */
export const whileUnlisted = (state: PoolState, node: PoolNode, change: () => void): void => {
	const slots = [...node.slots.values()].filter((slot) => state.free.has(slot));
	for (const slot of slots) unlist(state, slot);
	change();
	for (const slot of slots) list(state, slot);
};
