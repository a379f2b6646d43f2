import { BODY_LIMITS } from '@limner/shared';
import { describe, expect, it } from 'vitest';
import { count } from '../workspace/fixtures.ts';
import { call, callAs, inPieces, newWorkspace, problemOf, sha256, stored } from './harness.ts';
import { bytesOf, chunk, concat, makePng, pngBomb, riff, vp8lChunk } from './pictures.ts';

const png = makePng({ width: 30, height: 20, depth: 16 });
const post = (ws: string, body: BodyInit, headers: Record<string, string> = { 'content-type': 'image/png' }) =>
	callAs(ws, '/api/v1/assets', { method: 'POST', body, headers });
const raw = (bytes: Uint8Array, type = 'image/png') => ({ 'content-type': type, 'content-length': String(bytes.length) });

interface Asset {
	id: string;
	url: string;
	expiresAt: string;
}

describe('POST /api/v1/assets', () => {
	it('stores a picture and gives it back', async () => {
		const ws = await newWorkspace();
		const response = await post(ws, png, raw(png));
		expect(response.status).toBe(201);
		const asset = await response.json<Asset>();
		expect(asset).toMatchObject({ bytes: png.length, contentType: 'image/png', width: 30, height: 20, sha256: sha256(png) });
		expect(response.headers.get('location')).toBe(`/api/v1/assets/${asset.id}`);
		expect(await stored(`a/${ws}/`)).toEqual([`a/${ws}/${asset.id}`]);
		const again = await (await callAs(ws, `/api/v1/assets/${asset.id}`)).json<Asset>();
		expect(again).toMatchObject({ id: asset.id, expiresAt: asset.expiresAt });
		const served = await call(new URL(again.url).pathname);
		expect(served.headers.get('content-disposition')).toBe(`inline; filename="${asset.id}.png"`);
		expect(new Uint8Array(await served.arrayBuffer())).toEqual(png);
		const other = await newWorkspace();
		expect((await callAs(other, `/api/v1/assets/${asset.id}`)).status).toBe(404);
	});
	it('takes forms, bodies without a length, and what the bytes say over what the header says', async () => {
		const ws = await newWorkspace();
		const form = new FormData();
		form.set('file', new File([png], 'a.png', { type: 'image/png' }));
		const encoded = new Response(form);
		const type = encoded.headers.get('content-type')!;
		const sent = await post(ws, await encoded.arrayBuffer(), { 'content-type': type });
		expect([sent.status, (await sent.json<{ sha256: string }>()).sha256]).toEqual([201, sha256(png)]);
		expect((await post(ws, png, { 'content-type': 'application/octet-stream' })).status).toBe(201);
		const webp = riff(vp8lChunk(12, 9));
		const named = await post(ws, webp, raw(webp));
		expect(await named.json()).toMatchObject({ contentType: 'image/webp', width: 12, height: 9 });
		expect(await stored(`a/${ws}/`)).toHaveLength(3);
	});
	const cases: [string, Uint8Array, number, string, RegExp][] = [
		['text', bytesOf('hello'), 415, 'unsupported_media_type', /no PNG, JPEG or WebP/],
		['SVG', bytesOf('<svg/>'), 415, 'unsupported_media_type', /no PNG, JPEG or WebP/],
		['nothing', new Uint8Array(0), 422, 'validation_failed', /empty/],
		['a cut-off picture', png.subarray(0, -5), 422, 'validation_failed', /ends inside/],
		['a bomb', pngBomb(30, 20, 32 * 1024 * 1024), 422, 'validation_failed', /more rows/],
		['a wrong checksum', png.with(20, (png[20] ?? 0) ^ 1), 422, 'validation_failed', /checksum/],
		['animation', makePng({ width: 8, height: 8, before: [chunk('acTL', new Uint8Array(8))] }), 422, 'validation_failed', /Animated/],
		['a side too long', makePng({ width: 4097, height: 1 }), 422, 'validation_failed', /at most 4096/],
	];
	it.each(cases.flatMap(([name, ...rest]) => [undefined, 40].map((piece) => [name, piece, ...rest] as const)))(
		'refuses %s (pieces of %s bytes) and stores nothing',
		async (_name, piece, body, status, code, words) => {
			const ws = await newWorkspace();
			const answer = await problemOf(await post(ws, piece === undefined ? body : inPieces(body, piece), raw(body)));
			expect(answer).toMatchObject({ status, code });
			expect(answer.detail).toMatch(words);
			expect([await stored(`a/${ws}/`), await count(ws, 'assets')]).toEqual([[], 0]);
		},
	);
	it('refuses what is too large, by its header and by its bytes', async () => {
		const ws = await newWorkspace();
		const padding = chunk('tEXt', new Uint8Array(BODY_LIMITS.assetBytes - makePng({ width: 8, height: 8, after: [chunk('tEXt')] }).length));
		const largest = makePng({ width: 8, height: 8, after: [padding] });
		expect(largest.length).toBe(BODY_LIMITS.assetBytes);
		expect((await post(ws, largest, raw(largest))).status).toBe(201);
		const larger = concat(largest, [0]);
		expect((await post(ws, larger, raw(larger))).status).toBe(413);
		expect((await post(ws, larger)).status).toBe(413);
		expect((await post(ws, png, { 'content-type': 'image/png', 'content-length': '20971521' })).status).toBe(413);
		expect(await stored(`a/${ws}/`)).toHaveLength(1);
	});
	it('refuses other content types, forms without a file, and keys without the scope', async () => {
		const ws = await newWorkspace();
		expect((await post(ws, png, { 'content-type': 'application/x-www-form-urlencoded' })).status).toBe(415);
		const form = new FormData();
		form.set('file', 'text');
		const encoded = new Response(form);
		const answer = await post(ws, await encoded.arrayBuffer(), { 'content-type': encoded.headers.get('content-type')! });
		expect(await problemOf(answer)).toMatchObject({ status: 422, detail: expect.stringMatching(/field "file"/) });
		expect((await post(ws, bytesOf('--x'), { 'content-type': 'multipart/form-data; boundary=y' })).status).toBe(400);
		const reader = await newWorkspace(['images:read']);
		expect((await post(reader, png, raw(png))).status).toBe(403);
		expect((await call('/api/v1/assets', { method: 'POST', body: png, headers: raw(png) })).status).toBe(401);
		expect(await stored(`a/${ws}/`)).toEqual([]);
	});
});
