import { ApiError } from '@limner/sdk';
import { Plus } from 'lucide-react';
import { useState } from 'react';
import { plural } from '../../lib/format.ts';
import { useNodes } from '../../lib/queries.ts';
import { t } from '../../strings.ts';
import { Bar } from '../../ui/bar.tsx';
import { Button } from '../../ui/button.tsx';
import { sayError } from '../../ui/toast.tsx';
import { statusLine } from '../create/words.ts';
import { isOpen } from '../jobs/entry.ts';
import { cancel, useEntries } from '../jobs/store.ts';
import { NodeCard } from './node-card.tsx';
import { AddNode } from './wizard.tsx';

/** Jobs that are not finished, with the reason why they wait. */
const Queue = () => {
	const open = useEntries().filter(isOpen);
	return (
		<section aria-label={t.pool.queue} className="flex flex-col gap-2">
			<h2 className="font-display text-lg">{t.pool.queue}</h2>
			{open.length === 0 ? <p className="text-sm text-muted">{t.pool.queueEmpty}</p> : null}
			<ul className="flex flex-col gap-2">
				{open.map((entry) => (
					<li key={entry.key} data-queued={entry.key} className="flex flex-col gap-1 rounded-xl border border-line bg-panel p-3">
						<div className="flex items-center gap-3">
							<span className="min-w-0 flex-1 truncate">{entry.request.prompt}</span>
							<span className="text-sm text-muted">{plural(entry.n, 'picture')}</span>
							<Button onClick={() => void cancel(entry.key).catch(sayError)}>{t.job.cancel}</Button>
						</div>
						<Bar value={entry.progress?.fraction ?? 0} label={statusLine(entry)} />
						<p className="text-sm text-muted">{statusLine(entry)}</p>
						{(entry.job?.queue?.remedies ?? []).map((remedy) => (
							<p key={remedy} className="text-sm text-warn">
								{remedy}
							</p>
						))}
					</li>
				))}
			</ul>
		</section>
	);
};

/** The machines, and what waits for them. */
export const PoolPage = () => {
	const { data: nodes = [], error, isSuccess } = useNodes();
	const [adding, setAdding] = useState(false);
	const shown = nodes.filter(({ mode }) => mode !== 'terminated');
	const forbidden = error instanceof ApiError && error.status === 403;
	return (
		<div className="mx-auto flex max-w-6xl flex-col gap-6 p-4 sm:p-6">
			<div className="flex items-center gap-3">
				<h1 className="flex-1 font-display text-2xl">{t.pool.title}</h1>
				<Button kind="primary" icon={<Plus size={16} />} onClick={() => setAdding(true)}>
					{t.pool.add}
				</Button>
			</div>
			{forbidden ? <p className="text-muted">{t.pool.noScope}</p> : null}
			{shown.length === 0 && isSuccess ? (
				<div className="rounded-2xl border border-dashed border-line p-10 text-center">
					<p className="font-display text-xl">{t.pool.none}</p>
					<p className="text-muted">{t.pool.noneLead}</p>
				</div>
			) : null}
			<div className="grid gap-4 md:grid-cols-2">
				{shown.map((node) => (
					<NodeCard key={node.id} node={node} />
				))}
			</div>
			<Queue />
			<AddNode open={adding} onOpenChange={setAdding} nodes={nodes} />
		</div>
	);
};
