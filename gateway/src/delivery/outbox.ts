/**
 * The outbox of webhooks: events of the ledger become deliveries, and deliveries are tried until they succeed or are dead.
 * @module
 */
import { DELIVERY_LIMITS as L } from '@limner/shared';
import { workspaceOf } from '../lib/stubs.ts';
import type { JobRow } from '../rpc.ts';
import { bodyOf, jobsShown, messagesOf, wants, type Message } from './events.ts';
import { decideRetry, type Outcome } from './retries.ts';
import type { Attempt } from './rpc.ts';
import { post } from './send.ts';
import { signedHeaders, webhookSecret } from './signature.ts';
import { filtersOf, type DeliveryRow, type DeliveryStore, type WebhookRow } from './store.ts';

/** Rows of the ledger that one call reads. */
const PULL_ROWS = 100;

/** What the Durable Object lends: its storage, its variables, and what is random. */
export interface DeliveryHost {
	env: Cloudflare.Env;
	storage: DurableObjectStorage;
	/** @throws {Error} when the object has no tables yet */
	store: () => DeliveryStore;
	/** Id of the workspace. */
	ws: () => string;
	allowPrivate: boolean;
	/** A new id that begins with the kind. */
	id: (kind: string) => string;
	warn: (message: string, error: unknown) => void;
}

export class Outbox {
	readonly #host: DeliveryHost;

	constructor(host: DeliveryHost) {
		this.#host = host;
	}

	secret(row: WebhookRow, version: number): string {
		return webhookSecret(this.#host.env.LIMNER_SECRET, { ws: this.#host.ws(), webhookId: row.id, version });
	}

	/** Reads what the ledger has got since last time and queues it for whoever wants it. */
	async pull(): Promise<void> {
		const store = this.#host.store();
		try {
			for (;;) {
				const after = Number(store.meta('seq') ?? 0);
				const slice = await workspaceOf(this.#host.env, this.#host.ws()).ledgerSlice(after, PULL_ROWS);
				const last = slice.rows.at(-1)?.row.seq;
				if (last === undefined) return;
				const jobs = await this.#jobs(slice.rows.flatMap(({ row }) => jobsShown(row)));
				this.#host.storage.transactionSync(() => {
					// Another pass may have been here during the calls.
					if (Number(store.meta('seq') ?? 0) !== after) return;
					for (const hook of store.webhooks()) {
						const context = { secret: this.#host.env.LIMNER_SECRET, base: hook.base, job: (id: string) => jobs.get(id) };
						for (const { row } of slice.rows) {
							for (const [i, entry] of row.entries.entries())
								for (const [j, message] of messagesOf(row, entry, context).entries())
									this.#offer(hook, `msg_${row.seq}_${i}_${j}`, message);
						}
					}
					store.setMeta('seq', String(last));
				});
			}
		} catch (error) {
			this.#host.warn('the ledger could not be read for webhooks; it will be tried again', error);
		}
	}

	async #jobs(ids: string[]): Promise<Map<string, JobRow>> {
		const wanted = this.#host
			.store()
			.webhooks()
			.some((hook) => filtersOf(hook).some((filter) => filter === '*' || filter.startsWith('job.')));
		const jobs = new Map<string, JobRow>();
		if (!wanted) return jobs;
		for (const id of ids) {
			const row = await workspaceOf(this.#host.env, this.#host.ws()).getJob(id);
			if (row !== null) jobs.set(id, row);
		}
		return jobs;
	}

	/** Sends what is due. Webhooks do not wait for each other; the deliveries of one go one after the other. */
	async deliver(): Promise<void> {
		const store = this.#host.store();
		const hooks = store.webhooks().filter((hook) => hook.enabled === 1);
		for (let i = 0; i < hooks.length; i += L.lanes)
			await Promise.all(hooks.slice(i, i + L.lanes).map((hook) => this.#lane(store, hook.id)));
	}

	async #lane(store: DeliveryStore, webhookId: string): Promise<void> {
		const until = Date.now() + L.laneMs;
		for (const { id } of store.due(webhookId, Date.now(), L.laneDeliveries)) {
			// Sending opened the gate: webhook and delivery may have been changed or removed.
			const hook = store.webhook(webhookId);
			const row = store.delivery(id);
			if (hook?.enabled !== 1 || Date.now() >= until) return;
			if (row?.state === 'pending') await this.attempt(hook, row);
		}
	}

	async attempt(hook: WebhookRow, row: DeliveryRow): Promise<DeliveryRow> {
		const began = Date.now();
		const rotating = hook.previous_until !== null && hook.previous_until > began;
		const secrets = [hook.version, ...(rotating ? [hook.version - 1] : [])].map((version) => this.secret(hook, version));
		const headers = signedHeaders(secrets, row.message_id, began, row.body);
		const outcome = await post({ url: hook.url, body: row.body, headers, allowPrivate: this.#host.allowPrivate });
		return this.#note(row, outcome, began);
	}

	/** Writes down what an attempt came to. */
	#note(row: DeliveryRow, outcome: Outcome, began: number): DeliveryRow {
		const store = this.#host.store();
		const now = Date.now();
		const { status, error } = outcome;
		const attempt: Attempt = {
			at: began,
			ms: now - began,
			...(status === undefined ? {} : { status }),
			...(error === undefined ? {} : { error }),
		};
		const verdict = decideRetry(outcome, row.tries + 1, row.round_at, now, Math.random());
		const over = verdict.state === 'pending' ? null : now;
		const attempts = JSON.stringify([...(JSON.parse(row.attempts) as Attempt[]), attempt]);
		const next: DeliveryRow = { ...row, state: verdict.state, next_at: verdict.nextAt, tries: row.tries + 1, finished_at: over, attempts };
		const hook = store.webhook(row.webhook_id);
		if (hook === undefined) return next;
		this.#host.storage.transactionSync(() => {
			store.putDelivery(next);
			const mark = verdict.state === 'delivered' ? { last_success_at: now } : { last_failure_at: now };
			store.putWebhook({ ...hook, ...mark, ...(verdict.disable === undefined ? {} : { enabled: 0, disabled_reason: verdict.disable }) });
		});
		return next;
	}

	/** Queues messages for whoever wants them. */
	publish(messages: Message[]): void {
		for (const message of messages) {
			const id = this.#host.id('msg');
			for (const hook of this.#host.store().webhooks()) this.#offer(hook, id, message);
		}
	}

	#offer(hook: WebhookRow, messageId: string, message: Message): void {
		if (hook.enabled === 1 && hook.created_at <= message.at && wants(filtersOf(hook), message.type)) this.enqueue(hook, messageId, message);
	}

	/** Queues a message for one webhook. */
	enqueue(hook: WebhookRow, messageId: string, message: Message): DeliveryRow {
		const now = Date.now();
		const row: DeliveryRow = {
			id: this.#host.id('dlv'),
			webhook_id: hook.id,
			message_id: messageId,
			type: message.type,
			state: 'pending',
			next_at: now,
			round_at: now,
			tries: 0,
			created_at: now,
			finished_at: null,
			attempts: '[]',
			body: bodyOf(message),
		};
		this.#host.store().putDelivery(row);
		return row;
	}
}
