import { X } from 'lucide-react';
import { Dialog } from 'radix-ui';
import type { ReactNode } from 'react';
import { t } from '../strings.ts';
import { Button, IconButton } from './button.tsx';

const PANEL = 'fixed z-40 border border-line bg-panel text-text shadow-card focus:outline-none';

/** Not the first button: its tip would open, and take the first Escape for itself. */
export const focusItself = (event: Event): void => {
	event.preventDefault();
	if (event.currentTarget instanceof HTMLElement) event.currentTarget.focus();
};

/** The first field of a form, so that one can write at once; else the dialog itself. */
const focusFirstField = (event: Event): void => {
	const { currentTarget: dialog } = event;
	const field = dialog instanceof HTMLElement ? dialog.querySelector<HTMLElement>('input, select, textarea') : null;
	if (field === null) return focusItself(event);
	event.preventDefault();
	field.focus();
};

interface ModalProps {
	open: boolean;
	onOpenChange: (open: boolean) => void;
	title: string;
	lead?: string;
	children?: ReactNode;
}

/** A dialog in the middle; on a phone a sheet from below. */
export const Modal = ({ open, onOpenChange, title, lead, children }: ModalProps) => (
	<Dialog.Root open={open} onOpenChange={onOpenChange}>
		<Dialog.Portal>
			<Dialog.Overlay className="fixed inset-0 z-40 bg-black/50" />
			<Dialog.Content
				{...(lead === undefined ? { 'aria-describedby': undefined } : {})}
				onOpenAutoFocus={focusFirstField}
				className={`${PANEL} inset-x-0 bottom-0 max-h-[90dvh] overflow-y-auto rounded-t-2xl p-5 sm:inset-auto sm:top-1/2 sm:left-1/2 sm:w-[min(34rem,92vw)] sm:-translate-x-1/2 sm:-translate-y-1/2 sm:rounded-2xl`}
			>
				<div className="mb-3 flex items-start justify-between gap-4">
					<Dialog.Title className="font-display text-xl">{title}</Dialog.Title>
					<Dialog.Close asChild>
						<IconButton label={t.gallery.close}>
							<X size={18} />
						</IconButton>
					</Dialog.Close>
				</div>
				{lead === undefined ? null : <Dialog.Description className="mb-4 text-muted">{lead}</Dialog.Description>}
				{children}
			</Dialog.Content>
		</Dialog.Portal>
	</Dialog.Root>
);

interface ConfirmProps extends ModalProps {
	yes: string;
	no: string;
	onYes: () => void;
}

/** A question before something that cannot be undone. */
export const Confirm = ({ yes, no, onYes, children, ...modal }: ConfirmProps) => (
	<Modal {...modal}>
		{children}
		<div className="mt-4 flex justify-end gap-2">
			<Button onClick={() => modal.onOpenChange(false)}>{no}</Button>
			<Button
				kind="danger"
				onClick={() => {
					modal.onOpenChange(false);
					onYes();
				}}
			>
				{yes}
			</Button>
		</div>
	</Modal>
);
