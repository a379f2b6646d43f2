/**
 * Tables of a Delivery object behind typed methods. Everything is synchronous.
 * @module
 */
import { migrate, type Migration } from '../lib/migrations.ts';
import type { Alert, AlertSeverity, AlertState } from './alerts.ts';
import { callbackId, Callbacks, isCallback, PREDICTIONS } from './callbacks.ts';
import type { Attempt, DeliveryState, DeliveryView, WebhookView } from './rpc.ts';

/** Append only. */
export const DELIVERY_MIGRATIONS: readonly Migration[] = [
	{
		name: '0001-webhooks',
		sql: `
CREATE TABLE meta (k TEXT PRIMARY KEY, v TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE webhooks (
	id TEXT PRIMARY KEY, url TEXT NOT NULL, events TEXT NOT NULL, description TEXT NOT NULL, base TEXT NOT NULL, enabled INTEGER NOT NULL,
	disabled_reason TEXT, version INTEGER NOT NULL, previous_until INTEGER, created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL,
	last_success_at INTEGER, last_failure_at INTEGER
) WITHOUT ROWID;
CREATE TABLE deliveries (
	id TEXT PRIMARY KEY, webhook_id TEXT NOT NULL, message_id TEXT NOT NULL, type TEXT NOT NULL, state TEXT NOT NULL, next_at INTEGER,
	round_at INTEGER NOT NULL, tries INTEGER NOT NULL, created_at INTEGER NOT NULL, finished_at INTEGER, attempts TEXT NOT NULL, body TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX deliveries_due ON deliveries (next_at) WHERE state = 'pending';
CREATE INDEX deliveries_webhook ON deliveries (webhook_id, id);
CREATE TABLE alerts (
	id TEXT PRIMARY KEY, state TEXT NOT NULL, severity TEXT NOT NULL, raised_at INTEGER NOT NULL, data TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX alerts_open ON alerts (id) WHERE state <> 'resolved';`,
	},
	{
		name: '0002-callbacks',
		sql: `
CREATE TABLE callbacks (
	job TEXT PRIMARY KEY, url TEXT NOT NULL, base TEXT NOT NULL, path TEXT NOT NULL, events TEXT NOT NULL, created_at INTEGER NOT NULL,
	done INTEGER NOT NULL
) WITHOUT ROWID;`,
	},
];

export type WebhookRow = {
	id: string;
	url: string;
	events: string;
	description: string;
	base: string;
	enabled: number;
	disabled_reason: string | null;
	version: number;
	previous_until: number | null;
	created_at: number;
	updated_at: number;
	last_success_at: number | null;
	last_failure_at: number | null;
};
export type DeliveryRow = {
	id: string;
	webhook_id: string;
	message_id: string;
	type: string;
	state: DeliveryState;
	next_at: number | null;
	round_at: number;
	tries: number;
	created_at: number;
	finished_at: number | null;
	attempts: string;
	body: string;
};

export const filtersOf = (row: WebhookRow): string[] => JSON.parse(row.events) as string[];

const viewOfRow = (row: DeliveryRow): DeliveryView => ({
	id: row.id,
	webhookId: row.webhook_id,
	messageId: row.message_id,
	type: row.type,
	state: row.state,
	attempts: JSON.parse(row.attempts) as Attempt[],
	createdAt: row.created_at,
	...(row.next_at === null ? {} : { nextAttemptAt: row.next_at }),
	...(row.finished_at === null ? {} : { finishedAt: row.finished_at }),
	payload: JSON.parse(row.body),
});

type Value = string | number | null;

export class DeliveryStore {
	readonly #sql: SqlStorage;
	readonly callbacks: Callbacks;

	constructor(storage: DurableObjectStorage, nowMs: number) {
		migrate(storage, DELIVERY_MIGRATIONS, nowMs);
		this.#sql = storage.sql;
		this.callbacks = new Callbacks(storage.sql);
	}

	#all<T extends Record<string, SqlStorageValue>>(statement: string, ...values: Value[]): T[] {
		return this.#sql.exec<T>(statement, ...values).toArray();
	}

	meta(key: string): string | undefined {
		return this.#all<{ v: string }>('SELECT v FROM meta WHERE k = ?', key)[0]?.v;
	}

	setMeta(key: string, value: string): void {
		this.#sql.exec('INSERT INTO meta (k, v) VALUES (?, ?) ON CONFLICT (k) DO UPDATE SET v = excluded.v', key, value);
	}

	webhooks(): WebhookRow[] {
		return this.#all<WebhookRow>('SELECT * FROM webhooks ORDER BY id DESC');
	}

	webhook(id: string): WebhookRow | undefined {
		return this.#all<WebhookRow>('SELECT * FROM webhooks WHERE id = ?', id)[0];
	}

	webhookView(row: WebhookRow): WebhookView {
		const counts = this.#all<{ state: string; n: number }>(
			"SELECT state, count(*) AS n FROM deliveries WHERE webhook_id = ? AND state <> 'delivered' GROUP BY state",
			row.id,
		);
		const count = (state: string): number => counts.find((found) => found.state === state)?.n ?? 0;
		return {
			id: row.id,
			url: row.url,
			events: filtersOf(row),
			description: row.description,
			enabled: row.enabled === 1,
			createdAt: row.created_at,
			updatedAt: row.updated_at,
			pending: count('pending'),
			dead: count('dead'),
			...(row.disabled_reason === null ? {} : { disabledReason: row.disabled_reason }),
			...(row.previous_until === null ? {} : { previousSecretUntil: row.previous_until }),
			...(row.last_success_at === null ? {} : { lastSuccessAt: row.last_success_at }),
			...(row.last_failure_at === null ? {} : { lastFailureAt: row.last_failure_at }),
		};
	}

	putWebhook(row: WebhookRow): void {
		this.#sql.exec(
			`INSERT OR REPLACE INTO webhooks (id, url, events, description, base, enabled, disabled_reason, version, previous_until, created_at,
			updated_at, last_success_at, last_failure_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			row.id,
			row.url,
			row.events,
			row.description,
			row.base,
			row.enabled,
			row.disabled_reason,
			row.version,
			row.previous_until,
			row.created_at,
			row.updated_at,
			row.last_success_at,
			row.last_failure_at,
		);
	}

	deleteWebhook(id: string): void {
		this.#sql.exec('DELETE FROM deliveries WHERE webhook_id = ?', id);
		this.#sql.exec('DELETE FROM webhooks WHERE id = ?', id);
	}

	putDelivery(row: DeliveryRow): void {
		this.#sql.exec(
			`INSERT OR REPLACE INTO deliveries (id, webhook_id, message_id, type, state, next_at, round_at, tries, created_at, finished_at, attempts,
			body) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			row.id,
			row.webhook_id,
			row.message_id,
			row.type,
			row.state,
			row.next_at,
			row.round_at,
			row.tries,
			row.created_at,
			row.finished_at,
			row.attempts,
			row.body,
		);
	}

	delivery(id: string): DeliveryRow | undefined {
		return this.#all<DeliveryRow>('SELECT * FROM deliveries WHERE id = ?', id)[0];
	}

	/** A delivery as callers see it; a prediction's has the form of all others. */
	deliveryView(row: DeliveryRow): DeliveryView {
		const view = viewOfRow(row);
		if (!isCallback(row.webhook_id)) return view;
		const url = this.callbacks.urlOf(row.webhook_id);
		const payload = { type: row.type, timestamp: new Date(row.created_at).toISOString(), data: view.payload };
		return { ...view, webhookId: PREDICTIONS, payload, ...(url === undefined ? {} : { url }) };
	}

	/** Letters about one job, oldest first. */
	lettersOf(job: string): DeliveryRow[] {
		return this.#all<DeliveryRow>('SELECT * FROM deliveries WHERE webhook_id = ? ORDER BY id', callbackId(job));
	}

	/** Newest first, below `before`; of one webhook, or of all predictions. */
	deliveriesOf(webhookId: string, limit: number, before?: string, state?: DeliveryState): DeliveryRow[] {
		const [from, to] = webhookId === PREDICTIONS ? [callbackId(''), callbackId('~')] : [webhookId, webhookId];
		return this.#all<DeliveryRow>(
			'SELECT * FROM deliveries WHERE webhook_id BETWEEN ? AND ? AND id < ? AND (? IS NULL OR state = ?) ORDER BY id DESC LIMIT ?',
			from,
			to,
			before ?? '~',
			state ?? null,
			state ?? null,
			limit,
		);
	}

	/** Deliveries that are due, oldest first. */
	due(webhookId: string, nowMs: number, limit: number): DeliveryRow[] {
		return this.#all<DeliveryRow>(
			"SELECT * FROM deliveries WHERE webhook_id = ? AND state = 'pending' AND next_at <= ? ORDER BY id LIMIT ?",
			webhookId,
			nowMs,
			limit,
		);
	}

	/** When the next delivery is due; those of webhooks that are switched off wait. */
	nextDueAt(): number | null {
		return (
			this.#all<{ at: number | null }>(
				`SELECT min(next_at) AS at FROM deliveries WHERE state = 'pending' AND (webhook_id GLOB 'cb_*' OR webhook_id IN (SELECT id FROM webhooks WHERE enabled = 1))`,
			)[0]?.at ?? null
		);
	}

	prune(deliveriesBefore: number, alertsBefore: number): void {
		this.#sql.exec("DELETE FROM deliveries WHERE state <> 'pending' AND finished_at < ?", deliveriesBefore);
		this.callbacks.prune(deliveriesBefore);
		this.#sql.exec("DELETE FROM alerts WHERE state = 'resolved' AND raised_at < ?", alertsBefore);
	}

	putAlert(alert: Alert): void {
		this.#sql.exec(
			'INSERT OR REPLACE INTO alerts (id, state, severity, raised_at, data) VALUES (?, ?, ?, ?, ?)',
			alert.id,
			alert.state,
			alert.severity,
			alert.raisedAt,
			JSON.stringify(alert),
		);
	}

	alert(id: string): Alert | undefined {
		const row = this.#all<{ data: string }>('SELECT data FROM alerts WHERE id = ?', id)[0];
		return row && (JSON.parse(row.data) as Alert);
	}

	openAlerts(): Alert[] {
		return this.#all<{ data: string }>("SELECT data FROM alerts WHERE state <> 'resolved' ORDER BY id").map(
			(row) => JSON.parse(row.data) as Alert,
		);
	}

	alerts(limit: number, before?: string, state?: AlertState, severity?: AlertSeverity): Alert[] {
		return this.#all<{ data: string }>(
			`SELECT data FROM alerts WHERE id < ? AND (? IS NULL OR state = ?) AND (? IS NULL OR severity = ?) ORDER BY id DESC LIMIT ?`,
			before ?? '~',
			state ?? null,
			state ?? null,
			severity ?? null,
			severity ?? null,
			limit,
		).map((row) => JSON.parse(row.data) as Alert);
	}
}
