import type { GalleryImage } from '@limner/sdk';
import { useState, type ReactNode } from 'react';
import { Lightbox } from '../gallery/lightbox.tsx';

/** The large view over a few pictures; `open` is what their tiles call. */
export const usePictures = (images: readonly GalleryImage[]): { open: (id: string) => void; lightbox: ReactNode } => {
	const [shown, setShown] = useState<string>();
	const at = images.findIndex(({ id }) => id === shown);
	const image = images[at];
	const go = (step: number): (() => void) | undefined => {
		const next = images[at + step];
		return next === undefined ? undefined : () => setShown(next.id);
	};
	return {
		open: setShown,
		lightbox:
			image === undefined ? null : <Lightbox image={image} onClose={() => setShown(undefined)} onPrevious={go(-1)} onNext={go(1)} />,
	};
};
