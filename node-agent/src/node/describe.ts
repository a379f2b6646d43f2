/**
 * What a node says of itself: its slots, and its status for people. Pure.
 * @module
 */
import type { Device, SlotInfo } from '@limner/shared';
import type { LinkState } from '../link/reducer.ts';
import type { SlotState } from '../slots/state.ts';
import type { NodeStatus } from './status.ts';

/** The device of a slot: slot 3 of two GPUs computes on the second one. */
export const deviceOf = (devices: readonly Device[], slotId: string): Device =>
	devices[Number(slotId) % Math.max(1, devices.length)] ?? { kind: 'cpu', name: 'CPU' };

/** What a slot takes: what its engine measured, else what its owner allows. */
const batchOf = ({ capabilities, loaded }: SlotState, ownersLimit: number): Pick<SlotInfo, 'maxBatch' | 'maxBatchPx' | 'warm'> => {
	const px = capabilities?.maxBatchPx;
	const others = capabilities?.held.filter((name) => name !== loaded) ?? [];
	return {
		maxBatch: capabilities?.maxBatch ?? ownersLimit,
		...(px === undefined ? {} : { maxBatchPx: px }),
		...(others.length === 0 ? {} : { warm: others }),
	};
};

export interface SlotOwner {
	devices: readonly Device[];
	engineName: string;
	/** Pictures at a time until the engine says what it takes; 1 when absent. */
	maxBatch?: number | undefined;
}

/** Slots as frames name them; those that are on their way out are not offered any more. */
export const slotInfos = (states: readonly SlotState[], { devices, engineName, maxBatch = 1 }: SlotOwner): SlotInfo[] =>
	states
		.filter((state) => !state.retiring)
		.map((state) => ({
			id: state.id,
			device: deviceOf(devices, state.id),
			engine: engineName,
			...batchOf(state, maxBatch),
			...(state.loaded === undefined ? {} : { loaded: state.loaded }),
		}));

/** Models that some slot can use at once. */
export const heldModels = (states: readonly SlotState[]): Set<string> =>
	new Set(states.flatMap(({ loaded, capabilities }) => [...(loaded === undefined ? [] : [loaded]), ...(capabilities?.held ?? [])]));

export const linkView = (state: LinkState): NodeStatus['link'] => {
	if (state.phase === 'online' || state.phase === 'stopped') return state.phase;
	return state.phase === 'backoff' ? 'offline' : 'connecting';
};
