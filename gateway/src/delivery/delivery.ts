/**
 * Durable Object of one workspace's webhooks and alerts (key: the workspace id). It reads the workspace's ledger, which
 * is the outbox: a position in it is all that has to be remembered, so no event is lost when a call is. A slow receiver
 * keeps this object busy, and nothing else.
 * @module
 */
import { DurableObject } from 'cloudflare:workers';
import { randomBytes } from 'node:crypto';
import {
	ALERT_LIMITS,
	DELIVERY_LIMITS as L,
	refuse,
	uuidv7Base32,
	type AlertRulesChange,
	type AlertSeverity,
	type Result,
} from '@limner/shared';
import { createLogger, describeError } from '../lib/log.ts';
import { isMigrated } from '../lib/migrations.ts';
import { workspaceOf } from '../lib/stubs.ts';
import type { Page } from '../rpc.ts';
import type { AlertState } from './alerts.ts';
import { isCallback, PREDICTIONS } from './callbacks.ts';
import { Outbox, type DeliveryHost } from './outbox.ts';
import type {
	AlertRulesView,
	AlertView,
	CallbackInput,
	DeliveryPart,
	DeliveryRpc,
	DeliveryState,
	DeliveryView,
	WebhookInput,
	WebhookView,
} from './rpc.ts';
import { DeliveryStore, type DeliveryRow, type WebhookRow } from './store.ts';
import { Watch } from './watch.ts';
import { changedWebhook, newWebhook, restoredWebhook, webhookPart } from './webhooks.ts';

/** A pass that still has work goes on after this. */
const AGAIN_MS = 1000;

/** The type of a variable knows its default only. */
const isTrue = (variable: string): boolean => variable === 'true';

export class Delivery extends DurableObject<Cloudflare.Env> implements DeliveryRpc {
	/** `undefined` until there is something to keep: an object that nobody uses must not cost storage. */
	#store: DeliveryStore | undefined;
	readonly #host: DeliveryHost;
	readonly #outbox: Outbox;
	readonly #watch: Watch;

	constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
		super(ctx, env);
		this.#host = {
			env,
			storage: ctx.storage,
			store: () => this.#mustStore(),
			ws: () => this.#mustStore().meta('ws') ?? '',
			allowPrivate: isTrue(env.WEBHOOK_ALLOW_PRIVATE),
			id: (kind) => `${kind}_${uuidv7Base32(Date.now(), randomBytes(10))}`,
			warn: (message, error) =>
				createLogger(env.LOG_LEVEL, { traceId: 'delivery' }, (line) => console.warn(line)).warn(message, describeError(error)),
		};
		this.#outbox = new Outbox(this.#host);
		this.#watch = new Watch(this.#host, this.#outbox);
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
		const made = newWebhook(input, this.#host.allowPrivate, this.#host.id('wh'), Date.now());
		if (!made.ok) return made;
		store.putWebhook(made.row);
		await this.#rearm();
		return { ok: true, webhook: store.webhookView(made.row), secret: this.#outbox.secret(made.row, made.row.version) };
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
		const made = changedWebhook(row, change, this.#host.allowPrivate, Date.now());
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
		return { ok: true, webhook: this.#view(next), secret: this.#outbox.secret(next, next.version) };
	}

	async testWebhook(id: string): Promise<Result<{ delivery: DeliveryView }>> {
		const row = this.#store?.webhook(id);
		if (row === undefined) return refuse('not_found', `there is no webhook ${id}`);
		const data = { webhookId: id, text: 'This is a test event of Limner.' };
		const delivery = this.#outbox.enqueue(row, this.#host.id('msg'), { type: 'webhook.test', at: Date.now(), data });
		const done = await this.#outbox.attempt(row, delivery);
		await this.#rearm();
		return { ok: true, delivery: this.#mustStore().deliveryView(done) };
	}

	async listDeliveries(id: string, query: { limit: number; cursor?: string; state?: DeliveryState }): Promise<Result<Page<DeliveryView>>> {
		const store = this.#store;
		if (id === PREDICTIONS && store === undefined) return { ok: true, data: [], nextCursor: null };
		if (store === undefined || (id !== PREDICTIONS && store.webhook(id) === undefined))
			return refuse('not_found', `there is no webhook ${id}`);
		const rows = store.deliveriesOf(id, query.limit + 1, query.cursor, query.state);
		const data = rows.slice(0, query.limit);
		return {
			ok: true,
			data: data.map((row) => store.deliveryView(row)),
			nextCursor: rows.length > query.limit ? (data.at(-1)?.id ?? null) : null,
		};
	}

	async redeliver(webhookId: string, deliveryId: string): Promise<Result<{ delivery: DeliveryView }>> {
		const row = this.#store?.delivery(deliveryId);
		const of = row === undefined || !isCallback(row.webhook_id) ? row?.webhook_id : PREDICTIONS;
		if (row === undefined || of !== webhookId) return refuse('not_found', `there is no delivery ${deliveryId}`);
		if (row.state === 'pending') return refuse('conflict', 'the delivery is still being tried');
		const now = Date.now();
		const again: DeliveryRow = { ...row, state: 'pending', next_at: now, round_at: now, tries: 0, finished_at: null };
		this.#mustStore().putDelivery(again);
		await this.#rearm();
		return { ok: true, delivery: this.#mustStore().deliveryView(again) };
	}

	async lettersOf(job: string): Promise<DeliveryView[]> {
		const store = this.#store;
		return store === undefined ? [] : store.lettersOf(job).map((row) => store.deliveryView(row));
	}

	async expectJob(ws: string, input: CallbackInput): Promise<void> {
		await this.#open(ws);
		const row = await workspaceOf(this.env, ws).getJob(input.job);
		if (row === null) return;
		this.#outbox.expect(input, row);
		await this.#rearm();
	}

	async notify(): Promise<void> {
		if (this.#store !== undefined) await this.#wake(Date.now());
	}

	// ---- alerts ----

	async listAlerts(
		ws: string,
		query: { state?: AlertState; severity?: AlertSeverity; limit: number; cursor?: string },
	): Promise<Page<AlertView>> {
		await this.#open(ws);
		const page = await this.#watch.list(query);
		await this.#rearm();
		return page;
	}

	async acknowledgeAlert(id: string, who: string): Promise<Result<{ alert: AlertView }>> {
		return this.#onAlert(id, () => this.#watch.acknowledge(id, who));
	}

	async resolveAlert(id: string, who: string): Promise<Result<{ alert: AlertView }>> {
		return this.#onAlert(id, () => this.#watch.resolve(id, who));
	}

	async #onAlert(id: string, change: () => Result<{ alert: AlertView }>): Promise<Result<{ alert: AlertView }>> {
		if (this.#store === undefined) return refuse('not_found', `there is no alert ${id}`);
		const answer = change();
		await this.#rearm();
		return answer;
	}

	async alertRules(ws: string): Promise<AlertRulesView> {
		await this.#open(ws);
		return this.#watch.rules();
	}

	async setAlertRules(ws: string, change: AlertRulesChange): Promise<AlertRulesView> {
		await this.#open(ws);
		const view = this.#watch.setRules(change);
		await this.#rearm();
		return view;
	}

	// ---- backup ----

	async backupParts(): Promise<DeliveryPart[]> {
		const store = this.#store;
		if (store === undefined) return [];
		const { own } = this.#watch.rules();
		return [...store.webhooks().map(webhookPart), ...(Object.keys(own).length === 0 ? [] : [{ kind: 'alert-rules' as const, rules: own }])];
	}

	async restoreParts(ws: string, parts: DeliveryPart[]): Promise<string[]> {
		const store = await this.#open(ws);
		// What the ledger brought back has been told before.
		store.setMeta('seq', String(await workspaceOf(this.env, ws).watchLedger()));
		const left: string[] = [];
		for (const part of parts) {
			if (part.kind === 'alert-rules') this.#watch.setRules(part.rules);
			else {
				const made = restoredWebhook(part, this.#host.allowPrivate, Date.now());
				if (!made.ok) left.push(`webhook ${part.url}: ${made.detail ?? made.code}`);
				else if (store.webhook(part.id) === undefined && store.webhooks().length < L.webhooksMax) store.putWebhook(made.row);
			}
		}
		await this.#rearm();
		return left;
	}

	// ---- the alarm ----

	override async alarm(): Promise<void> {
		const store = this.#store;
		if (store === undefined) return;
		try {
			await this.#outbox.pull();
			if (Date.now() - this.#watch.lookedAt >= ALERT_LIMITS.lookMs && this.#watch.wanted) await this.#watch.look();
			await this.#outbox.deliver();
			store.prune(Date.now() - L.keepMs, Date.now() - ALERT_LIMITS.keepMs);
		} finally {
			// Last, so that a failure above cannot leave the object asleep.
			await this.#rearm();
		}
	}

	// ---- inside ----

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

	async #rearm(): Promise<void> {
		const store = this.#store;
		if (store === undefined) return;
		const now = Date.now();
		const due = store.nextDueAt();
		const times = [
			...(due === null ? [] : [Math.max(due, now + AGAIN_MS / 100)]),
			...(this.#watch.wanted ? [Math.max(now, this.#watch.lookedAt) + ALERT_LIMITS.lookMs] : []),
			...(store.webhooks().length > 0 || store.callbacks.waiting ? [now + L.pullMs] : []),
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

	#mustStore(): DeliveryStore {
		if (this.#store === undefined) throw new Error('the delivery object has no tables yet');
		return this.#store;
	}
}
