/**
 * What a dashboard shows, made of what the workspace, its shards and its alerts say. Pure.
 * @module
 */
import type { JobView } from '@limner/shared';
import type { AlertView } from '../../delivery/rpc.ts';
import type { NodeView, WorkspaceActivity } from '../../rpc.ts';
import { reasonOf, workerStatus } from '../supervisor/workers.ts';

/** Everything that is looked at. Times are milliseconds since the epoch. */
export interface Sources {
	nodes: NodeView[];
	/** Open jobs as their shards see them. */
	open: JobView[];
	activity: WorkspaceActivity;
	openAlerts: AlertView[];
	resolvedAlerts: AlertView[];
	timeline: { at: number; action: string; who: string; target: string }[];
}

const iso = (ms: number): string => new Date(ms).toISOString();
const share = (part: number, all: number): number | null => (all === 0 ? null : part / all);
const mean = (values: number[]): number | null =>
	values.length === 0 ? null : values.reduce((sum, value) => sum + value, 0) / values.length;

/** Slots and what they do. */
export const agentStatus = (nodes: readonly NodeView[]) =>
	nodes.flatMap((node) =>
		node.slots.map((slot) => ({
			agentId: slot.id,
			nodeId: node.id,
			name: node.name,
			link: node.link,
			status: node.link === 'offline' && slot.state === 'IDLE' ? 'PAUSED' : slot.state,
			...(slot.task === undefined ? {} : { jobId: slot.task.jobId, phase: slot.task.phase, step: slot.task.step, steps: slot.task.steps }),
		})),
	);

/** Whatever keeps work from being done, oldest first. */
export const blockersOf = ({ open, openAlerts }: Pick<Sources, 'open' | 'openAlerts'>) => {
	const waiting = open
		.filter((job) => job.state !== 'running')
		.flatMap((job) => {
			const reason = job.queue?.reason;
			return reason === undefined ? [] : [{ kind: 'job' as const, subject: job.id, since: job.createdAt, reason }];
		});
	const alerts = openAlerts.map((alert) => ({
		kind: 'alert' as const,
		subject: alert.id,
		since: iso(alert.raisedAt),
		reason: alert.title,
	}));
	return [...waiting, ...alerts].toSorted((a, b) => (a.since < b.since ? -1 : 1));
};

/** Pictures finished / pictures asked for, over the window's jobs and the open ones. */
const completion = (open: readonly JobView[], { tasks, tasksDone }: WorkspaceActivity): number | null => {
	const asked = tasks + open.reduce((sum, job) => sum + job.request.n, 0);
	const done = tasksDone + open.reduce((sum, job) => sum + job.images.length, 0);
	return share(done, asked);
};

/** The dashboard at a moment. */
export const dashboardOf = (sources: Sources, windowMs: number, nowMs: number) => {
	const { nodes, open, activity, openAlerts, resolvedAlerts, timeline } = sources;
	const agents = agentStatus(nodes);
	const busy = agents.filter((agent) => agent.status === 'RUNNING').length;
	const online = nodes.filter((node) => node.link === 'online' || node.link === 'suspect').length;
	return {
		at: iso(nowMs),
		windowMs,
		overallCompletion: completion(open, activity),
		agentStatus: agents,
		blockers: blockersOf(sources),
		timeline: timeline.map(({ at, ...event }) => ({ at: iso(at), ...event })),
		metrics: {
			jobsOpen: open.length,
			jobsWaiting: open.filter((job) => job.state !== 'running').length,
			jobsRunning: open.filter((job) => job.state === 'running').length,
			jobsSucceeded: activity.succeeded,
			jobsFailed: activity.failed,
			jobsCanceled: activity.canceled,
			jobsExpired: activity.expired,
			nodes: nodes.length,
			nodesOnline: online,
			agents: agents.length,
			agentsBusy: busy,
			utilization: agents.length === 0 ? 0 : busy / agents.length,
			tasksPerMinute: activity.tasksDone / Math.max(1, windowMs / 60_000),
			alertsOpen: openAlerts.length,
		},
		/** Jobs that succeeded / jobs that ended; canceled ones are nobody's failure and are left out. */
		taskCompletionRate: share(activity.succeeded, activity.succeeded + activity.failed + activity.expired),
		blockerResolutionTime: mean(
			resolvedAlerts.flatMap(({ raisedAt, resolvedAt }) => (resolvedAt === undefined ? [] : [resolvedAt - raisedAt])),
		),
		handoffSuccess: share(activity.handoffsOk, activity.handoffs),
	};
};
export type Dashboard = ReturnType<typeof dashboardOf>;

/** Who is there. */
export const presenceOf = (nodes: readonly NodeView[], nowMs: number) => ({
	at: iso(nowMs),
	online: nodes.filter((node) => node.link === 'online' || node.link === 'suspect').length,
	total: nodes.length,
	nodes: nodes.map((node) => {
		const reason = reasonOf(node);
		return {
			id: node.id,
			name: node.name,
			link: node.link,
			mode: node.mode,
			status: workerStatus(node),
			labels: node.labels,
			lastSeenAt: node.lastSeenAt === null ? null : iso(node.lastSeenAt),
			connectedAt: node.connectedAt === null ? null : iso(node.connectedAt),
			working: node.slots.flatMap((slot) => (slot.task === undefined ? [] : [slot.task.jobId])),
			...(reason === undefined ? {} : { reason }),
		};
	}),
});
export type Presence = ReturnType<typeof presenceOf>;
