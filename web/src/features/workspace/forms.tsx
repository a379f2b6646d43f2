import type { Workspace } from '@limner/sdk';
import { useState, type ReactNode } from 'react';
import { perform, useBusy } from '../../lib/mutate.ts';
import { client } from '../../lib/session.ts';
import { workspaces as texts } from '../../strings/operator.ts';
import { p } from '../../strings/pool.ts';
import { Button } from '../../ui/button.tsx';
import { Modal } from '../../ui/dialog.tsx';
import { ReasonedButton } from '../../ui/gate.tsx';
import { TextInput } from '../../ui/inputs.tsx';
import { say } from '../../ui/toast.tsx';
import { LimitInputs } from '../keys/limits.tsx';
import { toFields, toLimits } from './limits.ts';

export const WORKSPACES = ['workspaces'];
const NAME_CHARS = 80;

interface DialogProps {
	title: string;
	lead?: string;
	go: string;
	why?: string | undefined;
	onGo: () => Promise<unknown>;
	onClose: () => void;
	children: ReactNode;
}

/** A form in a dialog, with one button that does it. */
const FormDialog = ({ title, lead, go, why, onGo, onClose, children }: DialogProps) => {
	const [busy, run] = useBusy();
	return (
		<Modal open onOpenChange={onClose} title={title} {...(lead === undefined ? {} : { lead })}>
			<form
				className="flex flex-col gap-4"
				onSubmit={(event) => {
					event.preventDefault();
					if (why === undefined) void run(async () => void (await onGo()));
				}}
			>
				{children}
				<div className="flex justify-end gap-2">
					<Button onClick={onClose}>{p.common.cancel}</Button>
					<ReasonedButton type="submit" kind="primary" why={why} disabled={busy}>
						{go}
					</ReasonedButton>
				</div>
			</form>
		</Modal>
	);
};

const whyNoName = (name: string): string | undefined => (name.trim() === '' ? texts.nameNeeded : undefined);

export const RenameDialog = ({ workspace, onClose }: { workspace: Workspace; onClose: () => void }) => {
	const [name, setName] = useState(workspace.name);
	const rename = async (): Promise<void> => {
		if (!(await perform(() => client.workspaces.rename(workspace.id, name.trim()), WORKSPACES))) return;
		say(texts.renamed);
		onClose();
	};
	return (
		<FormDialog title={texts.renameTitle} go={texts.rename} why={whyNoName(name)} onGo={rename} onClose={onClose}>
			<TextInput label={texts.name} maxLength={NAME_CHARS} value={name} onChange={setName} />
		</FormDialog>
	);
};

export const LimitsDialog = ({ workspace, onClose }: { workspace: Workspace; onClose: () => void }) => {
	const [fields, setFields] = useState(() => toFields(workspace.limits));
	const save = async (): Promise<void> => {
		if (!(await perform(() => client.workspaces.setLimits(workspace.id, toLimits(fields)), WORKSPACES, ['quotas']))) return;
		say(texts.limitsSaved);
		onClose();
	};
	const field = (name: 'concurrent' | 'storageGib' | 'retentionDays', label: string, min: number) => (
		<TextInput
			label={label}
			type="number"
			step="any"
			min={min}
			value={fields[name]}
			onChange={(text) => setFields({ ...fields, [name]: text })}
		/>
	);
	return (
		<FormDialog title={`${texts.limitsTitle} ${workspace.name}`} lead={texts.limitsLead} go={p.common.save} onGo={save} onClose={onClose}>
			<LimitInputs fields={fields.work} onChange={(work) => setFields({ ...fields, work })} />
			<div className="grid items-end gap-3 sm:grid-cols-3">
				{field('concurrent', texts.concurrent, 1)}
				{field('storageGib', texts.storage, 0)}
				{field('retentionDays', texts.retention, 1)}
			</div>
		</FormDialog>
	);
};

/** Makes a workspace, and the link for its first owner. */
export const NewWorkspaceDialog = ({ onMade, onClose }: { onMade: (url: string) => void; onClose: () => void }) => {
	const [name, setName] = useState('');
	const make = (): Promise<boolean> =>
		perform(async () => {
			const made = await client.workspaces.create({ name: name.trim() });
			const { url } = await client.workspaces.ownerLink(made.id);
			onClose();
			onMade(url);
		}, WORKSPACES);
	return (
		<FormDialog title={texts.addTitle} lead={texts.addLead} go={texts.create} why={whyNoName(name)} onGo={make} onClose={onClose}>
			<TextInput label={texts.name} maxLength={NAME_CHARS} value={name} onChange={setName} />
		</FormDialog>
	);
};
