/**
 * `POST /api/v1/assets`, `GET /api/v1/assets/{id}`: input pictures.
 * @module
 */
import { createRoute, z } from '@hono/zod-openapi';
import { ASSET_ID_PATTERN, assetKey, LimnerError } from '@limner/shared';
import { jsonResponse, named, newApp, problems, secured } from '../../lib/openapi.ts';
import { idempotent, workspaceOf } from '../../lib/stubs.ts';
import { objectUrl, type ViewContext } from '../../lib/views.ts';
import type { AssetRow } from '../../rpc.ts';
import { viewContext } from '../jobs/service.ts';
import { storeAsset } from './upload.ts';

/** Mounted at `/api/v1/assets`. */
export const assetsRoutes = newApp();

const AssetView = named(
	z.object({
		id: z.string(),
		bytes: z.int(),
		contentType: z.string(),
		width: z.int(),
		height: z.int(),
		sha256: z.string(),
		createdAt: z.iso.datetime(),
		/** After this the asset can no longer be used. */
		expiresAt: z.iso.datetime(),
		/** Signed; works without a key until `urlExpiresAt`. */
		url: z.string(),
		urlExpiresAt: z.iso.datetime(),
	}),
	'Asset',
);

const iso = (ms: number): string => new Date(ms).toISOString();

const assetView = (context: ViewContext, ws: string, row: AssetRow): z.infer<typeof AssetView> => {
	const { url, expiresAt: urlExpiresAt } = objectUrl(context, ws, assetKey(ws, row.id), row.contentType);
	return { ...row, createdAt: iso(row.createdAt), expiresAt: iso(row.expiresAt), url, urlExpiresAt };
};

const binary = z.any().openapi({ type: 'string', format: 'binary' });

assetsRoutes.openapi(
	createRoute({
		method: 'post',
		path: '/',
		operationId: 'createAsset',
		tags: ['assets'],
		summary: 'Uploads an input picture: PNG, JPEG or WebP, at most 20 MB and 4096 pixels a side',
		...secured('images:write'),
		request: {
			body: {
				required: true,
				content: {
					'image/png': { schema: binary },
					'image/jpeg': { schema: binary },
					'image/webp': { schema: binary },
					'application/octet-stream': { schema: binary },
				},
			},
		},
		responses: { 201: jsonResponse(AssetView, 'The asset'), ...problems(400, 401, 403, 413, 415, 422, 429) },
	}),
	async (c) => {
		const now = Date.now();
		const row = await storeAsset(c, now);
		c.header('Location', `/api/v1/assets/${row.id}`);
		return c.json(assetView(viewContext(c, now), c.get('principal').ws, row), 201);
	},
);

assetsRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/{id}',
		operationId: 'getAsset',
		tags: ['assets'],
		summary: 'An input picture with a fresh signed URL',
		...secured('images:read'),
		request: { params: z.object({ id: z.string().regex(ASSET_ID_PATTERN, 'must be an asset id') }) },
		responses: { 200: jsonResponse(AssetView, 'The asset'), ...problems(401, 403, 404, 410, 422, 429) },
	}),
	async (c) => {
		const now = Date.now();
		const { ws } = c.get('principal');
		const { id } = c.req.valid('param');
		const row = await idempotent(
			() => workspaceOf(c.env, ws),
			(stub) => stub.getAsset(id),
		);
		if (row === null) throw new LimnerError('not_found', { detail: `there is no asset ${id}` });
		if (row.expiresAt <= now) throw new LimnerError('gone', { detail: `the asset expired on ${iso(row.expiresAt)}; upload it again` });
		return c.json(assetView(viewContext(c, now), ws, row), 200);
	},
);
