/**
 * Nodes and slots that nothing is known of yet.
 * @module
 */
import { CHORE_SLOT, isChore, type SlotInfo } from '@limner/shared';
import type { NodeIdentity, PoolNode, Slot } from './model.ts';

export const createSlot = (node: PoolNode, info: SlotInfo): Slot => ({ node, info, grant: null, batch: new Set(), stopping: null });

/** Gives a node the place for tasks that need no device, when it says that it does some. */
export const offerService = (node: PoolNode): void => {
	if (node.service !== null || !node.taskTypes.some(isChore)) return;
	node.service = createSlot(node, { id: CHORE_SLOT, device: { kind: 'cpu', name: 'agent' }, engine: 'agent', maxBatch: 1 });
};

/** A node that nothing is known of but its certificate. */
export const createNode = (identity: NodeIdentity): PoolNode => ({
	id: identity.nodeId,
	name: identity.name,
	ws: identity.ws,
	trust: identity.trust,
	labels: identity.labels ?? [],
	keyVersion: identity.keyVersion ?? 1,
	telemetry: [],
	isolation: [],
	mode: identity.pending === true ? 'paused' : 'active',
	modeReason: identity.pending === true ? 'It waits for the approval of an operator.' : null,
	agentVersion: '',
	platform: '',
	models: [],
	diskFreeBytes: null,
	memoryBytes: null,
	completed: 0,
	failed: 0,
	recentErrors: [],
	taskTypes: [],
	autoPull: true,
	service: null,
	wantedSlots: null,
	movedTo: null,
	work: {},
	slotStats: {},
	canaries: {},
	speed: {},
	lastSeenAt: null,
	conn: null,
	slots: new Map(),
	penKeys: null,
	grants: new Set(),
	excludedUntil: 0,
	statusText: '',
	statusAt: 0,
	savedAt: 0,
	historyAt: 0,
	dirty: false,
});
