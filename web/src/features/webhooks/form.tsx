import type { Webhook, WebhookRequest } from '@limner/sdk';
import { CHOOSABLE_EVENTS, EVERY_EVENT, filterTakes } from '@limner/shared/events';
import { useState } from 'react';
import { useBusy } from '../../lib/mutate.ts';
import { p } from '../../strings/pool.ts';
import { Button } from '../../ui/button.tsx';
import { Modal } from '../../ui/dialog.tsx';
import { ReasonedButton } from '../../ui/gate.tsx';
import { Check, TextInput } from '../../ui/inputs.tsx';

const EventChoice = ({
	every,
	onEvery,
	events,
	onChange,
}: {
	every: boolean;
	onEvery: (every: boolean) => void;
	events: ReadonlySet<string>;
	onChange: (events: ReadonlySet<string>) => void;
}) => (
	<fieldset>
		<legend className="text-sm font-medium">{p.webhooks.events}</legend>
		<Check label={p.webhooks.every} checked={every} onChange={onEvery} />
		{every ? null : (
			<div className="grid grid-cols-2 gap-x-3">
				{CHOOSABLE_EVENTS.map((name) => (
					<Check
						key={name}
						label={<code className="text-xs">{name}</code>}
						checked={events.has(name)}
						onChange={(checked) => onChange(new Set(checked ? [...events, name] : [...events].filter((one) => one !== name)))}
					/>
				))}
			</div>
		)}
	</fieldset>
);

/** What keeps the form from being sent, or nothing. */
const whyNot = (url: string, every: boolean, events: ReadonlySet<string>): string | undefined => {
	if (url.trim() === '') return p.webhooks.urlNeeded;
	return !every && events.size === 0 ? p.webhooks.eventsNeeded : undefined;
};

/** A new webhook, or what one is told. */
export const WebhookForm = ({
	existing,
	onSubmit,
	onClose,
}: {
	existing?: Webhook;
	onSubmit: (request: WebhookRequest) => Promise<unknown>;
	onClose: () => void;
}) => {
	const filters = existing?.events ?? [EVERY_EVENT];
	const [url, setUrl] = useState(existing?.url ?? '');
	const [description, setDescription] = useState(existing?.description ?? '');
	const [every, setEvery] = useState(filters.includes(EVERY_EVENT));
	const [events, setEvents] = useState<ReadonlySet<string>>(
		new Set(CHOOSABLE_EVENTS.filter((event) => filters.some((filter) => filterTakes(filter, event)))),
	);
	const [busy, run] = useBusy();
	const why = whyNot(url, every, events);
	return (
		<Modal open onOpenChange={onClose} title={existing === undefined ? p.webhooks.addTitle : p.webhooks.editTitle} lead={p.webhooks.lead}>
			<form
				className="flex flex-col gap-3"
				onSubmit={(event) => {
					event.preventDefault();
					if (why === undefined) void run(() => onSubmit({ url: url.trim(), description, events: every ? [EVERY_EVENT] : [...events] }));
				}}
			>
				<TextInput label={p.webhooks.url} type="url" inputMode="url" placeholder={p.webhooks.urlHint} value={url} onChange={setUrl} />
				<TextInput label={p.webhooks.description} maxLength={200} value={description} onChange={setDescription} />
				<EventChoice every={every} onEvery={setEvery} events={events} onChange={setEvents} />
				<div className="flex justify-end gap-2">
					<Button onClick={onClose}>{p.common.cancel}</Button>
					<ReasonedButton type="submit" kind="primary" why={why} disabled={busy}>
						{existing === undefined ? p.webhooks.create : p.common.save}
					</ReasonedButton>
				</div>
			</form>
		</Modal>
	);
};
