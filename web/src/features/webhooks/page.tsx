import type { Webhook, WebhookDelivery } from '@limner/sdk';
import { useQuery } from '@tanstack/react-query';
import { Plus } from 'lucide-react';
import { useState } from 'react';
import { ago } from '../../lib/format.ts';
import { perform, useBusy } from '../../lib/mutate.ts';
import { useMay } from '../../lib/scopes.ts';
import { client } from '../../lib/session.ts';
import { p } from '../../strings/pool.ts';
import { AskButton } from '../../ui/ask.tsx';
import { GatedButton } from '../../ui/gate.tsx';
import { Badge, Empty, Loaded, NoScope } from '../../ui/panel.tsx';
import { SecretDialog } from '../../ui/secret.tsx';
import { attemptWords, Deliveries } from './deliveries.tsx';
import { WebhookForm } from './form.tsx';

const HOOKS = ['webhooks'];
const LOOK_MS = 10_000;

const summaryOf = (hook: Webhook): string =>
	[
		hook.events.join(', '),
		...(hook.description === '' ? [] : [hook.description]),
		...(hook.lastSuccessAt === undefined ? [] : [`${p.webhooks.states.delivered} ${ago(hook.lastSuccessAt)}`]),
		...(hook.pending === 0 ? [] : [`${hook.pending} ${p.webhooks.pending}`]),
		...(hook.dead === 0 ? [] : [`${hook.dead} ${p.webhooks.dead}`]),
	].join(' · ');

const TestResult = ({ delivery }: { delivery: WebhookDelivery }) => (
	<p
		role="status"
		data-test={delivery.state}
		className={`w-full rounded-xl border px-3 py-2 text-sm break-words ${delivery.state === 'delivered' ? 'border-good text-good' : 'border-bad text-bad'}`}
	>
		{delivery.state === 'delivered' ? p.webhooks.testOk : p.webhooks.testBad} {attemptWords(delivery)}
	</p>
);

const Buttons = ({
	hook,
	onTest,
	onEdit,
	onSecret,
}: {
	hook: Webhook;
	onTest: (delivery: WebhookDelivery) => void;
	onEdit: () => void;
	onSecret: (secret: string) => void;
}) => {
	const [busy, run] = useBusy();
	return (
		<div className="flex flex-wrap gap-2">
			<GatedButton
				scope="webhooks:write"
				disabled={busy}
				aria-label={`${p.webhooks.test}: ${hook.url}`}
				onClick={() => void run(() => perform(async () => onTest(await client.webhooks.test(hook.id)), HOOKS, ['deliveries', hook.id]))}
			>
				{p.webhooks.test}
			</GatedButton>
			<GatedButton
				scope="webhooks:write"
				aria-label={`${hook.enabled ? p.webhooks.disable : p.webhooks.enable}: ${hook.url}`}
				onClick={() => void perform(() => client.webhooks.update(hook.id, { enabled: !hook.enabled }), HOOKS)}
			>
				{hook.enabled ? p.webhooks.disable : p.webhooks.enable}
			</GatedButton>
			<GatedButton scope="webhooks:write" aria-label={`${p.webhooks.edit}: ${hook.url}`} onClick={onEdit}>
				{p.webhooks.edit}
			</GatedButton>
			<AskButton
				scope="webhooks:write"
				kind="plain"
				label={p.webhooks.rotate}
				name={hook.url}
				title={p.webhooks.rotateTitle}
				text={p.webhooks.rotateText}
				onYes={() => void perform(async () => onSecret((await client.webhooks.rotateSecret(hook.id)).secret), HOOKS)}
			/>
			<AskButton
				scope="webhooks:write"
				label={p.webhooks.delete}
				name={hook.url}
				title={p.webhooks.deleteTitle}
				text={p.webhooks.deleteText}
				onYes={() => void perform(() => client.webhooks.delete(hook.id), HOOKS)}
			/>
		</div>
	);
};

const HookCard = ({ hook, onSecret }: { hook: Webhook; onSecret: (secret: string) => void }) => {
	const [editing, setEditing] = useState(false);
	const [open, setOpen] = useState(false);
	const [tested, setTested] = useState<WebhookDelivery>();
	return (
		<li data-hook={hook.id} className="flex min-w-0 flex-col gap-3 rounded-2xl border border-line bg-panel p-4 shadow-card">
			<div className="flex flex-wrap items-start gap-3">
				<div className="min-w-56 flex-1">
					<p className="flex flex-wrap items-center gap-2 font-semibold break-all">
						{hook.url} <Badge tone={hook.enabled ? 'good' : 'warn'}>{hook.enabled ? p.webhooks.on : p.webhooks.off}</Badge>
					</p>
					<p className="text-xs text-muted">{summaryOf(hook)}</p>
					{hook.disabledReason === undefined ? null : <p className="text-sm text-warn">{hook.disabledReason}</p>}
				</div>
				<Buttons
					hook={hook}
					onTest={(delivery) => {
						setTested(delivery);
						setOpen(true);
					}}
					onEdit={() => setEditing(true)}
					onSecret={onSecret}
				/>
			</div>
			{tested === undefined ? null : <TestResult delivery={tested} />}
			<details open={open} onToggle={(event) => setOpen(event.currentTarget.open)}>
				<summary className="text-sm font-medium">{p.webhooks.deliveries}</summary>
				{open ? <Deliveries hook={hook} /> : null}
			</details>
			{editing ? (
				<WebhookForm
					existing={hook}
					onClose={() => setEditing(false)}
					onSubmit={async (request) => {
						if (await perform(() => client.webhooks.update(hook.id, request), HOOKS)) setEditing(false);
					}}
				/>
			) : null}
		</li>
	);
};

const Webhooks = () => {
	const query = useQuery({ queryKey: HOOKS, queryFn: ({ signal }) => client.webhooks.list({ signal }), refetchInterval: LOOK_MS });
	const [adding, setAdding] = useState(false);
	const [secret, setSecret] = useState<string>();
	const hooks = query.data ?? [];
	return (
		<>
			<div className="flex flex-wrap items-center gap-3">
				<p className="min-w-48 flex-1 text-sm text-muted">{p.webhooks.lead}</p>
				<GatedButton scope="webhooks:write" kind="primary" icon={<Plus size={16} aria-hidden />} onClick={() => setAdding(true)}>
					{p.webhooks.add}
				</GatedButton>
			</div>
			<Loaded query={query}>
				{hooks.length === 0 ? <Empty>{p.webhooks.empty}</Empty> : null}
				<ul className="flex flex-col gap-3">
					{hooks.map((hook) => (
						<HookCard key={hook.id} hook={hook} onSecret={setSecret} />
					))}
				</ul>
			</Loaded>
			{adding ? (
				<WebhookForm
					onClose={() => setAdding(false)}
					onSubmit={(request) =>
						perform(async () => {
							const made = await client.webhooks.create(request);
							setAdding(false);
							setSecret(made.secret);
						}, HOOKS)
					}
				/>
			) : null}
			<SecretDialog secret={secret} title={p.webhooks.secretTitle} lead={p.webhooks.secretLead} onClose={() => setSecret(undefined)} />
		</>
	);
};

/** Addresses that are told about events. */
export const WebhooksPage = () => (useMay('webhooks:read') ? <Webhooks /> : <NoScope scope="webhooks:read" />);
