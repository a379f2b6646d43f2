/**
 * Frames of the Pool's bridge as callers see them: views with signed URLs instead of records.
 * @module
 */
import { ImageRecord, type BridgeFrame } from '@limner/shared';
import { imageView, type ViewContext } from '../../lib/views.ts';

/** Replaces the picture of an `image` event, and the pictures of a terminal one, by their views. Pure. */
export const clientFrame = (context: ViewContext, ws: string, jobId: string, frame: BridgeFrame): BridgeFrame => {
	if (frame.id === undefined || typeof frame.data !== 'object' || frame.data === null) return frame;
	const { image, images, ...rest } = frame.data as Record<string, unknown>;
	const views = (Array.isArray(images) ? images : [image]).flatMap((value: unknown) => {
		const record = ImageRecord.safeParse(value);
		return record.success ? [imageView(context, ws, jobId, record.data)] : [];
	});
	if (Array.isArray(images)) return { ...frame, data: { ...rest, images: views } };
	return { ...frame, data: views[0] === undefined ? rest : { ...rest, image: views[0] } };
};
