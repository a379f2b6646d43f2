import type { Node } from '@limner/sdk';
import { Cpu } from 'lucide-react';
import { useState } from 'react';
import { queries } from '../../lib/queries.ts';
import { client } from '../../lib/session.ts';
import { t } from '../../strings.ts';
import { Bar } from '../../ui/bar.tsx';
import { Button } from '../../ui/button.tsx';
import { Confirm } from '../../ui/dialog.tsx';
import { sayError } from '../../ui/toast.tsx';
import { actionsOf, nodeSentence, toneOf, type Action, type Tone } from './words.ts';

const DOTS: Record<Tone, string> = { good: 'bg-good', warn: 'bg-warn', bad: 'bg-bad', muted: 'bg-muted' };

type Slot = Node['slots'][number];

const SlotRow = ({ slot }: { slot: Slot }) => (
	<li className="flex flex-col gap-1 text-sm">
		<div className="flex items-center gap-2">
			<Cpu size={14} aria-hidden className="text-muted" />
			<span className="min-w-0 flex-1 truncate">{slot.device}</span>
			<span className="text-muted tabular-nums">
				{slot.task === undefined ? slot.state.toLowerCase() : `${slot.task.phase} ${slot.task.step}/${slot.task.steps}`}
			</span>
		</div>
		<Bar
			value={slot.task === undefined ? 0 : slot.task.step / Math.max(1, slot.task.steps)}
			label={`${slot.device} ${slot.task?.phase ?? slot.state}`}
		/>
	</li>
);

const Actions = ({ node }: { node: Node }) => {
	const [asking, setAsking] = useState<Exclude<Action, 'resume'>>();
	const act = (action: Action): void => {
		client.nodes[action](node.id)
			.then(() => queries.invalidateQueries({ queryKey: ['nodes'] }))
			.catch(sayError);
	};
	return (
		<div className="flex flex-wrap gap-2">
			{actionsOf(node).map((action) => (
				<Button
					key={action}
					kind={action === 'terminate' ? 'danger' : 'plain'}
					onClick={() => (action === 'resume' ? act(action) : setAsking(action))}
				>
					{t.pool.actions[action]}
				</Button>
			))}
			{asking === undefined ? null : (
				<Confirm
					open
					onOpenChange={() => setAsking(undefined)}
					title={`${t.pool.actions[asking]}: ${node.name}`}
					lead={t.pool.confirm[asking]}
					yes={t.pool.actions[asking]}
					no={t.pool.confirm.stop}
					onYes={() => act(asking)}
				/>
			)}
		</div>
	);
};

/** One machine: how it is, what its slots do, which models it has. */
export const NodeCard = ({ node }: { node: Node }) => (
	<article
		data-node={node.id}
		data-link={node.link}
		data-mode={node.mode}
		className="flex flex-col gap-3 rounded-2xl border border-line bg-panel p-4 shadow-card"
	>
		<header className="flex items-center gap-2">
			<span aria-hidden className={`size-2.5 rounded-full ${DOTS[toneOf(node)]}`} />
			<h3 className="min-w-0 flex-1 truncate font-display text-lg">{node.name}</h3>
			<span className="text-sm text-muted">
				{t.pool.link[node.link]}, {t.pool.mode[node.mode]}
			</span>
		</header>
		<p className="text-sm">{nodeSentence(node, Date.now())}</p>
		<ul className="flex flex-col gap-2">
			{node.slots.map((slot) => (
				<SlotRow key={slot.id} slot={slot} />
			))}
		</ul>
		<ul className="flex flex-wrap gap-1.5 text-xs">
			{node.models.map((model) => (
				<li
					key={model.name}
					className={`rounded-full border px-2 py-0.5 ${model.warm ? 'border-good text-good' : 'border-line text-muted'}`}
				>
					{model.name} · {model.warm ? t.pool.warm : t.pool.cold}
				</li>
			))}
		</ul>
		<p className="text-sm text-muted">
			{node.completed} {node.completed === 1 ? t.pool.doneOne : t.pool.done} · {node.failed} {t.pool.failed} · {node.platform}
		</p>
		{node.recentErrors.slice(0, 2).map((error) => (
			<p key={`${error.at}${error.jobId}`} className="text-sm text-bad">
				{error.message}
			</p>
		))}
		<Actions node={node} />
	</article>
);
