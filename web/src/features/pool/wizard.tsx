import type { Node } from '@limner/sdk';
import { Copy } from 'lucide-react';
import { useState } from 'react';
import { client } from '../../lib/session.ts';
import { t } from '../../strings.ts';
import { Button } from '../../ui/button.tsx';
import { Modal } from '../../ui/dialog.tsx';
import { say, sayError } from '../../ui/toast.tsx';

/** An address that means another machine wherever it is used. */
const isLocal = (host: string): boolean => host === 'localhost' || host.startsWith('127.') || host === '[::1]';

const makeToken = async (): Promise<string> => (await client.joinTokens.create({ maxUses: 1 })).token;

/** Gives the command that lets a machine join, and waits until it has. */
export const AddNode = ({
	open,
	onOpenChange,
	nodes,
}: {
	open: boolean;
	onOpenChange: (open: boolean) => void;
	nodes: readonly Node[];
}) => {
	const [command, setCommand] = useState<string>();
	const [known, setKnown] = useState<ReadonlySet<string>>(new Set());
	const joined = command === undefined ? undefined : nodes.find(({ id, link }) => link === 'online' && !known.has(id));
	const make = async (): Promise<void> => {
		setKnown(new Set(nodes.filter(({ link }) => link === 'online').map(({ id }) => id)));
		setCommand(`npm run limner -- node --gateway ${location.origin} --token ${await makeToken()}`);
	};
	return (
		<Modal
			open={open}
			onOpenChange={(next) => {
				if (!next) setCommand(undefined);
				onOpenChange(next);
			}}
			title={t.pool.wizard.title}
			lead={t.pool.wizard.lead}
		>
			{command === undefined ? (
				<Button kind="primary" onClick={() => void make().catch(sayError)}>
					{t.pool.wizard.make}
				</Button>
			) : (
				<div className="flex flex-col gap-3">
					<pre className="overflow-x-auto rounded-lg bg-sunk p-3 text-sm whitespace-pre-wrap break-all">
						<code>{command}</code>
					</pre>
					<div className="flex items-center gap-3">
						<Button
							icon={<Copy size={16} />}
							onClick={() =>
								void navigator.clipboard
									.writeText(command)
									.then(() => say(t.gallery.copy.done))
									.catch(sayError)
							}
						>
							{t.pool.wizard.copy}
						</Button>
						<p className="text-sm text-muted">{t.pool.wizard.once}</p>
					</div>
					{isLocal(location.hostname) ? <p className="text-sm text-warn">{t.pool.wizard.local}</p> : null}
					<p role="status" className={joined === undefined ? 'text-muted' : 'font-semibold text-good'}>
						{joined === undefined ? t.pool.wizard.wait : `${joined.name} ${t.pool.wizard.joined}`}
					</p>
				</div>
			)}
		</Modal>
	);
};
