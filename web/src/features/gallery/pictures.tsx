import type { GalleryImage, Job } from '@limner/sdk';
import { lazy, Suspense, useEffect, useState, type ReactNode } from 'react';

/** Loaded when the first picture is opened. */
const Lightbox = lazy(async () => ({ default: (await import('./lightbox.tsx')).Lightbox }));

/** The pictures of a job as the gallery would show them. */
export const galleryImages = (job: Job): GalleryImage[] =>
	job.images.map((image) => ({
		...image,
		jobId: job.id,
		prompt: job.request.prompt,
		model: job.request.model,
		createdAt: job.finishedAt ?? job.createdAt,
	}));

/** Pictures before the end of the list at which more are asked for. */
const NEAR_END = 4;

/** The large view over a few pictures; `open` is what their tiles call. */
export const usePictures = (
	images: readonly GalleryImage[],
	onNearEnd?: () => void,
): { open: (id: string) => void; lightbox: ReactNode } => {
	const [shown, setShown] = useState<string>();
	const at = shown === undefined ? -1 : images.findIndex(({ id }) => id === shown);
	const image = images[at];
	const nearEnd = image !== undefined && at >= images.length - NEAR_END;
	useEffect(() => {
		if (nearEnd) onNearEnd?.();
	}, [nearEnd, onNearEnd]);
	const go = (step: number): (() => void) | undefined => {
		const next = images[at + step];
		return next === undefined ? undefined : () => setShown(next.id);
	};
	return {
		open: setShown,
		lightbox:
			image === undefined ? null : (
				<Suspense>
					<Lightbox image={image} onClose={() => setShown(undefined)} onPrevious={go(-1)} onNext={go(1)} />
				</Suspense>
			),
	};
};
