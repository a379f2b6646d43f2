/**
 * Which slot worked on what: rows of bars over a window. Pure.
 * @module
 */
import type { Dashboard, TimelineSpan } from '@limner/sdk';

export interface GanttBar {
	jobId: string;
	/** Milliseconds since the epoch. */
	from: number;
	to: number;
	/** Still at work. */
	running: boolean;
}

export interface GanttRow {
	/** `<node>.<slot>` */
	agentId: string;
	name: string;
	bars: GanttBar[];
	/** Tasks in the window, and the share of it that the slot worked, 0..1. */
	tasks: number;
	busy: number;
}

type Agent = Dashboard['agentStatus'][number];

/** The dashboard names slots `<node>/<slot>`, the timeline `<node>.<slot>`. */
export const agentKey = (agentId: string): string => agentId.replace('/', '.');

/** Slots of nodes that are there, and of those that worked in the window; bars that overlap it. */
const namesOf = (agents: readonly Agent[], spans: readonly TimelineSpan[]): Map<string, string> => {
	const names = new Map(spans.map(({ agentId, slotId }) => [agentId, slotId]));
	for (const { agentId, name } of agents) names.set(agentKey(agentId), `${name} ${agentKey(agentId).split('.')[1] ?? ''}`);
	return names;
};

const runningBar = (agent: Agent | undefined, since: number | undefined, last: number, nowMs: number): GanttBar[] => {
	if (agent?.jobId === undefined) return [];
	const from = Math.min(nowMs, Math.max(last, since ?? nowMs));
	return [{ jobId: agent.jobId, from, to: nowMs, running: true }];
};

const busyMs = (bars: readonly GanttBar[], from: number): number =>
	bars.reduce((sum, bar) => sum + Math.max(0, bar.to - Math.max(from, bar.from)), 0);

/**
 * Rows for the window that ends now.
 * @param since when each agent was first seen at its present job, by `<agent> <job>`, milliseconds since the epoch
 */
export const ganttRows = (
	agents: readonly Agent[],
	spans: readonly TimelineSpan[],
	since: ReadonlyMap<string, number>,
	nowMs: number,
	windowMs: number,
): GanttRow[] => {
	const from = nowMs - windowMs;
	const bySlot = Map.groupBy(spans, ({ agentId }) => agentId);
	const byAgent = new Map(agents.map((agent) => [agentKey(agent.agentId), agent]));
	return [...namesOf(agents, spans)]
		.map(([agentId, name]) => {
			const done = (bySlot.get(agentId) ?? []).map((span) => ({
				jobId: span.jobId,
				from: Date.parse(span.startedAt),
				to: Date.parse(span.endedAt),
				running: false,
			}));
			const agent = byAgent.get(agentId);
			const last = done.reduce((latest, { to }) => Math.max(latest, to), 0);
			const bars = [...done, ...runningBar(agent, since.get(`${agentId} ${agent?.jobId ?? ''}`), last, nowMs)].filter(
				({ to }) => to >= from,
			);
			return { agentId, name, bars, tasks: bars.length, busy: Math.min(1, busyMs(bars, from) / windowMs) };
		})
		.toSorted((a, b) => a.name.localeCompare(b.name, undefined, { numeric: true }));
};

/** Left edge and width of a bar in percent of the window. */
export const placeOf = ({ from, to }: GanttBar, nowMs: number, windowMs: number): { left: number; width: number } => {
	const percent = (ms: number): number => Math.min(100, Math.max(0, ((ms - (nowMs - windowMs)) / windowMs) * 100));
	return { left: percent(from), width: percent(to) - percent(from) };
};

const HUES = 12;
/** A hue for a job, the same wherever it shows. */
export const hueOf = (jobId: string): number =>
	(Array.from(jobId).reduce((sum, char) => (sum * 31 + char.charCodeAt(0)) % 9973, 7) % HUES) * (360 / HUES);
