import { Webhook } from 'standardwebhooks';
import { describe, expect, it } from 'vitest';
import { ALERT_LIMITS, DEFAULT_ALERT_RULES, DELIVERY_LIMITS, isEventFilter, wantsEvent, withAlertRules } from '@limner/shared';
import { acknowledge, conditionsOf, reconcile, type Alert, type Facts } from './alerts.ts';
import { decideRetry, PAUSES_MS, retryAfterMs } from './retries.ts';
import { signedHeaders, webhookSecret } from './signature.ts';

const SECRET = 'a gateway secret of at least 32 characters';
const name = { ws: 'acme', webhookId: 'wh_1', version: 1 };

describe('signatures', () => {
	const body = JSON.stringify({ type: 'job.succeeded', data: { text: 'ünïcode' } });

	it('are those of the reference library', () => {
		const secret = webhookSecret(SECRET, name);
		const headers = signedHeaders([secret], 'msg_1', Date.now(), body);
		expect(new Webhook(secret).verify(body, headers)).toEqual(JSON.parse(body));
		expect(new Webhook(secret).sign('msg_1', new Date(Number(headers['webhook-timestamp']) * 1000), body)).toBe(
			headers['webhook-signature'],
		);
		expect(() => new Webhook(secret).verify(body.replace('ü', 'u'), headers)).toThrow('No matching signature');
	});

	it('verify with the old and the new secret during a rotation', () => {
		const [old, next] = [webhookSecret(SECRET, name), webhookSecret(SECRET, { ...name, version: 2 })];
		const headers = signedHeaders([next, old], 'msg_1', Date.now(), body);
		for (const secret of [old, next]) expect(new Webhook(secret).verify(body, headers)).toBeTruthy();
		expect(() => new Webhook(webhookSecret(SECRET, { ...name, version: 3 })).verify(body, headers)).toThrow('No matching signature');
	});

	it('differ by workspace, webhook and version', () => {
		const secrets = [name, { ...name, ws: 'b' }, { ...name, webhookId: 'wh_2' }, { ...name, version: 2 }].map((one) =>
			webhookSecret(SECRET, one),
		);
		expect(new Set(secrets).size).toBe(4);
	});
});

describe('decideRetry', () => {
	it('tries for a day and then gives up', () => {
		for (const jitter of [0, 1]) {
			let [now, tries] = [0, 0];
			let verdict = decideRetry({ error: 'refused' }, ++tries, 0, now, jitter);
			while (verdict.nextAt !== null) {
				expect(verdict.nextAt).toBeGreaterThan(now);
				now = verdict.nextAt;
				verdict = decideRetry({ error: 'refused' }, ++tries, 0, now, jitter);
			}
			expect(verdict.state).toBe('dead');
			expect(now).toBeLessThanOrEqual(DELIVERY_LIMITS.giveUpMs);
			expect(now).toBeGreaterThan(DELIVERY_LIMITS.giveUpMs * 0.6);
			expect(tries).toBeGreaterThanOrEqual(PAUSES_MS.length);
		}
	});

	it('ends at once for success and for 410, and obeys Retry-After within bounds', () => {
		expect(decideRetry({ status: 204 }, 1, 0, 0, 0)).toEqual({ state: 'delivered', nextAt: null });
		expect(decideRetry({ status: 410 }, 1, 0, 0, 0)).toMatchObject({ state: 'dead', disable: expect.any(String) });
		expect(decideRetry({ status: 429, retryAfterMs: 60_000 }, 1, 0, 0, 0).nextAt).toBe(60_000);
		expect(decideRetry({ status: 429, retryAfterMs: 1e12 }, 1, 0, 0, 0).nextAt).toBe(DELIVERY_LIMITS.retryAfterMaxMs);
		expect(decideRetry({ status: 302 }, 1, 0, 0, 0).state).toBe('pending');
	});

	it('reads Retry-After in seconds and as a date', () => {
		expect(retryAfterMs('7', 0)).toBe(7000);
		expect(retryAfterMs(new Date(90_000).toUTCString(), 30_000)).toBe(60_000);
		expect(retryAfterMs('soon', 0)).toBeUndefined();
		expect(retryAfterMs(null, 0)).toBeUndefined();
	});
});

describe('event filters', () => {
	it('select by name and by group', () => {
		expect(wantsEvent(['job.*'], 'job.failed')).toBe(true);
		expect(wantsEvent(['job.failed'], 'job.succeeded')).toBe(false);
		expect(wantsEvent(['*'], 'alert.raised')).toBe(true);
		expect(wantsEvent(['job.*'], 'webhook.test')).toBe(true);
		expect([isEventFilter('node.*'), isEventFilter('nodes.*'), isEventFilter('job.done')]).toEqual([true, false, false]);
	});
});

const NOW = 100 * 86_400_000;
const node = (id: string, over: Partial<Facts['nodes'][number]> = {}): Facts['nodes'][number] => ({
	id,
	name: id,
	mode: 'active',
	link: 'online',
	lastSeenAt: NOW,
	...over,
});
const gone = { link: 'offline', lastSeenAt: NOW - ALERT_LIMITS.nodeOfflineMs } as const;
const facts = (over: Partial<Facts> = {}): Facts => ({
	nodes: [],
	oldestQueuedAt: null,
	settled: 0,
	failed: 0,
	poison: [],
	quotas: [],
	reports: [],
	...over,
});
const brief = (over: Partial<Facts>) => conditionsOf(facts(over), NOW).map(({ key, severity }) => `${key} ${severity}`);

describe('conditionsOf', () => {
	it.each<[string, Partial<Facts>, string[]]>([
		['nothing', {}, []],
		['one of two nodes gone', { nodes: [node('a', gone), node('b')] }, ['node-offline:a P2']],
		['all nodes gone', { nodes: [node('a', gone), node('b', { ...gone, mode: 'paused' })] }, ['node-offline:a P1']],
		['a node just gone', { nodes: [node('a', { link: 'offline', lastSeenAt: NOW - ALERT_LIMITS.nodeOfflineMs + 1 })] }, []],
		['a node long given up', { nodes: [node('a', { link: 'offline', lastSeenAt: NOW - ALERT_LIMITS.nodeForgottenMs })] }, []],
		['few failures', { settled: 4, failed: 4 }, []],
		['a fifth fails', { settled: 10, failed: 2 }, ['error-rate P2']],
		['less than a fifth', { settled: 11, failed: 2 }, []],
		['half fail', { settled: 10, failed: 5 }, ['error-rate P1']],
		['an old job', { oldestQueuedAt: NOW - ALERT_LIMITS.queueAgeMs }, ['queue-age P3']],
		['a very old job', { oldestQueuedAt: NOW - ALERT_LIMITS.queueAgeP2Ms }, ['queue-age P2']],
		['a job not yet old', { oldestQueuedAt: NOW - ALERT_LIMITS.queueAgeMs + 1 }, []],
		['80 % of a quota', { quotas: [{ name: 'day', used: 80, limit: 100 }] }, ['quota:day P3']],
		['79 % of a quota', { quotas: [{ name: 'day', used: 79, limit: 100 }] }, []],
		['a quota used up', { quotas: [{ name: 'day', used: 100, limit: 100 }] }, ['quota:day P2']],
		['poison', { poison: ['job_1'] }, ['poison:job_1 P3']],
		['a report', { reports: [{ id: 'rep_1', imageId: 'img_1', reason: 'copyright' }] }, ['report:rep_1 P3']],
		['a grave report', { reports: [{ id: 'rep_1', imageId: 'img_1', reason: 'minors' }] }, ['report:rep_1 P2']],
	])('%s', (_name, over, expected) => expect(brief(over)).toEqual(expected));
});

const conditions = (over: Partial<Facts>) => conditionsOf(facts(over), NOW);

describe('reconcile', () => {
	let ids = 0;
	const newId = (): string => `alr_${++ids}`;
	const raise = (): Alert => reconcile([], conditions({ settled: 10, failed: 2 }), NOW, newId).changed[0]!;

	it('raises once, and resolves when the cause is gone', () => {
		const alert = raise();
		expect(alert).toMatchObject({ state: 'raised', severity: 'P2', escalations: 0 });
		expect(reconcile([alert], conditions({ settled: 10, failed: 2 }), NOW + 1, newId)).toEqual({ changed: [], messages: [] });
		const over = reconcile([alert], [], NOW + 2, newId);
		expect(over.changed).toMatchObject([{ id: alert.id, state: 'resolved', resolvedAt: NOW + 2 }]);
		expect(over.messages.map(({ type }) => type)).toEqual(['alert.resolved']);
	});

	it('escalates what nobody acknowledges, step by step, and not what somebody did', () => {
		const alert = raise();
		const due = NOW + DEFAULT_ALERT_RULES.escalateAfterMs.P2!;
		const still = conditions({ settled: 10, failed: 2 });
		expect(reconcile([alert], still, due - 1, newId).changed).toEqual([]);
		const { changed, messages } = reconcile([alert], still, due, newId);
		expect(changed).toMatchObject([{ severity: 'P1', escalations: 1, escalatesAt: due + DEFAULT_ALERT_RULES.escalateAfterMs.P1! }]);
		expect(messages.map(({ type }) => type)).toEqual(['alert.escalated']);
		const again = reconcile(changed, still, due + DEFAULT_ALERT_RULES.escalateAfterMs.P1!, newId);
		expect(again.changed).toMatchObject([{ severity: 'P1', escalations: 2 }]);
		const { alert: taken } = acknowledge(alert, 'key:a', NOW + 5);
		expect(taken).toMatchObject({ state: 'acknowledged', acknowledgedBy: 'key:a' });
		expect(reconcile([taken], still, due * 2, newId).changed).toEqual([]);
	});

	it('tells again when what was acknowledged grows worse', () => {
		const { alert } = acknowledge(raise(), 'key:a', NOW);
		const { changed, messages } = reconcile([alert], conditions({ settled: 10, failed: 6 }), NOW + 1, newId);
		expect(changed).toMatchObject([{ state: 'raised', severity: 'P1' }]);
		expect(changed[0]).not.toHaveProperty('acknowledgedBy');
		expect(messages).toHaveLength(1);
	});
});

describe('alert rules', () => {
	const rules = withAlertRules(DEFAULT_ALERT_RULES, {
		errorRate: { share: 0.5, severity: 'P4' },
		quota: { enabled: false },
		nodeOffline: { afterMs: 3_600_000 },
		escalateAfterMs: { P4: 10_000, P3: null },
	});
	const by = (over: Partial<Facts>) => conditionsOf(facts(over), NOW, rules).map(({ key, severity }) => `${key} ${severity}`);

	it('set thresholds and severities, and switch kinds off', () => {
		expect(by({ settled: 10, failed: 4 })).toEqual([]);
		// From half on it is the worse case, whose severity the change leaves alone.
		expect(by({ settled: 10, failed: 5 })).toEqual(['error-rate P1']);
		expect(by({ quotas: [{ name: 'day', used: 100, limit: 100 }] })).toEqual([]);
		expect(by({ nodes: [node('a', gone), node('b')] })).toEqual([]);
		expect(by({ poison: ['job_1'] })).toEqual(['poison:job_1 P3']);
	});

	it('say when an alert escalates, or that it never does', () => {
		const quiet = withAlertRules(rules, { errorRate: { worseSeverity: 'P4' } });
		const wrong = conditionsOf(facts({ settled: 10, failed: 5, poison: ['job_1'] }), NOW, quiet);
		const raised = reconcile([], wrong, NOW, () => 'alr_x', quiet).changed;
		expect(raised.map(({ severity, escalatesAt }) => [severity, escalatesAt])).toEqual([
			['P4', NOW + 10_000],
			['P3', undefined],
		]);
		const later = reconcile(raised, wrong, NOW + 10_000, () => 'alr_y', quiet);
		expect(later.changed.map(({ severity, escalations }) => [severity, escalations])).toEqual([['P3', 1]]);
		expect(later.changed[0]).not.toHaveProperty('escalatesAt');
		expect(reconcile([later.changed[0]!, raised[1]!], wrong, NOW + 1e9, () => 'alr_z', quiet).changed).toEqual([]);
	});
});
