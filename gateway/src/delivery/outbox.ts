/**
 * The outbox of webhooks: events of the ledger become deliveries, and deliveries are tried until they succeed or are dead.
 * @module
 */
import { DELIVERY_LIMITS as L, isTerminal, wantsEvent } from '@limner/shared';
import { workspaceOf } from '../lib/stubs.ts';
import type { JobRow } from '../rpc.ts';
import { callbackBody, callbackId, isCallback, wantsEnd, wantsStart } from './callbacks.ts';
import { bodyOf, jobsShown, messagesOf, type Message } from './events.ts';
import { decideRetry, type Outcome } from './retries.ts';
import type { Attempt, CallbackInput } from './rpc.ts';
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
					for (const row of jobs.values()) this.#callBack(row);
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
		for (const id of ids) {
			if (!wanted && this.#host.store().callbacks.get(id) === undefined) continue;
			const row = await workspaceOf(this.#host.env, this.#host.ws()).getJob(id);
			if (row !== null) jobs.set(id, row);
		}
		return jobs;
	}

	/** Remembers who waits for a job, and queues what there is to say already. */
	expect(input: CallbackInput, row: JobRow): void {
		this.#host.storage.transactionSync(() => {
			if (!this.#host.store().callbacks.add(input, Date.now())) return;
			if (wantsStart(input.events)) this.#enqueueCallback(input, row, 'start');
			// The ledger may have told of its end before anybody waited for it here.
			if (isTerminal('job', row.state)) this.#callBack(row);
		});
	}

	/** Queues what is to be said about the end of a job, once. */
	#callBack(row: JobRow): void {
		const { callbacks } = this.#host.store();
		const known = callbacks.get(row.id);
		if (known === undefined || known.done === 1) return;
		if (wantsEnd(JSON.parse(known.events) as string[])) this.#enqueueCallback(known, row, 'completed');
		callbacks.finish(row.id);
	}

	#enqueueCallback(to: { base: string; path: string }, row: JobRow, event: 'start' | 'completed'): void {
		const body = callbackBody(this.#host.env.LIMNER_SECRET, to, row, Date.now());
		this.#put({ webhookId: callbackId(row.id), messageId: `msg_${row.id}_${event}`, type: `prediction.${event}`, body });
	}

	async #deliverCallbacks(store: DeliveryStore): Promise<void> {
		const due = [...Map.groupBy(store.callbacks.due(Date.now(), L.laneDeliveries), ({ row }) => row.webhook_id).values()];
		for (let i = 0; i < due.length; i += L.lanes) await Promise.all(due.slice(i, i + L.lanes).map((letters) => this.#tell(letters)));
	}

	/** The letters about one job go one after the other. */
	async #tell(letters: { row: DeliveryRow; url: string }[]): Promise<void> {
		for (const { row, url } of letters) {
			const began = Date.now();
			const headers = { 'webhook-id': row.message_id };
			const next = this.#note(row, await post({ url, body: row.body, headers, allowPrivate: this.#host.allowPrivate }), began);
			if (next.state === 'dead') this.#host.warn('a prediction’s webhook was given up', new Error(row.message_id));
		}
	}

	/** Sends what is due. Webhooks do not wait for each other; the deliveries of one go one after the other. */
	async deliver(): Promise<void> {
		const store = this.#host.store();
		await Promise.all([this.#deliverWebhooks(store), this.#deliverCallbacks(store)]);
	}

	async #deliverWebhooks(store: DeliveryStore): Promise<void> {
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
		if (hook === undefined && !isCallback(row.webhook_id)) return next;
		this.#host.storage.transactionSync(() => {
			store.putDelivery(next);
			if (hook === undefined) return;
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
		if (hook.enabled === 1 && hook.created_at <= message.at && wantsEvent(filtersOf(hook), message.type))
			this.enqueue(hook, messageId, message);
	}

	/** Queues a message for one webhook. */
	enqueue(hook: WebhookRow, messageId: string, message: Message): DeliveryRow {
		return this.#put({ webhookId: hook.id, messageId, type: message.type, body: bodyOf(message) });
	}

	#put({ webhookId, messageId, type, body }: { webhookId: string; messageId: string; type: string; body: string }): DeliveryRow {
		const now = Date.now();
		const row: DeliveryRow = {
			id: this.#host.id('dlv'),
			webhook_id: webhookId,
			message_id: messageId,
			type,
			state: 'pending',
			next_at: now,
			round_at: now,
			tries: 0,
			created_at: now,
			finished_at: null,
			attempts: '[]',
			body,
		};
		this.#host.store().putDelivery(row);
		return row;
	}
}
