/**
 * Contract of the `Delivery` object of a workspace: webhooks and alerts.
 * @module
 */
import type { AlertRules, AlertRulesChange, BackupPartOf, Result } from '@limner/shared';
import type { Page } from '../rpc.ts';
import type { AlertKind, AlertSeverity, AlertState } from './alerts.ts';

export interface WebhookInput {
	url: string;
	/** Names of events; `job.*` stands for all that begin so, `*` for all. */
	events: string[];
	description: string;
	enabled: boolean;
	/** Where callers reach the gateway: addresses of pictures in the events begin with it. */
	base: string;
}

export interface WebhookView {
	id: string;
	url: string;
	events: string[];
	description: string;
	enabled: boolean;
	/** Why the gateway switched it off. */
	disabledReason?: string;
	createdAt: number;
	updatedAt: number;
	/** Until then the secret before the last rotation signs too. */
	previousSecretUntil?: number;
	pending: number;
	dead: number;
	lastSuccessAt?: number;
	lastFailureAt?: number;
}

export type DeliveryState = 'pending' | 'delivered' | 'dead';

export interface Attempt {
	at: number;
	/** HTTP status; absent when there was no answer. */
	status?: number;
	ms: number;
	error?: string;
}

export interface DeliveryView {
	id: string;
	/** `predictions` for the webhook of a prediction. */
	webhookId: string;
	/** Of a prediction's webhook: the address that its request named. */
	url?: string;
	/** Also the header `webhook-id`: the same for every attempt. */
	messageId: string;
	type: string;
	state: DeliveryState;
	attempts: Attempt[];
	createdAt: number;
	nextAttemptAt?: number;
	finishedAt?: number;
	payload: unknown;
}

export interface AlertView {
	id: string;
	kind: AlertKind;
	severity: AlertSeverity;
	state: AlertState;
	title: string;
	detail: string;
	/** The node, job or limit that it is about. */
	subject: string;
	raisedAt: number;
	acknowledgedAt?: number;
	acknowledgedBy?: string;
	resolvedAt?: number;
	/** Times that nobody acknowledged it in time. */
	escalations: number;
	escalatesAt?: number;
}

/** Rules that hold, and those of them that the workspace set itself. */
export interface AlertRulesView {
	effective: AlertRules;
	own: AlertRulesChange;
}

/** Somebody who wants to hear of one job. */
export interface CallbackInput {
	job: string;
	url: string;
	/** Where callers reach the gateway. */
	base: string;
	/** Prefix of the dialect's paths. */
	path: string;
	events: string[];
}
export type DeliveryPart = BackupPartOf<'webhook'> | BackupPartOf<'alert-rules'>;

export interface DeliveryRpc {
	/** Calls back when the job begins and ends, as its events say. A repeat changes nothing. */
	expectJob(ws: string, input: CallbackInput): Promise<void>;
	createWebhook(ws: string, input: WebhookInput): Promise<Result<{ webhook: WebhookView; secret: string }>>;
	listWebhooks(): Promise<WebhookView[]>;
	getWebhook(id: string): Promise<WebhookView | null>;
	updateWebhook(id: string, change: Partial<WebhookInput>): Promise<Result<{ webhook: WebhookView }>>;
	deleteWebhook(id: string): Promise<boolean>;
	/** A new secret; the old one signs as well until `previousSecretUntil`. */
	rotateSecret(id: string): Promise<Result<{ webhook: WebhookView; secret: string }>>;
	/** Sends a `webhook.test` event now and answers what came of its first attempt. */
	testWebhook(id: string): Promise<Result<{ delivery: DeliveryView }>>;
	/** `id`: a webhook's, or `predictions` for the letters of all predictions. */
	listDeliveries(id: string, query: { limit: number; cursor?: string; state?: DeliveryState }): Promise<Result<Page<DeliveryView>>>;
	/** What was sent, or is still to be sent, to the address that a prediction named. */
	lettersOf(job: string): Promise<DeliveryView[]>;
	/** Queues a delivery that is over for another round. */
	redeliver(webhookId: string, deliveryId: string): Promise<Result<{ delivery: DeliveryView }>>;
	/** The ledger has grown. Answers at once; the work is done in an alarm. */
	notify(): Promise<void>;
	/** Looks at the workspace now. */
	listAlerts(ws: string, query: { state?: AlertState; severity?: AlertSeverity; limit: number; cursor?: string }): Promise<Page<AlertView>>;
	acknowledgeAlert(id: string, who: string): Promise<Result<{ alert: AlertView }>>;
	/** Webhooks and rules, without secrets. */
	backupParts(): Promise<DeliveryPart[]>;
	/** Events from before are not told again. Answers what was left out, and why. */
	restoreParts(ws: string, parts: DeliveryPart[]): Promise<string[]>;
	alertRules(ws: string): Promise<AlertRulesView>;
	/** Replaces the workspace's own rules. */
	setAlertRules(ws: string, change: AlertRulesChange): Promise<AlertRulesView>;
	resolveAlert(id: string, who: string): Promise<Result<{ alert: AlertView }>>;
}
