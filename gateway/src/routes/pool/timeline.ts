/**
 * Which slot worked on what, and when: the bars of a Gantt chart. From what nodes reported of their last tasks. Pure.
 * @module
 */
import type { IsolationRecord } from '../../rpc.ts';

const iso = (ms: number): string => new Date(ms).toISOString();

/**
 * Spans of work that end after a moment, oldest first.
 * @param records what nodes reported, times in milliseconds on their own clocks
 * @param ws jobs of other workspaces, which shared nodes work on as well, are left out
 */
export const spansOf = (records: readonly IsolationRecord[], ws: string, sinceMs: number) =>
	records
		.filter((record) => record.ws === ws && record.endedMs >= sinceMs)
		.toSorted((a, b) => a.startedMs - b.startedMs)
		.map(({ nodeId, slotId, jobId, index, epoch, startedMs, endedMs }) => ({
			agentId: `${nodeId}.${slotId}`,
			nodeId,
			slotId,
			jobId,
			index,
			epoch,
			startedAt: iso(startedMs),
			endedAt: iso(Math.max(startedMs, endedMs)),
		}));
