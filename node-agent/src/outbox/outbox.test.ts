import { createHash } from 'node:crypto';
import { mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { realFs, type DurableFs } from '../lib/durable-fs.ts';
import { openOutbox, outboxKey, outboxRoom, type OutboxRecord } from './outbox.ts';
import { judgeUpload, Uploader, uploadTimeoutMs, type UploadVerdict } from './uploader.ts';

let folder = '';
const servers: Server[] = [];
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), 'limner-outbox-'));
});
afterEach(() => {
	rmSync(folder, { recursive: true, force: true });
	for (const server of servers.splice(0)) {
		server.closeAllConnections();
		server.close();
	}
});

const bytes = new TextEncoder().encode('picture');
const record = (index = 0, createdAt = Date.now()): OutboxRecord => ({
	version: 1,
	jobId: 'job_a',
	index,
	epoch: 1,
	ticket: 'ticket.sig',
	contentType: 'image/png',
	bytes: bytes.length,
	sha256: createHash('sha256').update(bytes).digest('hex'),
	meta: 'e30',
	createdAt,
});

/** A disk whose power fails at the given operation: that one and all later ones do not happen. */
const failingFs = (at: number, torn: boolean): { fs: DurableFs; operations: () => number } => {
	let count = 0;
	const step = async <T>(work: () => Promise<T>, tear?: () => Promise<unknown>): Promise<T> => {
		count++;
		if (count === at && torn) await tear?.();
		if (count >= at) throw new Error('power cut');
		return work();
	};
	const fs: DurableFs = {
		...realFs,
		write: (path, data, mode) =>
			step(
				() => realFs.write(path, data, mode),
				() => realFs.write(path, data.slice(0, 3), mode),
			),
		rename: (from, to) => step(() => realFs.rename(from, to)),
		syncFolder: (path) => step(() => realFs.syncFolder(path)),
		remove: (path) => step(() => realFs.remove(path)),
	};
	return { fs, operations: () => count };
};

describe('outbox on disk', () => {
	it('keeps a picture across a restart', async () => {
		const outbox = await openOutbox(folder);
		await outbox.put(record(), bytes);
		const again = await openOutbox(folder);
		expect(again.list()).toEqual([expect.objectContaining({ jobId: 'job_a', index: 0 })]);
		expect(await again.bytesOf(again.list()[0]!)).toEqual(Buffer.from(bytes));
		await again.remove(record());
		expect(readdirSync(folder)).toEqual([]);
	});

	it.each([1, 2, 3, 4, 5, 6, 7, 8, 9].flatMap((at) => [true, false].map((torn) => ({ at, torn }))))(
		'power cut at operation $at (torn write: $torn): whole entries or none, and no garbage afterwards',
		async ({ at, torn }) => {
			const old = await openOutbox(folder);
			await old.put(record(0), bytes);
			const { fs } = failingFs(at, torn);
			const outbox = await openOutbox(folder, { fs });
			let promised = false;
			try {
				await outbox.put(record(1), bytes);
				promised = true;
				await outbox.remove(record(0));
			} catch {
				// The process is dead from here on.
			}
			const after = await openOutbox(folder);
			const keys = after.list().map((entry) => entry.index);
			expect(keys).toContain(promised ? 1 : 0);
			for (const entry of after.list()) expect(await after.bytesOf(entry)).toEqual(Buffer.from(bytes));
			expect(readdirSync(folder).toSorted()).toEqual(
				after
					.list()
					.flatMap((entry) => [`${outboxKey(entry)}.bin`, `${outboxKey(entry)}.json`])
					.toSorted(),
			);
		},
	);

	it('says that the disk is full, and leaves nothing behind', async () => {
		const full = Object.assign(new Error('no space'), { code: 'ENOSPC' });
		const outbox = await openOutbox(folder, { fs: { ...realFs, rename: () => Promise.reject(full) } });
		await expect(outbox.put(record(), bytes)).rejects.toThrow(/disk of the node is full \(ENOSPC/);
		expect(readdirSync(folder)).toEqual([]);
		expect(outbox.list()).toEqual([]);
	});

	it('is bounded by count and by bytes', () => {
		const records = [record(0), record(1)];
		expect(outboxRoom(records, 1, { maxCount: 3, maxBytes: 100 })).toBeUndefined();
		expect(outboxRoom(records, 1, { maxCount: 2, maxBytes: 100 })).toContain('2 finished pictures');
		expect(outboxRoom(records, 86, { maxCount: 3, maxBytes: 100 })).toBeUndefined();
		expect(outboxRoom(records, 87, { maxCount: 3, maxBytes: 100 })).toContain('MiB');
	});

	it('throws foreign and damaged files away', async () => {
		writeFileSync(join(folder, 'job_x-0-1.json'), '{"version":1');
		writeFileSync(join(folder, 'job_x-0-1.bin'), 'x');
		writeFileSync(join(folder, 'stray.tmp'), 'x');
		expect((await openOutbox(folder)).list()).toEqual([]);
		expect(readdirSync(folder)).toEqual([]);
	});
});

const judge = (status: number, ageMs = 0): string => judgeUpload({ status, detail: 'd' }, 0, ageMs, 0.5).kind;
const wait = (attempt: number, retryAfterS = 0): number => {
	const verdict = judgeUpload({ status: 503, detail: '', retryAfterS }, attempt, 0, 1);
	return verdict.kind === 'retry' ? verdict.afterMs : -1;
};

describe('judgeUpload', () => {
	it('ends on a decision and repeats everything else', () => {
		expect([200, 409, 410, 422, 413].map((status) => judge(status))).toEqual(['accepted', 'dropped', 'dropped', 'refused', 'refused']);
		expect([0, 401, 404, 429, 500, 503].map((status) => judge(status))).toEqual(Array.from({ length: 6 }, () => 'retry'));
		expect(judge(503, 25 * 60 * 60 * 1000)).toBe('dropped');
	});
	it('waits longer each time, never over 30 s, and never less than the gateway asks', () => {
		expect([0, 1, 2, 10, 60].map((attempt) => wait(attempt))).toEqual([500, 1000, 2000, 30_000, 30_000]);
		expect(wait(0, 7)).toBe(7000);
	});
});

const serve = async (
	statuses: number[],
): Promise<{ url: string; requests: { url: string; headers: NodeJS.Dict<string | string[]>; body: string }[] }> => {
	const requests: { url: string; headers: NodeJS.Dict<string | string[]>; body: string }[] = [];
	const server = createServer((request, response) => {
		let body = '';
		request.on('data', (chunk) => (body += String(chunk)));
		request.on('end', () => {
			requests.push({ url: request.url ?? '', headers: request.headers, body });
			response.statusCode = statuses[Math.min(requests.length, statuses.length) - 1] ?? 500;
			response.end('{"detail":"because"}');
		});
	});
	servers.push(server);
	await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
	return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, requests };
};

describe('Uploader', () => {
	it('repeats the same PUT until it is accepted, then forgets the picture', async () => {
		const { url, requests } = await serve([503, 500, 200]);
		const outbox = await openOutbox(folder);
		await outbox.put(record(), bytes);
		const verdicts: UploadVerdict[] = [];
		const uploader = new Uploader({
			gateway: () => url,
			outbox,
			random: () => 0.01,
			onVerdict: (_record, verdict) => verdicts.push(verdict),
		});
		uploader.add(outbox.list()[0]!);
		expect(await uploader.idle(5000)).toBe(true);
		expect(verdicts.map((verdict) => verdict.kind)).toEqual(['retry', 'retry', 'accepted']);
		expect(requests).toHaveLength(3);
		expect(requests[2]).toMatchObject({
			url: '/api/v1/results/ticket.sig',
			body: 'picture',
			headers: { 'content-length': '7', 'content-type': 'image/png', 'x-content-sha256': record().sha256, 'x-limner-meta': 'e30' },
		});
		expect(readdirSync(folder)).toEqual([]);
	});

	it('drops a stale picture and a refused one with the reason', async () => {
		const { url } = await serve([409, 422]);
		const outbox = await openOutbox(folder);
		await outbox.put(record(0), bytes);
		await outbox.put(record(1), bytes);
		const verdicts: UploadVerdict[] = [];
		const uploader = new Uploader({ gateway: () => url, outbox, concurrency: 1, onVerdict: (_record, verdict) => verdicts.push(verdict) });
		for (const entry of outbox.list()) uploader.add(entry);
		expect(await uploader.idle(5000)).toBe(true);
		expect(verdicts).toEqual([
			{ kind: 'dropped', why: 'because' },
			{ kind: 'refused', why: 'because' },
		]);
		expect(readdirSync(folder)).toEqual([]);
	});

	it('keeps the picture while nothing answers, and tries at once when kicked', async () => {
		const outbox = await openOutbox(folder);
		await outbox.put(record(), bytes);
		let url = 'http://127.0.0.1:9';
		const verdicts: UploadVerdict[] = [];
		const uploader = new Uploader({ gateway: () => url, outbox, random: () => 1, onVerdict: (_record, verdict) => verdicts.push(verdict) });
		uploader.add(outbox.list()[0]!);
		expect(await uploader.idle(200)).toBe(false);
		expect(outbox.list()).toHaveLength(1);
		({ url } = await serve([200]));
		uploader.kick();
		expect(await uploader.idle(5000)).toBe(true);
		expect(verdicts.at(-1)).toEqual({ kind: 'accepted' });
	});
});

describe('slow and strange circumstances', () => {
	it('gives a slow connection more time at each try, and a dead one little at first', () => {
		const mib = 1024 ** 2;
		expect([0, 1, 2].map((attempt) => uploadTimeoutMs(16 * mib, attempt))).toEqual([60_000, 120_000, 240_000]);
		expect(uploadTimeoutMs(16 * mib, 60)).toBe(60_000 + 4 * mib);
		expect(uploadTimeoutMs(4000, 60)).toBe(61_000);
	});
	it('waits at most five minutes, whatever the gateway asks: a timer of months would fire at once', () => {
		expect([600, 1e9, Number.MAX_VALUE].map((seconds) => wait(0, seconds))).toEqual([300_000, 300_000, 300_000]);
		expect(wait(0, -5)).toBe(500);
	});
	it('keeps a picture whose file cannot be read for the moment', async () => {
		const { url, requests } = await serve([200]);
		let failures = 1;
		const read = async (path: string): Promise<Uint8Array> => {
			if (path.endsWith('.bin') && failures-- > 0) throw Object.assign(new Error('EMFILE: too many open files'), { code: 'EMFILE' });
			return realFs.read(path);
		};
		const outbox = await openOutbox(folder, { fs: { ...realFs, read } });
		await outbox.put(record(), bytes);
		const verdicts: UploadVerdict[] = [];
		const uploader = new Uploader({
			gateway: () => url,
			outbox,
			random: () => 0.01,
			onVerdict: (_record, verdict) => verdicts.push(verdict),
		});
		uploader.add(outbox.list()[0]!);
		expect(await uploader.idle(5000)).toBe(true);
		expect(verdicts.map((verdict) => verdict.kind)).toEqual(['retry', 'accepted']);
		expect(requests).toHaveLength(1);
	});
	it('gives a picture up whose file is gone', async () => {
		const outbox = await openOutbox(folder);
		await outbox.put(record(), bytes);
		rmSync(join(folder, readdirSync(folder).find((name) => name.endsWith('.bin')) ?? ''));
		const verdicts: UploadVerdict[] = [];
		const uploader = new Uploader({ gateway: () => 'http://127.0.0.1:9', outbox, onVerdict: (_record, verdict) => verdicts.push(verdict) });
		uploader.add(outbox.list()[0]!);
		expect(await uploader.idle(5000)).toBe(true);
		expect(verdicts).toEqual([{ kind: 'dropped', why: expect.stringMatching(/its file cannot be read/) as string }]);
	});
});

/** Sends one picture, and answers what came of each try. */
const upload = async (url: string): Promise<UploadVerdict[]> => {
	const outbox = await openOutbox(folder);
	await outbox.put({ ...record(), upload: 'direct' }, bytes);
	const verdicts: UploadVerdict[] = [];
	const onVerdict = (_record: OutboxRecord, verdict: UploadVerdict): number => verdicts.push(verdict);
	const uploader = new Uploader({ gateway: () => url, outbox, random: () => 0.01, onVerdict });
	uploader.add((await openOutbox(folder)).list()[0]!);
	expect(await uploader.idle(10_000)).toBe(true);
	return verdicts;
};
const address = (base: string) => ({ mode: 'direct', url: `${base}/bucket/key?X-Amz-Signature=1`, headers: { 'if-none-match': '*' } });

describe('the way into the bucket', () => {
	interface Seen {
		method: string;
		url: string;
		body: string;
		ifNoneMatch: string | undefined;
	}
	/** A gateway and a bucket in one; `answer` says what each request gets. */
	const play = async (answer: (seen: Seen, base: string) => [status: number, body?: unknown]): Promise<{ url: string; seen: Seen[] }> => {
		const seen: Seen[] = [];
		let base = '';
		const server = createServer((request, response) => {
			let body = '';
			request.on('data', (chunk) => (body += String(chunk)));
			request.on('end', () => {
				const one = { method: request.method ?? '', url: request.url ?? '', body, ifNoneMatch: request.headers['if-none-match'] };
				seen.push(one);
				const [status, json = {}] = answer(one, base);
				response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(json));
			});
		});
		servers.push(server);
		await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
		base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
		return { url: base, seen };
	};
	it('asks for an address, puts the bytes there, and tells', async () => {
		const { url, seen } = await play((one, base) => (one.url.endsWith('/url') ? [200, address(base)] : [200]));
		expect(await upload(url)).toEqual([{ kind: 'accepted' }]);
		const { sha256 } = record();
		const told = { sha256, bytes: bytes.length, contentType: 'image/png' };
		expect(seen.map((one) => [one.method, one.url, one.method === 'PUT' ? one.body : JSON.parse(one.body)])).toEqual([
			['POST', '/api/v1/results/ticket.sig/url', told],
			['PUT', '/bucket/key?X-Amz-Signature=1', 'picture'],
			['POST', '/api/v1/results/ticket.sig/done', { ...told, meta: 'e30' }],
		]);
		expect(seen[1]?.ifNoneMatch).toBe('*');
	});

	it('goes on when its bytes are there already, and begins anew when the bucket refuses', async () => {
		let puts = 0;
		const { url, seen } = await play((one, base) => {
			if (one.url.endsWith('/url')) return [200, address(base)];
			return one.method === 'PUT' ? [puts++ === 0 ? 403 : 412] : [200];
		});
		expect((await upload(url)).map(({ kind }) => kind)).toEqual(['retry', 'accepted']);
		expect(seen.map(({ method }) => method)).toEqual(['POST', 'PUT', 'POST', 'PUT', 'POST']);
	});

	it('sends to the gateway when that says so, or when the bucket stays out of reach', async () => {
		const told = await play((one) => (one.url.endsWith('/url') ? [200, { mode: 'worker' }] : [200]));
		expect(await upload(told.url)).toEqual([{ kind: 'accepted' }]);
		expect(told.seen.map(({ method, url }) => `${method} ${url}`)).toEqual([
			'POST /api/v1/results/ticket.sig/url',
			'PUT /api/v1/results/ticket.sig',
		]);
		const cut = await play((one, base) => {
			if (one.url.endsWith('/url')) return [200, { ...address(base), url: 'http://127.0.0.1:9/bucket/key' }];
			return [200];
		});
		expect((await upload(cut.url)).map(({ kind }) => kind)).toEqual(['retry', 'retry', 'retry', 'accepted']);
		expect(cut.seen.at(-1)).toMatchObject({ method: 'PUT', body: 'picture' });
	});

	it('takes the gateway’s word for the end', async () => {
		const { url } = await play((one, base) => (one.url.endsWith('/url') ? [200, address(base)] : one.method === 'PUT' ? [200] : [409]));
		expect(await upload(url)).toMatchObject([{ kind: 'dropped' }]);
		const gone = await play(() => [410, { detail: 'over' }]);
		expect(await upload(gone.url)).toEqual([{ kind: 'dropped', why: 'over' }]);
		expect(gone.seen).toHaveLength(1);
	});
});
