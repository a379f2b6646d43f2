/**
 * `GET /api/v1/schedulers`: names, labels, and the aliases that people bring from other tools.
 * @module
 */
import { createRoute, z } from '@hono/zod-openapi';
import { SCHEDULER_NAMES, SCHEDULERS } from '@limner/shared';
import { jsonResponse, newApp, pageOf, problems, secured } from '../../lib/openapi.ts';

const SchedulerView = z.object({ name: z.string(), label: z.string(), aliases: z.array(z.string()) }).openapi('Scheduler');
const ALL = SCHEDULER_NAMES.map((name) => ({ name, label: SCHEDULERS[name].label, aliases: [...SCHEDULERS[name].aliases] }));

export const schedulersRoutes = newApp();

schedulersRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/',
		operationId: 'listSchedulers',
		tags: ['models'],
		summary: 'Schedulers (samplers)',
		...secured('jobs:read'),
		responses: { 200: jsonResponse(pageOf(SchedulerView), 'All schedulers'), ...problems(401, 403, 429) },
	}),
	(c) => c.json({ data: ALL, nextCursor: null }, 200),
);
