/** Members, keys, limits … of a backup: what comes back, for whom, and what a doctored backup does not get. */
import { describe, expect, it } from 'vitest';
import { ask, newMember, newTenant } from '../tenancy/harness.ts';

interface Part {
	kind: string;
	[field: string]: unknown;
}
const partsOf = async (key: string): Promise<Part[]> => {
	const answer = await ask('GET', '/backup/workspace', key);
	expect(answer.status).toBe(200);
	return answer.body.data as unknown as Part[];
};
interface Restored {
	invited: { email: string; role: string; url: string }[];
	left: string[];
	sameSecret: boolean | null;
}
const restore = async (key: string, parts: object[]): Promise<{ status: number; body: Restored }> => {
	const { status, body } = await ask('POST', '/backup/restore/workspace', key, { parts });
	return { status, body: body as unknown as Restored };
};
const kinds = (parts: Part[]): string[] => [...new Set(parts.map(({ kind }) => kind))].toSorted();

/** A tenant with something of everything, and its parts. */
const furnished = async () => {
	const tenant = await newTenant();
	const member = await newMember(tenant.token, 'member');
	const made = await ask('POST', '/keys', tenant.token, { name: 'ci', scopes: ['jobs:read'] });
	await ask('PUT', `/workspaces/${tenant.ws}/limits`, undefined, { queued: 7 });
	await ask('POST', '/webhooks', tenant.token, { url: 'https://example.com/hook', events: ['job.*'] });
	await ask('PUT', '/alerts/rules', tenant.token, { quota: { share: 0.5 } });
	await ask('POST', '/resources/allocate', tenant.token, { images: 1 });
	return { tenant, member, keyId: made.body.id, keyText: made.body.key, parts: await partsOf(tenant.token) };
};

describe('the parts of a workspace', () => {
	it('hold everything, and nothing that opens anything', async () => {
		const { tenant, keyText, parts } = await furnished();
		expect(kinds(parts)).toEqual(['alert-rules', 'allocation', 'key', 'member', 'profile', 'usage', 'webhook']);
		const text = JSON.stringify(parts);
		expect(text).not.toContain(keyText);
		expect(text).not.toContain(keyText.split('_').at(-1));
		expect(text).not.toMatch(/whsec_|\$argon2|lk_|li_|lr_/);
		expect(parts.find(({ kind }) => kind === 'profile')).toMatchObject({ name: tenant.ws, limits: { queued: 7 } });
	});

	it('are refused outside a restore', async () => {
		const { tenant, parts } = await furnished();
		expect((await restore(tenant.token, parts)).status).toBe(409);
	});

	it('bring back what was lost; an admin gets no owner, no reserved scope and no other limits', async () => {
		const { tenant, member, keyId, keyText, parts } = await furnished();
		await ask('DELETE', `/workspaces/${tenant.ws}/members/${member.accountId}`, tenant.token);
		const admin = (await ask('POST', '/keys', tenant.token, { name: 'admin', scopes: ['admin'] })).body.key;
		expect((await ask('POST', '/backup/restore', admin)).status).toBe(201);
		const doctored = parts.map((part) => {
			if (part.kind === 'profile') return { ...part, limits: { queued: 100_000 } };
			return part.kind === 'key'
				? { ...part, id: `${String(part['id']).slice(0, 6)}zz`, scopes: ['jobs:read', 'operator', 'owner'] }
				: part;
		});
		const stranger = { ...parts.find(({ kind }) => kind === 'member'), email: 'someone@else.example' };
		const answer = await restore(admin, [...doctored, stranger]);
		expect(answer.status).toBe(200);
		expect(answer.body.sameSecret).toBe(true);
		// The member is asked, not taken; the owner and the stranger are left out.
		expect(answer.body.invited.map(({ email, role }) => [email, role])).toEqual([[member.email, 'member']]);
		expect(answer.body.left.join('\n')).toMatch(new RegExp(`owner ${tenant.email}.*\\n.*someone@else.example: the account is not`));
		const keys = (await ask('GET', '/keys', tenant.token)).body.data;
		expect(keys.find(({ id }) => id.endsWith('zz'))?.scopes).toEqual(['jobs:read']);
		expect(keys.find(({ id }) => id === keyId)).toBeDefined();
		expect((await ask('GET', '/jobs', keyText)).status).toBe(200);
		const workspace = await ask('GET', `/workspaces/${tenant.ws}`, tenant.token);
		expect(workspace.body.limits).toMatchObject({ queued: 7 });
		const link = answer.body.invited[0]!.url;
		const joined = await ask('POST', '/invitations/accept', member.token, { invitation: link.slice(link.indexOf('=') + 1) });
		expect(joined.status, JSON.stringify(joined.body)).toBe(401);
		const again = await ask('POST', '/auth/token', null, { grant: 'password', email: member.email, password: 'correct horse battery' });
		const accepted = await ask('POST', '/invitations/accept', again.body.accessToken, { invitation: link.slice(link.indexOf('=') + 1) });
		expect(accepted.body).toMatchObject({ workspaceId: tenant.ws, role: 'member' });
	});

	it('refuse what is no part, and jobs of others or that have ended', async () => {
		const { tenant, parts } = await furnished();
		await ask('POST', '/backup/restore', tenant.token);
		const row = { id: `job_${'0'.repeat(28)}`, ws: 'other', state: 'queued', images: [], spec: {} };
		expect((await restore(tenant.token, [{ kind: 'open-job', keyId: 'k', row }])).status).toBe(422);
		expect((await restore(tenant.token, [{ kind: 'open-job', keyId: 'k', row: { ...row, ws: tenant.ws, state: 'failed' } }])).status).toBe(
			422,
		);
		// Objects of other workspaces lie in the same bucket.
		const theirs = { ...row, ws: tenant.ws, spec: { inputKeys: { init: 'w/other/job/0/1-x.png' } } };
		expect((await restore(tenant.token, [{ kind: 'open-job', keyId: 'k', row: theirs }])).status).toBe(422);
		const image = { index: 0, key: 'w/other/job/0/1-x.png', sha256: '0'.repeat(64), bytes: 1, contentType: 'image/png' };
		const ended = { ...row, ws: tenant.ws, state: 'succeeded', images: [image] };
		const rows = await ask('POST', '/backup/restore/rows', tenant.token, { rows: [], jobs: [{ keyId: 'k', row: ended }] });
		expect([rows.status, rows.body.detail]).toEqual([422, expect.stringContaining('not of this workspace')]);
		// Nobody has checked these against quotas.
		const open = await restore(tenant.token, [{ kind: 'open-job', keyId: 'k', row: { ...row, ws: tenant.ws } }]);
		expect(open.body.left).toEqual([expect.stringContaining('open-job')]);
		expect((await ask('GET', '/jobs', tenant.token)).body.data).toEqual([]);
		expect((await restore(tenant.token, [{ ...parts[0], more: 1 }])).status).toBe(422);
		expect((await restore(tenant.token, [{ kind: 'password' }])).status).toBe(422);
		const hook = parts.find(({ kind }) => kind === 'webhook');
		const inside = await restore(tenant.token, [{ ...hook, id: `wh_${'1'.repeat(26)}`, url: 'http://127.0.0.1/' }]);
		expect(inside.body.left[0]).toContain('the address is refused');
	});
});
