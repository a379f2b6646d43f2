/**
 * The picture that is edited.
 * @module
 */
import type { GalleryImage, GenerateRequest } from '@limner/sdk';
import { client } from '../../lib/session.ts';
import { createValue } from '../../lib/value.ts';
import { t } from '../../strings.ts';
import { MAX_SIDE, MIN_SIDE } from '../create/draft.ts';
import { sizedPng } from './paint.ts';

export interface Source {
	/** For `<img>`. */
	url: string;
	width: number;
	height: number;
	/** For the request: bytes, or a picture that the gateway has. */
	picture: NonNullable<GenerateRequest['initImage']>;
	prompt: string;
}

export const source = createValue<Source | undefined>(undefined);

/** Largest size of the same shape that a model can draw, at most `MAX_SIDE` a side; the picture's own where it can. */
export const sizeFor = (width: number, height: number, multiple: number): { width: number; height: number } => {
	const shrink = Math.min(1, MAX_SIDE / Math.max(width, height));
	const side = (length: number): number => Math.max(MIN_SIDE, Math.round((length * shrink) / multiple) * multiple);
	return { width: side(width), height: side(height) };
};

/** Takes a file: any format that the browser can show. */
export const fromFile = async (file: Blob, multiple: number): Promise<void> => {
	const bitmap = await createImageBitmap(file).catch(() => {
		throw new Error(t.edit.notAPicture);
	});
	const size = sizeFor(bitmap.width, bitmap.height, multiple);
	const picture = await sizedPng(bitmap, size.width, size.height);
	source.set({ ...size, url: URL.createObjectURL(picture), picture, prompt: '' });
};

/** Takes a picture of the gallery: the gateway has its bytes already. */
export const fromGallery = (image: Pick<GalleryImage, 'url' | 'width' | 'height' | 'index' | 'prompt'> & { jobId: string }): void =>
	source.set({
		url: image.url,
		width: image.width,
		height: image.height,
		picture: { job: image.jobId, index: image.index },
		prompt: image.prompt,
	});

/** Bytes of a finished picture, for a comparison that outlives its signed address. */
export const bytesOf = (id: string): Promise<Blob> => client.gallery.blob(id);
