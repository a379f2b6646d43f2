/**
 * `GET /api/v1/objects/{ticket}`: bytes of a picture or an asset behind a signed, expiring URL.
 * @module
 */
import { createRoute, z } from '@hono/zod-openapi';
import { LimnerError } from '@limner/shared';
import { newApp, problems } from '../../lib/openapi.ts';
import { verifyClaims } from '../../lib/sign.ts';
import { storageOf } from '../../storage/index.ts';
import { serveObject } from '../../storage/serve.ts';
import { PICTURE_RESPONSES } from '../images/schema.ts';

export const objectsRoutes = newApp();

objectsRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/{ticket}',
		operationId: 'getObject',
		tags: ['images'],
		summary: 'Bytes behind a signed URL; needs no key',
		request: { params: z.object({ ticket: z.string().min(1).max(2048) }) },
		responses: { ...PICTURE_RESPONSES, ...problems(401, 404, 410) },
	}),
	async (c) => {
		const now = Date.now();
		const verified = verifyClaims(c.env.LIMNER_SECRET, 'object', c.req.valid('param').ticket, now);
		if (!verified.ok) {
			if (verified.why === 'expired')
				throw new LimnerError('gone', { detail: 'the URL has expired; ask for the picture again to get a new one' });
			throw new LimnerError('unauthorized', { detail: 'the URL is damaged or was not issued by this gateway' });
		}
		const { key, ct, exp } = verified.claims;
		const maxAgeS = Math.max(0, Math.floor((exp - now) / 1000));
		return serveObject(storageOf(c.env), c.req.raw, { key, contentType: ct, cacheControl: `private, max-age=${maxAgeS}` });
	},
);
