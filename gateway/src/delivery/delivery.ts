/**
 * Durable Object of one workspace's webhooks and alerts (key: the workspace id). It reads the workspace's ledger, which
 * is the outbox: a position in it is all that has to be remembered, so no event is lost when a call is. A slow receiver
 * keeps this object busy, and nothing else.
 * @module
 */
import { DurableObject } from 'cloudflare:workers';
import { randomBytes } from 'node:crypto';
import { ALERT_LIMITS, DELIVERY_LIMITS as L, refuse, uuidv7Base32, type Result } from '@limner/shared';
import { createLogger, describeError } from '../lib/log.ts';
import { isMigrated } from '../lib/migrations.ts';
import { workspaceOf } from '../lib/stubs.ts';
import type { JobRow, Page } from '../rpc.ts';
import { acknowledge, conditionsOf, reconcile, resolve, type Alert, type AlertSeverity, type AlertState } from './alerts.ts';
import { bodyOf, jobsShown, messagesOf, wants, type Message } from './events.ts';
import { factsOf } from './facts.ts';
import type { AlertView, Attempt, DeliveryRpc, DeliveryState, DeliveryView, WebhookInput, WebhookView } from './rpc.ts';
import { decideRetry, type Outcome } from './retries.ts';
import { post } from './send.ts';
import { signedHeaders, webhookSecret } from './signature.ts';
import { DeliveryStore, deliveryView, filtersOf, type DeliveryRow, type WebhookRow } from './store.ts';
import { changedWebhook, newWebhook } from './webhooks.ts';

/** Rows of the ledger that one call reads. */
const PULL_ROWS = 100;
/** A pass that still has work goes on after this. */
const AGAIN_MS = 1000;

/** The type of a variable knows its default only. */
const isTrue = (variable: string): boolean => variable === 'true';

const alertView = ({ key: _key, ...view }: Alert): AlertView => view;

export class Delivery extends DurableObject<Cloudflare.Env> implements DeliveryRpc {
	/** `undefined` until there is something to keep: an object that nobody uses must not cost storage. */
	#store: DeliveryStore | undefined;
	#lookedAt = 0;

	constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
		super(ctx, env);
		if (!isMigrated(ctx.storage)) return;
		this.#store = new DeliveryStore(ctx.storage, Date.now());
		void ctx.blockConcurrencyWhile(async () => {
			const at = await ctx.storage.getAlarm();
			// An alarm in the past may have been used up by an instance that died.
			if (at === null || at <= Date.now()) await this.#rearm();
		});
	}

	// ---- webhooks ----

	async createWebhook(ws: string, input: WebhookInput): Promise<Result<{ webhook: WebhookView; secret: string }>> {
		const store = await this.#open(ws);
		if (store.webhooks().length >= L.webhooksMax) {
			return refuse('conflict', `a workspace has at most ${L.webhooksMax} webhooks; delete one first`);
		}
		const made = newWebhook(input, this.#env().allowPrivate, this.#id('wh'), Date.now());
		if (!made.ok) return made;
		store.putWebhook(made.row);
		await this.#rearm();
		return { ok: true, webhook: store.webhookView(made.row), secret: this.#secret(made.row, made.row.version) };
	}

	async listWebhooks(): Promise<WebhookView[]> {
		return this.#store?.webhooks().map((row) => this.#view(row)) ?? [];
	}

	async getWebhook(id: string): Promise<WebhookView | null> {
		const row = this.#store?.webhook(id);
		return row === undefined ? null : this.#view(row);
	}

	async updateWebhook(id: string, change: Partial<WebhookInput>): Promise<Result<{ webhook: WebhookView }>> {
		const row = this.#store?.webhook(id);
		if (row === undefined) return refuse('not_found', `there is no webhook ${id}`);
		const made = changedWebhook(row, change, this.#env().allowPrivate, Date.now());
		if (!made.ok) return made;
		this.#mustStore().putWebhook(made.row);
		await this.#rearm();
		return { ok: true, webhook: this.#view(made.row) };
	}

	async deleteWebhook(id: string): Promise<boolean> {
		const known = this.#store?.webhook(id) !== undefined;
		if (known) this.#store?.deleteWebhook(id);
		return known;
	}

	async rotateSecret(id: string): Promise<Result<{ webhook: WebhookView; secret: string }>> {
		const row = this.#store?.webhook(id);
		if (row === undefined) return refuse('not_found', `there is no webhook ${id}`);
		const now = Date.now();
		const next = { ...row, version: row.version + 1, previous_until: now + L.secretOverlapMs, updated_at: now };
		this.#mustStore().putWebhook(next);
		return { ok: true, webhook: this.#view(next), secret: this.#secret(next, next.version) };
	}

	async testWebhook(id: string): Promise<Result<{ delivery: DeliveryView }>> {
		const row = this.#store?.webhook(id);
		if (row === undefined) return refuse('not_found', `there is no webhook ${id}`);
		const data = { webhookId: id, text: 'This is a test event of Limner.' };
		const delivery = this.#enqueue(row, this.#id('msg'), { type: 'webhook.test', at: Date.now(), data });
		const done = await this.#attempt(row, delivery);
		await this.#rearm();
		return { ok: true, delivery: deliveryView(done) };
	}

	async listDeliveries(id: string, query: { limit: number; cursor?: string; state?: DeliveryState }): Promise<Result<Page<DeliveryView>>> {
		const store = this.#store;
		if (store?.webhook(id) === undefined) return refuse('not_found', `there is no webhook ${id}`);
		const rows = store.deliveriesOf(id, query.limit + 1, query.cursor, query.state);
		const data = rows.slice(0, query.limit);
		return {
			ok: true,
			data: data.map((row) => deliveryView(row)),
			nextCursor: rows.length > query.limit ? (data.at(-1)?.id ?? null) : null,
		};
	}

	async redeliver(webhookId: string, deliveryId: string): Promise<Result<{ delivery: DeliveryView }>> {
		const row = this.#store?.delivery(deliveryId);
		if (row === undefined || row.webhook_id !== webhookId) return refuse('not_found', `there is no delivery ${deliveryId}`);
		if (row.state === 'pending') return refuse('conflict', 'the delivery is still being tried');
		const now = Date.now();
		const again: DeliveryRow = { ...row, state: 'pending', next_at: now, round_at: now, tries: 0, finished_at: null };
		this.#mustStore().putDelivery(again);
		await this.#rearm();
		return { ok: true, delivery: deliveryView(again) };
	}

	async notify(): Promise<void> {
		if (this.#store !== undefined) await this.#wake(Date.now());
	}

	// ---- alerts ----

	async listAlerts(
		ws: string,
		query: { state?: AlertState; severity?: AlertSeverity; limit: number; cursor?: string },
	): Promise<Page<AlertView>> {
		const store = await this.#open(ws);
		if (Date.now() - this.#lookedAt >= ALERT_LIMITS.freshMs) await this.#look(store);
		await this.#rearm();
		const rows = store.alerts(query.limit + 1, query.cursor, query.state, query.severity);
		const data = rows.slice(0, query.limit);
		return { data: data.map(alertView), nextCursor: rows.length > query.limit ? (data.at(-1)?.id ?? null) : null };
	}

	async acknowledgeAlert(id: string, who: string): Promise<Result<{ alert: AlertView }>> {
		const alert = this.#store?.alert(id);
		if (alert === undefined) return refuse('not_found', `there is no alert ${id}`);
		if (alert.state === 'acknowledged') return { ok: true, alert: alertView(alert) };
		if (alert.state === 'resolved') return refuse('conflict', 'the alert is resolved already');
		return this.#settle(acknowledge(alert, who, Date.now()));
	}

	async resolveAlert(id: string, who: string): Promise<Result<{ alert: AlertView }>> {
		const alert = this.#store?.alert(id);
		if (alert === undefined) return refuse('not_found', `there is no alert ${id}`);
		if (alert.state === 'resolved') return { ok: true, alert: alertView(alert) };
		return this.#settle(resolve(alert, who, Date.now()));
	}

	async #settle({ alert, message }: { alert: Alert; message: Message }): Promise<Result<{ alert: AlertView }>> {
		this.ctx.storage.transactionSync(() => {
			this.#mustStore().putAlert(alert);
			this.#publish([message]);
		});
		await this.#rearm();
		return { ok: true, alert: alertView(alert) };
	}

	/** Looks at the workspace and writes down what has changed. */
	async #look(store: DeliveryStore): Promise<void> {
		const now = Date.now();
		this.#lookedAt = now;
		try {
			const facts = await factsOf(this.env, this.#ws(), now);
			// The calls opened the gate: somebody may have acknowledged an alert since, so they are read now.
			const { changed, messages } = reconcile(store.openAlerts(), conditionsOf(facts, now), now, () => this.#id('alr'));
			this.ctx.storage.transactionSync(() => {
				for (const alert of changed) store.putAlert(alert);
				this.#publish(messages);
			});
		} catch (error) {
			this.#warn('the workspace could not be looked at for alerts', error);
		}
	}

	// ---- the alarm ----

	override async alarm(): Promise<void> {
		const store = this.#store;
		if (store === undefined) return;
		try {
			await this.#pull(store);
			if (Date.now() - this.#lookedAt >= ALERT_LIMITS.lookMs && this.#watches(store)) await this.#look(store);
			await this.#deliver(store);
			store.prune(Date.now() - L.keepMs, Date.now() - ALERT_LIMITS.keepMs);
		} finally {
			// Last, so that a failure above cannot leave the object asleep.
			await this.#rearm();
		}
	}

	/** Reads what the ledger has got since last time and queues it for whoever wants it. */
	async #pull(store: DeliveryStore): Promise<void> {
		try {
			for (;;) {
				const after = Number(store.meta('seq') ?? 0);
				const slice = await workspaceOf(this.env, this.#ws()).ledgerSlice(after, PULL_ROWS);
				const last = slice.rows.at(-1)?.row.seq;
				if (last === undefined) return;
				const jobs = await this.#jobs(slice.rows.flatMap(({ row }) => jobsShown(row)));
				this.ctx.storage.transactionSync(() => {
					// Another pass may have been here during the calls.
					if (Number(store.meta('seq') ?? 0) !== after) return;
					for (const hook of store.webhooks()) {
						const context = { secret: this.env.LIMNER_SECRET, base: hook.base, job: (id: string) => jobs.get(id) };
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
			this.#warn('the ledger could not be read for webhooks; it will be tried again', error);
		}
	}

	async #jobs(ids: string[]): Promise<Map<string, JobRow>> {
		const wanted = this.#store?.webhooks().some((hook) => filtersOf(hook).some((filter) => filter === '*' || filter.startsWith('job.')));
		const jobs = new Map<string, JobRow>();
		if (wanted !== true) return jobs;
		for (const id of ids) {
			const row = await workspaceOf(this.env, this.#ws()).getJob(id);
			if (row !== null) jobs.set(id, row);
		}
		return jobs;
	}

	/** Sends what is due. Webhooks do not wait for each other; the deliveries of one go one after the other. */
	async #deliver(store: DeliveryStore): Promise<void> {
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
			if (row?.state === 'pending') await this.#attempt(hook, row);
		}
	}

	async #attempt(hook: WebhookRow, row: DeliveryRow): Promise<DeliveryRow> {
		const began = Date.now();
		const rotating = hook.previous_until !== null && hook.previous_until > began;
		const secrets = [hook.version, ...(rotating ? [hook.version - 1] : [])].map((version) => this.#secret(hook, version));
		const headers = signedHeaders(secrets, row.message_id, began, row.body);
		const outcome = await post({ url: hook.url, body: row.body, headers, allowPrivate: this.#env().allowPrivate });
		return this.#note(row, outcome, began);
	}

	/** Writes down what an attempt came to. */
	#note(row: DeliveryRow, outcome: Outcome, began: number): DeliveryRow {
		const store = this.#mustStore();
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
		this.ctx.storage.transactionSync(() => {
			store.putDelivery(next);
			const mark = verdict.state === 'delivered' ? { last_success_at: now } : { last_failure_at: now };
			store.putWebhook({ ...hook, ...mark, ...(verdict.disable === undefined ? {} : { enabled: 0, disabled_reason: verdict.disable }) });
		});
		return next;
	}

	// ---- inside ----

	#publish(messages: Message[]): void {
		for (const message of messages) {
			const id = this.#id('msg');
			for (const hook of this.#mustStore().webhooks()) this.#offer(hook, id, message);
		}
	}

	#offer(hook: WebhookRow, messageId: string, message: Message): void {
		if (hook.enabled === 1 && hook.created_at <= message.at && wants(filtersOf(hook), message.type))
			this.#enqueue(hook, messageId, message);
	}

	#enqueue(hook: WebhookRow, messageId: string, message: Message): DeliveryRow {
		const now = Date.now();
		const row: DeliveryRow = {
			id: this.#id('dlv'),
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
		this.#mustStore().putDelivery(row);
		return row;
	}

	/** Makes the tables on first use, and asks the workspace to say when its ledger grows. */
	async #open(ws: string): Promise<DeliveryStore> {
		if (this.#store !== undefined) return this.#store;
		const head = await workspaceOf(this.env, ws).watchLedger();
		const store = (this.#store ??= new DeliveryStore(this.ctx.storage, Date.now()));
		if (store.meta('ws') === undefined) {
			store.setMeta('ws', ws);
			store.setMeta('seq', String(head));
		}
		return store;
	}

	/** Somebody would be told: only then the workspace is looked at by itself. */
	#watches(store: DeliveryStore): boolean {
		return store.openAlerts().length > 0 || store.webhooks().some((hook) => hook.enabled === 1 && wants(filtersOf(hook), 'alert.raised'));
	}

	async #rearm(): Promise<void> {
		const store = this.#store;
		if (store === undefined) return;
		const now = Date.now();
		const due = store.nextDueAt();
		const times = [
			...(due === null ? [] : [Math.max(due, now + AGAIN_MS / 100)]),
			...(this.#watches(store) ? [Math.max(now, this.#lookedAt) + ALERT_LIMITS.lookMs] : []),
			...(store.webhooks().length > 0 ? [now + L.pullMs] : []),
		];
		if (times.length > 0) await this.#wake(Math.min(...times));
	}

	async #wake(at: number): Promise<void> {
		const armed = await this.ctx.storage.getAlarm();
		if (armed === null || armed > at) await this.ctx.storage.setAlarm(at);
	}

	#view(row: WebhookRow): WebhookView {
		return this.#mustStore().webhookView(row);
	}

	#secret(row: WebhookRow, version: number): string {
		return webhookSecret(this.env.LIMNER_SECRET, { ws: this.#ws(), webhookId: row.id, version });
	}

	#ws(): string {
		return this.#mustStore().meta('ws') ?? '';
	}

	#env(): { allowPrivate: boolean } {
		return { allowPrivate: isTrue(this.env.WEBHOOK_ALLOW_PRIVATE) };
	}

	#id(kind: string): string {
		return `${kind}_${uuidv7Base32(Date.now(), randomBytes(10))}`;
	}

	#mustStore(): DeliveryStore {
		if (this.#store === undefined) throw new Error('the delivery object has no tables yet');
		return this.#store;
	}

	#warn(message: string, error: unknown): void {
		createLogger(this.env.LOG_LEVEL, { traceId: 'delivery' }, (line) => console.warn(line)).warn(message, describeError(error));
	}
}
