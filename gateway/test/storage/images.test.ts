import { env } from 'cloudflare:workers';
import { imageId, type ImageView } from '@limner/shared';
import { describe, expect, it } from 'vitest';
import { signClaims } from '../../src/lib/sign.ts';
import { until } from '../pool/harness.ts';
import { rpcOf } from '../workspace/fixtures.ts';
import { call, callAs, grant, newWorkspace, problemOf, putResult, stored, type Granted } from './harness.ts';
import { makePng } from './pictures.ts';

const good = makePng({ width: 64, height: 64 });

const finished = async (): Promise<Granted & { id: string }> => {
	const granted = await grant();
	expect((await putResult(granted.task.ticket, good)).status).toBe(200);
	await until(async () => (await rpcOf(granted.ws).getJob(granted.jobId))?.state === 'succeeded', 'settlement');
	return { ...granted, id: imageId(granted.jobId, 0) };
};
const bytes = async (response: Response): Promise<Uint8Array> => new Uint8Array(await response.arrayBuffer());

describe('signed URLs', () => {
	it('serve bytes with a tag, ranges and safe headers, without a key', async () => {
		const { ws, id } = await finished();
		const metadata = await (await callAs(ws, `/api/v1/images/${id}/metadata`)).json<ImageView>();
		const path = new URL(metadata.url).pathname;
		const response = await call(path);
		expect(response.status).toBe(200);
		expect(Object.fromEntries(response.headers)).toMatchObject({
			'content-type': 'image/png',
			'content-length': String(good.length),
			'content-disposition': `inline; filename="${id}.png"`,
			'content-security-policy': "sandbox; default-src 'none'",
			'x-content-type-options': 'nosniff',
			'cache-control': expect.stringMatching(/^private, max-age=3[56]\d\d$/),
		});
		expect(await bytes(response)).toEqual(good);
		const etag = response.headers.get('etag')!;

		const cached = await call(path, { headers: { 'if-none-match': `"x", W/${etag}` } });
		expect([cached.status, (await bytes(cached)).length, cached.headers.get('etag')]).toEqual([304, 0, etag]);

		const head = await call(path, { method: 'HEAD' });
		expect([head.status, head.headers.get('content-length'), (await bytes(head)).length]).toEqual([200, String(good.length), 0]);

		const part = await call(path, { headers: { range: 'bytes=8-15' } });
		expect([part.status, part.headers.get('content-range'), part.headers.get('content-length')]).toEqual([
			206,
			`bytes 8-15/${good.length}`,
			'8',
		]);
		expect(await bytes(part)).toEqual(good.subarray(8, 16));
		const tail = await call(path, { headers: { range: 'bytes=-12', 'if-range': etag } });
		expect(await bytes(tail)).toEqual(good.subarray(-12));
		expect((await call(path, { headers: { range: 'bytes=0-1', 'if-range': '"other"' } })).status).toBe(200);
		const beyond = await call(path, { headers: { range: `bytes=${good.length}-` } });
		expect([beyond.status, beyond.headers.get('content-range')]).toEqual([416, `bytes */${good.length}`]);
	});

	it('end: expired, damaged, or without their object', async () => {
		const ticket = { k: 'object', ws: 'w', key: 'w/none', ct: 'image/png', exp: Date.now() + 60_000 } as const;
		const sign = (exp: number) => signClaims(env.LIMNER_SECRET, { ...ticket, exp });
		expect(await problemOf(await call(`/api/v1/objects/${sign(Date.now() - 1)}`))).toMatchObject({ status: 410, code: 'gone' });
		expect(await problemOf(await call(`/api/v1/objects/${sign(ticket.exp)}`))).toMatchObject({ status: 410, code: 'gone' });
		expect(await problemOf(await call(`/api/v1/objects/${sign(ticket.exp).slice(0, -2)}`))).toMatchObject({ status: 401 });
	});
});

describe('pictures of a workspace', () => {
	it('are served while the job is still open', async () => {
		const { ws, jobId, task } = await grant(2);
		expect((await putResult(task.ticket, good)).status).toBe(200);
		expect((await rpcOf(ws).getJob(jobId))!.images).toEqual([]);
		const response = await callAs(ws, `/api/v1/jobs/${jobId}/images/0`);
		expect(response.status).toBe(200);
		expect(await bytes(response)).toEqual(good);
		expect(response.headers.get('cache-control')).toBe('private, no-cache');
		expect(await problemOf(await callAs(ws, `/api/v1/jobs/${jobId}/images/1`))).toMatchObject({
			status: 404,
			detail: expect.stringMatching(/not made yet/),
		});
		expect(await problemOf(await callAs(ws, `/api/v1/jobs/${jobId}/images/2`))).toMatchObject({
			status: 404,
			detail: expect.stringMatching(/2 pictures/),
		});
		expect((await callAs(ws, `/api/v1/jobs/${jobId}/images/16`)).status).toBe(404);
		expect((await callAs(ws, `/api/v1/images/${imageId(jobId, 0)}`, { method: 'DELETE' })).status).toBe(409);
		expect(await stored(`w/${ws}/`)).toHaveLength(1);
	});

	it('are listed, shown, and removed for ever', async () => {
		const { ws, jobId, id } = await finished();
		const list = await (await callAs(ws, '/api/v1/images')).json<{ data: unknown[]; nextCursor: unknown }>();
		expect(list).toMatchObject({ data: [{ id, jobId, prompt: 'a fox', model: 'storybook', bytes: good.length }], nextCursor: null });
		const metadata = await (await callAs(ws, `/api/v1/images/${id}/metadata`)).json<ImageView>();
		expect(metadata).toMatchObject({ id, jobId, seed: 7, epoch: 1, request: { prompt: 'a fox', steps: 4 } });
		expect((await callAs(ws, `/api/v1/images/${id}`)).status).toBe(200);

		expect((await callAs(ws, `/api/v1/images/${id}`, { method: 'DELETE' })).status).toBe(204);
		expect(await stored(`w/${ws}/`)).toEqual([]);
		expect(await problemOf(await callAs(ws, `/api/v1/images/${id}`))).toMatchObject({ status: 410, code: 'gone' });
		expect((await callAs(ws, `/api/v1/jobs/${jobId}/images/0`)).status).toBe(410);
		expect((await call(new URL(metadata.url).pathname)).status).toBe(410);
		expect((await callAs(ws, `/api/v1/images/${id}`, { method: 'DELETE' })).status).toBe(204);
	});

	it('are nobody else’s, and need their scopes', async () => {
		const { id } = await finished();
		const other = await newWorkspace();
		expect((await callAs(other, `/api/v1/images/${id}`)).status).toBe(404);
		expect((await callAs(other, `/api/v1/images/${id}/metadata`)).status).toBe(404);
		expect((await callAs(other, `/api/v1/images/${id}`, { method: 'DELETE' })).status).toBe(404);
		expect((await call(`/api/v1/images/${id}`)).status).toBe(401);
		const reader = await newWorkspace(['images:read']);
		expect((await callAs(reader, `/api/v1/images/${id}`, { method: 'DELETE' })).status).toBe(403);
	});
});
