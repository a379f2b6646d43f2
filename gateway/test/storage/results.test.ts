import { env } from 'cloudflare:workers';
import { resultKey, resultMaxBytes } from '@limner/shared';
import { describe, expect, it } from 'vitest';
import { signClaims } from '../../src/lib/sign.ts';
import { poolOf } from '../../src/lib/stubs.ts';
import { until } from '../pool/harness.ts';
import { rpcOf } from '../workspace/fixtures.ts';
import { call, grant, inPieces, problemOf, putResult, sha256, stored } from './harness.ts';
import { bytesOf, concat, makeJpeg, makePng, pngBomb, rawRows } from './pictures.ts';

const good = makePng({ width: 64, height: 64 });
const meta = (value: unknown) => ({ 'x-limner-meta': Buffer.from(JSON.stringify(value)).toString('base64url') });

describe('the upload is the result', () => {
	it('accepts, records, settles, and accepts the same again', async () => {
		const { ws, jobId, node, task } = await grant();
		const warnings = [...Array.from({ length: 20 }, (_, i) => `w${i}`), 7];
		const response = await putResult(task.ticket, good, meta({ totalMs: 50, device: 'mock', warnings: ['x'.repeat(400), ...warnings] }));
		expect([response.status, await response.json()]).toEqual([200, { outcome: 'accepted' }]);
		const key = resultKey(ws, jobId, 0, 1, sha256(good), 'png');
		expect(await stored(`w/${ws}/`)).toEqual([key]);
		const object = await env.PICTURES.get(key);
		expect(new Uint8Array(await object!.arrayBuffer())).toEqual(good);
		expect(object!.httpMetadata?.contentType).toBe('image/png');
		expect(object!.checksums.toJSON().sha256).toBe(sha256(good));
		await until(async () => (await rpcOf(ws).getJob(jobId))?.state === 'succeeded', 'settlement');
		const image = (await rpcOf(ws).getJob(jobId))!.images[0]!;
		expect(image).toMatchObject({
			key,
			width: 64,
			height: 64,
			seed: 7,
			bytes: good.length,
			sha256: sha256(good),
			nodeId: node.identity.id,
		});
		expect(image.meta).toEqual({ totalMs: 50, device: 'mock', warnings: ['x'.repeat(300), ...warnings.slice(0, 15)] });
		expect((await putResult(task.ticket, good)).status).toBe(200);
		expect(await stored(`w/${ws}/`)).toEqual([key]);
	});

	it('keeps the accepted picture when the same attempt sends another one', async () => {
		const { ws, task } = await grant();
		expect((await putResult(task.ticket, good)).status).toBe(200);
		const kept = await stored(`w/${ws}/`);
		const other = makePng({ width: 64, height: 64, colourType: 6 });
		expect(await problemOf(await putResult(task.ticket, other))).toMatchObject({ status: 409, code: 'stale' });
		expect(await stored(`w/${ws}/`)).toEqual(kept);
	});

	it('takes a body in many pieces', async () => {
		const { ws, task } = await grant();
		expect((await putResult(task.ticket, good, {}, 7)).status).toBe(200);
		const [key = ''] = await stored(`w/${ws}/`);
		expect(new Uint8Array(await (await env.PICTURES.get(key))!.arrayBuffer())).toEqual(good);
		// The key exists now: R2 answers before it has read the body, and the upload is accepted all the same.
		expect((await putResult(task.ticket, good, {}, 7)).status).toBe(200);
	});

	it('goes on from a key that a request wrote before it died', async () => {
		const { ws, jobId, task } = await grant();
		await env.PICTURES.put(resultKey(ws, jobId, 0, 1, sha256(good), 'png'), good, { sha256: sha256(good) });
		expect((await putResult(task.ticket, good)).status).toBe(200);
	});

	it('takes unreadable metadata as a warning', async () => {
		const { ws, jobId, task } = await grant();
		expect((await putResult(task.ticket, good, { 'x-limner-meta': '!!!' })).status).toBe(200);
		await until(async () => (await rpcOf(ws).getJob(jobId))?.state === 'succeeded', 'settlement');
		expect((await rpcOf(ws).getJob(jobId))!.images[0]!.meta).toEqual({ warnings: ['the metadata of the node could not be read'] });
	});
});

describe('refuses the content, stores nothing, and has the task tried again', () => {
	const corrupt = makePng({ width: 64, height: 64, idat: concat([0x78, 0x9c], new Uint8Array(300).fill(0xee)) });
	const noisy = rawRows(64, 64);
	for (let y = 0; y < 64; y++) crypto.getRandomValues(noisy.subarray(y * 193 + 1, (y + 1) * 193));
	const big = makePng({ width: 64, height: 64, raw: noisy });
	const cases: [string, Uint8Array, Record<string, string>, RegExp][] = [
		['a wrong hash', good, { 'x-content-sha256': '0'.repeat(64) }, /SHA-256/],
		['no hash', good, { 'x-content-sha256': '' }, /X-Content-SHA256/],
		['a cut-off file', good.subarray(0, -20), {}, /ends inside/],
		['a cut-off large file', big.subarray(0, -20), {}, /ends inside/],
		['fewer bytes than announced', good, { 'content-length': String(good.length + 1) }, /announced/],
		['more bytes than announced', good, { 'content-length': String(good.length - 1) }, /announced/],
		['too many bytes', concat(good, new Uint8Array(resultMaxBytes(64, 64))), {}, /at most/],
		['text', bytesOf('not a picture at all'), {}, /no PNG, JPEG or WebP/],
		['an empty body', new Uint8Array(0), {}, /empty/],
		['a JPEG that is called PNG', makeJpeg({ width: 64, height: 64 }), {}, /image\/jpeg/],
		['a content type that was not ordered', good, { 'content-type': 'image/webp' }, /Content-Type/],
		['a valid header with corrupt data', corrupt, {}, /damaged/],
		['a wrong checksum', good.with(60, (good[60] ?? 0) ^ 1), {}, /checksum/],
		['another size', makePng({ width: 72, height: 64 }), {}, /64×64 was ordered/],
		['interlacing', makePng({ width: 64, height: 64, interlace: 1 }), {}, /interlaced/],
		['a bomb', pngBomb(64, 64, 32 * 1024 * 1024), {}, /more rows/],
		['trailing data', concat(good, [0]), {}, /after the IEND/],
	];
	it.each(cases.flatMap(([name, ...rest]) => [undefined, 50].map((piece) => [name, piece, ...rest] as const)))(
		'%s (pieces of %s bytes)',
		async (_name, piece, body, headers, words) => {
			const { ws, jobId, task } = await grant();
			const answer = await problemOf(await putResult(task.ticket, body, headers, piece));
			expect(answer).toMatchObject({ status: 422, code: 'result_refused' });
			expect(answer.detail).toMatch(words);
			expect(await stored(`w/${ws}/`)).toEqual([]);
			const view = await poolOf(env, 0).view(ws, jobId);
			expect(view!.tasks[0]!.failures).toMatchObject([{ class: 'engine', message: expect.stringMatching(words) }]);
		},
	);
});

describe('refuses the request', () => {
	it('without a length', async () => {
		const { ws, task } = await grant();
		const response = await call(`/api/v1/results/${task.ticket}`, {
			method: 'PUT',
			body: good,
			headers: { 'content-type': 'image/png', 'x-content-sha256': sha256(good) },
		});
		expect(await problemOf(response)).toMatchObject({ status: 411, code: 'length_required' });
		expect(await stored(`w/${ws}/`)).toEqual([]);
	});
	it('with a forged, foreign or expired ticket', async () => {
		const { ws, task, claims } = await grant();
		const [payload = '', mac = ''] = task.ticket.split('.');
		const forged = Buffer.from(JSON.stringify({ ...claims, i: 1 })).toString('base64url');
		expect(await problemOf(await putResult(`${forged}.${mac}`, good))).toMatchObject({ status: 401, code: 'unauthorized' });
		expect((await putResult(payload, good)).status).toBe(401);
		expect((await putResult(signClaims('another secret of at least 32 chars', claims), good)).status).toBe(401);
		const object = signClaims(env.LIMNER_SECRET, { k: 'object', ws, key: 'x', ct: 'image/png', exp: Date.now() + 1000 });
		expect((await putResult(object, good)).status).toBe(401);
		const expired = signClaims(env.LIMNER_SECRET, { ...claims, exp: Date.now() - 1 });
		expect(await problemOf(await putResult(expired, good))).toMatchObject({ status: 410, code: 'gone' });
		expect(await stored(`w/${ws}/`)).toEqual([]);
	});
	it("with another attempt's ticket, and removes what it wrote", async () => {
		const { ws, claims } = await grant();
		for (const stale of [
			{ ...claims, e: 7 },
			{ ...claims, node: 'node_other' },
		]) {
			const answer = await problemOf(await putResult(signClaims(env.LIMNER_SECRET, stale), good));
			expect(answer).toMatchObject({ status: 409, code: 'stale' });
			expect(await stored(`w/${ws}/`)).toEqual([]);
		}
	});
	it('with a ticket of a job that nobody knows', async () => {
		const { ws, claims } = await grant();
		const unknown = signClaims(env.LIMNER_SECRET, { ...claims, job: `${claims.job.slice(0, -6)}zzzz00` });
		expect((await putResult(unknown, good)).status).toBe(410);
		expect(await stored(`w/${ws}/`)).toEqual([]);
	});
	it('when the body breaks off, and accepts the repeat', async () => {
		const { ws, task } = await grant();
		const response = await call(`/api/v1/results/${task.ticket}`, {
			method: 'PUT',
			body: inPieces(good, 20, good.length / 2),
			headers: { 'content-type': 'image/png', 'content-length': String(good.length), 'x-content-sha256': sha256(good) },
		});
		expect(response.status).toBe(503);
		expect(await stored(`w/${ws}/`)).toEqual([]);
		expect((await putResult(task.ticket, good)).status).toBe(200);
	});
});
