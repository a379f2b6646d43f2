/**
 * Nodes by whom they work for: everybody, or one workspace.
 * @module
 */
import { touch } from './census.ts';
import type { PoolNode, PoolState } from './model.ts';

export interface Owners {
	shared: Set<PoolNode>;
	/** Nodes with trust `own`, by workspace. */
	own: Map<string, Set<PoolNode>>;
	/** Shared nodes, by the workspace that lends them. */
	lent: Map<string, Set<PoolNode>>;
}

export const createOwners = (): Owners => ({ shared: new Set(), own: new Map(), lent: new Map() });

/** Nodes that work for nobody but this workspace. */
export const ownNodes = (state: PoolState, ws: string): ReadonlySet<PoolNode> => state.owners.own.get(ws) ?? new Set();

/** Nodes that belong to a workspace, whoever they work for: what it looks after. */
export function* nodesOf({ owners }: PoolState, ws: string): Generator<PoolNode, void, undefined> {
	yield* owners.own.get(ws) ?? [];
	yield* owners.lent.get(ws) ?? [];
}

/** All nodes that work for a workspace, its own first. */
export function* nodesFor(state: PoolState, ws: string): Generator<PoolNode, void, undefined> {
	yield* ownNodes(state, ws);
	yield* state.owners.shared;
}

/** Enters a node where its owner is looked for. */
export const enlist = (state: PoolState, node: PoolNode): void => {
	const { owners } = state;
	touch(state, node);
	if (node.trust === 'shared') owners.shared.add(node);
	const nodes = node.trust === 'shared' ? owners.lent : owners.own;
	nodes.set(node.ws, (nodes.get(node.ws) ?? new Set()).add(node));
};

/** Takes a node out before its owner or its trust changes. */
export const delist = ({ owners }: PoolState, node: PoolNode): void => {
	owners.shared.delete(node);
	for (const nodes of [owners.own, owners.lent]) {
		const of = nodes.get(node.ws);
		if (of?.delete(node) === true && of.size === 0) nodes.delete(node.ws);
	}
};
