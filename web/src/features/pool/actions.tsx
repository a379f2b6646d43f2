import type { Node } from '@limner/sdk';
import { useState } from 'react';
import { queries } from '../../lib/queries.ts';
import { client } from '../../lib/session.ts';
import { t } from '../../strings.ts';
import { p } from '../../strings/pool.ts';
import { Confirm } from '../../ui/dialog.tsx';
import { GatedButton } from '../../ui/gate.tsx';
import { Check } from '../../ui/inputs.tsx';
import { say, sayError } from '../../ui/toast.tsx';
import { actionsOf, type Action } from './words.ts';

type Asked = 'pause' | 'drain' | 'terminate';
const isAsked = (action: Action): action is Asked => action === 'pause' || action === 'drain' || action === 'terminate';
const labelOf = (action: Action): string => (action === 'approve' ? p.machines.approve : t.pool.actions[action]);

/** The node as the gateway answered it, in the list at once. */
const show = (node: Node): void => {
	queries.setQueryData<Node[]>(['nodes'], (had) => had?.map((one) => (one.id === node.id ? { ...one, ...node } : one)));
	queries.setQueryData<Node>(['node', node.id], (had) => (had === undefined ? undefined : { ...had, ...node }));
};

const run = async (node: Node, action: Action, now: boolean): Promise<void> => {
	if (action === 'approve') {
		await client.nodes.approve(node.id);
		say(p.machines.approved);
	} else show(action === 'pause' ? await client.nodes.pause(node.id, { now }) : await client.nodes[action](node.id));
	await queries.invalidateQueries({ queryKey: ['nodes'] });
	await queries.invalidateQueries({ queryKey: ['node', node.id] });
};

/** Everything that can be asked of a node now; what stops it asks back first. */
export const NodeActions = ({ node }: { node: Node }) => {
	const [asking, setAsking] = useState<Asked>();
	const [atOnce, setAtOnce] = useState(false);
	const act = (action: Action): void => void run(node, action, atOnce).catch(sayError);
	return (
		<div className="flex flex-wrap gap-2">
			{actionsOf(node).map((action) => (
				<GatedButton
					key={action}
					scope={action === 'approve' ? 'nodes:write' : 'supervisor:write'}
					kind={action === 'terminate' ? 'danger' : action === 'approve' ? 'primary' : 'plain'}
					onClick={() => {
						setAtOnce(false);
						if (isAsked(action)) setAsking(action);
						else act(action);
					}}
				>
					{labelOf(action)}
				</GatedButton>
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
				>
					{asking === 'pause' ? <Check label={p.machines.pauseNow} checked={atOnce} onChange={setAtOnce} /> : null}
				</Confirm>
			)}
		</div>
	);
};
