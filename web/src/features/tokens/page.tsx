import type { JoinToken } from '@limner/sdk';
import { useQuery } from '@tanstack/react-query';
import { Plus } from 'lucide-react';
import { useState } from 'react';
import { ago } from '../../lib/format.ts';
import { perform, useBusy } from '../../lib/mutate.ts';
import { useMay } from '../../lib/scopes.ts';
import { client } from '../../lib/session.ts';
import { p } from '../../strings/pool.ts';
import { AskButton } from '../../ui/ask.tsx';
import { Button } from '../../ui/button.tsx';
import { Modal } from '../../ui/dialog.tsx';
import { Select } from '../../ui/field.tsx';
import { GatedButton } from '../../ui/gate.tsx';
import { Check, TextInput } from '../../ui/inputs.tsx';
import { Badge, Empty, Loaded, NoScope } from '../../ui/panel.tsx';
import { SecretDialog } from '../../ui/secret.tsx';
import { Cell, Row, Table } from '../../ui/table.tsx';

const DAY_MS = 86_400_000;
const commandFor = (token: string): string => `npm run limner -- node --gateway ${location.origin} --token ${token}`;
const wordsOf = (text: string): string[] =>
	text
		.split(/[\s,]+/)
		.map((word) => word.trim())
		.filter((word) => word !== '');

const NewToken = ({ onClose, onMade }: { onClose: () => void; onMade: (token: string) => void }) => {
	const [uses, setUses] = useState('1');
	const [ttlMs, setTtlMs] = useState(String(DAY_MS));
	const [labels, setLabels] = useState('');
	const [approval, setApproval] = useState(false);
	const [shared, setShared] = useState(false);
	const [busy, run] = useBusy();
	const make = async (): Promise<void> => {
		const made = await client.joinTokens.create({
			maxUses: Number(uses),
			ttlMs: Number(ttlMs),
			labels: wordsOf(labels),
			approval,
			trust: shared ? 'shared' : 'own',
		});
		onClose();
		onMade(made.token);
	};
	return (
		<Modal open onOpenChange={onClose} title={p.tokens.addTitle} lead={p.tokens.lead}>
			<form
				className="flex flex-col gap-3"
				onSubmit={(event) => {
					event.preventDefault();
					void run(() => perform(make, ['tokens']));
				}}
			>
				<div className="grid grid-cols-2 gap-3">
					<TextInput label={p.tokens.uses} type="number" min={1} max={1000} required value={uses} onChange={setUses} />
					<Select
						label={p.tokens.ttl}
						value={ttlMs}
						options={Object.entries(p.tokens.ttls).map(([value, label]) => ({ value, label }))}
						onChange={setTtlMs}
					/>
				</div>
				<TextInput label={p.tokens.labels} placeholder={p.tokens.labelsHint} value={labels} onChange={setLabels} />
				<Check label={p.tokens.approval} checked={approval} onChange={setApproval} />
				<Check label={p.tokens.shared} checked={shared} onChange={setShared} />
				<div className="flex justify-end gap-2">
					<Button onClick={onClose}>{p.common.cancel}</Button>
					<Button type="submit" kind="primary" disabled={busy}>
						{p.tokens.create}
					</Button>
				</div>
			</form>
		</Modal>
	);
};

const stateOf = ({ revoked, expiresAt, uses, maxUses }: JoinToken): string => {
	if (revoked) return p.tokens.revoked;
	if (Date.parse(expiresAt) <= Date.now()) return p.tokens.expired;
	if (uses >= maxUses) return p.tokens.usedUp;
	return p.tokens.open;
};

const TokenRow = ({ token }: { token: JoinToken }) => {
	const state = stateOf(token);
	return (
		<Row data-token={token.id}>
			<Cell>
				<code className="text-xs">{token.id}</code>
			</Cell>
			<Cell>
				<Badge tone={state === p.tokens.open ? 'good' : 'muted'}>{state}</Badge>
			</Cell>
			<Cell>
				{token.uses} {p.usage.of} {token.maxUses} {p.tokens.joined}
			</Cell>
			<Cell>{new Date(token.expiresAt).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'short' })}</Cell>
			<Cell wide>
				{[
					...token.labels,
					...(token.approval ? [p.tokens.needsApproval] : []),
					...(token.trust === 'shared' ? [p.tokens.sharedLabel] : []),
				].join(', ')}
			</Cell>
			<Cell>{ago(token.createdAt)}</Cell>
			<Cell>
				{state === p.tokens.open ? (
					<AskButton
						scope="nodes:join"
						label={p.tokens.revoke}
						name={token.id}
						title={p.tokens.revokeTitle}
						text={p.tokens.revokeText}
						onYes={() => void perform(() => client.joinTokens.revoke(token.id), ['tokens'])}
					/>
				) : null}
			</Cell>
		</Row>
	);
};

const Tokens = () => {
	const query = useQuery({ queryKey: ['tokens'], queryFn: ({ signal }) => client.joinTokens.list({ signal }), refetchInterval: 5_000 });
	const [adding, setAdding] = useState(false);
	const [token, setToken] = useState<string>();
	const tokens = query.data ?? [];
	return (
		<>
			<div className="flex flex-wrap items-center gap-3">
				<p className="flex-1 text-sm text-muted">{p.tokens.lead}</p>
				<GatedButton scope="nodes:join" kind="primary" icon={<Plus size={16} aria-hidden />} onClick={() => setAdding(true)}>
					{p.tokens.add}
				</GatedButton>
			</div>
			<Loaded query={query}>
				{tokens.length === 0 ? (
					<Empty>{p.tokens.empty}</Empty>
				) : (
					<Table
						label={p.tabs.tokens}
						head={[p.tokens.id, p.alerts.state, p.tokens.uses, p.tokens.until, p.node.labels, p.keys.made, p.common.actions]}
					>
						{tokens.map((one) => (
							<TokenRow key={one.id} token={one} />
						))}
					</Table>
				)}
			</Loaded>
			{adding ? <NewToken onClose={() => setAdding(false)} onMade={setToken} /> : null}
			<SecretDialog
				secret={token === undefined ? undefined : commandFor(token)}
				title={p.tokens.madeTitle}
				lead={p.tokens.madeLead}
				onClose={() => setToken(undefined)}
			/>
		</>
	);
};

/** What machines need to join. */
export const TokensPage = () => (useMay('nodes:join') ? <Tokens /> : <NoScope scope="nodes:join" />);
