/**
 * Nodes of the caller's workspace, over all shards.
 * @module
 */
import { LimnerError } from '@limner/shared';
import type { AppContext } from '../../lib/context.ts';
import { idempotent, poolOf, shardsOf } from '../../lib/stubs.ts';
import type { NodeView } from '../../rpc.ts';

export const nodesOf = async (c: AppContext): Promise<NodeView[]> => {
	const { ws } = c.get('principal');
	const lists = await Promise.all(
		shardsOf(c.env).map((shard) =>
			idempotent(
				() => poolOf(c.env, shard),
				(stub) => stub.nodes(ws),
			),
		),
	);
	return lists.flat();
};

export const noNode = (id: string): LimnerError => new LimnerError('not_found', { detail: `there is no worker ${id}` });

/** @throws {LimnerError} `not_found` */
export const nodeOf = async (c: AppContext, id: string): Promise<NodeView> => {
	const node = (await nodesOf(c)).find((known) => known.id === id);
	if (node === undefined) throw noNode(id);
	return node;
};
