/** Direct uploads, with R2's binding for the bucket: what the presigned PUT does there is done by hand. */
import { env } from 'cloudflare:workers';
import { resultKey } from '@limner/shared';
import { describe, expect, it } from 'vitest';
import { createApp } from '../../src/app.ts';
import { signClaims } from '../../src/lib/sign.ts';
import { until } from '../pool/harness.ts';
import { rpcOf } from '../workspace/fixtures.ts';
import { grant, problemOf, sha256, stored, type Granted } from './harness.ts';
import { makePng } from './pictures.ts';

const S3 = {
	S3_ENDPOINT: 'https://account.r2.cloudflarestorage.com',
	S3_BUCKET: 'limner-pictures',
	S3_REGION: 'auto',
	S3_ACCESS_KEY_ID: 'key',
	S3_SECRET_ACCESS_KEY: 'secret',
};
const direct = { ...env, ...S3, RESULT_UPLOAD: 'direct' };
const app = createApp();
const good = makePng({ width: 64, height: 64 });
const body = (bytes: Uint8Array, change: Record<string, unknown> = {}) => ({
	sha256: sha256(bytes),
	bytes: bytes.length,
	contentType: 'image/png',
	...change,
});
const tell = (ticket: string, what: 'url' | 'done', json: unknown, where: object = direct): Promise<Response> =>
	Promise.resolve(
		app.request(
			`http://limner.test/api/v1/results/${ticket}/${what}`,
			{ method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(json) },
			where,
		),
	);
const keyOf = ({ ws, jobId }: Granted, bytes: Uint8Array): string => resultKey(ws, jobId, 0, 1, sha256(bytes), 'png');

describe('an address for a direct upload', () => {
	it('binds key, length, type and hash, creates only, and ends', async () => {
		const granted = await grant();
		const answer = await tell(granted.task.ticket, 'url', body(good));
		const address = await answer.json<{ mode: string; url: string; headers: Record<string, string>; expiresInMs: number }>();
		expect([answer.status, address.mode, address.expiresInMs]).toEqual([200, 'direct', 900_000]);
		const url = new URL(address.url);
		expect(url.origin + url.pathname).toBe(`${S3.S3_ENDPOINT}/${S3.S3_BUCKET}/${keyOf(granted, good)}`);
		expect(url.searchParams.get('X-Amz-Expires')).toBe('900');
		expect(url.searchParams.get('X-Amz-SignedHeaders')?.split(';')).toEqual(
			expect.arrayContaining(['content-length', 'content-type', 'host', 'if-none-match', 'x-amz-checksum-sha256']),
		);
		expect(address.headers).toMatchObject({ 'if-none-match': '*', 'content-type': 'image/png' });
		expect(address.url).not.toContain(S3.S3_SECRET_ACCESS_KEY);
	});

	it('is not given where it is not offered, nor when the ticket is about to end', async () => {
		const { task, claims } = await grant();
		expect(await (await tell(task.ticket, 'url', body(good), env)).json()).toEqual({ mode: 'worker' });
		const soon = signClaims(env.LIMNER_SECRET, { ...claims, exp: Date.now() + 10 * 60_000 });
		expect(await (await tell(soon, 'url', body(good))).json()).toEqual({ mode: 'worker' });
		const report = signClaims(env.LIMNER_SECRET, { ...claims, ct: 'application/json' });
		expect(await (await tell(report, 'url', body(good))).json()).toEqual({ mode: 'worker' });
		expect((await tell(report, 'done', body(good))).status).toBe(409);
	});

	it('needs a ticket of this gateway that has not ended, and settings that are whole', async () => {
		const { task, claims } = await grant();
		for (const what of ['url', 'done'] as const) {
			expect((await tell('forged.ticket', what, body(good))).status).toBe(401);
			expect((await tell(signClaims(env.LIMNER_SECRET, { ...claims, exp: Date.now() - 1 }), what, body(good))).status).toBe(410);
			for (const wrong of [{}, { ...body(good), bytes: 0 }, { ...body(good), more: 1 }, { ...body(good), meta: 'x'.repeat(3000) }])
				expect((await tell(task.ticket, what, wrong)).status).toBe(422);
		}
		const half = await tell(task.ticket, 'url', body(good), { ...direct, S3_SECRET_ACCESS_KEY: '' });
		expect(await problemOf(half)).toMatchObject({ status: 503, code: 'not_ready' });
	});

	it('is refused for what the ticket does not allow, which fails the attempt', async () => {
		for (const change of [{ bytes: 10 ** 7 }, { contentType: 'image/webp' }, { sha256: 'ab' }]) {
			const { task } = await grant();
			expect(await problemOf(await tell(task.ticket, 'url', body(good, change)))).toMatchObject({ status: 422, code: 'result_refused' });
		}
	});
});

describe('a picture that lies in the bucket', () => {
	it('becomes the result once it is verified, and the same for every repeat', async () => {
		const granted = await grant();
		await env.PICTURES.put(keyOf(granted, good), good);
		const meta = Buffer.from(JSON.stringify({ device: 'mock' })).toString('base64url');
		for (let i = 0; i < 2; i++) {
			const answer = await tell(granted.task.ticket, 'done', body(good, { meta }));
			expect([answer.status, await answer.json()]).toEqual([200, { outcome: 'accepted' }]);
		}
		await until(async () => (await rpcOf(granted.ws).getJob(granted.jobId))?.state === 'succeeded', 'settlement');
		const image = (await rpcOf(granted.ws).getJob(granted.jobId))?.images[0];
		expect(image).toMatchObject({ key: keyOf(granted, good), direct: true, bytes: good.length, meta: { device: 'mock' } });
	});

	it('is asked for again while it is not there', async () => {
		const { task } = await grant();
		expect(await problemOf(await tell(task.ticket, 'done', body(good)))).toMatchObject({ status: 503, code: 'retry_later' });
	});

	it.each<[string, Uint8Array]>([
		['other bytes of the same length', good.map((byte, i) => (i === good.length - 20 ? byte ^ 0xff : byte))],
		['too few bytes', good.slice(0, -1)],
		['too many', Uint8Array.from([...good, 0])],
		['another size', makePng({ width: 32, height: 64 })],
		['nothing', new Uint8Array()],
	])('is refused and removed when it is %s', async (_name, bytes) => {
		const granted = await grant();
		await env.PICTURES.put(keyOf(granted, good), bytes);
		expect(await problemOf(await tell(granted.task.ticket, 'done', body(good)))).toMatchObject({ status: 422, code: 'result_refused' });
		expect(await stored(`w/${granted.ws}/`)).toEqual([]);
	});
});
