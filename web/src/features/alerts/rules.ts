/**
 * Rules of alerts as fields of a form: minutes and percent instead of milliseconds and shares. Pure.
 * @module
 */
import type { AlertRules, AlertRulesChange } from '@limner/sdk';

type Effective = AlertRules['effective'];
export type RuleName = Exclude<keyof Effective, 'escalateAfterMs'>;
type Unit = 'minutes' | 'percent' | 'count' | 'severity';

/** How each field is shown, in the order of the form. */
const UNITS = {
	afterMs: 'minutes',
	share: 'percent',
	minJobs: 'count',
	windowMs: 'minutes',
	severity: 'severity',
	worseAfterMs: 'minutes',
	worseShare: 'percent',
	worseSeverity: 'severity',
	lastSeverity: 'severity',
	usedUpSeverity: 'severity',
} as const satisfies Record<string, Unit>;
export type RuleField = keyof typeof UNITS;

export const RULES: readonly RuleName[] = ['nodeOffline', 'errorRate', 'queueAge', 'quota', 'poison', 'report'];
export const SEVERITIES = ['P1', 'P2', 'P3', 'P4'] as const;
const MINUTE_MS = 60_000;

/** What stands in the fields, by `<rule>.<field>`; `<rule>.enabled` is `true` or `false`. */
export type RuleFields = Readonly<Record<string, string>>;

const valuesOf = (effective: Effective, rule: string): Readonly<Record<string, unknown>> =>
	(effective as Readonly<Record<string, Readonly<Record<string, unknown>>>>)[rule] ?? {};

export const unitOf = (field: RuleField): Unit => UNITS[field];

/** Fields that a rule has. */
export const fieldsIn = (effective: Effective, rule: RuleName): RuleField[] =>
	(Object.keys(UNITS) as RuleField[]).filter((field) => field in valuesOf(effective, rule));

const shown = (unit: Unit, value: unknown): string => {
	if (unit === 'minutes') return value === null ? '' : String(Number(value) / MINUTE_MS);
	return unit === 'percent' ? String(Math.round(Number(value) * 100)) : String(value);
};

const parsed = (unit: Unit, text: string): number | string | null => {
	if (unit === 'severity') return text;
	if (text.trim() === '') return null;
	if (unit === 'minutes') return Math.round(Number(text) * MINUTE_MS);
	return unit === 'percent' ? Math.round(Number(text)) / 100 : Number(text);
};

export const toFields = (effective: Effective): RuleFields =>
	Object.fromEntries([
		...RULES.flatMap((rule) => [
			[`${rule}.enabled`, String(effective[rule].enabled)],
			...fieldsIn(effective, rule).map((field) => [`${rule}.${field}`, shown(UNITS[field], valuesOf(effective, rule)[field])]),
		]),
		...SEVERITIES.map((severity) => [`escalateAfterMs.${severity}`, shown('minutes', effective.escalateAfterMs[severity])]),
	]) as RuleFields;

/** Whether a field that needs a number has none. */
export const hasGap = (fields: RuleFields): boolean =>
	Object.entries(fields).some(([name, text]) => text.trim() === '' && !name.startsWith('escalateAfterMs.'));

const valueOf = (name: string, text: string): unknown => {
	const [rule = '', field = ''] = name.split('.');
	if (field === 'enabled') return text === 'true';
	return parsed(rule === 'escalateAfterMs' ? 'minutes' : UNITS[field as RuleField], text);
};

/** What the workspace sets itself after the fields were changed: what it had set before, and every field that differs now. */
export const toChange = ({ effective, own }: AlertRules, fields: RuleFields): AlertRulesChange => {
	const before = toFields(effective);
	const change: Record<string, Record<string, unknown>> = structuredClone(own);
	for (const [name, text] of Object.entries(fields)) {
		const [rule = '', field = ''] = name.split('.');
		if (text !== before[name]) change[rule] = { ...change[rule], [field]: valueOf(name, text) };
	}
	return change;
};
