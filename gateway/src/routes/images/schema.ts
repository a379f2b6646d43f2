/**
 * What the routes of pictures answer.
 * @module
 */
import { z } from '@hono/zod-openapi';
import { ImageView, JobSpec } from '@limner/shared';
import { named } from '../../lib/openapi.ts';

const binary = z.any().openapi({ type: 'string', format: 'binary' });
const content = { 'image/png': { schema: binary }, 'image/jpeg': { schema: binary }, 'image/webp': { schema: binary } };

/** Responses of every route that answers a picture's bytes. */
export const PICTURE_RESPONSES = {
	200: { description: 'The picture', content },
	206: { description: 'The range that was asked for', content },
	304: { description: 'Unchanged since the entity tag in If-None-Match' },
	416: { description: 'The range lies outside the picture' },
};

const jobFields = {
	jobId: z.string(),
	/** When the picture was accepted. */
	createdAt: z.iso.datetime(),
	model: z.string(),
	prompt: z.string(),
};

/** A picture in the gallery. */
export const GalleryImage = named(z.object({ ...ImageView.shape, ...jobFields }), 'GalleryImage');
export type GalleryImage = z.infer<typeof GalleryImage>;

/** Everything that is known of one picture. */
export const ImageMetadata = named(z.object({ ...ImageView.shape, ...jobFields, request: JobSpec, epoch: z.int() }), 'ImageMetadata');
export type ImageMetadata = z.infer<typeof ImageMetadata>;
