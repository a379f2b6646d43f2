/**
 * Pictures: `GET /api/v1/images`, `GET|DELETE /api/v1/images/{id}`, `GET /api/v1/images/{id}/metadata`, and
 * `GET /api/v1/jobs/{id}/images/{index}`.
 * @module
 */
import { createRoute, z } from '@hono/zod-openapi';
import { IMAGE_ID_PATTERN, JOB_ID_PATTERN, REQUEST_LIMITS } from '@limner/shared';
import { jsonResponse, newApp, pageOf, pageQuery, problems, secured } from '../../lib/openapi.ts';
import { idempotent, workspaceOf } from '../../lib/stubs.ts';
import { viewContext } from '../jobs/service.ts';
import { GalleryImage, ImageMetadata, PICTURE_RESPONSES } from './schema.ts';
import { findImage, galleryImage, imageMetadata, partsOf, removeImage, serveImage } from './service.ts';

const ImagePath = z.object({ id: z.string().regex(IMAGE_ID_PATTERN, 'must be an image id') });
const tags = ['images'];

/** Mounted at `/api/v1/images`. */
export const imagesRoutes = newApp();
/** Mounted at `/api/v1/jobs`. */
export const jobImagesRoutes = newApp();

jobImagesRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/{id}/images/{index}',
		operationId: 'getJobImage',
		tags,
		summary: 'Bytes of one picture of a job, as soon as it is made',
		...secured('images:read'),
		request: {
			params: z.object({
				id: z.string().regex(JOB_ID_PATTERN, 'must be a job id'),
				index: z
					.string()
					.regex(/^\d{1,2}$/, 'must be the number of a picture, counted from 0')
					.transform(Number)
					.pipe(z.int().max(REQUEST_LIMITS.nMax - 1)),
			}),
		},
		responses: { ...PICTURE_RESPONSES, ...problems(401, 403, 404, 410, 422, 429, 451) },
	}),
	(c) => {
		const { id, index } = c.req.valid('param');
		return serveImage(c, id, index);
	},
);

imagesRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/',
		operationId: 'listImages',
		tags,
		summary: 'Finished pictures, newest job first',
		...secured('images:read'),
		request: { query: z.object(pageQuery) },
		responses: { 200: jsonResponse(pageOf(GalleryImage), 'One page of pictures'), ...problems(401, 403, 422, 429) },
	}),
	async (c) => {
		const { limit, cursor } = c.req.valid('query');
		const page = await idempotent(
			() => workspaceOf(c.env, c.get('principal').ws),
			(stub) => stub.listImages({ limit, ...(cursor === undefined ? {} : { cursor }) }),
		);
		const context = viewContext(c, Date.now());
		return c.json({ data: page.data.map(({ job, image }) => galleryImage(context, job, image)), nextCursor: page.nextCursor }, 200);
	},
);

imagesRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/{id}',
		operationId: 'getImage',
		tags,
		summary: 'Bytes of a picture',
		...secured('images:read'),
		request: { params: ImagePath },
		responses: { ...PICTURE_RESPONSES, ...problems(401, 403, 404, 410, 422, 429, 451) },
	}),
	(c) => {
		const { jobId, index } = partsOf(c.req.valid('param').id);
		return serveImage(c, jobId, index);
	},
);

imagesRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/{id}/metadata',
		operationId: 'getImageMetadata',
		tags,
		summary: 'Everything that is known of a picture, with a fresh signed URL',
		...secured('images:read'),
		request: { params: ImagePath },
		responses: { 200: jsonResponse(ImageMetadata, 'The metadata'), ...problems(401, 403, 404, 410, 422, 429, 451) },
	}),
	async (c) => {
		const { jobId, index } = partsOf(c.req.valid('param').id);
		const { row, record } = await findImage(c, jobId, index);
		return c.json(imageMetadata(viewContext(c, Date.now()), row, record), 200);
	},
);

imagesRoutes.openapi(
	createRoute({
		method: 'delete',
		path: '/{id}',
		operationId: 'deleteImage',
		tags,
		summary: 'Removes a picture of a finished job for ever',
		...secured('images:write'),
		request: { params: ImagePath },
		responses: { 204: { description: 'The picture is gone' }, ...problems(401, 403, 404, 409, 422, 429) },
	}),
	async (c) => {
		const { jobId, index } = partsOf(c.req.valid('param').id);
		await removeImage(c, jobId, index);
		return c.body(null, 204);
	},
);
