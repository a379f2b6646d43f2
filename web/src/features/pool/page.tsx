import { Plus } from 'lucide-react';
import { useState } from 'react';
import { useNodes } from '../../lib/queries.ts';
import { useMay } from '../../lib/scopes.ts';
import { t } from '../../strings.ts';
import { p } from '../../strings/pool.ts';
import { GatedButton } from '../../ui/gate.tsx';
import { Loaded, NoScope } from '../../ui/panel.tsx';
import { NodeCard } from './node-card.tsx';
import { Queue } from './queue.tsx';
import { AddNode } from './wizard.tsx';

/** Machines of the workspace. */
const Machines = () => {
	const query = useNodes();
	const [adding, setAdding] = useState(false);
	const nodes = query.data ?? [];
	const shown = nodes.filter(({ mode }) => mode !== 'terminated');
	return (
		<section aria-label={p.tabs.machines} className="flex flex-col gap-4">
			<div className="flex items-center gap-3">
				<h2 className="flex-1 font-display text-lg">{p.tabs.machines}</h2>
				<GatedButton scope="nodes:join" kind="primary" icon={<Plus size={16} aria-hidden />} onClick={() => setAdding(true)}>
					{t.pool.add}
				</GatedButton>
			</div>
			<Loaded query={query}>
				{shown.length === 0 ? (
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
			</Loaded>
			<AddNode open={adding} onOpenChange={setAdding} nodes={nodes} />
		</section>
	);
};

/** The machines, and what waits for them. */
export const PoolPage = () => {
	const maySee = useMay('supervisor:read');
	return (
		<>
			{maySee ? <Machines /> : <NoScope scope="supervisor:read" />}
			<Queue />
		</>
	);
};
