/**
 * The contract of the storage port, the same for every implementation. R2's binding is always tried; the S3 endpoint where there is
 * one (`npm run test:storage`).
 */
import { env } from 'cloudflare:workers';
import { createHash } from 'node:crypto';
import { describe, expect, it, vi } from 'vitest';
import { createApp } from '../../src/app.ts';
import { objectUrl } from '../../src/lib/views.ts';
import { storageOf, StorageError, type Storage, type StorageEnv } from '../../src/storage/index.ts';
import { removeOlder } from '../../src/storage/port.ts';
import { putVerified } from '../../src/storage/put.ts';
import { presignPut } from '../../src/storage/s3/s3.ts';
import { s3Config, type S3Variables } from '../../src/storage/s3/config.ts';
import { inPieces } from './harness.ts';
import { makePng } from './pictures.ts';

/** Variables of the S3 server, put there by vitest.config.ts. */
const testS3 = JSON.parse((env as { TEST_S3?: string }).TEST_S3 ?? 'null') as S3Variables | null;
const R2_ENV: StorageEnv = { ...env, STORAGE: 'r2' };
const S3_ENV: StorageEnv | undefined = testS3 === null ? undefined : { ...env, ...testS3, STORAGE: 's3' };
const STORES: [string, StorageEnv][] = [['R2', R2_ENV], ...(S3_ENV === undefined ? [] : [['S3', S3_ENV] satisfies [string, StorageEnv]])];

const text = (words: string): Uint8Array<ArrayBuffer> => Uint8Array.from(new TextEncoder().encode(words));
const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const read = async (storage: Storage, key: string, range?: { offset: number; length: number }): Promise<string | null> => {
	const object = await storage.get(key, range);
	return object === null ? null : new Response(object.body).text();
};
const kindOf = (error: unknown): string => (error instanceof StorageError ? error.kind : `no StorageError: ${String(error)}`);
const failure = async (work: Promise<unknown>): Promise<string> => work.then(() => 'none', kindOf);
let runs = 0;
const fresh = (): string => `t/${Date.now()}-${++runs}`;

describe.each(STORES)('%s', (name, storeEnv) => {
	const storage = storageOf(storeEnv);

	it('keeps bytes, type and metadata, and tells about them', async () => {
		const key = `${fresh()}/a b+c(1)'ü.bin`;
		const before = Date.now();
		expect(await storage.put(key, text('hello'), { contentType: 'image/png', metadata: { seed: '7' } })).toBe(true);
		const head = await storage.head(key);
		expect(head).toMatchObject({ key, size: 5, contentType: 'image/png', metadata: { seed: '7' } });
		expect(head?.etag).toMatch(/^".+"$/);
		expect(Math.abs((head?.uploaded.getTime() ?? 0) - before)).toBeLessThan(60_000);
		const object = await storage.get(key);
		expect(object).toMatchObject({ key, size: 5, etag: head?.etag, contentType: 'image/png', metadata: { seed: '7' } });
		expect(await new Response(object?.body).text()).toBe('hello');
	});

	it('reads parts, and knows the size of the whole', async () => {
		const key = fresh();
		await storage.put(key, text('0123456789'));
		expect((await storage.get(key, { offset: 2, length: 3 }))?.size).toBe(10);
		expect(await read(storage, key, { offset: 2, length: 3 })).toBe('234');
		expect(await read(storage, key, { offset: 9, length: 1 })).toBe('9');
	});

	it('answers null for what is not there, and deletes it without complaint', async () => {
		const key = fresh();
		expect([await storage.head(key), await storage.get(key), await read(storage, key)]).toEqual([null, null, null]);
		await storage.delete(key);
		await storage.delete([]);
		await storage.delete([key, `${key}-2`]);
	});

	it('replaces without a fence, and never with one', async () => {
		const key = fresh();
		expect(await storage.put(key, text('one'))).toBe(true);
		expect(await storage.put(key, text('two'))).toBe(true);
		expect(await storage.put(key, text('three'), { createOnly: true })).toBe(false);
		expect(await read(storage, key)).toBe('two');
	});

	it('lets exactly one of many writers create a key, and keeps that one', async () => {
		const key = fresh();
		const bodies = Array.from({ length: 16 }, (_, i) => text(`writer ${i} `.repeat(2000)));
		const won = await Promise.all(bodies.map((body) => storage.put(key, body, { createOnly: true, sha256: sha256(body) })));
		expect(won.filter(Boolean)).toHaveLength(1);
		expect(await read(storage, key)).toBe(new TextDecoder().decode(bodies[won.indexOf(true)]));
	});

	it('refuses bytes that are not the announced ones, and stores nothing of them', async () => {
		const key = fresh();
		expect(await failure(storage.put(key, text('hello'), { createOnly: true, sha256: sha256(text('other')) }))).toBe('checksum');
		expect(await storage.head(key)).toBeNull();
	});

	it('knows the SHA-256 of what was announced', async () => {
		const key = fresh();
		await storage.put(key, text('hello'), { sha256: sha256(text('hello')) });
		expect((await storage.head(key))?.sha256).toBe(sha256(text('hello')));
	});

	it('takes streams of known length, and nothing of a stream that breaks', async () => {
		const key = fresh();
		const put = async (body: ReadableStream<Uint8Array>, length: number): Promise<string | boolean> => {
			const fixed = new FixedLengthStream(length);
			const piped = body.pipeTo(fixed.writable).catch(() => undefined);
			const outcome = await storage.put(key, { stream: fixed.readable, length }, { createOnly: true }).catch(kindOf);
			await piped;
			return outcome;
		};
		const bytes = new Uint8Array(300_000).fill(7);
		expect(await put(inPieces(bytes, 10_000, 100_000), bytes.length)).toBe('unavailable');
		expect(await storage.head(key)).toBeNull();
		expect(await put(inPieces(bytes, 10_000), bytes.length)).toBe(true);
		expect((await storage.head(key))?.size).toBe(bytes.length);
	});

	it('verifies pictures while they pass: bad ones leave nothing, good ones are kept once', async () => {
		const key = fresh();
		const good = makePng({ width: 16, height: 16 });
		const put = (body: Uint8Array, announced = sha256(good)) => {
			const rules = {
				kinds: ['png' as const],
				size: { width: 16, height: 16 },
				maxBytes: 8192,
				maxPx: 16,
				profile: 'result' as const,
				sha256: announced,
			};
			return putVerified(storage, { key, bytes: body.length, sha256: announced, contentType: 'image/png', rules }, inPieces(body, 50));
		};
		const bad = good.slice();
		bad[bad.length - 20] = (bad[bad.length - 20] ?? 0) ^ 0xff;
		expect(await put(bad, sha256(bad))).toMatchObject({ kind: 'refused' });
		expect(await put(good, '00'.repeat(32))).toMatchObject({ kind: 'refused' });
		expect(await storage.head(key)).toBeNull();
		expect(await put(good)).toMatchObject({ kind: 'stored', created: true });
		expect(await put(good)).toMatchObject({ kind: 'stored', created: false });
	});

	it('lists below a prefix, in order and page by page', async () => {
		const prefix = `${fresh()}/`;
		const keys = Array.from({ length: 7 }, (_, i) => `${prefix}${i} &<ü>`);
		await Promise.all(keys.toReversed().map((key) => storage.put(key, text('x'))));
		await storage.put(`${prefix.slice(0, -1)}0/other`, text('x'));
		const seen: string[] = [];
		let cursor: string | undefined;
		let pages = 0;
		do {
			const page = await storage.list({ prefix, limit: 3, ...(cursor === undefined ? {} : { cursor }) });
			seen.push(...page.objects.map(({ key }) => key));
			({ cursor } = page);
			pages++;
		} while (cursor !== undefined);
		expect([seen, pages]).toEqual([keys, 3]);
		expect((await storage.list({ prefix })).objects[0]).toMatchObject({ size: 1 });
		await storage.delete(keys);
		expect(await storage.list({ prefix })).toEqual({ objects: [] });
		expect((await storage.list({ prefix: prefix.slice(0, -1) })).objects).toHaveLength(1);
	});

	it('removes what is older than a time, in bounded steps', async () => {
		const prefix = `${fresh()}/`;
		for (let i = 0; i < 3; i++) await storage.put(`${prefix}${i}`, text('x'));
		const hour = 3_600_000;
		expect(await removeOlder(storage, prefix, Date.now() - hour)).toBe(false);
		expect((await storage.list({ prefix })).objects).toHaveLength(3);
		expect(await removeOlder(storage, prefix, Date.now() + hour, 2)).toBe(true);
		expect((await storage.list({ prefix })).objects).toHaveLength(1);
		expect(await removeOlder(storage, prefix, Date.now() + hour, 2)).toBe(false);
		expect(await storage.list({ prefix })).toEqual({ objects: [] });
	});

	it('is behind the signed, expiring addresses of the API', async () => {
		const app = createApp();
		const key = `w/signed/${fresh()}.png`;
		await storage.put(key, text('0123456789'));
		const ask = (url: string, headers: Record<string, string> = {}) => app.request(url, { headers }, storeEnv);
		const sign = (nowMs: number) => objectUrl({ secret: env.LIMNER_SECRET, base: 'http://limner.test', nowMs }, 'signed', key, 'image/png');
		const { url } = sign(Date.now());
		const whole = await ask(url);
		expect([whole.status, whole.headers.get('content-type'), await whole.text()]).toEqual([200, 'image/png', '0123456789']);
		const part = await ask(url, { range: 'bytes=2-4' });
		expect([part.status, part.headers.get('content-range'), await part.text()]).toEqual([206, 'bytes 2-4/10', '234']);
		expect((await ask(url, { 'if-none-match': whole.headers.get('etag') ?? '' })).status).toBe(304);
		expect((await ask(`${url.slice(0, -2)}xx`)).status).toBe(401);
		expect((await ask(sign(Date.now() - 366 * 24 * 3_600_000).url)).status).toBe(410);
		await storage.delete(key);
		expect((await ask(url)).status).toBe(410);
		expect(name).toBe(storeEnv.STORAGE.toUpperCase());
	});
});

/** R2 that fails with a message. */
const saying = (message: string): Storage =>
	storageOf({ ...R2_ENV, PICTURES: { head: () => Promise.reject(new Error(message)) } as unknown as R2Bucket });

it('tells R2’s failures apart', async () => {
	const kinds: [string, string][] = [
		['head: Unauthorized (10002)', 'denied'],
		['head: The specified bucket does not exist. (10006)', 'misconfigured'],
		['head: The Content-MD5 did not match. (10037)', 'checksum'],
		['head: Your proposed upload exceeds the maximum allowed object size. (100100)', 'too_large'],
		['head: We encountered an internal error. Please try again. (10001)', 'unavailable'],
		['Network connection lost.', 'unavailable'],
	];
	for (const [message, kind] of kinds) expect([message, await failure(saying(message).head('x'))]).toEqual([message, kind]);
});

it('answers what is wrong with the settings, at the first use and in /ready', async () => {
	expect(() => storageOf({ ...R2_ENV, STORAGE: 'disk' })).toThrow(/STORAGE is "disk": write r2 or s3/);
	expect(() => storageOf({ ...R2_ENV, STORAGE: 's3' })).toThrow(/needs S3_ENDPOINT, S3_BUCKET, S3_ACCESS_KEY_ID, S3_SECRET_ACCESS_KEY/);
	const settings = { S3_ENDPOINT: 'nowhere', S3_BUCKET: 'limner', S3_REGION: '', S3_ACCESS_KEY_ID: 'a', S3_SECRET_ACCESS_KEY: 'b' };
	expect(() => s3Config(settings)).toThrow(/S3_ENDPOINT is "nowhere"/);
	expect(() => s3Config({ ...settings, S3_ENDPOINT: 'https://s3.test', S3_BUCKET: 'No_Bucket' })).toThrow(/S3_BUCKET/);
	expect(s3Config({ ...settings, S3_ENDPOINT: 'https://s3.test/' })).toMatchObject({ endpoint: 'https://s3.test', region: 'auto' });
	vi.spyOn(console, 'error').mockImplementation(() => undefined);
	const answer = await createApp().request('http://limner.test/ready', {}, { ...env, STORAGE: 's3' });
	expect([answer.status, (await answer.json<{ code: string }>()).code]).toEqual([503, 'not_ready']);
});

const kindWith = (change: Partial<S3Variables>): Promise<string> => failure(storageOf({ ...(S3_ENV ?? R2_ENV), ...change }).get('x'));

describe.skipIf(S3_ENV === undefined)('S3 alone', () => {
	const good = S3_ENV ?? R2_ENV;
	const failing = (count: number) => fetch(`${good.S3_ENDPOINT}/-/fail/${count}`, { method: 'POST' });

	it('tells failures apart', async () => {
		expect(await kindWith({ S3_SECRET_ACCESS_KEY: 'wrong' })).toBe('denied');
		expect(await kindWith({ S3_ACCESS_KEY_ID: 'nobody' })).toBe('denied');
		expect(await kindWith({ S3_REGION: 'mars' })).toBe('misconfigured');
		expect(await kindWith({ S3_BUCKET: 'no-such-bucket' })).toBe('misconfigured');
		expect(await kindWith({ S3_ENDPOINT: 'http://127.0.0.1:9' })).toBe('unavailable');
	});

	it('tries again what it can, and says so when that does not help', async () => {
		const storage = storageOf(good);
		const key = fresh();
		await failing(2);
		expect(await storage.put(key, text('x'), { createOnly: true })).toBe(true);
		await failing(3);
		expect(await failure(storage.head(key))).toBe('unavailable');
		expect(await storage.head(key)).toMatchObject({ size: 1 });
	});

	describe('a presigned PUT', () => {
		const config = s3Config(
			good.S3_ENDPOINT === ''
				? { ...good, S3_ENDPOINT: 'http://x', S3_BUCKET: 'xxx', S3_ACCESS_KEY_ID: 'x', S3_SECRET_ACCESS_KEY: 'x' }
				: good,
		);
		const body = text('the very bytes');
		const made = async (expiresS = 60) => {
			const key = fresh();
			const signed = await presignPut(config, key, { bytes: body.length, sha256: sha256(body), contentType: 'image/png', expiresS });
			const send = async (bytes = body, headers: Record<string, string> = {}, url = signed.url) => {
				const response = await fetch(url, { method: 'PUT', body: bytes, headers: { ...signed.headers, ...headers } });
				await response.text();
				return response.status;
			};
			return { key, signed, send };
		};

		it('stores exactly what was signed, once', async () => {
			const { key, send } = await made();
			expect(await send()).toBe(200);
			expect(await send()).toBe(412);
			expect(await storageOf(good).head(key)).toMatchObject({ size: body.length, contentType: 'image/png', sha256: sha256(body) });
		});

		it('takes no other bytes, length, type, key or condition', async () => {
			const { key, signed, send } = await made();
			const same = text('the very bytez');
			expect(await send(same)).toBe(400);
			expect(await send(same, { 'x-amz-checksum-sha256': Buffer.from(sha256(same), 'hex').toString('base64') })).toBe(403);
			expect(await send(text('longer than the very bytes'))).toBe(403);
			expect(await send(body, { 'content-type': 'text/html' })).toBe(403);
			expect(await send(body, { 'if-none-match': '"x"' })).toBe(403);
			expect(await send(body, {}, signed.url.replace(key, `${key}x`))).toBe(403);
			expect(await storageOf(good).head(key)).toBeNull();
		});

		it('ends', async () => {
			const { key, send } = await made(1);
			await new Promise((resolve) => setTimeout(resolve, 2100));
			expect(await send()).toBe(403);
			expect(await storageOf(good).head(key)).toBeNull();
		});
	});
});
