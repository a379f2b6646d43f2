/**
 * What the pages read from the gateway, and how often.
 * @module
 */
import { ApiError, type GalleryImage } from '@limner/sdk';
import { QueryClient, useInfiniteQuery, useQuery } from '@tanstack/react-query';
import { useEffect } from 'react';
import { onSettled, refresh } from '../features/jobs/store.ts';
import { withFirstPage, withoutIds, type Pages } from './pages.ts';
import { client, onFailure } from './session.ts';
import { createValue } from './value.ts';

const FLEET_MS = 2_000;
const MODELS_MS = 10_000;
/** What another browser began is seen here within a second, the way there and back included. */
const JOBS_MS = 500;
const PAGE = 100;
/** Less than the hour that a signed address is good for. */
const SIGNED_MS = 45 * 60_000;
/** A job's pictures come into the gallery when the pool has settled with the workspace: at once, or a little later under load. */
const SETTLE_MS = [300, 2_000];

/** Whether the last call found a gateway. */
export const reachable = createValue(true);

export const queries = new QueryClient({
	defaultOptions: {
		queries: {
			staleTime: 1_000,
			// The client repeats by itself what may be repeated; a page that polls asks again anyway.
			retry: false,
			refetchOnWindowFocus: true,
		},
	},
});

queries.getQueryCache().subscribe((event) => {
	if (event.type !== 'updated') return;
	if (event.action.type === 'success') reachable.set(true);
	if (event.action.type === 'error') {
		onFailure(event.action.error);
		reachable.set(event.action.error instanceof ApiError);
	}
});

export const useModels = () =>
	useQuery({ queryKey: ['models'], queryFn: ({ signal }) => client.models.list({ signal }), refetchInterval: MODELS_MS });
export const useSchedulers = () =>
	useQuery({
		queryKey: ['schedulers'],
		queryFn: ({ signal }) => client.models.schedulers({ signal }),
		staleTime: Number.POSITIVE_INFINITY,
	});
export const useNodes = () =>
	useQuery({ queryKey: ['nodes'], queryFn: ({ signal }) => client.nodes.list({}, { signal }), refetchInterval: FLEET_MS });
/** What people call a machine; its id until that is known, or where the key may not see machines. */
export const useNodeName = (id: string | undefined): string | undefined => {
	const { data } = useQuery({
		queryKey: ['nodes'],
		queryFn: ({ signal }) => client.nodes.list({}, { signal }),
		enabled: id !== undefined,
		staleTime: MODELS_MS,
	});
	return data?.find((node) => node.id === id)?.name ?? id;
};
export const useUsage = () => useQuery({ queryKey: ['usage'], queryFn: ({ signal }) => client.usage({ signal }) });

/** Keeps the list of jobs true while a page is open. */
export const useJobsFeed = (): void => {
	useQuery({
		queryKey: ['jobs'],
		queryFn: async ({ signal }) => {
			return refresh(signal);
		},
		refetchInterval: JOBS_MS,
	});
};

const IMAGES = ['images'];

/** Reads the newest page only: a gallery of thousands must not be read again for each new picture. */
const freshenImages = async (): Promise<void> => {
	const first = await client.gallery.list({ limit: PAGE });
	queries.setQueryData<Pages<GalleryImage>>(IMAGES, (had) => (had === undefined ? undefined : withFirstPage(had, first)));
};

/** A failure here shows as one of the page's own queries soon enough. */
const freshenQuietly = (): void => void freshenImages().catch(() => undefined);

export const forgetImages = (ids: ReadonlySet<string>): void => {
	queries.setQueryData<Pages<GalleryImage>>(IMAGES, (had) => (had === undefined ? undefined : withoutIds(had, ids)));
};

/** Finished pictures, newest first, page by page; fresh ones come in as jobs end. */
export const useImages = () => {
	const query = useInfiniteQuery({
		queryKey: IMAGES,
		queryFn: ({ pageParam, signal }) =>
			client.gallery.list({ limit: PAGE, ...(pageParam === undefined ? {} : { cursor: pageParam }) }, { signal }),
		initialPageParam: undefined as string | undefined,
		getNextPageParam: (last) => last.nextCursor ?? undefined,
		// The pictures' addresses are signed, and end: what lies open for long is read again before that.
		staleTime: SIGNED_MS,
		refetchInterval: SIGNED_MS,
		// Comparing thousands of pictures field by field for each new page makes frames long.
		structuralSharing: false,
	});
	useEffect(() => {
		freshenQuietly();
		return onSettled(() => {
			for (const ms of SETTLE_MS) setTimeout(freshenQuietly, ms);
		});
	}, []);
	return query;
};
