/**
 * Webhooks as callers send and see them.
 * @module
 */
import { z } from '@hono/zod-openapi';
import { DELIVERY_LIMITS as L, EVENT_FILTER, EVENT_TYPES } from '@limner/shared';
import type { DeliveryView, WebhookView } from '../../delivery/rpc.ts';

const id = (kind: string) => z.string().regex(new RegExp(`^${kind}_[0-9a-hjkmnp-tv-z]{26}$`), `must be an id that begins with ${kind}_`);
export const WebhookPath = z.object({ id: id('wh') });
/** A webhook, or the webhooks that predictions named. */
const source = z.string().regex(/^(?:wh_[0-9a-hjkmnp-tv-z]{26}|predictions)$/, 'must be an id that begins with wh_, or "predictions"');
export const DeliveriesPath = z.object({ id: source });
export const DeliveryPath = z.object({ id: source, deliveryId: id('dlv') });

const url = z.string().min(1).max(L.urlChars).openapi({ example: 'https://example.com/hooks/limner' });
const events = z
	.array(
		z
			.string()
			.max(60)
			.regex(EVENT_FILTER, 'looks like "job.succeeded", "job.*" or "*"')
			.openapi({ enum: ['*', ...new Set(EVENT_TYPES.map((type) => `${type.split('.')[0]}.*`)), ...EVENT_TYPES] }),
	)
	.min(1)
	.max(L.eventsMax)
	.openapi({
		example: ['job.*'],
		description: `Events: ${EVENT_TYPES.join(', ')}. \`job.*\` stands for all that begin so, \`*\` for all.`,
	});
const description = z.string().max(L.descriptionChars);

export const WebhookRequest = z
	.strictObject({ url, events: events.default(['*']), description: description.default(''), enabled: z.boolean().default(true) })
	.openapi('WebhookRequest');
export const WebhookChange = z
	.strictObject({ url: url.optional(), events: events.optional(), description: description.optional(), enabled: z.boolean().optional() })
	.openapi('WebhookChange');

export const Webhook = z
	.object({
		id: z.string(),
		url: z.string(),
		events: z.array(z.string()),
		description: z.string(),
		enabled: z.boolean(),
		disabledReason: z.string().optional(),
		createdAt: z.iso.datetime(),
		updatedAt: z.iso.datetime(),
		previousSecretUntil: z.iso.datetime().optional(),
		/** Deliveries that are still tried. */
		pending: z.int(),
		/** Deliveries that were given up. */
		dead: z.int(),
		lastSuccessAt: z.iso.datetime().optional(),
		lastFailureAt: z.iso.datetime().optional(),
	})
	.openapi('Webhook');
export const WebhookWithSecret = Webhook.extend({
	/** Shown once: `whsec_` and base64, as the libraries of Standard Webhooks take it. */
	secret: z.string(),
}).openapi('WebhookWithSecret');

const DELIVERY_STATES = ['pending', 'delivered', 'dead'] as const;
export const DeliveryStateQuery = z.enum(DELIVERY_STATES).optional();
export const WebhookDelivery = z
	.object({
		id: z.string(),
		/** `predictions` for the webhook of a prediction. */
		webhookId: z.string(),
		/** Of a prediction's webhook: the address that its request named. */
		url: z.string().optional(),
		messageId: z.string(),
		type: z.string(),
		state: z.enum(DELIVERY_STATES),
		attempts: z.array(z.object({ at: z.iso.datetime(), status: z.int().optional(), ms: z.int(), error: z.string().optional() })),
		createdAt: z.iso.datetime(),
		nextAttemptAt: z.iso.datetime().optional(),
		finishedAt: z.iso.datetime().optional(),
		payload: z.object({ type: z.string(), timestamp: z.iso.datetime(), data: z.record(z.string(), z.unknown()) }),
	})
	.openapi('WebhookDelivery');

const iso = (ms: number): string => new Date(ms).toISOString();
/** A time that may be absent, as a field that may be. */
const isoField = <K extends string>(name: K, ms: number | undefined): { [P in K]?: string } =>
	ms === undefined ? {} : ({ [name]: iso(ms) } as { [P in K]: string });

export const webhookView = ({ previousSecretUntil, lastSuccessAt, lastFailureAt, ...view }: WebhookView): z.infer<typeof Webhook> => ({
	...view,
	createdAt: iso(view.createdAt),
	updatedAt: iso(view.updatedAt),
	...isoField('previousSecretUntil', previousSecretUntil),
	...isoField('lastSuccessAt', lastSuccessAt),
	...isoField('lastFailureAt', lastFailureAt),
});

export const deliveryView = ({ nextAttemptAt, finishedAt, ...view }: DeliveryView): z.infer<typeof WebhookDelivery> => ({
	...view,
	attempts: view.attempts.map((attempt) => ({ ...attempt, at: iso(attempt.at) })),
	createdAt: iso(view.createdAt),
	payload: view.payload as z.infer<typeof WebhookDelivery>['payload'],
	...isoField('nextAttemptAt', nextAttemptAt),
	...isoField('finishedAt', finishedAt),
});
