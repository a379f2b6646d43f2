import type { Dashboard } from '@limner/sdk';
import { useQuery } from '@tanstack/react-query';
import { useRef, useState } from 'react';
import { duration, plural } from '../../lib/format.ts';
import { useNow } from '../../lib/now.ts';
import { client } from '../../lib/session.ts';
import { p } from '../../strings/pool.ts';
import { Empty, Loaded, Panel } from '../../ui/panel.tsx';
import { agentKey, ganttRows, hueOf, placeOf, type GanttBar, type GanttRow } from './gantt.ts';

const SPANS_MS = 5_000;
const TICK_MS = 1_000;
const DEFAULT_WINDOW_S = 300;
/** A bar is at least this wide, percent: short tasks must not vanish. */
const MIN_WIDTH = 0.4;

/** When each slot was first seen at its present job. */
const useSince = (agents: Dashboard['agentStatus']): ReadonlyMap<string, number> => {
	const since = useRef(new Map<string, number>());
	const now = Date.now();
	const keys = new Set(agents.flatMap(({ agentId, jobId }) => (jobId === undefined ? [] : [`${agentKey(agentId)} ${jobId}`])));
	for (const key of keys) if (!since.current.has(key)) since.current.set(key, now);
	for (const key of since.current.keys()) if (!keys.has(key)) since.current.delete(key);
	return since.current;
};

const Bar = ({ bar, now, windowMs }: { bar: GanttBar; now: number; windowMs: number }) => {
	const { left, width } = placeOf(bar, now, windowMs);
	return (
		<div
			title={`${bar.jobId} · ${duration(bar.to - bar.from)}`}
			className={`absolute inset-y-1 rounded-sm ${bar.running ? 'animate-pulse' : ''}`}
			style={{ left: `${left}%`, width: `${Math.max(MIN_WIDTH, width)}%`, background: `hsl(${hueOf(bar.jobId)} 55% 52%)` }}
		/>
	);
};

const Slot = ({ row, now, windowMs }: { row: GanttRow; now: number; windowMs: number }) => {
	const words = `${row.name}: ${plural(row.tasks, 'task')}, ${p.dashboard.worked} ${Math.round(row.busy * 100)} %`;
	return (
		<li data-slot={row.agentId} className="grid grid-cols-[minmax(5rem,9rem)_1fr_3.5rem] items-center gap-2 text-sm">
			<span className="truncate" title={row.name}>
				{row.name}
			</span>
			<div role="img" aria-label={words} className="relative h-7 overflow-hidden rounded bg-sunk">
				{row.bars.map((bar) => (
					<Bar key={`${bar.jobId}${bar.from}${bar.running}`} bar={bar} now={now} windowMs={windowMs} />
				))}
			</div>
			<span className="text-right text-muted tabular-nums">{Math.round(row.busy * 100)} %</span>
		</li>
	);
};

const timeOf = (ms: number): string => new Date(ms).toLocaleTimeString(undefined, { hour: '2-digit', minute: '2-digit' });

/** A Gantt chart of the slots: what each worked on, and when. */
export const Timeline = ({ agents }: { agents: Dashboard['agentStatus'] }) => {
	const [windowS, setWindowS] = useState(DEFAULT_WINDOW_S);
	const now = useNow(TICK_MS);
	const since = useSince(agents);
	const query = useQuery({
		queryKey: ['timeline', windowS],
		queryFn: ({ signal }) => client.nodes.timeline({ sinceMs: windowS * 1000 }, { signal }),
		refetchInterval: SPANS_MS,
	});
	const windowMs = windowS * 1000;
	const rows = ganttRows(agents, query.data ?? [], since, now, windowMs);
	return (
		<Panel
			title={p.dashboard.timeline}
			actions={
				<select
					aria-label={p.dashboard.window}
					value={windowS}
					onChange={(event) => setWindowS(Number(event.target.value))}
					className="rounded-lg border border-line bg-raised px-2 py-1 text-sm"
				>
					{Object.entries(p.dashboard.windows).map(([value, label]) => (
						<option key={value} value={value}>
							{label}
						</option>
					))}
				</select>
			}
		>
			<Loaded query={query}>
				{rows.length === 0 ? <Empty>{p.dashboard.timelineEmpty}</Empty> : null}
				<ul data-testid="gantt" className="flex flex-col gap-1.5">
					{rows.map((row) => (
						<Slot key={row.agentId} row={row} now={now} windowMs={windowMs} />
					))}
				</ul>
				<div aria-hidden className="mt-1 grid grid-cols-[minmax(5rem,9rem)_1fr_3.5rem] gap-2 text-xs text-muted">
					<span />
					<span className="flex justify-between">
						<span>{timeOf(now - windowMs)}</span>
						<span>{timeOf(now - windowMs / 2)}</span>
						<span>{timeOf(now)}</span>
					</span>
				</div>
			</Loaded>
		</Panel>
	);
};
