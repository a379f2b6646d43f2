/**
 * Nodes as the supervisor API shows them. Pure.
 * @module
 */
import type { NodeView } from '../../rpc.ts';

export const WORKER_STATUSES = ['IDLE', 'RUNNING', 'PAUSED', 'COMPLETED', 'FAILED', 'TERMINATED'] as const;
export type WorkerStatus = (typeof WORKER_STATUSES)[number];

/**
 * A node's status out of its slots: what somebody asks who wants to know whether it works. A node that is to take no
 * work counts as paused, unless it still works on something.
 */
export const workerStatus = (node: Pick<NodeView, 'mode' | 'slots'>): WorkerStatus => {
	const states = new Set(node.slots.map((slot) => slot.state));
	if (node.mode === 'terminated') return 'TERMINATED';
	if (states.has('RUNNING')) return 'RUNNING';
	if (node.mode !== 'active') return 'PAUSED';
	if (node.slots.length > 0 && states.size === 1) return node.slots[0]?.state ?? 'IDLE';
	return 'IDLE';
};

export interface WorkerFilter {
	status?: WorkerStatus | undefined;
	model?: string | undefined;
	workspaceId?: string | undefined;
}

/** Whether a node passes the filters of the listing. */
export const matches = (node: NodeView, filter: WorkerFilter): boolean =>
	(filter.status === undefined || workerStatus(node) === filter.status) &&
	(filter.model === undefined || node.models.some((model) => model.name === filter.model)) &&
	(filter.workspaceId === undefined || node.ws === filter.workspaceId);

const iso = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString());

/** A node for callers: times as text, and the derived status. */
export const workerView = (node: NodeView) => ({
	...node,
	status: workerStatus(node),
	lastSeenAt: iso(node.lastSeenAt),
	connectedAt: iso(node.connectedAt),
	models: node.models.map((model) => ({ name: model.name, sha256: model.sha256, warm: model.warm ?? false })),
	recentErrors: node.recentErrors.map((error) => ({ ...error, at: new Date(error.at).toISOString() })),
});
export type WorkerView = ReturnType<typeof workerView>;
