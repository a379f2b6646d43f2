import type { ApiKey, Usage, UsagePoint } from '@limner/sdk';
import { useQuery } from '@tanstack/react-query';
import { useState } from 'react';
import { useMay } from '../../lib/scopes.ts';
import { client } from '../../lib/session.ts';
import { p } from '../../strings/pool.ts';
import { Chart } from '../../ui/chart.tsx';
import { Select } from '../../ui/field.tsx';
import { Empty, Loaded, Panel } from '../../ui/panel.tsx';
import { Cell, Row, Table } from '../../ui/table.tsx';
import { everyDay } from './days.ts';

const DAY_MS = 86_400_000;
const dayOf = (ms: number): string => new Date(ms).toISOString().slice(0, 10);
const whole = (value: number): string => String(Math.round(value));

const nameOf = (point: UsagePoint, keys: readonly ApiKey[]): string =>
	point.day ?? point.model ?? keys.find(({ id }) => id === point.keyId)?.name ?? point.keyId ?? '–';

const useKeyNames = (): readonly ApiKey[] => {
	const may = useMay('keys:read');
	return useQuery({ queryKey: ['keys'], queryFn: ({ signal }) => client.keys.list({ signal }), enabled: may }).data ?? [];
};

const DayChart = ({ usage }: { usage: Usage }) => {
	const days = everyDay(usage.series, usage.from, usage.to);
	return (
		<Chart
			kind="bars"
			label={`${p.usage.pictures}: ${usage.from} – ${usage.to}`}
			at={days.map(({ day }) => Date.parse(`${day}T12:00:00Z`) / 1000)}
			series={[{ label: p.usage.pictures, color: 'accent', values: days.map(({ images }) => images) }]}
			show={whole}
		/>
	);
};

const Points = ({ usage, keys }: { usage: Usage; keys: readonly ApiKey[] }) => {
	const most = Math.max(1, ...usage.series.map(({ images }) => images));
	return (
		<Table
			label={p.usage.series}
			head={[p.usage.groups[usage.groupBy], p.usage.pictures, '', p.usage.metric.jobs, p.usage.failed, p.usage.metric.megapixelSteps]}
		>
			{usage.series.map((point) => (
				<Row key={nameOf(point, keys)}>
					<Cell>{nameOf(point, keys)}</Cell>
					<Cell>{point.images.toLocaleString()}</Cell>
					<Cell wide>
						<div aria-hidden className="h-2.5 rounded-full bg-sunk">
							<div className="h-full rounded-full bg-accent" style={{ width: `${(point.images / most) * 100}%` }} />
						</div>
					</Cell>
					<Cell>{point.jobs.toLocaleString()}</Cell>
					<Cell>{point.failed.toLocaleString()}</Cell>
					<Cell>{(Math.round(point.megapixelSteps * 100) / 100).toLocaleString()}</Cell>
				</Row>
			))}
		</Table>
	);
};

/** What was used, by day, model or key. */
export const UsageSeries = () => {
	const [groupBy, setGroupBy] = useState<Usage['groupBy']>('day');
	const [days, setDays] = useState('30');
	const keys = useKeyNames();
	const query = useQuery({
		queryKey: ['usage', groupBy, days],
		queryFn: ({ signal }) => {
			const now = Date.now();
			return client.resources.usage({ groupBy, from: dayOf(now - (Number(days) - 1) * DAY_MS), to: dayOf(now) }, { signal });
		},
		refetchInterval: 10_000,
	});
	const { data } = query;
	return (
		<Panel title={p.usage.series}>
			<div className="mb-3 grid max-w-sm grid-cols-2 gap-3">
				<Select
					label={p.usage.groupBy}
					value={groupBy}
					options={Object.entries(p.usage.groups).map(([value, label]) => ({ value, label }))}
					onChange={(value) => setGroupBy(value as Usage['groupBy'])}
				/>
				<Select
					label={p.usage.days}
					value={days}
					options={Object.entries(p.usage.dayOptions).map(([value, label]) => ({ value, label }))}
					onChange={setDays}
				/>
			</div>
			<Loaded query={query}>
				{data === undefined || data.series.length === 0 ? (
					<Empty>{p.usage.seriesEmpty}</Empty>
				) : (
					<>
						{data.groupBy === 'day' ? <DayChart usage={data} /> : null}
						<Points usage={data} keys={keys} />
					</>
				)}
			</Loaded>
		</Panel>
	);
};
