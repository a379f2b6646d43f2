import { ApiError, type Node, type NodeHistoryEntry, type NodeMetrics, type NodeTask } from '@limner/sdk';
import { useQuery } from '@tanstack/react-query';
import { Link, useParams } from '@tanstack/react-router';
import { ArrowLeft } from 'lucide-react';
import { ago, bytes, duration } from '../../lib/format.ts';
import { useWhat, useWho } from '../../lib/names.ts';
import { client } from '../../lib/session.ts';
import { t } from '../../strings.ts';
import { p } from '../../strings/pool.ts';
import { Badge, Empty, Facts, Figure, Loaded, Panel } from '../../ui/panel.tsx';
import { Cell, Row, Table } from '../../ui/table.tsx';
import { phaseWords } from '../create/words.ts';
import { NodeActions } from './actions.tsx';
import { Gauges } from './gauges.tsx';
import { ModelChips } from './node-card.tsx';
import { Readings } from './readings.tsx';
import { SlotRow } from './slots.tsx';
import { nodeSentence, seconds } from './words.ts';

const LIVE_MS = 2_000;
const SLOW_MS = 10_000;
const SHOWN = 30;

const useOf = <T,>(name: string, id: string, everyMs: number, ask: (signal: AbortSignal) => Promise<T>) =>
	useQuery({ queryKey: name === '' ? ['node', id] : ['node', id, name], queryFn: ({ signal }) => ask(signal), refetchInterval: everyMs });

const Speed = ({ numbers }: { numbers: NodeMetrics }) =>
	numbers.work.length === 0 ? (
		<Empty>{p.node.workEmpty}</Empty>
	) : (
		<Table
			label={p.node.work}
			head={[p.node.model, p.node.task, p.node.sPerStep, p.node.sPerMp, p.node.load, p.node.made, p.node.failed, p.node.lost]}
		>
			{numbers.work.map((work) => (
				<Row key={`${work.taskType}${work.model}`}>
					<Cell>{work.model}</Cell>
					<Cell>{p.node.taskTypes[work.taskType]}</Cell>
					<Cell>{seconds(work.sPerStep)}</Cell>
					<Cell>{seconds(work.sPerMpStep)}</Cell>
					<Cell>{work.loadMs === undefined ? '–' : duration(work.loadMs)}</Cell>
					<Cell>{work.succeeded}</Cell>
					<Cell>{work.failed}</Cell>
					<Cell>{work.lost}</Cell>
				</Row>
			))}
		</Table>
	);

const Tasks = ({ tasks }: { tasks: readonly NodeTask[] }) => {
	const what = useWhat();
	return tasks.length === 0 ? (
		<Empty>{p.node.tasksEmpty}</Empty>
	) : (
		<ul tabIndex={0} aria-label={p.node.tasks} className="flex max-h-80 flex-col gap-1 overflow-y-auto text-sm">
			{tasks.slice(0, SHOWN).map((task) => (
				<li key={`${task.jobId}${task.index}${task.epoch}`} className="flex flex-wrap items-center gap-2">
					<Badge tone={task.state === 'running' ? 'good' : 'muted'}>{p.node[task.state === 'running' ? 'running' : 'delivered']}</Badge>
					<span className="min-w-0 flex-1 truncate" title={`${task.jobId}.${task.index}`}>
						{what(task.jobId)}
					</span>
					<span className="text-muted tabular-nums">
						{task.finishedAt === undefined ? `${phaseWords(task.phase)} ${task.step ?? 0}/${task.steps ?? 0}` : ago(task.finishedAt)}
					</span>
				</li>
			))}
		</ul>
	);
};

const History = ({ entries }: { entries: readonly NodeHistoryEntry[] }) => {
	const who = useWho();
	return entries.length === 0 ? (
		<Empty>{p.node.historyEmpty}</Empty>
	) : (
		<ul tabIndex={0} aria-label={p.node.history} className="flex max-h-80 flex-col gap-1.5 overflow-y-auto text-sm">
			{entries.slice(0, SHOWN).map((entry) => (
				<li key={`${entry.at}${entry.text}`} className={entry.type === 'error' ? 'text-bad' : ''}>
					<span className="text-muted">{ago(entry.at)}</span> {entry.text}
					{entry.who === undefined ? '' : <span className="text-muted"> · {who(entry.who)}</span>}
				</li>
			))}
		</ul>
	);
};

const Numbers = ({ node, numbers }: { node: Node; numbers: NodeMetrics | undefined }) => (
	<div className="grid grid-cols-2 gap-3 sm:grid-cols-4">
		<Figure label={p.node.success} value={numbers?.successRate === undefined ? '–' : `${Math.round(numbers.successRate * 100)} %`} />
		<Figure label={p.node.utilization} value={numbers === undefined ? '–' : `${numbers.slotsBusy} / ${numbers.slots}`} />
		<Figure label={p.node.made} value={node.completed.toLocaleString()} />
		<Figure label={p.node.failed} value={node.failed.toLocaleString()} />
	</div>
);

const About = ({ node, numbers }: { node: Node; numbers: NodeMetrics | undefined }) => (
	<Panel title={p.node.facts}>
		<Facts
			items={[
				[p.node.version, node.agentVersion],
				[p.node.platform, node.platform],
				[p.node.serves, p.node.trust[node.trust]],
				[p.node.labels, node.labels.length === 0 ? p.common.none : node.labels.join(', ')],
				[p.node.connected, node.connectedAt === null ? p.common.never : ago(node.connectedAt)],
				[p.node.uptime, numbers === undefined || numbers.uptimeS === 0 ? '–' : duration(numbers.uptimeS * 1000)],
				...(node.telemetry?.diskFreeBytes === undefined ? [] : [[p.machines.disk, bytes(node.telemetry.diskFreeBytes)] as const]),
			]}
		/>
	</Panel>
);

const Errors = ({ node }: { node: Node }) => (
	<Panel title={p.node.errors}>
		{node.recentErrors.length === 0 ? <Empty>{p.node.errorsEmpty}</Empty> : null}
		<ul className="flex flex-col gap-1.5 text-sm">
			{node.recentErrors.map((error) => (
				<li key={`${error.at}${error.jobId}`}>
					<Badge tone="bad">{error.class}</Badge> <span className="text-muted">{ago(error.at)}</span> {error.message}
				</li>
			))}
		</ul>
	</Panel>
);

const Detail = ({ node }: { node: Node }) => {
	const { id } = node;
	const numbers = useOf('metrics', id, LIVE_MS, (signal) => client.nodes.numbers(id, { signal }));
	const readings = useOf('telemetry', id, SLOW_MS, (signal) => client.nodes.telemetry(id, { signal }));
	const tasks = useOf('tasks', id, LIVE_MS, (signal) => client.nodes.tasks(id, { signal }));
	const history = useOf('history', id, SLOW_MS, (signal) => client.nodes.history(id, { signal }));
	return (
		<>
			<div className="flex flex-col gap-2" data-node={id} data-link={node.link} data-mode={node.mode}>
				<div className="flex flex-wrap items-center gap-3">
					<h2 className="font-display text-2xl">{node.name}</h2>
					<Badge tone={node.link === 'online' ? 'good' : 'warn'}>
						{t.pool.link[node.link]}, {t.pool.mode[node.mode]}
					</Badge>
				</div>
				<p>{nodeSentence(node, Date.now())}</p>
				<NodeActions node={node} />
			</div>
			<Numbers node={node} numbers={numbers.data} />
			<div className="grid gap-4 lg:grid-cols-2">
				<Panel title={p.machines.slots}>
					<ul className="flex flex-col gap-2">
						{node.slots.map((slot) => (
							<SlotRow key={slot.id} slot={slot} away={node.link === 'offline'} />
						))}
					</ul>
					<div className="mt-4 flex flex-col gap-3">
						<Gauges node={node} />
						<ModelChips models={node.models} />
					</div>
				</Panel>
				<About node={node} numbers={numbers.data} />
			</div>
			<Panel title={p.node.work}>
				<Loaded query={numbers}>{numbers.data === undefined ? null : <Speed numbers={numbers.data} />}</Loaded>
			</Panel>
			<Panel title={p.node.readings}>
				<Loaded query={readings}>
					<Readings readings={readings.data ?? []} />
				</Loaded>
			</Panel>
			<div className="grid gap-4 lg:grid-cols-2">
				<Panel title={p.node.tasks}>
					<Loaded query={tasks}>
						<Tasks tasks={tasks.data ?? []} />
					</Loaded>
				</Panel>
				<Panel title={p.node.history}>
					<Loaded query={history}>
						<History entries={history.data ?? []} />
					</Loaded>
				</Panel>
			</div>
			<Errors node={node} />
		</>
	);
};

/** Everything that is known of one machine. */
export const NodePage = () => {
	const { id = '' } = useParams({ strict: false });
	const query = useOf('', id, LIVE_MS, (signal) => client.nodes.get(id, { signal }));
	const missing = query.error instanceof ApiError && (query.error.status === 404 || query.error.status === 422);
	return (
		<>
			<Link to="/pool" className="inline-flex items-center gap-1 self-start text-sm text-accent underline">
				<ArrowLeft size={14} aria-hidden />
				{p.node.back}
			</Link>
			{missing ? (
				<Empty>{p.node.missing}</Empty>
			) : (
				<Loaded query={query}>{query.data === undefined ? null : <Detail node={query.data} />}</Loaded>
			)}
		</>
	);
};
