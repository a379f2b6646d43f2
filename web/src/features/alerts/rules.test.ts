import { DEFAULT_ALERT_RULES, AlertRulesChange } from '@limner/shared';
import { describe, expect, it } from 'vitest';
import { fieldsIn, hasGap, toChange, toFields } from './rules.ts';

const view = (own: AlertRulesChange = {}) => ({ effective: DEFAULT_ALERT_RULES, own }) as Parameters<typeof toChange>[0];

describe('rules of alerts as fields', () => {
	it('shows minutes and percent, and changes nothing when nothing was changed', () => {
		const fields = toFields(DEFAULT_ALERT_RULES);
		expect(fields).toMatchObject({
			'nodeOffline.afterMs': '1',
			'errorRate.share': '20',
			'errorRate.minJobs': '5',
			'poison.enabled': 'true',
		});
		expect(toChange(view(), fields)).toEqual({});
		expect(fieldsIn(DEFAULT_ALERT_RULES, 'poison')).toEqual(['severity']);
	});

	it('sets what differs, keeps what was set before, and answers what the gateway takes', () => {
		const fields = {
			...toFields(DEFAULT_ALERT_RULES),
			'nodeOffline.afterMs': '2.5',
			'errorRate.share': '7',
			'poison.enabled': 'false',
			'escalateAfterMs.P4': '',
		};
		const change = toChange(view({ queueAge: { severity: 'P1' } }), fields);
		expect(change).toEqual({
			queueAge: { severity: 'P1' },
			nodeOffline: { afterMs: 150_000 },
			errorRate: { share: 0.07 },
			poison: { enabled: false },
			escalateAfterMs: { P4: null },
		});
		expect(AlertRulesChange.parse(change)).toEqual(change);
	});

	it('knows an empty field from one that may be empty', () => {
		const fields = toFields(DEFAULT_ALERT_RULES);
		expect(hasGap({ ...fields, 'escalateAfterMs.P1': '' })).toBe(false);
		expect(hasGap({ ...fields, 'quota.share': ' ' })).toBe(true);
	});
});
