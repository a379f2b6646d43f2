import type { Node } from '@limner/sdk';
import { Link } from '@tanstack/react-router';
import { useNow } from '../../lib/now.ts';
import { t } from '../../strings.ts';
import { p } from '../../strings/pool.ts';
import { NodeActions } from './actions.tsx';
import { Gauges } from './gauges.tsx';
import { SlotRow } from './slots.tsx';
import { nodeSentence, toneOf, type Tone } from './words.ts';

const DOTS: Record<Tone, string> = { good: 'bg-good', warn: 'bg-warn', bad: 'bg-bad', muted: 'bg-muted' };
const TICK_MS = 500;

/** What it does, counted down while it is silent. */
const Sentence = ({ node }: { node: Node }) => {
	const now = useNow(node.link === 'suspect' ? TICK_MS : 0);
	return <p className="text-sm">{nodeSentence(node, node.link === 'suspect' ? now : Date.now())}</p>;
};

export const ModelChips = ({ models }: Pick<Node, 'models'>) =>
	models.length === 0 ? (
		<p className="text-xs text-muted">{p.machines.noModels}</p>
	) : (
		<ul className="flex flex-wrap gap-1.5 text-xs">
			{models.map((model) => (
				<li
					key={model.name}
					className={`rounded-full border px-2 py-0.5 ${model.warm ? 'border-good text-good' : 'border-line text-muted'}`}
				>
					{model.name} · {model.warm ? t.pool.warm : t.pool.cold}
				</li>
			))}
		</ul>
	);

/** One machine: how it is, what its slots do, which models it has. */
export const NodeCard = ({ node }: { node: Node }) => (
	<article
		data-node={node.id}
		data-link={node.link}
		data-mode={node.mode}
		className="flex min-w-0 flex-col gap-3 rounded-2xl border border-line bg-panel p-4 shadow-card"
	>
		<header className="flex items-center gap-2">
			<span aria-hidden className={`size-2.5 shrink-0 rounded-full ${DOTS[toneOf(node)]}`} />
			<h3 className="min-w-0 flex-1 truncate font-display text-lg">{node.name}</h3>
			<span className="text-sm text-muted">
				{t.pool.link[node.link]}, {t.pool.mode[node.mode]}
			</span>
		</header>
		<Sentence node={node} />
		{node.slots.length === 0 ? <p className="text-sm text-muted">{p.machines.noSlots}</p> : null}
		<ul aria-label={p.machines.slots} className="flex flex-col gap-2">
			{node.slots.map((slot) => (
				<SlotRow key={slot.id} slot={slot} away={node.link === 'offline'} />
			))}
		</ul>
		<Gauges node={node} />
		<ModelChips models={node.models} />
		<p className="text-sm text-muted">
			{node.completed} {node.completed === 1 ? t.pool.doneOne : t.pool.done} · {node.failed} {t.pool.failed} · {node.platform}
		</p>
		{node.recentErrors.slice(0, 2).map((error) => (
			<p key={`${error.at}${error.jobId}`} className="text-sm text-bad">
				{error.message}
			</p>
		))}
		<div className="mt-auto flex flex-wrap items-center gap-2">
			<NodeActions node={node} />
			<Link
				to="/pool/nodes/$id"
				params={{ id: node.id }}
				aria-label={`${p.machines.open}: ${node.name}`}
				className="ml-auto px-2 py-1.5 text-sm text-accent underline"
			>
				{p.machines.open}
			</Link>
		</div>
	</article>
);
