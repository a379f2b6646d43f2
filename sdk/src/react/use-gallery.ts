/**
 * Finished pictures, page by page.
 * @module
 */
import { useCallback, useEffect, useRef, useState } from 'react';
import type { GalleryImage } from '../types.ts';
import { useLimner } from './context.ts';

export interface UseGallery {
	images: readonly GalleryImage[];
	loading: boolean;
	error: Error | undefined;
	/** Whether `loadMore` has something to load. */
	hasMore: boolean;
	loadMore: () => Promise<void>;
	/** Reads the first page again; call it when a job has finished. */
	refresh: () => Promise<void>;
	/** Removes a picture for ever. */
	remove: (id: string) => Promise<void>;
}

interface State {
	images: readonly GalleryImage[];
	cursor: string | null;
	loading: boolean;
	error: Error | undefined;
}

const asError = (error: unknown): Error => (error instanceof Error ? error : new Error(String(error)));

/** Older pictures behind newer ones, without those that a page boundary brought twice. */
export const append = (have: readonly GalleryImage[], page: readonly GalleryImage[]): readonly GalleryImage[] => {
	const known = new Set(have.map(({ id }) => id));
	return [...have, ...page.filter(({ id }) => !known.has(id))];
};

/** The gallery. Needs the scope `images:read`. */
export const useGallery = ({ pageSize = 50 }: { pageSize?: number } = {}): UseGallery => {
	const client = useLimner();
	const [state, setState] = useState<State>({ images: [], cursor: null, loading: true, error: undefined });
	/** Of two answers that overlap only the later question's counts. */
	const current = useRef<AbortController | undefined>(undefined);

	const load = useCallback(
		async (cursor: string | undefined): Promise<void> => {
			current.current?.abort();
			const own = new AbortController();
			current.current = own;
			setState((before) => ({ ...before, loading: true, error: undefined }));
			try {
				const query = { limit: pageSize, ...(cursor === undefined ? {} : { cursor }) };
				const page = await client.gallery.list(query, { signal: own.signal });
				if (own.signal.aborted) return;
				setState(({ images }) => ({
					images: cursor === undefined ? page.data : append(images, page.data),
					cursor: page.nextCursor,
					loading: false,
					error: undefined,
				}));
			} catch (error) {
				if (!own.signal.aborted) setState((before) => ({ ...before, loading: false, error: asError(error) }));
			}
		},
		[client, pageSize],
	);

	useEffect(() => {
		void load(undefined);
		return () => current.current?.abort();
	}, [load]);

	const { cursor } = state;
	const refresh = useCallback(() => load(undefined), [load]);
	const loadMore = useCallback(() => (cursor === null ? Promise.resolve() : load(cursor)), [load, cursor]);
	const remove = useCallback(
		async (id: string) => {
			await client.gallery.delete(id);
			setState((before) => ({ ...before, images: before.images.filter((image) => image.id !== id) }));
		},
		[client],
	);
	const { images, loading, error } = state;
	return { images, loading, error, hasMore: cursor !== null, loadMore, refresh, remove };
};
