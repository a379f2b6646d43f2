import type { AuditEvent, AuditQuery } from '@limner/sdk';
import type { AuditVerdict } from '@limner/shared/audit';
import { useInfiniteQuery } from '@tanstack/react-query';
import { Download, ShieldCheck } from 'lucide-react';
import { useState } from 'react';
import { download } from '../../lib/download.ts';
import { plural } from '../../lib/format.ts';
import { useBusy } from '../../lib/mutate.ts';
import { useWhat, useWho } from '../../lib/names.ts';
import { useMay } from '../../lib/scopes.ts';
import { client } from '../../lib/session.ts';
import { actions } from '../../strings/actions.ts';
import { p } from '../../strings/pool.ts';
import { Button } from '../../ui/button.tsx';
import { Select } from '../../ui/field.tsx';
import { TextInput } from '../../ui/inputs.tsx';
import { Badge, Empty, Loaded, NoScope } from '../../ui/panel.tsx';
import { Cell, Row, Table } from '../../ui/table.tsx';
import { sayError } from '../../ui/toast.tsx';

type Filter = Omit<AuditQuery, 'limit' | 'cursor'>;
interface Draft {
	type: string;
	action: string;
	who: string;
	target: string;
	from: string;
	to: string;
}
const NOTHING: Draft = { type: '', action: '', who: '', target: '', from: '', to: '' };

const instant = (local: string): string => new Date(local).toISOString();

/** What was filled in, as the gateway wants it. */
const filterOf = ({ type, action, who, target, from, to }: Draft): Filter => ({
	...(type === '' ? {} : { type: type as AuditEvent['type'] }),
	...(action.trim() === '' ? {} : { action: action.trim() }),
	...(who.trim() === '' ? {} : { who: who.trim() }),
	...(target.trim() === '' ? {} : { target: target.trim() }),
	...(from === '' ? {} : { from: instant(from) }),
	...(to === '' ? {} : { to: instant(to) }),
});

const Filters = ({ onSearch }: { onSearch: (filter: Filter) => void }) => {
	const [draft, setDraft] = useState(NOTHING);
	const field = (name: keyof Draft) => ({ value: draft[name], onChange: (value: string) => setDraft({ ...draft, [name]: value }) });
	return (
		<form
			className="grid grid-cols-2 items-end gap-3 lg:grid-cols-4"
			onSubmit={(event) => {
				event.preventDefault();
				onSearch(filterOf(draft));
			}}
		>
			<Select
				label={p.ledger.type}
				options={[{ value: '', label: p.common.all }, ...Object.entries(p.ledger.types).map(([value, label]) => ({ value, label }))]}
				{...field('type')}
			/>
			<TextInput label={p.ledger.action} placeholder={p.ledger.actionHint} {...field('action')} />
			<TextInput label={p.ledger.who} {...field('who')} />
			<TextInput label={p.ledger.target} {...field('target')} />
			<TextInput className="max-sm:col-span-2" label={p.ledger.from} type="datetime-local" {...field('from')} />
			<TextInput className="max-sm:col-span-2" label={p.ledger.to} type="datetime-local" {...field('to')} />
			<Button type="submit" kind="primary" className="justify-self-start px-6">
				{p.ledger.apply}
			</Button>
		</form>
	);
};

const Verdict = ({ verdict }: { verdict: AuditVerdict }) => (
	<p
		role="status"
		data-verdict={String(verdict.ok)}
		className={`rounded-xl border px-4 py-2.5 text-sm break-all ${verdict.ok ? 'border-good text-good' : 'border-bad text-bad'}`}
	>
		{verdict.ok
			? `${p.ledger.intact} ${verdict.rows} ${p.ledger.rows}, ${verdict.histories} ${p.ledger.histories}; ${p.ledger.head} ${verdict.head.hash.slice(0, 16)}…`
			: `${p.ledger.broken} ${verdict.line}: ${verdict.why}.`}
	</p>
);

/** Export, and the check of it. */
const Tools = () => {
	const [verdict, setVerdict] = useState<AuditVerdict>();
	const [busy, run] = useBusy();
	const check = async (): Promise<void> => {
		const [blob, { verify }] = await Promise.all([client.audit.export(), import('./verify.ts')]);
		setVerdict(await verify(await blob.text()));
	};
	return (
		<div className="flex flex-col gap-3">
			<div className="flex flex-wrap gap-2">
				<Button
					icon={<Download size={16} aria-hidden />}
					disabled={busy}
					onClick={() =>
						void run(async () => download(await client.audit.export(), `ledger-${new Date().toISOString().slice(0, 10)}.jsonl`)).catch(
							sayError,
						)
					}
				>
					{p.ledger.export}
				</Button>
				<Button icon={<ShieldCheck size={16} aria-hidden />} disabled={busy} onClick={() => void run(check).catch(sayError)}>
					{busy ? p.ledger.checking : p.ledger.check}
				</Button>
			</div>
			{verdict === undefined ? null : <Verdict verdict={verdict} />}
		</div>
	);
};

const timeOf = (at: string): string => new Date(at).toLocaleString(undefined, { dateStyle: 'short', timeStyle: 'medium' });

interface EventProps {
	event: AuditEvent;
	who: (id: string) => string;
	what: (id: string) => string;
}

const Event = ({ event, who, what }: EventProps) => (
	<Row data-action={event.action}>
		<Cell>{timeOf(event.at)}</Cell>
		<Cell>
			{actions[event.action] === undefined ? null : <span className="block">{actions[event.action]}</span>}
			<code className="text-xs text-muted">{event.action}</code>
		</Cell>
		<Cell>
			<span title={event.who}>{who(event.who)}</span>
		</Cell>
		<Cell>
			<span className="block truncate sm:max-w-56" title={event.target}>
				{what(event.target)}
			</span>
		</Cell>
		<Cell>{event.unsealed ? <Badge tone="warn">{p.ledger.unsealed}</Badge> : <Badge>{`${p.ledger.row} ${event.seq ?? ''}`}</Badge>}</Cell>
		<Cell wide>
			<details>
				<summary className="text-accent">{p.ledger.detail}</summary>
				<pre className="max-w-md overflow-x-auto text-xs whitespace-pre-wrap break-all">{JSON.stringify(event.detail, null, 1)}</pre>
				{event.hash === undefined ? null : <code className="text-xs break-all text-muted">{event.hash}</code>}
			</details>
		</Cell>
	</Row>
);

const Ledger = () => {
	const [filter, setFilter] = useState<Filter>({});
	const query = useInfiniteQuery({
		queryKey: ['audit', filter],
		queryFn: ({ pageParam, signal }) =>
			client.audit.list({ ...filter, ...(pageParam === undefined ? {} : { cursor: pageParam }) }, { signal }),
		initialPageParam: undefined as string | undefined,
		getNextPageParam: (last) => last.nextCursor ?? undefined,
	});
	const who = useWho();
	const what = useWhat();
	const events = query.data?.pages.flatMap(({ data }) => data) ?? [];
	return (
		<>
			<p className="text-sm text-muted">{p.ledger.lead}</p>
			<Tools />
			<Filters onSearch={setFilter} />
			<Loaded query={query}>
				{events.length === 0 ? (
					<Empty>{p.ledger.empty}</Empty>
				) : (
					<Table
						label={p.tabs.ledger}
						head={[p.ledger.when, p.ledger.action, p.ledger.who, p.ledger.target, p.ledger.row, p.ledger.detail]}
					>
						{events.map((event) => (
							<Event key={event.id} event={event} who={who} what={what} />
						))}
					</Table>
				)}
				{query.hasNextPage ? (
					<Button disabled={query.isFetchingNextPage} onClick={() => void query.fetchNextPage()}>
						{p.common.more}
					</Button>
				) : null}
				<p className="text-xs text-muted">{plural(events.length, 'entry', 'entries')}</p>
			</Loaded>
		</>
	);
};

/** What was done, by whom, and whether the books are true. */
export const LedgerPage = () => (useMay('audit:read') ? <Ledger /> : <NoScope scope="audit:read" />);
