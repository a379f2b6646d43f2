/**
 * `GET /api/v1/resources/usage`: what the workspace has used.
 * @module
 */
import { createRoute, z } from '@hono/zod-openapi';
import { jsonResponse, newApp, problems, secured } from '../../lib/openapi.ts';
import { idempotent, workspaceOf } from '../../lib/stubs.ts';

const UsageView = z
	.object({ workspaceId: z.string(), images: z.int(), megapixelSteps: z.number(), openJobs: z.int(), settledJobs: z.int() })
	.openapi('ResourceUsage');

export const resourcesRoutes = newApp();

resourcesRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/usage',
		operationId: 'resourceUsage',
		tags: ['resources'],
		summary: 'What the workspace has used',
		...secured('resources:read'),
		responses: { 200: jsonResponse(UsageView, 'Usage'), ...problems(401, 403, 429) },
	}),
	async (c) => {
		const { ws } = c.get('principal');
		const usage = await idempotent(
			() => workspaceOf(c.env, ws),
			(stub) => stub.usage(),
		);
		return c.json({ workspaceId: ws, ...usage }, 200);
	},
);
