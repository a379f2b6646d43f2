/**
 * Pictures of the caller's jobs: find, serve, show, remove.
 * @module
 */
import { isTerminal, LimnerError, parseImageId, toError, type ImageRecord } from '@limner/shared';
import type { AppContext } from '../../lib/context.ts';
import { idempotent, workspaceOf } from '../../lib/stubs.ts';
import { imageView, mergeLive, type ViewContext } from '../../lib/views.ts';
import { storageOf } from '../../storage/index.ts';
import { foundOr, locateImage } from '../../storage/locate.ts';
import { serveObject } from '../../storage/serve.ts';
import type { JobRow } from '../../rpc.ts';
import { liveOf, rowOf } from '../jobs/service.ts';
import type { GalleryImage, ImageMetadata } from './schema.ts';

/** The row with the pictures that an open job has made so far. */
const currentRow = async (c: AppContext, jobId: string): Promise<JobRow> => {
	const row = await rowOf(c, jobId);
	const live = await liveOf(c, row);
	if (live !== undefined || isTerminal('job', row.state)) return mergeLive(row, live);
	// The job may have been settled, and forgotten by its Pool, between the two questions: then the row is the truth now.
	return rowOf(c, jobId);
};

/**
 * Nothing, unless the picture was taken down.
 * @throws {LimnerError} `taken_down`
 */
export const refuseTakenDown = async (c: AppContext, jobId: string, index: number): Promise<void> => {
	const takedown = await idempotent(
		() => workspaceOf(c.env, c.get('principal').ws),
		(stub) => stub.takedownOf(jobId, index),
	);
	if (takedown === null) return;
	throw new LimnerError('taken_down', {
		detail: `the picture was taken down on ${new Date(takedown.at).toISOString()}: ${takedown.reason}`,
	});
};

/**
 * A picture of the caller's workspace with its job.
 * @throws {LimnerError} `not_found`, `gone`, `taken_down`
 */
export const findImage = async (c: AppContext, jobId: string, index: number): Promise<{ row: JobRow; record: ImageRecord }> => {
	const row = await currentRow(c, jobId);
	const located = locateImage(row, index);
	if (located.kind === 'gone') await refuseTakenDown(c, jobId, index);
	return { row, record: foundOr(located) };
};

/** Job and index of an image id. */
export const partsOf = (id: string): { jobId: string; index: number } => {
	const parts = parseImageId(id);
	if (parts === undefined) throw new LimnerError('not_found', { detail: `there is no picture ${id}` });
	return parts;
};

/** Answers the bytes. A shared cache must not keep them, and a browser asks again: the picture may be removed. */
export const serveImage = async (c: AppContext, jobId: string, index: number): Promise<Response> => {
	const { record } = await findImage(c, jobId, index);
	return serveObject(storageOf(c.env), c.req.raw, { key: record.key, contentType: record.contentType, cacheControl: 'private, no-cache' });
};

/** A picture as the gallery lists it. */
export const galleryImage = (context: ViewContext, row: JobRow, record: ImageRecord): GalleryImage => ({
	...imageView(context, row.ws, row.id, record),
	jobId: row.id,
	createdAt: new Date(record.at).toISOString(),
	model: row.spec.model,
	prompt: row.spec.prompt,
});

export const imageMetadata = (context: ViewContext, row: JobRow, record: ImageRecord): ImageMetadata => {
	const { inputKeys: _internal, ...request } = row.spec;
	return { ...galleryImage(context, row, record), request, epoch: record.epoch };
};

/**
 * Removes one picture of a finished job. Removing it twice is no error.
 * @throws {LimnerError} `not_found`, `conflict` while the job is open
 */
export const removeImage = async (c: AppContext, jobId: string, index: number): Promise<void> => {
	const row = await rowOf(c, jobId);
	const located = locateImage(row, index);
	// The bytes go first: when this request dies in between, the row still names what a second try has to remove.
	if (located.kind === 'found' && isTerminal('job', row.state)) await storageOf(c.env).delete(located.record.key);
	const answer = await idempotent(
		() => workspaceOf(c.env, row.ws),
		(stub) => stub.purgeImages(jobId, index),
	);
	if (!answer.ok) throw toError(answer);
	if (answer.keys.length > 0) await storageOf(c.env).delete(answer.keys);
};
