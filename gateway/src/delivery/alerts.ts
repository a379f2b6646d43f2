/**
 * Alerts: what of a workspace needs somebody's eyes, how badly, and what changes about it over time. Pure.
 * @module
 */
import {
	ALERT_LIMITS as L,
	AlertSeverity as Severity,
	DEFAULT_ALERT_RULES,
	type AlertRules,
	type AlertSeverity,
	type EventType,
} from '@limner/shared';
import type { NodeView, ReportReason } from '../rpc.ts';
import type { Message } from './events.ts';
import type { AlertView } from './rpc.ts';

export const ALERT_KINDS = ['node-offline', 'error-rate', 'queue-age', 'quota', 'poison', 'report'] as const;
export type AlertKind = (typeof ALERT_KINDS)[number];
export const ALERT_SEVERITIES = Severity.options;
export type { AlertSeverity } from '@limner/shared';
export const ALERT_STATES = ['raised', 'acknowledged', 'resolved'] as const;
export type AlertState = (typeof ALERT_STATES)[number];

const MINUTE_MS = 60_000;
/** What is looked at. Times are milliseconds since the epoch. */
export interface Facts {
	nodes: Pick<NodeView, 'id' | 'name' | 'mode' | 'link' | 'lastSeenAt'>[];
	/** When the oldest job that still waits was accepted. */
	oldestQueuedAt: number | null;
	/** Jobs settled within the window. */
	settled: number;
	failed: number;
	/** Jobs that were given up as poison within the window. */
	poison: string[];
	quotas: { name: string; used: number; limit: number }[];
	/** Reported pictures that nobody has decided about; `ws` when it is not the workspace that is looked at. */
	reports: { id: string; imageId: string; reason: ReportReason; ws?: string }[];
}

/** Something that is wrong now. */
export interface Condition {
	key: string;
	kind: AlertKind;
	severity: AlertSeverity;
	subject: string;
	title: string;
	detail: string;
}

const minutes = (ms: number): string => `${Math.max(1, Math.round(ms / MINUTE_MS))} min`;
const percent = (share: number): string => `${Math.round(share * 100)} %`;

const offline = ({ nodes }: Facts, nowMs: number, { nodeOffline: rule }: AlertRules): Condition[] => {
	const meant = nodes.filter((node) => node.mode === 'active' && node.lastSeenAt !== null && nowMs - node.lastSeenAt < L.nodeForgottenMs);
	const gone = meant.filter((node) => node.link === 'offline' && nowMs - (node.lastSeenAt ?? 0) >= rule.afterMs);
	return gone.map((node) => ({
		key: `node-offline:${node.id}`,
		kind: 'node-offline',
		severity: gone.length === meant.length ? rule.lastSeverity : rule.severity,
		subject: node.id,
		title: `Node ${node.name} is offline`,
		detail:
			gone.length === meant.length
				? `It was last seen ${minutes(nowMs - (node.lastSeenAt ?? 0))} ago, and no other node is online: jobs wait. Start the node again, or pause it if it is to stay away.`
				: `It was last seen ${minutes(nowMs - (node.lastSeenAt ?? 0))} ago; others take its work. Start it again, or pause it if it is to stay away.`,
	}));
};

const errorRate = ({ settled, failed }: Facts, _nowMs: number, { errorRate: rule }: AlertRules): Condition[] => {
	const share = settled === 0 ? 0 : failed / settled;
	if (settled < rule.minJobs || share < rule.share) return [];
	return [
		{
			key: 'error-rate',
			kind: 'error-rate',
			severity: share >= rule.worseShare ? rule.worseSeverity : rule.severity,
			subject: 'jobs',
			title: `${percent(share)} of the jobs fail`,
			detail: `${failed} of ${settled} jobs of the last ${minutes(rule.windowMs)} failed. See GET /api/v1/jobs?state=failed for why.`,
		},
	];
};

const queueAge = ({ oldestQueuedAt }: Facts, nowMs: number, { queueAge: rule }: AlertRules): Condition[] => {
	const age = oldestQueuedAt === null ? 0 : nowMs - oldestQueuedAt;
	if (age < rule.afterMs) return [];
	return [
		{
			key: 'queue-age',
			kind: 'queue-age',
			severity: age >= rule.worseAfterMs ? rule.worseSeverity : rule.severity,
			subject: 'queue',
			title: `A job has been waiting for ${minutes(age)}`,
			detail: 'Its `queue` says what it waits for. Add nodes, resume paused ones, or cancel it.',
		},
	];
};

const quotas = (facts: Facts, _nowMs: number, { quota: rule }: AlertRules): Condition[] =>
	facts.quotas
		.filter(({ used, limit }) => limit > 0 && used >= limit * rule.share)
		.map(({ name, used, limit }) => ({
			key: `quota:${name}`,
			kind: 'quota',
			severity: used >= limit ? rule.usedUpSeverity : rule.severity,
			subject: name,
			title: `${percent(used / limit)} of the quota ${name} is used`,
			detail: `${used} of ${limit}. ${used >= limit ? 'Requests are refused' : 'At 100 % requests are refused'}; raise the limit or wait for its window to end.`,
		}));

const poison = (facts: Facts, _nowMs: number, { poison: rule }: AlertRules): Condition[] =>
	facts.poison.map((job) => ({
		key: `poison:${job}`,
		kind: 'poison',
		severity: rule.severity,
		subject: job,
		title: 'A job took several nodes down',
		detail: `Job ${job} was given up after its nodes were lost while they worked on it. Look at its history before you submit it again.`,
	}));

const GRAVE: ReadonlySet<ReportReason> = new Set(['illegal', 'minors']);

const reports = (facts: Facts, _nowMs: number, { report: rule }: AlertRules): Condition[] =>
	facts.reports.map(({ id, imageId, reason, ws }) => ({
		key: `report:${id}`,
		kind: 'report',
		severity: GRAVE.has(reason) ? rule.worseSeverity : rule.severity,
		subject: imageId,
		title: `A picture${ws === undefined ? '' : ` of the workspace ${ws}`} was reported: ${reason}`,
		detail: `Report ${id} is about ${imageId}. Take the picture down with POST /api/v1/images/${imageId}/takedown${
			ws === undefined ? '' : ` and "workspaceId": "${ws}"`
		}, or dismiss the report with POST /api/v1/reports/${id}/dismiss.`,
	}));

const LOOKS = { nodeOffline: offline, errorRate, queueAge, quota: quotas, poison, report: reports } as const;

/** Everything that is wrong now. */
export const conditionsOf = (facts: Facts, nowMs: number, rules: AlertRules = DEFAULT_ALERT_RULES): Condition[] =>
	(Object.keys(LOOKS) as (keyof typeof LOOKS)[]).flatMap((name) => (rules[name].enabled ? LOOKS[name](facts, nowMs, rules) : []));

const rank = (severity: AlertSeverity): number => ALERT_SEVERITIES.indexOf(severity);
const worse = (severity: AlertSeverity): AlertSeverity => ALERT_SEVERITIES[Math.max(0, rank(severity) - 1)] ?? 'P1';

/** An alert with the key of its condition. */
export interface Alert extends AlertView {
	key: string;
}

export interface Reconciled {
	/** New and changed ones. */
	changed: Alert[];
	messages: Message[];
}

const messageOf = (type: EventType, at: number, { key: _key, ...alert }: Alert): Message => ({ type, at, data: alert });

/** When an alert of this severity escalates, if it does. */
const escalation = ({ escalateAfterMs }: AlertRules, severity: AlertSeverity, nowMs: number): { escalatesAt?: number } => {
	const after = escalateAfterMs[severity];
	return after === null ? {} : { escalatesAt: nowMs + after };
};

const raised = (condition: Condition, nowMs: number, id: string, rules: AlertRules): Alert => ({
	...condition,
	id,
	state: 'raised',
	raisedAt: nowMs,
	escalations: 0,
	...escalation(rules, condition.severity, nowMs),
});

/** One open alert against what is wrong now. */
const update = (
	alert: Alert,
	condition: Condition | undefined,
	nowMs: number,
	rules: AlertRules,
): { alert: Alert; type?: EventType } | undefined => {
	const { escalatesAt, ...rest } = alert;
	if (condition === undefined) return { alert: { ...rest, state: 'resolved', resolvedAt: nowMs }, type: 'alert.resolved' };
	const { title, detail } = condition;
	if (alert.state === 'raised' && escalatesAt !== undefined && escalatesAt <= nowMs) {
		const severity = worse(alert.severity);
		const escalations = alert.escalations + 1;
		return { alert: { ...rest, title, detail, severity, escalations, ...escalation(rules, severity, nowMs) }, type: 'alert.escalated' };
	}
	// It grew worse by itself: whoever acknowledged the milder one has to hear of it.
	if (rank(condition.severity) < rank(alert.severity)) {
		const { acknowledgedAt: _at, acknowledgedBy: _by, ...unread } = rest;
		const { severity } = condition;
		return {
			alert: { ...unread, title, detail, severity, state: 'raised', ...escalation(rules, severity, nowMs) },
			type: 'alert.escalated',
		};
	}
	return title === alert.title && detail === alert.detail ? undefined : { alert: { ...alert, title, detail } };
};

/**
 * Compares open alerts with what is wrong now.
 * @param open alerts that are not resolved
 * @param newId makes the id of a new alert
 * @param rules say when what nobody acknowledges escalates
 */
export const reconcile = (
	open: readonly Alert[],
	conditions: readonly Condition[],
	nowMs: number,
	newId: () => string,
	rules: AlertRules = DEFAULT_ALERT_RULES,
): Reconciled => {
	const byKey = new Map(conditions.map((condition) => [condition.key, condition]));
	const changed: Alert[] = [];
	const messages: Message[] = [];
	for (const alert of open) {
		const next = update(alert, byKey.get(alert.key), nowMs, rules);
		byKey.delete(alert.key);
		if (next === undefined) continue;
		changed.push(next.alert);
		if (next.type !== undefined) messages.push(messageOf(next.type, nowMs, next.alert));
	}
	for (const condition of byKey.values()) {
		const alert = raised(condition, nowMs, newId(), rules);
		changed.push(alert);
		messages.push(messageOf('alert.raised', nowMs, alert));
	}
	return { changed, messages };
};

/** A person takes care of it: it is not escalated any more. */
export const acknowledge = (alert: Alert, who: string, nowMs: number): { alert: Alert; message: Message } => {
	const { escalatesAt: _none, ...rest } = alert;
	const next: Alert = { ...rest, state: 'acknowledged', acknowledgedAt: nowMs, acknowledgedBy: who };
	return { alert: next, message: messageOf('alert.acknowledged', nowMs, next) };
};

/** A person says that it is over. It comes back when it is not. */
export const resolve = (alert: Alert, who: string, nowMs: number): { alert: Alert; message: Message } => {
	const { escalatesAt: _none, ...rest } = alert;
	const next: Alert = { ...rest, state: 'resolved', resolvedAt: nowMs, acknowledgedBy: alert.acknowledgedBy ?? who };
	return { alert: next, message: messageOf('alert.resolved', nowMs, next) };
};
