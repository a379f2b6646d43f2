import type { Reservation } from '@limner/sdk';
import { Copy, Plus } from 'lucide-react';
import { useState } from 'react';
import { perform, useBusy } from '../../lib/mutate.ts';
import { client } from '../../lib/session.ts';
import { p } from '../../strings/pool.ts';
import { AskButton } from '../../ui/ask.tsx';
import { Button, IconButton } from '../../ui/button.tsx';
import { Modal } from '../../ui/dialog.tsx';
import { Select } from '../../ui/field.tsx';
import { GatedButton, ReasonedButton } from '../../ui/gate.tsx';
import { TextInput } from '../../ui/inputs.tsx';
import { Badge, Empty, Panel } from '../../ui/panel.tsx';
import { say, sayError } from '../../ui/toast.tsx';

const HOUR_MS = 3_600_000;
const QUOTAS = ['quotas'];
const amount = (text: string): number => (text.trim() === '' ? 0 : Number(text));

const Reserve = ({ onClose }: { onClose: () => void }) => {
	const [images, setImages] = useState('');
	const [work, setWork] = useState('');
	const [hours, setHours] = useState('24');
	const [note, setNote] = useState('');
	const [busy, run] = useBusy();
	const why = amount(images) + amount(work) > 0 ? undefined : p.usage.amountNeeded;
	const go = async (): Promise<void> => {
		const done = await perform(
			() =>
				client.resources.allocate({
					images: amount(images),
					megapixelSteps: amount(work),
					endsAt: new Date(Date.now() + Number(hours) * HOUR_MS).toISOString(),
					note,
				}),
			QUOTAS,
		);
		if (done) onClose();
	};
	return (
		<Modal open onOpenChange={onClose} title={p.usage.reserveTitle} lead={p.usage.reserveLead}>
			<form
				className="flex flex-col gap-3"
				onSubmit={(event) => {
					event.preventDefault();
					if (why === undefined) void run(go);
				}}
			>
				<div className="grid grid-cols-2 gap-3">
					<TextInput label={p.usage.metric.images} type="number" min={0} value={images} onChange={setImages} />
					<TextInput label={p.usage.metric.megapixelSteps} type="number" min={0} step="any" value={work} onChange={setWork} />
				</div>
				<Select
					label={p.usage.ends}
					value={hours}
					options={Object.entries(p.usage.hours).map(([value, label]) => ({ value, label }))}
					onChange={setHours}
				/>
				<TextInput label={p.usage.note} maxLength={200} value={note} onChange={setNote} />
				<div className="flex justify-end gap-2">
					<Button onClick={onClose}>{p.common.cancel}</Button>
					<ReasonedButton type="submit" kind="primary" why={why} disabled={busy}>
						{p.usage.reserve}
					</ReasonedButton>
				</div>
			</form>
		</Modal>
	);
};

const Row = ({ reservation: one }: { reservation: Reservation }) => (
	<li data-reservation={one.id} className="flex flex-wrap items-center gap-3 border-b border-line/60 py-2 text-sm last:border-0">
		<Badge tone={one.state === 'active' ? 'good' : 'muted'}>{p.usage.states[one.state]}</Badge>
		<span className="min-w-40 flex-1">
			{one.note === '' ? null : <span className="block font-medium">{one.note}</span>}
			{one.leftImages} / {one.images} {p.usage.pictures.toLowerCase()}, {one.leftMegapixelSteps} / {one.megapixelSteps}{' '}
			{p.usage.metric.megapixelSteps.toLowerCase()} {p.usage.left}
		</span>
		<IconButton
			label={p.usage.copyId}
			onClick={() =>
				void navigator.clipboard
					.writeText(one.id)
					.then(() => say(p.common.copied))
					.catch(sayError)
			}
		>
			<Copy size={16} />
		</IconButton>
		<span className="text-muted">
			{p.usage.until} {new Date(one.endsAt).toLocaleString(undefined, { dateStyle: 'medium', timeStyle: 'short' })}
		</span>
		{one.state === 'active' || one.state === 'planned' ? (
			<AskButton
				scope="resources:write"
				kind="plain"
				label={p.usage.release}
				name={one.note === '' ? one.id : one.note}
				title={p.usage.releaseTitle}
				text={p.usage.releaseText}
				onYes={() => void perform(() => client.resources.release(one.id), QUOTAS)}
			/>
		) : null}
	</li>
);

/** What is kept for later. */
export const Reservations = ({ list }: { list: readonly Reservation[] }) => {
	const [adding, setAdding] = useState(false);
	return (
		<Panel
			title={p.usage.reservations}
			actions={
				<GatedButton scope="resources:write" icon={<Plus size={16} aria-hidden />} onClick={() => setAdding(true)}>
					{p.usage.reserve}
				</GatedButton>
			}
		>
			{list.length === 0 ? <Empty>{p.usage.reservationsEmpty}</Empty> : null}
			<ul>
				{list.map((reservation) => (
					<Row key={reservation.id} reservation={reservation} />
				))}
			</ul>
			{adding ? <Reserve onClose={() => setAdding(false)} /> : null}
		</Panel>
	);
};
