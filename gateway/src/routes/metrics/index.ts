/**
 * `GET /metrics` for Prometheus.
 * @module
 */
import { createRoute, z } from '@hono/zod-openapi';
import { newApp, problems, secured } from '../../lib/openapi.ts';
import { mustRunGateway, OF_ALL, poolMetrics, prometheusText } from '../../lib/pool-metrics.ts';

export const metricsRoutes = newApp();

metricsRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/metrics',
		operationId: 'prometheus',
		tags: ['operations'],
		summary: 'Metrics as Prometheus text',
		description: OF_ALL,
		...secured('supervisor:read'),
		responses: {
			200: { description: 'Prometheus text', content: { 'text/plain': { schema: z.string() } } },
			...problems(401, 403, 429),
		},
	}),
	async (c) => {
		await mustRunGateway(c);
		const { shards } = await poolMetrics(c);
		return c.text(prometheusText(shards), 200, { 'Content-Type': 'text/plain; version=0.0.4; charset=utf-8' });
	},
);
