/**
 * Webhooks: addresses that are told about events.
 * @module
 */
import type { CallOptions, Http } from './http.ts';
import type { NewWebhook, Page, PageQuery, Webhook, WebhookDelivery } from './types.ts';

const HOOKS = '/api/v1/webhooks';
const one = (id: string): string => `${HOOKS}/${encodeURIComponent(id)}`;

export interface WebhookRequest {
	/** https, on the public Internet. */
	url: string;
	/** Names such as `job.succeeded`, groups such as `node.*`, or `*`. */
	events?: string[];
	description?: string;
	enabled?: boolean;
}

/** Needs the scopes `webhooks:read` and `webhooks:write`. */
export class Webhooks {
	readonly #http: Http;
	constructor(http: Http) {
		this.#http = http;
	}

	async list(options: CallOptions = {}): Promise<Webhook[]> {
		return (await this.#http.json<Page<Webhook>>(HOOKS, options)).data;
	}

	/** Answers the secret, once. */
	create(request: WebhookRequest, options: CallOptions = {}): Promise<NewWebhook> {
		return this.#http.json(HOOKS, { ...options, method: 'POST', json: request });
	}

	update(id: string, change: Partial<WebhookRequest>, options: CallOptions = {}): Promise<Webhook> {
		return this.#http.json(one(id), { ...options, method: 'PATCH', json: change });
	}

	async delete(id: string, options: CallOptions = {}): Promise<void> {
		await this.#http.request(one(id), { ...options, method: 'DELETE' });
	}

	/** Answers a new secret, once. For a day events are signed with both. */
	rotateSecret(id: string, options: CallOptions = {}): Promise<NewWebhook> {
		return this.#http.json(`${one(id)}/rotate-secret`, { ...options, method: 'POST' });
	}

	/** Sends a test event now, and answers how that went. */
	test(id: string, options: CallOptions = {}): Promise<WebhookDelivery> {
		return this.#http.json(`${one(id)}/test`, { ...options, method: 'POST' });
	}

	/** Newest first. */
	deliveries(
		id: string,
		query: PageQuery & { state?: WebhookDelivery['state'] } = {},
		options: CallOptions = {},
	): Promise<Page<WebhookDelivery>> {
		return this.#http.json(`${one(id)}/deliveries`, { ...options, query: { ...query } });
	}

	/** Sends an ended delivery again. */
	redeliver(id: string, deliveryId: string, options: CallOptions = {}): Promise<WebhookDelivery> {
		return this.#http.json(`${one(id)}/deliveries/${encodeURIComponent(deliveryId)}/redeliver`, { ...options, method: 'POST' });
	}
}
