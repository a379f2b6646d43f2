import { env } from 'cloudflare:workers';
import { imageId } from '@limner/shared';
import { afterEach, describe, expect, it, vi } from 'vitest';
import { registryOf } from '../../src/lib/stubs.ts';
import { complete, imageFor, until } from '../pool/harness.ts';
import { ask, newTenant } from '../tenancy/harness.ts';
import { addKey, call, cleanUp, countRows, joinNode, pool, problemOf, submit, viewOf, WS } from './harness.ts';

afterEach(async () => {
	vi.restoreAllMocks();
	await cleanUp();
});

const finished = async (): Promise<{ jobId: string; id: string; key: string }> => {
	const node = await joinNode();
	const { id } = await submit();
	const task = await node.frame('task');
	node.ack(task);
	node.generated(task);
	const { key } = imageFor(WS, task, node.identity.id);
	await env.PICTURES.put(key, 'bytes');
	expect(await complete(pool(), node, task, WS)).toBe('accepted');
	await until(async () => (await viewOf(await call(`/api/v1/jobs/${id}`))).state === 'succeeded', 'settlement');
	return { jobId: id, id: imageId(id, 0), key };
};
interface Report {
	id: string;
	imageId: string;
	imageUrl?: string;
	state: string;
	workspaceId: string;
}
const report = async (id: string, json: object = { reason: 'person', detail: 'my neighbour' }, key?: string): Promise<Response> =>
	call(`/api/v1/images/${id}/report`, { json, ...(key === undefined ? {} : { key }) });
const reports = async (query = ''): Promise<Report[]> => (await (await call(`/api/v1/reports${query}`)).json<{ data: Report[] }>()).data;
const registry = () => registryOf(env);
const takeDown = (id: string, json: object = { reason: 'it shows a neighbour' }, key?: string): Promise<Response> =>
	call(`/api/v1/images/${id}/takedown`, { json, ...(key === undefined ? {} : { key }) });

describe('reports', () => {
	it('are listed with a look at the picture, raise an alert, and are dismissed', async () => {
		const { id } = await finished();
		const made = await (await report(id)).json<Report>();
		expect(made).toMatchObject({ imageId: id, state: 'open', workspaceId: WS });
		// The same caller again: the same report.
		expect((await (await report(id, { reason: 'other' })).json<Report>()).id).toBe(made.id);
		let url: string | undefined;
		await until(async () => {
			url = (await reports('?state=open')).find((each) => each.id === made.id)?.imageUrl;
			return url !== undefined;
		}, 'the settled row');
		const path = new URL(url!).pathname;
		expect(await (await call(path, { key: null })).text()).toBe('bytes');
		await until(async () => {
			const { data } = await (await call('/api/v1/alerts?state=raised')).json<{ data: { kind: string; subject: string }[] }>();
			return data.some((alert) => alert.kind === 'report' && alert.subject === id);
		}, 'the alert');
		const dismissed = await (await call(`/api/v1/reports/${made.id}/dismiss`, { json: { note: 'he agreed' } })).json<Report>();
		expect(dismissed).toMatchObject({ state: 'dismissed', note: 'he agreed', decidedBy: 'key:boot' });
		expect((await reports('?state=open')).some((each) => each.id === made.id)).toBe(false);
		const { data } = await (await call(`/api/v1/audit?target=${id}`)).json<{ data: { action: string }[] }>();
		expect(data.map(({ action }) => action)).toContain('image.report');
	}, 60_000);

	it('of another workspace raise an alert of the operator too, by webhook, and of nobody else', async () => {
		const [tenant, third] = [await newTenant(), await newTenant()];
		const sent: string[] = [];
		vi.spyOn(globalThis, 'fetch').mockImplementation(async (_url, init) => {
			sent.push(init?.body as string);
			return new Response();
		});
		await call('/api/v1/webhooks', { json: { url: 'https://ops.example.com/alerts', events: ['alert.*'] } });
		const made = await registry().addReport({ ws: tenant.ws, imageId: `img_${tenant.ws}`, reason: 'minors', detail: '', who: 'key:k' });
		if (!made.ok) throw new Error(made.detail);
		const alertsOf = async (key?: string) => {
			const { data } = (await ask('GET', '/alerts?state=raised', key)).body as unknown as { data: Record<string, string>[] };
			return data.filter(({ subject }) => subject === `img_${tenant.ws}`);
		};
		await until(async () => (await alertsOf()).length === 1, 'the alert of the operator');
		expect(await alertsOf()).toMatchObject([
			{ kind: 'report', severity: 'P2', title: `A picture of the workspace ${tenant.ws} was reported: minors` },
		]);
		expect((await alertsOf())[0]?.['detail']).toContain(`"workspaceId": "${tenant.ws}"`);
		expect(await alertsOf(tenant.token)).toMatchObject([{ kind: 'report', title: 'A picture was reported: minors' }]);
		expect(await alertsOf(third.token)).toEqual([]);
		await until(() => Promise.resolve(sent.some((body) => body.includes('alert.raised') && body.includes(made.report.id))), 'the webhook');
		expect((await ask('POST', `/reports/${made.report.id}/dismiss`, undefined, {})).status).toBe(200);
	}, 60_000);

	it('need a picture that is there, and the right to see it', async () => {
		const { id } = await finished();
		expect((await report(id, { reason: 'ugly' })).status).toBe(422);
		expect((await report(id, { reason: 'other' }, await addKey('rep1', ['jobs:read']))).status).toBe(403);
		expect((await report(imageId(`job_${'0'.repeat(28)}`, 0))).status).toBe(404);
		const other = await newTenant();
		expect((await report(id, { reason: 'other' }, other.token)).status).toBe(404);
	});
});

describe('takedowns', () => {
	it('remove bytes of all attempts and the row’s picture, answer 451, and are in the ledger', async () => {
		const { jobId, id, key } = await finished();
		const stray = key.replace(/\/\d+-/, '/9-');
		await env.PICTURES.put(stray, 'of another attempt');
		const metadata = await (await call(`/api/v1/images/${id}/metadata`)).json<{ url: string }>();
		await report(id);
		const answer = await takeDown(id);
		expect(await answer.json()).toEqual({ imageId: id, workspaceId: WS, removedObjects: 2, closedReports: 1 });
		expect([await env.PICTURES.head(key), await env.PICTURES.head(stray)]).toEqual([null, null]);
		for (const path of [`/api/v1/images/${id}`, `/api/v1/images/${id}/metadata`, `/api/v1/jobs/${jobId}/images/0`]) {
			expect(await problemOf(await call(path))).toMatchObject({
				status: 451,
				code: 'taken_down',
				detail: expect.stringContaining('it shows a neighbour'),
			});
		}
		expect((await call(new URL(metadata.url).pathname, { key: null })).status).toBe(410);
		const view = await viewOf(await call(`/api/v1/jobs/${jobId}`));
		expect(view.images).toEqual([]);
		const { data } = await (await call(`/api/v1/audit?target=${id}`)).json<{ data: { action: string; who: string }[] }>();
		expect(data).toContainEqual(expect.objectContaining({ action: 'image.takedown', who: 'key:boot' }));
		// Again: nothing changes, and nothing fails.
		const rows = await countRows('takedowns');
		expect((await takeDown(id)).status).toBe(200);
		expect(await countRows('takedowns')).toBe(rows);
		const restored = await call(`/api/v1/backup/pictures/${jobId}/0`, { method: 'PUT', body: 'bytes' });
		expect([404, 451]).toContain(restored.status);
	}, 60_000);

	it('are for admins of the workspace and for the operator only', async () => {
		const { id } = await finished();
		expect((await takeDown(id, undefined, await addKey('rep2', ['images:write']))).status).toBe(403);
		const other = await newTenant();
		expect((await takeDown(id, undefined, other.token)).status).toBe(404);
		expect((await takeDown(id, { reason: 'x', workspaceId: WS }, other.token)).status).toBe(404);
		expect((await takeDown(id, { reason: '' })).status).toBe(422);
		const open = await submit();
		expect((await takeDown(imageId(open.id, 0))).status).toBe(409);
		expect((await takeDown(imageId(`job_${'0'.repeat(28)}`, 0), { reason: 'x', workspaceId: other.ws })).status).toBe(404);
		const list = await ask('GET', '/reports', other.token);
		expect([list.status, list.body.data]).toEqual([200, []]);
		expect((await ask('GET', `/reports?workspaceId=${WS}`, other.token)).body.data).toEqual([]);
	}, 60_000);
});
