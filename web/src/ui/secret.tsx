import { Copy } from 'lucide-react';
import { p } from '../strings/pool.ts';
import { Button } from './button.tsx';
import { Modal } from './dialog.tsx';
import { say, sayError } from './toast.tsx';

/** Text that is to be copied. */
export const Copyable = ({ text, label }: { text: string; label: string }) => (
	<div className="flex flex-col gap-3">
		<pre aria-label={label} className="overflow-x-auto rounded-lg bg-sunk p-3 text-sm break-all whitespace-pre-wrap">
			<code>{text}</code>
		</pre>
		<div className="flex flex-wrap items-center gap-3">
			<Button
				kind="primary"
				icon={<Copy size={16} aria-hidden />}
				onClick={() =>
					void navigator.clipboard
						.writeText(text)
						.then(() => say(p.common.copied))
						.catch(sayError)
				}
			>
				{p.common.copy}
			</Button>
			<p className="text-sm text-muted">{p.common.once}</p>
		</div>
	</div>
);

/** Shows something once. Closing it forgets it. */
export const SecretDialog = ({
	secret,
	title,
	lead,
	onClose,
}: {
	secret: string | undefined;
	title: string;
	lead?: string;
	onClose: () => void;
}) => (
	<Modal open={secret !== undefined} onOpenChange={onClose} title={title} {...(lead === undefined ? {} : { lead })}>
		<Copyable text={secret ?? ''} label={title} />
		<div className="mt-4 flex justify-end">
			<Button onClick={onClose}>{p.common.close}</Button>
		</div>
	</Modal>
);
