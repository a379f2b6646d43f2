import { env } from 'cloudflare:workers';
import { runInDurableObject } from 'cloudflare:test';
import { Webhook } from 'standardwebhooks';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import { accountIdOf } from '../../src/account/email.ts';
import { hookSecret } from '../../src/hooks/call.ts';
import { ask, newEmail, newTenant, withVar } from './harness.ts';

interface Mail {
	headers: Record<string, string>;
	body: string;
	event: { type: string; data: { to: string; url: string; workspace?: { id: string }; role?: string } };
}
let mails: Mail[] = [];
let status = 202;
beforeEach(() => {
	mails = [];
	status = 202;
	vi.spyOn(globalThis, 'fetch').mockImplementation(async (_input, init) => {
		const body = init?.body as string;
		mails.push({ headers: Object.fromEntries(new Headers(init?.headers)), body, event: JSON.parse(body) });
		return new Response(null, { status });
	});
});
afterEach(() => vi.restoreAllMocks());

const withMail = <T>(run: () => Promise<T>): Promise<T> =>
	withVar('EMAIL_HOOK_URL', 'https://mail.example.com/send', () => withVar('PUBLIC_URL', 'https://limner.example', run));
const forgot = (email: string) => ask('POST', '/accounts/forgot-password', null, { email });

describe('the e-mail hook', () => {
	it('gets invitations and reset links, signed; answers say whether it took them', async () => {
		const tenant = await newTenant();
		const to = newEmail();
		await withMail(async () => {
			const made = await ask('POST', '/invitations', tenant.token, { role: 'viewer', email: to });
			expect(made.body).toMatchObject({ mail: 'sent', url: expect.stringContaining('#invitation=') });
			expect(mails[0]!.event).toMatchObject({
				type: 'email.invitation',
				data: { to, role: 'viewer', url: made.body.url, workspace: { id: tenant.ws } },
			});
			expect(new Webhook(hookSecret(env.LIMNER_SECRET, 'email')).verify(mails[0]!.body, mails[0]!.headers)).toEqual(mails[0]!.event);
			status = 500;
			const reset = await ask('POST', '/accounts/reset-links', undefined, { email: tenant.email });
			expect(reset.body).toMatchObject({ mail: 'failed', url: expect.stringContaining('#reset=') });
			expect((await ask('POST', '/invitations', tenant.token, { role: 'viewer' })).body).toMatchObject({ mail: 'off' });
		});
		expect(mails).toHaveLength(2);
		expect((await ask('POST', '/invitations', tenant.token, { role: 'viewer', email: newEmail() })).body).toMatchObject({ mail: 'off' });
		expect(mails).toHaveLength(2);
	});

	it('lets people ask for a link themselves: the same answer for everybody, and few mails', async () => {
		const { email } = await newTenant();
		await withMail(async () => {
			const [known, unknown] = [await forgot(email), await forgot(newEmail())];
			expect([known.status, known.body]).toEqual([unknown.status, unknown.body]);
			expect(known.status).toBe(202);
			await expect.poll(() => mails.length).toBe(1);
			expect((await forgot(email)).status).toBe(202);
			const link = mails[0]!.event.data.url;
			expect(link).toMatch(/^https:\/\/limner\.example\/#reset=lp_/);
			const token = link.slice(link.indexOf('=') + 1);
			// The second call made no new link, so the first still works.
			expect((await ask('POST', '/auth/reset', null, { token, password: 'a new good password' })).status).toBeLessThan(300);
		});
		expect(mails).toHaveLength(1);
		await runInDurableObject(env.ACCOUNT.getByName(accountIdOf(email)), (_instance, state) => {
			expect(state.storage.sql.exec('SELECT * FROM resets').toArray()).toEqual([]);
		});
	});

	it('is needed for that, and so is an address that links begin with', async () => {
		expect(await forgot('a@example.com')).toMatchObject({ status: 409, body: { detail: expect.stringContaining('sends no mail') } });
		const hostOnly = await withVar('EMAIL_HOOK_URL', 'https://mail.example.com/', () => forgot('a@example.com'));
		expect(hostOnly).toMatchObject({ status: 409, body: { detail: expect.stringContaining('PUBLIC_URL') } });
	});

	it('is shown to the operator with its secret, and can be tried', async () => {
		await withMail(async () => {
			const { body } = await ask('GET', '/hooks', undefined);
			expect(body.data).toContainEqual({
				kind: 'email',
				url: 'https://mail.example.com/send',
				secret: hookSecret(env.LIMNER_SECRET, 'email'),
			});
			expect((await ask('POST', '/hooks/email/test', undefined)).body).toMatchObject({ ok: true });
			status = 503;
			expect((await ask('POST', '/hooks/email/test', undefined)).body).toMatchObject({ ok: false, error: 'it answered 503' });
		});
		expect(mails[0]!.event.type).toBe('hook.test');
		expect((await ask('POST', '/hooks/content/test', undefined)).status).toBe(409);
		const { token } = await newTenant();
		expect((await ask('GET', '/hooks', token)).status).toBe(403);
	});
});
