/**
 * Alerts of one workspace: looks at it by its rules, keeps what is wrong, and tells webhooks about changes.
 * @module
 */
import {
	ALERT_LIMITS,
	AlertRulesChange,
	DEFAULT_ALERT_RULES,
	refuse,
	wantsEvent,
	withAlertRules,
	type AlertRules,
	type AlertSeverity,
	type Result,
} from '@limner/shared';
import type { Page } from '../rpc.ts';
import { acknowledge, conditionsOf, reconcile, resolve, type Alert, type AlertState } from './alerts.ts';
import type { Message } from './events.ts';
import { factsOf } from './facts.ts';
import type { DeliveryHost, Outbox } from './outbox.ts';
import type { AlertRulesView, AlertView } from './rpc.ts';
import { filtersOf } from './store.ts';

const RULES = 'alert-rules';
const ALERT_EVENTS = ['alert.raised', 'alert.escalated', 'alert.acknowledged', 'alert.resolved'] as const;

const alertView = ({ key: _key, ...view }: Alert): AlertView => view;

const wantsAlerts = (filters: string[]): boolean => ALERT_EVENTS.some((type) => wantsEvent(filters, type));

/**
 * The operator's rules.
 * @throws {RangeError} in words, when ALERT_RULES is no such thing
 */
export const operatorRules = (text: string): AlertRulesChange => {
	if (text.trim() === '') return {};
	try {
		return AlertRulesChange.parse(JSON.parse(text));
	} catch (error) {
		throw new RangeError(`ALERT_RULES is not alert rules as JSON: ${error instanceof Error ? error.message : 'unreadable'}`, {
			cause: error,
		});
	}
};

export class Watch {
	readonly #host: DeliveryHost;
	readonly #outbox: Outbox;
	/** Milliseconds since the epoch. */
	lookedAt = 0;

	constructor(host: DeliveryHost, outbox: Outbox) {
		this.#host = host;
		this.#outbox = outbox;
	}

	#operator(): AlertRules {
		try {
			return withAlertRules(DEFAULT_ALERT_RULES, operatorRules(this.#host.env.ALERT_RULES));
		} catch (error) {
			// A wrong setting must not switch alerts off.
			this.#host.warn('the setting ALERT_RULES is not used', error);
			return DEFAULT_ALERT_RULES;
		}
	}

	#own(): AlertRulesChange {
		const text = this.#host.store().meta(RULES);
		return text === undefined ? {} : AlertRulesChange.parse(JSON.parse(text));
	}

	rules(): AlertRulesView {
		const own = this.#own();
		return { effective: withAlertRules(this.#operator(), own), own };
	}

	/** Replaces the workspace's own rules; the next look is by them. */
	setRules(change: AlertRulesChange): AlertRulesView {
		this.#host.store().setMeta(RULES, JSON.stringify(change));
		this.lookedAt = 0;
		return this.rules();
	}

	/** Somebody would be told: only then the workspace is looked at by itself. */
	get wanted(): boolean {
		const store = this.#host.store();
		return store.openAlerts().length > 0 || store.webhooks().some((hook) => hook.enabled === 1 && wantsAlerts(filtersOf(hook)));
	}

	/** Alerts, newest first, after a look that is at most `freshMs` old. */
	async list(query: { state?: AlertState; severity?: AlertSeverity; limit: number; cursor?: string }): Promise<Page<AlertView>> {
		if (Date.now() - this.lookedAt >= ALERT_LIMITS.freshMs) await this.look();
		const rows = this.#host.store().alerts(query.limit + 1, query.cursor, query.state, query.severity);
		const data = rows.slice(0, query.limit);
		return { data: data.map(alertView), nextCursor: rows.length > query.limit ? (data.at(-1)?.id ?? null) : null };
	}

	acknowledge(id: string, who: string): Result<{ alert: AlertView }> {
		const alert = this.#host.store().alert(id);
		if (alert === undefined) return refuse('not_found', `there is no alert ${id}`);
		if (alert.state === 'acknowledged') return { ok: true, alert: alertView(alert) };
		if (alert.state === 'resolved') return refuse('conflict', 'the alert is resolved already');
		return this.#settle(acknowledge(alert, who, Date.now()));
	}

	resolve(id: string, who: string): Result<{ alert: AlertView }> {
		const alert = this.#host.store().alert(id);
		if (alert === undefined) return refuse('not_found', `there is no alert ${id}`);
		if (alert.state === 'resolved') return { ok: true, alert: alertView(alert) };
		return this.#settle(resolve(alert, who, Date.now()));
	}

	#settle({ alert, message }: { alert: Alert; message: Message }): Result<{ alert: AlertView }> {
		this.#host.storage.transactionSync(() => {
			this.#host.store().putAlert(alert);
			this.#outbox.publish([message]);
		});
		return { ok: true, alert: alertView(alert) };
	}

	/** Looks at the workspace and writes down what has changed. */
	async look(): Promise<void> {
		const now = Date.now();
		this.lookedAt = now;
		try {
			const { effective } = this.rules();
			const facts = await factsOf(this.#host.env, this.#host.ws(), now, effective.errorRate.windowMs);
			// The calls opened the gate: somebody may have acknowledged an alert since, so they are read now.
			const store = this.#host.store();
			const conditions = conditionsOf(facts, now, effective);
			const { changed, messages } = reconcile(store.openAlerts(), conditions, now, () => this.#host.id('alr'), effective);
			this.#host.storage.transactionSync(() => {
				for (const alert of changed) store.putAlert(alert);
				this.#outbox.publish(messages);
			});
		} catch (error) {
			this.#host.warn('the workspace could not be looked at for alerts', error);
		}
	}
}
