/**
 * Nodes as the supervisor API shows them. Pure.
 * @module
 */
import type { NodeView, TelemetrySample } from '../../rpc.ts';

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
	label?: string | undefined;
}

/** Whether a node passes the filters of the listing. */
export const matches = (node: NodeView, filter: WorkerFilter): boolean =>
	(filter.status === undefined || workerStatus(node) === filter.status) &&
	(filter.model === undefined || node.models.some((model) => model.name === filter.model)) &&
	(filter.workspaceId === undefined || node.ws === filter.workspaceId) &&
	(filter.label === undefined || node.labels.includes(filter.label));

const iso = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString());

/** A reading for callers. */
export const telemetryView = ({ at, ...sample }: TelemetrySample) => ({ at: new Date(at).toISOString(), ...sample });

/** Why a node is not working now, in words; nothing while it works. */
export const reasonOf = (node: NodeView): string | undefined => {
	if (node.slots.some((slot) => slot.state === 'RUNNING')) return undefined;
	if (node.mode === 'terminated') return `It was shut out${node.modeReason === undefined ? '.' : `: ${node.modeReason}`}`;
	if (node.link === 'pending') return 'It has enrolled and never connected. Start it with `limner node`.';
	if (node.link === 'offline') return 'It is offline. Start it again, or look into its log.';
	if (node.mode !== 'active') return node.modeReason ?? `It is ${node.mode}. Resume it to give it work.`;
	return node.idleReason;
};

/** A node for callers: times as text, the derived status, and the last of its readings. */
export const workerView = ({ telemetry, ...node }: NodeView) => ({
	...node,
	status: workerStatus(node),
	...reasonField(node, telemetry),
	...(telemetry.length === 0 ? {} : { telemetry: telemetryView(telemetry.at(-1) as TelemetrySample) }),
	lastSeenAt: iso(node.lastSeenAt),
	connectedAt: iso(node.connectedAt),
	models: node.models.map((model) => ({ name: model.name, sha256: model.sha256, warm: model.warm ?? false })),
	recentErrors: node.recentErrors.map((error) => ({ ...error, at: new Date(error.at).toISOString() })),
});
const reasonField = (node: Omit<NodeView, 'telemetry'>, telemetry: TelemetrySample[]): { reason?: string } => {
	const reason = reasonOf({ ...node, telemetry });
	return reason === undefined ? {} : { reason };
};
export type WorkerView = ReturnType<typeof workerView>;
