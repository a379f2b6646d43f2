/**
 * The live dashboard: one stream for all of the pool's pages, open while one of them is.
 * @module
 */
import type { Dashboard } from '@limner/sdk';
import { useQuery } from '@tanstack/react-query';
import { useEffect } from 'react';
import { queries } from '../../lib/queries.ts';
import { useMay } from '../../lib/scopes.ts';
import { client, onFailure } from '../../lib/session.ts';
import { createValue } from '../../lib/value.ts';

/** Readings that the load chart keeps. */
const KEPT = 900;

export interface LoadSample {
	/** Milliseconds since the epoch. */
	at: number;
	busy: number;
	waiting: number;
}

/** Load since a page of the pool was first opened. */
export const load = createValue<readonly LoadSample[]>([]);

const sampleOf = ({ at, metrics }: Dashboard): LoadSample => ({
	at: new Date(at).getTime(),
	busy: metrics.agentsBusy,
	waiting: metrics.jobsWaiting,
});

const follow = async (signal: AbortSignal): Promise<void> => {
	for await (const { event, data } of client.dashboard.follow({ signal })) {
		queries.setQueryData([event], data);
		if (event === 'dashboard') load.set([...load.get(), sampleOf(data)].slice(-KEPT));
		// Cards show more of a node than presence tells.
		else void queries.invalidateQueries({ queryKey: ['nodes'] });
	}
};

/** Keeps dashboard and presence true while the component is there. */
export const useLive = (): void => {
	const may = useMay('supervisor:read');
	useEffect(() => {
		if (!may) return undefined;
		const own = new AbortController();
		follow(own.signal).catch((error: unknown) => {
			if (!own.signal.aborted) onFailure(error);
		});
		return () => own.abort();
	}, [may]);
};

/** Read once; the stream brings the rest. */
export const useDashboard = () =>
	useQuery({
		queryKey: ['dashboard'],
		queryFn: ({ signal }) => client.dashboard.get({ signal }),
		staleTime: Number.POSITIVE_INFINITY,
	});
