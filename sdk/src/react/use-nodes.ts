/**
 * The machines, kept fresh.
 * @module
 */
import { useCallback } from 'react';
import type { Node, NodeStatus } from '../types.ts';
import { useLimner } from './context.ts';
import { usePolled, type Polled } from './use-polled.ts';

export interface UseNodesOptions {
	/** Pause between two questions in milliseconds; default 5,000, 0 = ask once. None are asked while the page is hidden. */
	pollMs?: number;
	status?: NodeStatus;
	model?: string;
}

const POLL_MS = 5000;

/** Nodes of the pool. Needs the scope `supervisor:read`. */
export const useNodes = (options: UseNodesOptions = {}): Omit<Polled<Node[]>, 'data'> & { nodes: readonly Node[] } => {
	const client = useLimner();
	const { pollMs = POLL_MS, status, model } = options;
	const ask = useCallback(
		(signal: AbortSignal) =>
			client.nodes.list({ ...(status === undefined ? {} : { status }), ...(model === undefined ? {} : { model }) }, { signal }),
		[client, status, model],
	);
	const { data, ...rest } = usePolled(ask, pollMs);
	return { ...rest, nodes: data ?? [] };
};
