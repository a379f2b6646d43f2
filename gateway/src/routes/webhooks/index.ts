/**
 * `/api/v1/webhooks`: who is told what happens, what came of it, and trying again.
 * @module
 */
import { createRoute, z } from '@hono/zod-openapi';
import { LimnerError, toError, type Result } from '@limner/shared';
import { recordAction } from '../../lib/audit.ts';
import { baseUrl, type AppContext } from '../../lib/context.ts';
import { jsonRequest, jsonResponse, newApp, pageOf, pageQuery, problems, secured, securedJson } from '../../lib/openapi.ts';
import { deliveryOf, idempotent } from '../../lib/stubs.ts';
import {
	deliveryView,
	DeliveriesPath,
	DeliveryPath,
	DeliveryStateQuery,
	Webhook,
	WebhookChange,
	WebhookDelivery,
	WebhookPath,
	WebhookRequest,
	WebhookWithSecret,
	webhookView,
} from './schema.ts';

const stubOf = (c: AppContext) => () => deliveryOf(c.env, c.get('principal').ws);
const base = (c: AppContext): string => baseUrl(c.env.PUBLIC_URL, c.req.url);

/** @throws {LimnerError} what was refused */
const must = <T>(answer: Result<T>): T & { ok: true } => {
	if (!answer.ok) throw toError(answer);
	return answer;
};

export const webhooksRoutes = newApp();

webhooksRoutes.openapi(
	createRoute({
		method: 'post',
		path: '/',
		operationId: 'createWebhook',
		tags: ['webhooks'],
		summary: 'Register an address that is told about events',
		description: 'The secret is shown once. Only https addresses of the public Internet are taken.',
		...securedJson('webhooks:write'),
		request: { body: jsonRequest(WebhookRequest) },
		responses: { 201: jsonResponse(WebhookWithSecret, 'The webhook'), ...problems(400, 401, 403, 409, 413, 415, 422, 429) },
	}),
	async (c) => {
		const { webhook, secret } = must(await stubOf(c)().createWebhook(c.get('principal').ws, { ...c.req.valid('json'), base: base(c) }));
		await recordAction(c, 'webhook.create', webhook.id, { url: webhook.url, events: webhook.events });
		return c.json({ ...webhookView(webhook), secret }, 201);
	},
);

webhooksRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/',
		operationId: 'listWebhooks',
		tags: ['webhooks'],
		summary: 'List webhooks, newest first',
		...secured('webhooks:read'),
		responses: { 200: jsonResponse(pageOf(Webhook), 'All webhooks of the workspace'), ...problems(401, 403, 429) },
	}),
	async (c) => {
		const webhooks = await idempotent(stubOf(c), (stub) => stub.listWebhooks());
		return c.json({ data: webhooks.map(webhookView), nextCursor: null }, 200);
	},
);

webhooksRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/{id}',
		operationId: 'getWebhook',
		tags: ['webhooks'],
		summary: 'Read a webhook',
		...secured('webhooks:read'),
		request: { params: WebhookPath },
		responses: { 200: jsonResponse(Webhook, 'The webhook'), ...problems(401, 403, 404, 422, 429) },
	}),
	async (c) => {
		const { id } = c.req.valid('param');
		const webhook = await idempotent(stubOf(c), (stub) => stub.getWebhook(id));
		if (webhook === null) throw new LimnerError('not_found', { detail: `there is no webhook ${id}` });
		return c.json(webhookView(webhook), 200);
	},
);

webhooksRoutes.openapi(
	createRoute({
		method: 'patch',
		path: '/{id}',
		operationId: 'updateWebhook',
		tags: ['webhooks'],
		summary: 'Change a webhook, or switch it off and on',
		...securedJson('webhooks:write'),
		request: { params: WebhookPath, body: jsonRequest(WebhookChange) },
		responses: { 200: jsonResponse(Webhook, 'The webhook afterwards'), ...problems(400, 401, 403, 404, 413, 415, 422, 429) },
	}),
	async (c) => {
		const { id } = c.req.valid('param');
		const change = Object.fromEntries(Object.entries(c.req.valid('json')).filter(([, value]) => value !== undefined));
		const { webhook } = must(await idempotent(stubOf(c), (stub) => stub.updateWebhook(id, { ...change, base: base(c) })));
		await recordAction(c, 'webhook.update', id, change);
		return c.json(webhookView(webhook), 200);
	},
);

webhooksRoutes.openapi(
	createRoute({
		method: 'delete',
		path: '/{id}',
		operationId: 'deleteWebhook',
		tags: ['webhooks'],
		summary: 'Delete a webhook and its deliveries',
		...secured('webhooks:write'),
		request: { params: WebhookPath },
		responses: { 204: { description: 'It is gone' }, ...problems(401, 403, 404, 422, 429) },
	}),
	async (c) => {
		const { id } = c.req.valid('param');
		if (!(await stubOf(c)().deleteWebhook(id))) throw new LimnerError('not_found', { detail: `there is no webhook ${id}` });
		await recordAction(c, 'webhook.delete', id);
		return c.body(null, 204);
	},
);

webhooksRoutes.openapi(
	createRoute({
		method: 'post',
		path: '/{id}/rotate-secret',
		operationId: 'rotateWebhookSecret',
		tags: ['webhooks'],
		summary: 'Make a new secret',
		description: 'For a day events are signed with both, so that receivers can change over without missing one.',
		...secured('webhooks:write'),
		request: { params: WebhookPath },
		responses: { 200: jsonResponse(WebhookWithSecret, 'The webhook with its new secret'), ...problems(401, 403, 404, 422, 429) },
	}),
	async (c) => {
		const { id } = c.req.valid('param');
		const { webhook, secret } = must(await stubOf(c)().rotateSecret(id));
		await recordAction(c, 'webhook.rotate-secret', id);
		return c.json({ ...webhookView(webhook), secret }, 200);
	},
);

webhooksRoutes.openapi(
	createRoute({
		method: 'post',
		path: '/{id}/test',
		operationId: 'testWebhook',
		tags: ['webhooks'],
		summary: 'Send a test event now',
		...secured('webhooks:write'),
		request: { params: WebhookPath },
		responses: { 200: jsonResponse(WebhookDelivery, 'What came of the first attempt'), ...problems(401, 403, 404, 422, 429) },
	}),
	async (c) => {
		const { delivery } = must(await stubOf(c)().testWebhook(c.req.valid('param').id));
		return c.json(deliveryView(delivery), 200);
	},
);

webhooksRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/{id}/deliveries',
		operationId: 'listWebhookDeliveries',
		tags: ['webhooks'],
		summary: 'Deliveries of a webhook, newest first',
		description:
			'`state=dead` lists those that were given up. Ended deliveries are kept for a week. The id `predictions` stands for the webhooks that Cog’s and Replicate’s predictions named; `data` of their payload is what is sent.',
		...secured('webhooks:read'),
		request: { params: DeliveriesPath, query: z.object({ ...pageQuery, state: DeliveryStateQuery }) },
		responses: { 200: jsonResponse(pageOf(WebhookDelivery), 'A page of deliveries'), ...problems(401, 403, 404, 422, 429) },
	}),
	async (c) => {
		const { limit, cursor, state } = c.req.valid('query');
		const query = { limit, ...(cursor === undefined ? {} : { cursor }), ...(state === undefined ? {} : { state }) };
		const page = must(await idempotent(stubOf(c), (stub) => stub.listDeliveries(c.req.valid('param').id, query)));
		return c.json({ data: page.data.map(deliveryView), nextCursor: page.nextCursor }, 200);
	},
);

webhooksRoutes.openapi(
	createRoute({
		method: 'post',
		path: '/{id}/deliveries/{deliveryId}/redeliver',
		operationId: 'redeliverWebhook',
		tags: ['webhooks'],
		summary: 'Send an ended delivery again',
		...secured('webhooks:write'),
		request: { params: DeliveryPath },
		responses: { 202: jsonResponse(WebhookDelivery, 'The delivery, queued'), ...problems(401, 403, 404, 409, 422, 429) },
	}),
	async (c) => {
		const { id, deliveryId } = c.req.valid('param');
		const { delivery } = must(await stubOf(c)().redeliver(id, deliveryId));
		await recordAction(c, 'webhook.redeliver', id, { deliveryId });
		return c.json(deliveryView(delivery), 202);
	},
);
