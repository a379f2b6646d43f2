/**
 * When alerts are raised, how bad they are, and when they escalate. What a workspace or an operator sets is a change of
 * the rules below it: {@link DEFAULT_ALERT_RULES}, then the operator's, then the workspace's.
 * @module
 */
import { z } from 'zod';
import { ALERT_LIMITS as L } from './limits.ts';

export const AlertSeverity = z.enum(['P1', 'P2', 'P3', 'P4']);
export type AlertSeverity = z.infer<typeof AlertSeverity>;

/** Milliseconds. */
const Delay = z.int().min(L.ruleMinMs).max(L.ruleMaxMs);
const Share = z.number().min(0.01).max(1);
const enabled = z.boolean();
const severity = AlertSeverity;

export const AlertRules = z.strictObject({
	/** An active node has been away for `afterMs`; `lastSeverity` when none is left. */
	nodeOffline: z.strictObject({ enabled, afterMs: Delay, severity, lastSeverity: severity }),
	/** `share` of at least `minJobs` jobs of the last `windowMs` failed; `worseSeverity` from `worseShare` on. */
	errorRate: z.strictObject({
		enabled,
		share: Share,
		minJobs: z.int().min(1).max(10_000),
		windowMs: Delay,
		severity,
		worseShare: Share,
		worseSeverity: severity,
	}),
	/** A job has waited for `afterMs`; `worseSeverity` after `worseAfterMs`. */
	queueAge: z.strictObject({ enabled, afterMs: Delay, severity, worseAfterMs: Delay, worseSeverity: severity }),
	/** `share` of a limit is used; `usedUpSeverity` when all of it is. */
	quota: z.strictObject({ enabled, share: Share, severity, usedUpSeverity: severity }),
	/** A job was given up because nodes were lost while they worked on it. */
	poison: z.strictObject({ enabled, severity }),
	/** Somebody reported a picture, and nobody has decided yet; `worseSeverity` for what the law forbids (`illegal`, `minors`). */
	report: z.strictObject({ enabled, severity, worseSeverity: severity }),
	/** An alert that nobody acknowledged for this long becomes one step worse; a P1 is told again. Null: never. */
	escalateAfterMs: z.strictObject({ P1: Delay.nullable(), P2: Delay.nullable(), P3: Delay.nullable(), P4: Delay.nullable() }),
});
export type AlertRules = z.infer<typeof AlertRules>;

const { shape } = AlertRules;
/** Rules that differ; everything may be left out. */
export const AlertRulesChange = z.strictObject({
	nodeOffline: shape.nodeOffline.partial().optional(),
	errorRate: shape.errorRate.partial().optional(),
	queueAge: shape.queueAge.partial().optional(),
	quota: shape.quota.partial().optional(),
	poison: shape.poison.partial().optional(),
	report: shape.report.partial().optional(),
	escalateAfterMs: shape.escalateAfterMs.partial().optional(),
});
export type AlertRulesChange = z.infer<typeof AlertRulesChange>;

const MINUTE_MS = 60_000;
export const DEFAULT_ALERT_RULES: AlertRules = {
	nodeOffline: { enabled: true, afterMs: L.nodeOfflineMs, severity: 'P2', lastSeverity: 'P1' },
	errorRate: {
		enabled: true,
		share: L.errorShare,
		minJobs: L.errorMinJobs,
		windowMs: L.errorWindowMs,
		severity: 'P2',
		worseShare: L.errorShareP1,
		worseSeverity: 'P1',
	},
	queueAge: { enabled: true, afterMs: L.queueAgeMs, severity: 'P3', worseAfterMs: L.queueAgeP2Ms, worseSeverity: 'P2' },
	quota: { enabled: true, share: L.quotaShare, severity: 'P3', usedUpSeverity: 'P2' },
	poison: { enabled: true, severity: 'P3' },
	report: { enabled: true, severity: 'P3', worseSeverity: 'P2' },
	escalateAfterMs: { P1: 5 * MINUTE_MS, P2: 15 * MINUTE_MS, P3: 60 * MINUTE_MS, P4: 24 * 60 * MINUTE_MS },
};

/** Rules with a change; what the change leaves out stays. */
export const withAlertRules = (rules: AlertRules, change: AlertRulesChange): AlertRules =>
	AlertRules.parse({
		nodeOffline: { ...rules.nodeOffline, ...change.nodeOffline },
		errorRate: { ...rules.errorRate, ...change.errorRate },
		queueAge: { ...rules.queueAge, ...change.queueAge },
		quota: { ...rules.quota, ...change.quota },
		poison: { ...rules.poison, ...change.poison },
		report: { ...rules.report, ...change.report },
		escalateAfterMs: { ...rules.escalateAfterMs, ...change.escalateAfterMs },
	});
