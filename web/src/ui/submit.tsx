import { clsx } from 'clsx';
import { useState, type FormEvent, type ReactNode } from 'react';
import { Button } from './button.tsx';
import { sayError } from './toast.tsx';

/** What a form does when it is sent: one at a time; what goes wrong is said. */
export const useSending = (start: () => Promise<void>): { busy: boolean; submit: (event: FormEvent) => void } => {
	const [busy, setBusy] = useState(false);
	return {
		busy,
		submit: (event) => {
			event.preventDefault();
			setBusy(true);
			start()
				.catch(sayError)
				.finally(() => setBusy(false));
		},
	};
};

interface SubmitRowProps {
	icon: ReactNode;
	label: string;
	disabled: boolean;
	/** Of the text beside the button, which says why it is off, or what it will do. */
	whyId: string;
	why: string;
	/** Other buttons in front of it. */
	children?: ReactNode;
	className?: string;
}

/** The last row of a form: its large button, and why it is off. */
export const SubmitRow = ({ icon, label, disabled, whyId, why, children, className }: SubmitRowProps) => (
	<div className={clsx('flex flex-wrap items-center gap-3', className)}>
		{children}
		<Button kind="primary" type="submit" icon={icon} disabled={disabled} aria-describedby={whyId} className="min-h-11 px-5">
			{label}
		</Button>
		<p id={whyId} aria-live="polite" className="min-w-0 text-sm text-muted">
			{why}
		</p>
	</div>
);
