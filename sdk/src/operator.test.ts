import { describe, expect, it } from 'vitest';
import { ApiError, Limner, type DashboardEvent } from './index.ts';
import { event, json, problem, Script, stream } from './testing.test-lib.ts';

const clientOf = (script: Script): Limner => new Limner({ baseUrl: 'http://gateway.test', apiKey: 'lk_x', fetch: script.fetch });

type Call = [method: string, path: string, call: (client: Limner) => Promise<unknown>, body?: object];
const CALLS: Call[] = [
	['GET', '/api/v1/auth/me', (client) => client.me()],
	['GET', '/api/v1/supervisor/workers/n%2F1/telemetry', (client) => client.nodes.telemetry('n/1')],
	['GET', '/api/v1/supervisor/workers/n1/tasks', (client) => client.nodes.tasks('n1')],
	['GET', '/api/v1/supervisor/workers/n1/history', (client) => client.nodes.history('n1')],
	['GET', '/api/v1/supervisor/workers/n1/metrics', (client) => client.nodes.numbers('n1')],
	['POST', '/api/v1/nodes/n1/approve', (client) => client.nodes.approve('n1')],
	['GET', '/api/v1/pool/timeline?sinceMs=5000', (client) => client.nodes.timeline({ sinceMs: 5000 })],
	['POST', '/api/v1/join-tokens', (client) => client.joinTokens.create({ maxUses: 2 }), { maxUses: 2 }],
	['GET', '/api/v1/join-tokens', (client) => client.joinTokens.list()],
	['DELETE', '/api/v1/join-tokens/t1', (client) => client.joinTokens.revoke('t1')],
	['GET', '/api/v1/dashboard', (client) => client.dashboard.get()],
	['GET', '/api/v1/presence', (client) => client.dashboard.presence()],
	['GET', '/api/v1/alerts?state=raised&severity=P1', (client) => client.alerts.list({ state: 'raised', severity: 'P1' })],
	['POST', '/api/v1/alerts/a1/acknowledge', (client) => client.alerts.acknowledge('a1')],
	['POST', '/api/v1/alerts/a1/resolve', (client) => client.alerts.resolve('a1')],
	['GET', '/api/v1/audit?action=node.*&limit=5', (client) => client.audit.list({ action: 'node.*', limit: 5 })],
	['GET', '/api/v1/audit/export', (client) => client.audit.export()],
	['GET', '/api/v1/keys', (client) => client.keys.list()],
	['GET', '/api/v1/keys/k1', (client) => client.keys.get('k1')],
	['POST', '/api/v1/keys', (client) => client.keys.create({ name: 'CI', scopes: ['jobs:read'] }), { name: 'CI', scopes: ['jobs:read'] }],
	['PATCH', '/api/v1/keys/k1', (client) => client.keys.update('k1', { name: 'new' }), { name: 'new' }],
	['POST', '/api/v1/keys/k1/rotate', (client) => client.keys.rotate('k1', 60), { graceS: 60 }],
	['DELETE', '/api/v1/keys/k1', (client) => client.keys.revoke('k1')],
	['GET', '/api/v1/resources/quotas', (client) => client.resources.quotas()],
	['GET', '/api/v1/resources/usage?groupBy=model', (client) => client.resources.usage({ groupBy: 'model' })],
	['POST', '/api/v1/resources/allocate', (client) => client.resources.allocate({ images: 3 }), { images: 3 }],
	['POST', '/api/v1/resources/release', (client) => client.resources.release('r1'), { id: 'r1' }],
	['GET', '/api/v1/webhooks', (client) => client.webhooks.list()],
	['POST', '/api/v1/webhooks', (client) => client.webhooks.create({ url: 'https://a.example' }), { url: 'https://a.example' }],
	['PATCH', '/api/v1/webhooks/w1', (client) => client.webhooks.update('w1', { enabled: false }), { enabled: false }],
	['DELETE', '/api/v1/webhooks/w1', (client) => client.webhooks.delete('w1')],
	['POST', '/api/v1/webhooks/w1/rotate-secret', (client) => client.webhooks.rotateSecret('w1')],
	['POST', '/api/v1/webhooks/w1/test', (client) => client.webhooks.test('w1')],
	['GET', '/api/v1/webhooks/w1/deliveries?state=dead', (client) => client.webhooks.deliveries('w1', { state: 'dead' })],
	['POST', '/api/v1/webhooks/w1/deliveries/d1/redeliver', (client) => client.webhooks.redeliver('w1', 'd1')],
	['GET', '/api/v1/workspaces/ws/members', (client) => client.members.list('ws')],
	['PATCH', '/api/v1/workspaces/ws/members/acct', (client) => client.members.setRole('ws', 'acct', 'viewer'), { role: 'viewer' }],
	['DELETE', '/api/v1/workspaces/ws/members/acct', (client) => client.members.remove('ws', 'acct')],
	['POST', '/api/v1/workspaces/ws/transfer-ownership', (client) => client.members.transferOwnership('ws', 'acct'), { accountId: 'acct' }],
	['GET', '/api/v1/invitations', (client) => client.members.invitations()],
	['POST', '/api/v1/invitations', (client) => client.members.invite({ role: 'member' }), { role: 'member' }],
	['DELETE', '/api/v1/invitations/i1', (client) => client.members.withdraw('i1')],
	['GET', '/api/v1/alerts/rules', (client) => client.alerts.rules()],
	['PUT', '/api/v1/alerts/rules', (client) => client.alerts.setRules({ poison: { enabled: false } }), { poison: { enabled: false } }],
	['GET', '/api/v1/reports?state=open', (client) => client.reports.list({ state: 'open' })],
	['POST', '/api/v1/images/i1/report', (client) => client.reports.report('i1', { reason: 'person' }), { reason: 'person' }],
	['POST', '/api/v1/images/i1/takedown', (client) => client.reports.takeDown('i1', { reason: 'asked' }), { reason: 'asked' }],
	['POST', '/api/v1/reports/r1/dismiss', (client) => client.reports.dismiss('r1', 'fine'), { note: 'fine' }],
	['GET', '/api/v1/workspaces?limit=5', (client) => client.workspaces.list({ limit: 5 })],
	['GET', '/api/v1/workspaces/ws', (client) => client.workspaces.get('ws')],
	['POST', '/api/v1/workspaces', (client) => client.workspaces.create({ name: 'Attic' }), { name: 'Attic' }],
	['PATCH', '/api/v1/workspaces/ws', (client) => client.workspaces.rename('ws', 'Attic'), { name: 'Attic' }],
	['PUT', '/api/v1/workspaces/ws/limits', (client) => client.workspaces.setLimits('ws', { queued: 3 }), { queued: 3 }],
	['POST', '/api/v1/invitations/owner-link', (client) => client.workspaces.ownerLink('ws'), { workspaceId: 'ws' }],
	['POST', '/api/v1/accounts/forgot-password', (client) => client.accounts.forgotPassword('a@b.c'), { email: 'a@b.c' }],
	['GET', '/api/v1/auth/sessions', (client) => client.accounts.sessions()],
	['DELETE', '/api/v1/auth/sessions/s1', (client) => client.accounts.endSession('s1')],
];

describe('what an operator calls', () => {
	it.each(CALLS)('%s %s', async (...[method, path, call, body]: Call) => {
		const script = new Script(json({ data: [], nextCursor: null }));
		await call(clientOf(script));
		expect(script.seen).toHaveLength(1);
		expect(script.seen[0]).toMatchObject({ method, path });
		expect(script.seen[0]!.body).toBe(body === undefined ? '' : JSON.stringify(body));
	});

	it('does not make a second key when the answer to the first was lost', async () => {
		const script = new Script(() => {
			throw new TypeError('fetch failed');
		}, json({}));
		await expect(clientOf(script).keys.create({ name: 'CI', scopes: ['jobs:read'] })).rejects.toThrow('no gateway answers');
		expect(script.seen).toHaveLength(1);
	});
});

describe('the live dashboard', () => {
	it('goes on after the gateway has ended a stream, and stops with its signal', async () => {
		const first = event('presence', { online: 1 }) + event('dashboard', { at: 'a' });
		const script = new Script(stream(first), stream(event('dashboard', { at: 'b' })));
		const own = new AbortController();
		const seen: DashboardEvent[] = [];
		const reading = (async () => {
			for await (const one of clientOf(script).dashboard.follow({ signal: own.signal })) {
				seen.push(one);
				if (seen.length === 3) own.abort(new Error('enough'));
			}
		})();
		await expect(reading).rejects.toThrow('enough');
		expect(seen.map(({ event: name }) => name)).toEqual(['presence', 'dashboard', 'dashboard']);
		expect(script.seen.every(({ path }) => path === '/api/v1/presence/events')).toBe(true);
	});

	it('gives up when it is refused', async () => {
		const script = new Script(problem(403, 'forbidden'));
		await expect(clientOf(script).dashboard.follow().next()).rejects.toBeInstanceOf(ApiError);
		expect(script.seen).toHaveLength(1);
	});
});
