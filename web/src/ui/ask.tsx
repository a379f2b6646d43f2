import { useState } from 'react';
import { p } from '../strings/pool.ts';
import type { ButtonKind } from './button.tsx';
import { Confirm } from './dialog.tsx';
import { GatedButton } from './gate.tsx';

/** A button that asks back before it does what cannot be undone. */
export const AskButton = ({
	scope,
	why,
	label,
	name,
	title,
	text,
	kind = 'danger',
	onYes,
}: {
	scope: string;
	why?: string | undefined;
	label: string;
	/** Of the thing, for screen readers: many rows have the same button. */
	name: string;
	title: string;
	text: string;
	kind?: ButtonKind;
	onYes: () => void;
}) => {
	const [open, setOpen] = useState(false);
	return (
		<>
			<GatedButton scope={scope} why={why} kind={kind} aria-label={`${label}: ${name}`} onClick={() => setOpen(true)}>
				{label}
			</GatedButton>
			{open ? (
				<Confirm open onOpenChange={setOpen} title={title} lead={`${name}. ${text}`} yes={label} no={p.common.cancel} onYes={onYes} />
			) : null}
		</>
	);
};
