import type { Quota, Quotas } from '@limner/sdk';
import { useQuery } from '@tanstack/react-query';
import { bytes, duration } from '../../lib/format.ts';
import { useMay } from '../../lib/scopes.ts';
import { client } from '../../lib/session.ts';
import { p } from '../../strings/pool.ts';
import { Empty, Facts, Loaded, NoScope, Panel } from '../../ui/panel.tsx';
import { Reservations } from './reservations.tsx';
import { UsageSeries } from './series.tsx';

const LOOK_MS = 5_000;
const WARN_FROM = 0.9;
const number = (value: number): string => (Math.round(value * 100) / 100).toLocaleString();

/** Used, then reserved, of a limit. */
const QuotaBar = ({
	label,
	used,
	reserved = 0,
	limit,
	note,
}: {
	label: string;
	used: number;
	reserved?: number;
	limit: number;
	note?: string;
}) => {
	const share = (value: number): number => (limit === 0 ? 100 : Math.min(100, (value / limit) * 100));
	const words = `${number(used)}${reserved > 0 ? ` + ${number(reserved)} ${p.usage.reserved}` : ''} ${p.usage.of} ${number(limit)}`;
	const full = used + reserved >= limit * WARN_FROM;
	return (
		<div>
			<div className="flex flex-wrap justify-between gap-x-3 text-sm">
				<span>{label}</span>
				<span className="text-muted tabular-nums">
					{words}
					{note === undefined ? '' : ` · ${note}`}
				</span>
			</div>
			<div
				role="meter"
				aria-label={label}
				aria-valuemin={0}
				aria-valuemax={limit}
				aria-valuenow={Math.min(limit, used + reserved)}
				aria-valuetext={words}
				className="mt-1 flex h-2 overflow-hidden rounded-full bg-sunk"
			>
				<div className={full ? 'bg-warn' : 'bg-good'} style={{ width: `${share(used)}%` }} />
				<div className="bg-accent/50" style={{ width: `${Math.max(0, share(used + reserved) - share(used))}%` }} />
			</div>
		</div>
	);
};

const Windows = ({ windows }: { windows: readonly Quota[] }) =>
	windows.map((quota) => (
		<QuotaBar
			key={quota.window + quota.metric}
			label={`${p.usage.metric[quota.metric]} ${p.usage.window[quota.window]}`}
			used={quota.used}
			reserved={quota.reserved}
			limit={quota.limit}
			note={`${p.usage.resets} ${duration(Math.max(0, Date.parse(quota.resetsAt) - Date.now()))}`}
		/>
	));

const Limits = ({ quotas }: { quotas: Quotas }) => {
	const { windows, queued, storage, concurrent, key } = quotas;
	return (
		<>
			<Panel title={p.usage.limits} lead={p.usage.lead}>
				<div className="flex flex-col gap-3">
					<Windows windows={windows} />
					<QuotaBar label={p.usage.queued} used={queued.used} limit={queued.limit} />
					<Facts
						items={[
							[
								p.usage.storage,
								`${bytes(storage.usedBytes)}${storage.limitBytes === null ? '' : ` ${p.usage.of} ${bytes(storage.limitBytes)}`}`,
							],
							...(storage.retentionMs === null ? [] : [[p.usage.retention, duration(storage.retentionMs)] as const]),
							...(concurrent.limit === null ? [] : [[p.usage.concurrent, concurrent.limit] as const]),
						]}
					/>
				</div>
			</Panel>
			{key === null || (key.windows.length === 0 && key.queued.limit === null) ? null : (
				<Panel title={p.usage.keyLimits}>
					<div className="flex flex-col gap-3">
						<Windows windows={key.windows} />
						{key.queued.limit === null ? null : <QuotaBar label={p.usage.queued} used={key.queued.used} limit={key.queued.limit} />}
					</div>
				</Panel>
			)}
			<Reservations list={quotas.allocations} />
		</>
	);
};

/** What is used of what is allowed, and what was used before. */
export const UsagePage = () => {
	const may = useMay('resources:read');
	const query = useQuery({
		queryKey: ['quotas'],
		queryFn: ({ signal }) => client.resources.quotas({ signal }),
		refetchInterval: LOOK_MS,
		enabled: may,
	});
	if (!may) return <NoScope scope="resources:read" />;
	return (
		<>
			<Loaded query={query}>{query.data === undefined ? <Empty>{p.common.loading}</Empty> : <Limits quotas={query.data} />}</Loaded>
			{/* Not before what stands above it: it would be pushed down. */}
			{query.isPending ? null : <UsageSeries />}
		</>
	);
};
