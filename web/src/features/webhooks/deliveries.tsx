import type { Webhook, WebhookDelivery } from '@limner/sdk';
import { useQuery } from '@tanstack/react-query';
import { ago, duration } from '../../lib/format.ts';
import { perform } from '../../lib/mutate.ts';
import { client } from '../../lib/session.ts';
import { p } from '../../strings/pool.ts';
import { GatedButton } from '../../ui/gate.tsx';
import { Badge, Empty, Loaded, type BadgeTone } from '../../ui/panel.tsx';
import { say } from '../../ui/toast.tsx';

const LOOK_MS = 3_000;
const TONES: Record<WebhookDelivery['state'], BadgeTone> = { pending: 'warn', delivered: 'good', dead: 'bad' };

/** How an attempt ended: its status, or why there was none. */
export const attemptWords = (delivery: WebhookDelivery): string => {
	const last = delivery.attempts.at(-1);
	if (last === undefined) return '';
	const what = last.status === undefined ? (last.error ?? '') : `HTTP ${last.status}${last.error === undefined ? '' : `: ${last.error}`}`;
	return `${what} · ${duration(last.ms)}`;
};

const DeliveryRow = ({ hook, delivery }: { hook: Webhook; delivery: WebhookDelivery }) => (
	<li
		data-delivery={delivery.type}
		data-state={delivery.state}
		className="flex flex-wrap items-center gap-x-3 gap-y-1 border-b border-line/60 py-2 text-sm last:border-0"
	>
		<Badge tone={TONES[delivery.state]}>{p.webhooks.states[delivery.state]}</Badge>
		<span className="font-medium">{delivery.type}</span>
		<span className="text-muted">{ago(delivery.createdAt)}</span>
		<span className="min-w-40 flex-1 break-words text-muted">
			{attemptWords(delivery)} · {delivery.attempts.length} {delivery.attempts.length === 1 ? p.webhooks.attemptOne : p.webhooks.attempt}
			{delivery.nextAttemptAt === undefined
				? ''
				: ` · ${p.webhooks.next} ${duration(Math.max(0, Date.parse(delivery.nextAttemptAt) - Date.now()))}`}
		</span>
		{delivery.state === 'pending' ? null : (
			<GatedButton
				scope="webhooks:write"
				aria-label={`${p.webhooks.redeliver}: ${delivery.type}, ${ago(delivery.createdAt)}`}
				onClick={() =>
					void perform(async () => {
						await client.webhooks.redeliver(hook.id, delivery.id);
						say(p.webhooks.redelivered);
					}, ['deliveries', hook.id])
				}
			>
				{p.webhooks.redeliver}
			</GatedButton>
		)}
		<details className="w-full">
			<summary className="text-accent">{p.webhooks.payload}</summary>
			<pre className="mt-1 max-h-60 overflow-auto rounded-lg bg-sunk p-2 text-xs whitespace-pre-wrap break-all">
				{JSON.stringify(delivery.payload, null, 2)}
			</pre>
		</details>
	</li>
);

/** What a webhook was told, newest first. */
export const Deliveries = ({ hook }: { hook: Webhook }) => {
	const query = useQuery({
		queryKey: ['deliveries', hook.id],
		queryFn: ({ signal }) => client.webhooks.deliveries(hook.id, { limit: 50 }, { signal }),
		refetchInterval: LOOK_MS,
	});
	const list = query.data?.data ?? [];
	return (
		<Loaded query={query}>
			{list.length === 0 ? <Empty>{p.webhooks.deliveriesEmpty}</Empty> : null}
			<ul>
				{list.map((delivery) => (
					<DeliveryRow key={delivery.id} hook={hook} delivery={delivery} />
				))}
			</ul>
		</Loaded>
	);
};
