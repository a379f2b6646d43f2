/**
 * Alerts: what of a workspace needs somebody's eyes, how badly, and what changes about it over time. Pure.
 * @module
 */
import { ALERT_LIMITS as L } from '@limner/shared';
import type { NodeView } from '../rpc.ts';
import type { EventType, Message } from './events.ts';
import type { AlertView } from './rpc.ts';

export const ALERT_KINDS = ['node-offline', 'error-rate', 'queue-age', 'quota', 'poison'] as const;
export type AlertKind = (typeof ALERT_KINDS)[number];
export const ALERT_SEVERITIES = ['P1', 'P2', 'P3', 'P4'] as const;
export type AlertSeverity = (typeof ALERT_SEVERITIES)[number];
export const ALERT_STATES = ['raised', 'acknowledged', 'resolved'] as const;
export type AlertState = (typeof ALERT_STATES)[number];

const MINUTE_MS = 60_000;
/** An alert that nobody acknowledged for this long becomes one step worse; a P1 is told again. */
export const ESCALATE_AFTER_MS: Record<AlertSeverity, number> = {
	P1: 5 * MINUTE_MS,
	P2: 15 * MINUTE_MS,
	P3: 60 * MINUTE_MS,
	P4: 24 * 60 * MINUTE_MS,
};

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

const offline = ({ nodes }: Facts, nowMs: number): Condition[] => {
	const meant = nodes.filter((node) => node.mode === 'active' && node.lastSeenAt !== null && nowMs - node.lastSeenAt < L.nodeForgottenMs);
	const gone = meant.filter((node) => node.link === 'offline' && nowMs - (node.lastSeenAt ?? 0) >= L.nodeOfflineMs);
	return gone.map((node) => ({
		key: `node-offline:${node.id}`,
		kind: 'node-offline',
		severity: gone.length === meant.length ? 'P1' : 'P2',
		subject: node.id,
		title: `Node ${node.name} is offline`,
		detail:
			gone.length === meant.length
				? `It was last seen ${minutes(nowMs - (node.lastSeenAt ?? 0))} ago, and no other node is online: jobs wait. Start the node again, or pause it if it is to stay away.`
				: `It was last seen ${minutes(nowMs - (node.lastSeenAt ?? 0))} ago; others take its work. Start it again, or pause it if it is to stay away.`,
	}));
};

const errorRate = ({ settled, failed }: Facts): Condition[] => {
	const share = settled === 0 ? 0 : failed / settled;
	if (settled < L.errorMinJobs || share < L.errorShare) return [];
	return [
		{
			key: 'error-rate',
			kind: 'error-rate',
			severity: share >= L.errorShareP1 ? 'P1' : 'P2',
			subject: 'jobs',
			title: `${percent(share)} of the jobs fail`,
			detail: `${failed} of ${settled} jobs of the last ${minutes(L.errorWindowMs)} failed. See GET /api/v1/jobs?state=failed for why.`,
		},
	];
};

const queueAge = ({ oldestQueuedAt }: Facts, nowMs: number): Condition[] => {
	const age = oldestQueuedAt === null ? 0 : nowMs - oldestQueuedAt;
	if (age < L.queueAgeMs) return [];
	return [
		{
			key: 'queue-age',
			kind: 'queue-age',
			severity: age >= L.queueAgeP2Ms ? 'P2' : 'P3',
			subject: 'queue',
			title: `A job has been waiting for ${minutes(age)}`,
			detail: 'Its `queue` says what it waits for. Add nodes, resume paused ones, or cancel it.',
		},
	];
};

const quotas = (facts: Facts): Condition[] =>
	facts.quotas
		.filter(({ used, limit }) => limit > 0 && used >= limit * L.quotaShare)
		.map(({ name, used, limit }) => ({
			key: `quota:${name}`,
			kind: 'quota',
			severity: used >= limit ? 'P2' : 'P3',
			subject: name,
			title: `${percent(used / limit)} of the quota ${name} is used`,
			detail: `${used} of ${limit}. ${used >= limit ? 'Requests are refused' : 'At 100 % requests are refused'}; raise the limit or wait for its window to end.`,
		}));

const poison = (facts: Facts): Condition[] =>
	facts.poison.map((job) => ({
		key: `poison:${job}`,
		kind: 'poison',
		severity: 'P3',
		subject: job,
		title: 'A job took several nodes down',
		detail: `Job ${job} was given up after its nodes were lost while they worked on it. Look at its history before you submit it again.`,
	}));

/** Everything that is wrong now. */
export const conditionsOf = (facts: Facts, nowMs: number): Condition[] => [
	...offline(facts, nowMs),
	...errorRate(facts),
	...queueAge(facts, nowMs),
	...quotas(facts),
	...poison(facts),
];

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

const raised = (condition: Condition, nowMs: number, id: string): Alert => ({
	...condition,
	id,
	state: 'raised',
	raisedAt: nowMs,
	escalations: 0,
	escalatesAt: nowMs + ESCALATE_AFTER_MS[condition.severity],
});

/** One open alert against what is wrong now. */
const update = (alert: Alert, condition: Condition | undefined, nowMs: number): { alert: Alert; type?: EventType } | undefined => {
	if (condition === undefined) {
		const { escalatesAt: _none, ...rest } = alert;
		return { alert: { ...rest, state: 'resolved', resolvedAt: nowMs }, type: 'alert.resolved' };
	}
	const { title, detail } = condition;
	const due = alert.state === 'raised' && alert.escalatesAt !== undefined && alert.escalatesAt <= nowMs;
	if (due) {
		const severity = worse(alert.severity);
		const escalatesAt = nowMs + ESCALATE_AFTER_MS[severity];
		return { alert: { ...alert, title, detail, severity, escalations: alert.escalations + 1, escalatesAt }, type: 'alert.escalated' };
	}
	// It grew worse by itself: whoever acknowledged the milder one has to hear of it.
	if (rank(condition.severity) < rank(alert.severity)) {
		const { acknowledgedAt: _at, acknowledgedBy: _by, ...rest } = alert;
		const { severity } = condition;
		return {
			alert: { ...rest, title, detail, severity, state: 'raised', escalatesAt: nowMs + ESCALATE_AFTER_MS[severity] },
			type: 'alert.escalated',
		};
	}
	return title === alert.title && detail === alert.detail ? undefined : { alert: { ...alert, title, detail } };
};

/**
 * Compares open alerts with what is wrong now.
 * @param open alerts that are not resolved
 * @param newId makes the id of a new alert
 */
export const reconcile = (open: readonly Alert[], conditions: readonly Condition[], nowMs: number, newId: () => string): Reconciled => {
	const byKey = new Map(conditions.map((condition) => [condition.key, condition]));
	const changed: Alert[] = [];
	const messages: Message[] = [];
	for (const alert of open) {
		const next = update(alert, byKey.get(alert.key), nowMs);
		byKey.delete(alert.key);
		if (next === undefined) continue;
		changed.push(next.alert);
		if (next.type !== undefined) messages.push(messageOf(next.type, nowMs, next.alert));
	}
	for (const condition of byKey.values()) {
		const alert = raised(condition, nowMs, newId());
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
