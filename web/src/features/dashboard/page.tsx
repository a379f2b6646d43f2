import type { Dashboard } from '@limner/sdk';
import { Link } from '@tanstack/react-router';
import { ago, duration } from '../../lib/format.ts';
import { useWhat } from '../../lib/names.ts';
import { useMay } from '../../lib/scopes.ts';
import { useValue } from '../../lib/value.ts';
import { actions } from '../../strings/actions.ts';
import { p } from '../../strings/pool.ts';
import { Bar } from '../../ui/bar.tsx';
import { Chart } from '../../ui/chart.tsx';
import { Badge, Empty, Figure, Loaded, NoScope, Panel, type BadgeTone } from '../../ui/panel.tsx';
import { phaseWords } from '../create/words.ts';
import { load, useDashboard } from '../pool/live.ts';
import { Timeline } from './timeline.tsx';

type Agent = Dashboard['agentStatus'][number];

const rate = (value: number | null): string => (value === null ? p.dashboard.nothing : `${Math.round(value * 100)} %`);

const Completion = ({ data }: { data: Dashboard }) => (
	<Panel title={p.dashboard.completion} lead={p.dashboard.completionHelp}>
		<div className="flex items-center gap-4">
			<span data-testid="completion" className="font-display text-4xl tabular-nums">
				{rate(data.overallCompletion)}
			</span>
			<Bar value={data.overallCompletion ?? 0} label={p.dashboard.completion} className="!h-3 flex-1" />
		</div>
		<ul aria-label={p.dashboard.jobsTitle} className="mt-4 grid grid-cols-2 gap-x-6 gap-y-1 text-sm sm:grid-cols-4">
			{(
				[
					['open', data.metrics.jobsOpen],
					['running', data.metrics.jobsRunning],
					['waiting', data.metrics.jobsWaiting],
					['succeeded', data.metrics.jobsSucceeded],
					['failed', data.metrics.jobsFailed],
					['canceled', data.metrics.jobsCanceled],
					['expired', data.metrics.jobsExpired],
				] as const
			).map(([name, count]) => (
				<li key={name} className="flex justify-between gap-2">
					<span className="text-muted">{p.dashboard.jobs[name]}</span>
					<span className="tabular-nums">{count.toLocaleString()}</span>
				</li>
			))}
		</ul>
	</Panel>
);

const Rates = ({ data }: { data: Dashboard }) => (
	<div className="grid grid-cols-2 gap-3 lg:grid-cols-5">
		<Figure label={p.dashboard.completionRate} value={rate(data.taskCompletionRate)} help={p.dashboard.completionRateHelp} />
		<Figure
			label={p.dashboard.blockerTime}
			value={data.blockerResolutionTime === null ? p.dashboard.nothing : duration(data.blockerResolutionTime)}
			help={p.dashboard.blockerTimeHelp}
		/>
		<Figure label={p.dashboard.handoff} value={rate(data.handoffSuccess)} help={p.dashboard.handoffHelp} />
		<Figure label={p.dashboard.throughput} value={data.metrics.tasksPerMinute.toFixed(2)} help={p.dashboard.throughputHelp} />
		<Figure
			label={p.dashboard.utilization}
			value={`${data.metrics.agentsBusy} / ${data.metrics.agents}`}
			help={rate(data.metrics.utilization)}
		/>
	</div>
);

const toneOf = ({ link, status }: Agent): BadgeTone => {
	if (link === 'offline' || status === 'FAILED') return 'bad';
	if (link !== 'online' || status === 'PAUSED') return 'warn';
	return status === 'RUNNING' ? 'good' : 'muted';
};

const Agents = ({ agents }: { agents: readonly Agent[] }) => (
	<Panel title={p.dashboard.agents} lead={p.dashboard.agentsLead}>
		{agents.length === 0 ? <Empty>{p.dashboard.agentsEmpty}</Empty> : null}
		<ul className="flex flex-col gap-2 text-sm">
			{agents.map((agent) => (
				<li key={agent.agentId} data-agent={agent.agentId} className="flex items-center gap-2">
					<Link to="/pool/nodes/$id" params={{ id: agent.nodeId }} className="min-w-0 flex-1 truncate underline">
						{agent.name} {agent.agentId.split('/')[1]}
					</Link>
					{agent.phase === undefined ? null : (
						<span className="text-muted tabular-nums">
							{phaseWords(agent.phase)} {agent.step}/{agent.steps}
						</span>
					)}
					<Badge tone={toneOf(agent)}>{agent.link === 'offline' ? agent.link : p.dashboard.status[agent.status]}</Badge>
				</li>
			))}
		</ul>
	</Panel>
);

const Blockers = ({ blockers }: Pick<Dashboard, 'blockers'>) => {
	const what = useWhat();
	return (
		<Panel title={`${p.dashboard.blockers}${blockers.length === 0 ? '' : ` (${blockers.length})`}`}>
			{blockers.length === 0 ? <Empty>{p.dashboard.blockersEmpty}</Empty> : null}
			<ul tabIndex={0} aria-label={p.dashboard.blockers} className="flex max-h-72 flex-col gap-2 overflow-y-auto text-sm">
				{blockers.map((blocker) => (
					<li key={`${blocker.subject}${blocker.since}`}>
						<Badge tone="warn">{p.dashboard.blockerKinds[blocker.kind]}</Badge>{' '}
						{blocker.kind === 'job' ? <span title={blocker.subject}>{what(blocker.subject)}: </span> : null}
						{blocker.reason} <span className="text-muted">· {ago(blocker.since)}</span>
					</li>
				))}
			</ul>
		</Panel>
	);
};

const EventRow = ({ event, what }: { event: Dashboard['timeline'][number]; what: (target: string) => string }) => (
	<li className="flex gap-2">
		<span className="w-20 shrink-0 text-muted">{ago(event.at)}</span>
		<span className="shrink-0" title={event.action}>
			{actions[event.action] ?? event.action}
		</span>
		<span className="min-w-0 truncate text-muted" title={event.target}>
			{what(event.target)}
		</span>
	</li>
);

const Events = ({ timeline }: Pick<Dashboard, 'timeline'>) => {
	const what = useWhat();
	return (
		<Panel title={p.dashboard.events}>
			{timeline.length === 0 ? <Empty>{p.dashboard.eventsEmpty}</Empty> : null}
			<ul tabIndex={0} aria-label={p.dashboard.events} className="flex max-h-72 flex-col gap-1 overflow-y-auto text-sm">
				{timeline.slice(0, 30).map((event, i) => (
					// Two events may be alike in everything.
					// oxlint-disable-next-line react/no-array-index-key
					<EventRow key={`${event.at}${event.target}${i}`} event={event} what={what} />
				))}
			</ul>
		</Panel>
	);
};

const Load = () => {
	const samples = useValue(load);
	return (
		<Panel title={p.dashboard.load}>
			{samples.length < 2 ? (
				<Empty>{p.dashboard.loadEmpty}</Empty>
			) : (
				<Chart
					label={p.dashboard.load}
					at={samples.map(({ at }) => at / 1000)}
					series={[
						{ label: p.dashboard.busy, color: 'good', values: samples.map(({ busy }) => busy) },
						{ label: p.dashboard.waiting, color: 'warn', values: samples.map(({ waiting }) => waiting) },
					]}
					show={(value) => String(Math.round(value))}
				/>
			)}
		</Panel>
	);
};

const Widgets = ({ data }: { data: Dashboard }) => (
	<>
		<p className="text-sm text-muted">{p.dashboard.lead}</p>
		<Completion data={data} />
		<Rates data={data} />
		<Timeline agents={data.agentStatus} />
		<div className="grid gap-4 lg:grid-cols-2">
			<Agents agents={data.agentStatus} />
			<Blockers blockers={data.blockers} />
			<Load />
			<Events timeline={data.timeline} />
		</div>
	</>
);

/** How the workspace does, live. */
export const DashboardPage = () => {
	const may = useMay('supervisor:read');
	const query = useDashboard();
	if (!may) return <NoScope scope="supervisor:read" />;
	return <Loaded query={query}>{query.data === undefined ? null : <Widgets data={query.data} />}</Loaded>;
};
