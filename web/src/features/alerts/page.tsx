import type { Alert } from '@limner/sdk';
import { useInfiniteQuery, type InfiniteData } from '@tanstack/react-query';
import { Link } from '@tanstack/react-router';
import { SlidersHorizontal } from 'lucide-react';
import { useState } from 'react';
import { ago, duration } from '../../lib/format.ts';
import { perform } from '../../lib/mutate.ts';
import { queries } from '../../lib/queries.ts';
import { useMay } from '../../lib/scopes.ts';
import { client } from '../../lib/session.ts';
import { p } from '../../strings/pool.ts';
import { Button } from '../../ui/button.tsx';
import { Select } from '../../ui/field.tsx';
import { GatedButton } from '../../ui/gate.tsx';
import { Badge, Empty, Loaded, NoScope, type BadgeTone } from '../../ui/panel.tsx';
import { useWhat, useWho } from '../../lib/names.ts';
import { rules } from '../../strings/operator.ts';
import { RulesDialog } from './rules-form.tsx';
import { alertPlace, alertWords } from './words.ts';

const LOOK_MS = 5_000;
const TONES: Record<Alert['severity'], BadgeTone> = { P1: 'bad', P2: 'bad', P3: 'warn', P4: 'muted' };

type Pages = InfiniteData<Awaited<ReturnType<typeof client.alerts.list>>>;

/** The alert in its next state at once; the gateway's answer follows. */
const show = (id: string, state: Alert['state']): void => {
	queries.setQueriesData<Pages>({ queryKey: ['alerts'] }, (had) =>
		had === undefined
			? undefined
			: { ...had, pages: had.pages.map((page) => ({ ...page, data: page.data.map((one) => (one.id === id ? { ...one, state } : one)) })) },
	);
};

const act = (alert: Alert, verb: 'acknowledge' | 'resolve'): void => {
	show(alert.id, verb === 'resolve' ? 'resolved' : 'acknowledged');
	void perform(() => client.alerts[verb](alert.id), ['alerts'], ['dashboard']);
};

const When = ({ alert, who }: { alert: Alert; who: (id: string) => string }) => (
	<p className="text-xs text-muted">
		{p.alerts.raised} {ago(alert.raisedAt)}
		{alert.acknowledgedBy === undefined ? '' : ` · ${p.alerts.acknowledgedBy} ${who(alert.acknowledgedBy)}`}
		{alert.resolvedAt === undefined ? '' : ` · ${p.alerts.resolved} ${ago(alert.resolvedAt)}`}
		{alert.escalations === 0 ? '' : ` · ${p.alerts.escalated} ${alert.escalations}×`}
		{alert.escalatesAt === undefined || alert.state !== 'raised'
			? ''
			: ` · ${p.alerts.escalates} ${duration(Math.max(0, new Date(alert.escalatesAt).getTime() - Date.now()))}`}
	</p>
);

const Place = ({ alert }: { alert: Alert }) => {
	const to = alert.state === 'resolved' ? undefined : alertPlace(alert.kind);
	return to === undefined ? null : (
		<Link to={to} aria-label={`${rules.look}: ${alert.title}`} className="text-accent underline">
			{rules.look}
		</Link>
	);
};

interface RowProps {
	alert: Alert;
	who: (id: string) => string;
	what: (id: string) => string;
}

const AlertRow = ({ alert, who, what }: RowProps) => (
	<li
		data-alert={alert.kind}
		data-state={alert.state}
		className="flex flex-wrap items-start gap-3 rounded-2xl border border-line bg-panel p-4 shadow-card"
	>
		<Badge tone={alert.state === 'resolved' ? 'muted' : TONES[alert.severity]}>{alert.severity}</Badge>
		<div className="min-w-48 flex-1 [overflow-wrap:anywhere]">
			<p className="font-semibold">{alert.title}</p>
			<p className="text-sm">
				{alertWords(alert, what)} <Place alert={alert} />
			</p>
			<When alert={alert} who={who} />
		</div>
		<Badge tone={alert.state === 'raised' ? 'warn' : alert.state === 'resolved' ? 'good' : 'muted'}>{p.alerts.states[alert.state]}</Badge>
		<div className="flex gap-2">
			{alert.state === 'raised' ? (
				<GatedButton
					scope="supervisor:write"
					aria-label={`${p.alerts.acknowledge}: ${alert.title}`}
					onClick={() => act(alert, 'acknowledge')}
				>
					{p.alerts.acknowledge}
				</GatedButton>
			) : null}
			{alert.state === 'resolved' ? null : (
				<GatedButton scope="supervisor:write" aria-label={`${p.alerts.resolve}: ${alert.title}`} onClick={() => act(alert, 'resolve')}>
					{p.alerts.resolve}
				</GatedButton>
			)}
		</div>
	</li>
);

type StateFilter = keyof typeof p.alerts.states | '';
type SeverityFilter = Alert['severity'] | '';

const optionsOf = <K extends string>(labels: Readonly<Record<K, string>>): { value: string; label: string }[] => [
	{ value: '', label: p.common.all },
	...(Object.entries(labels) as [K, string][]).map(([value, label]) => ({ value, label })),
];

const useAlerts = (state: StateFilter, severity: SeverityFilter) =>
	useInfiniteQuery({
		queryKey: ['alerts', state, severity],
		queryFn: ({ pageParam, signal }) =>
			client.alerts.list(
				{
					...(state === '' || state === 'open' ? {} : { state }),
					...(severity === '' ? {} : { severity }),
					...(pageParam === undefined ? {} : { cursor: pageParam }),
				},
				{ signal },
			),
		initialPageParam: undefined as string | undefined,
		getNextPageParam: (last) => last.nextCursor ?? undefined,
		refetchInterval: LOOK_MS,
	});

const Alerts = () => {
	const [state, setState] = useState<StateFilter>('open');
	const [severity, setSeverity] = useState<SeverityFilter>('');
	const [ruling, setRuling] = useState(false);
	const who = useWho();
	const what = useWhat();
	const query = useAlerts(state, severity);
	const all = query.data?.pages.flatMap(({ data }) => data) ?? [];
	const alerts = all.filter((alert) => state !== 'open' || alert.state !== 'resolved');
	return (
		<>
			<div className="grid grid-cols-2 items-end gap-3 sm:grid-cols-[14rem_14rem_1fr]">
				<Select
					label={p.alerts.state}
					value={state}
					options={optionsOf(p.alerts.states)}
					onChange={(value) => setState(value as StateFilter)}
				/>
				<Select
					label={p.alerts.severity}
					value={severity}
					options={optionsOf(p.alerts.severities)}
					onChange={(value) => setSeverity(value as SeverityFilter)}
				/>
				<Button
					className="justify-self-start sm:justify-self-end"
					icon={<SlidersHorizontal size={16} aria-hidden />}
					onClick={() => setRuling(true)}
				>
					{rules.open}
				</Button>
			</div>
			<Loaded query={query}>
				{alerts.length === 0 ? (
					<Empty>{severity === '' && (state === 'open' || state === '') ? p.alerts.empty : p.alerts.emptyFilter}</Empty>
				) : null}
				<ul className="flex flex-col gap-3">
					{alerts.map((alert) => (
						<AlertRow key={alert.id} alert={alert} who={who} what={what} />
					))}
				</ul>
				{query.hasNextPage ? <Button onClick={() => void query.fetchNextPage()}>{p.common.more}</Button> : null}
			</Loaded>
			{ruling ? <RulesDialog onClose={() => setRuling(false)} /> : null}
		</>
	);
};

/** What somebody should look at. */
export const AlertsPage = () => (useMay('supervisor:read') ? <Alerts /> : <NoScope scope="supervisor:read" />);
