/** Direct uploads through a whole system: gateway, nodes and a bucket on an S3 server. */
import { createHash } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startTestGateway, type ApiAnswer, type TestGateway } from '../lib/gateway.ts';
import { startTestNode } from '../lib/node.ts';
import { makePng, Peer, PEER_MODEL } from '../lib/peer.ts';
import { startS3, type TestS3 } from '../lib/s3.ts';
import { until } from '../lib/until.ts';

let s3: TestS3;
let gateway: TestGateway;
beforeAll(async () => {
	s3 = await startS3();
	gateway = await startTestGateway({ ...s3.vars, STORAGE: 's3', RESULT_UPLOAD: 'direct' });
});
afterAll(async () => {
	await gateway?.stop();
	s3?.stop();
});

const control = (path: string) => fetch(`${s3.vars.S3_ENDPOINT}/-/${path}`, { method: 'POST' });
const puts = async (jobId: string) => (await s3.log()).filter(({ method, path }) => method === 'PUT' && path.includes(jobId));
/** Objects of a job that the bucket holds, told by what it was asked to do. */
const objectsOf = async (jobId: string): Promise<string[]> => [
	...new Set((await puts(jobId)).filter(({ status }) => status === 200).map(({ path }) => path)),
];

const sha256 = (bytes: Uint8Array): string => createHash('sha256').update(bytes).digest('hex');
const announce = (bytes: Uint8Array) => ({ sha256: sha256(bytes), bytes: bytes.length, contentType: 'image/png' });
const tell = (ticket: string, what: 'url' | 'done', bytes: Uint8Array): Promise<ApiAnswer> =>
	gateway.api('POST', `/api/v1/results/${ticket}/${what}`, announce(bytes), { authorization: '' });

interface Address {
	mode: string;
	url: string;
	headers: Record<string, string>;
	expiresInMs: number;
}
const addressOf = async (ticket: string, bytes: Uint8Array): Promise<Address> => {
	const answer = await tell(ticket, 'url', bytes);
	expect(answer.status).toBe(200);
	return answer.body as Address;
};
const put = async ({ url, headers }: Address, bytes: Uint8Array): Promise<number> => {
	const response = await fetch(url, { method: 'PUT', headers, body: new Uint8Array(bytes) });
	await response.text();
	return response.status;
};

it('a node puts its pictures into the bucket, and the gateway makes them the results', async () => {
	const node = await startTestNode(gateway, { name: 'direct', stepMs: 5 });
	try {
		const job = await gateway.submit({ prompt: 'a castle', n: 3, seed: 5, steps: 4 });
		const view = await gateway.jobEnded(job.id);
		expect(view.state).toBe('succeeded');
		for (const image of view.images) {
			const bytes = new Uint8Array(await (await fetch(image.url)).arrayBuffer());
			expect([bytes.length, sha256(bytes)]).toEqual([image.bytes, image.sha256]);
		}
		// Every byte came from the node, and nothing is in the gateway's own bucket.
		const seen = await puts(job.id);
		expect(seen.map(({ presigned, status }) => [presigned, status])).toEqual(Array.from({ length: 3 }, () => [true, 200]));
		expect(view.images[0]).toMatchObject({ meta: expect.objectContaining({ device: expect.anything() as unknown }) as unknown });
	} finally {
		await node.stop();
	}
});

it('a node that is killed while the bucket is away brings its picture when both are back', async () => {
	const stateDir = mkdtempSync(join(tmpdir(), 'limner-node-killed-'));
	let node = await startTestNode(gateway, { name: 'killed', stepMs: 5, stateDir });
	try {
		await control('fail/1000000');
		const job = await gateway.submit({ prompt: 'a lighthouse', seed: 6, steps: 3 });
		await node.sawEvent('the picture is made', ({ jobId, event }) => jobId === job.id && event === 'end');
		await until('the node fails to upload', () => (/upload/.test(node.output) ? true : undefined), 30_000);
		await node.kill();
		await control('fail/0');
		node = await startTestNode(gateway, { name: 'killed', stepMs: 5, stateDir });
		expect((await gateway.jobEnded(job.id)).state).toBe('succeeded');
		// Drawn once: the picture waited on the node's disk.
		expect(node.engineLog().filter(({ jobId, event }) => jobId === job.id && event === 'start')).toHaveLength(1);
		expect(await objectsOf(job.id)).toHaveLength(1);
	} finally {
		await control('fail/0');
		await node.stop();
		rmSync(stateDir, { recursive: true, force: true, maxRetries: 5 });
	}
});

/** Two played nodes that take the model of no other node. */
const peers = async (): Promise<{ all: Peer[]; close: () => void }> => {
	const all = await Promise.all(['one', 'two'].map((name) => Peer.enrol(gateway, name)));
	const beats: (() => void)[] = [];
	for (const peer of all) {
		await peer.connect();
		beats.push(peer.heartbeat());
	}
	return {
		all,
		close: () => {
			for (const stop of beats) stop();
			for (const peer of all) peer.close();
		},
	};
};
const taker = (all: Peer[], jobId: string, epoch: number) =>
	until(`epoch ${epoch} of ${jobId}`, async () => {
		const peer = all.find(({ frames }) => frames.some((frame) => frame.t === 'task' && frame.jobId === jobId && frame.epoch === epoch));
		return peer === undefined ? undefined : { peer, task: await peer.take(jobId, epoch) };
	});

it('an attempt that was given up cannot overwrite, and what it put late is removed', async () => {
	const { all, close } = await peers();
	try {
		const job = await gateway.submit({ prompt: 'late', model: PEER_MODEL.name, seed: 1 });
		const first = await taker(all, job.id, 1);
		expect(first.task.upload).toBe('direct');
		const late = makePng(64, 64, 1);
		const address = await addressOf(first.task.ticket, late);
		expect(address.mode).toBe('direct');
		first.peer.drop();
		const second = await taker(all, job.id, 2);
		const good = makePng(64, 64, 2);
		const where = await addressOf(second.task.ticket, good);
		expect(await put(where, good)).toBe(200);
		// Not even the same attempt writes twice.
		expect(await put(where, good)).toBe(412);
		expect((await tell(second.task.ticket, 'done', good)).status).toBe(200);
		expect((await tell(second.task.ticket, 'done', good)).status).toBe(200);

		const view = await gateway.jobEnded(job.id);
		// The view is ahead of the Workspace's row: an object of a job that is open there is kept for the sweep.
		await until('the job is settled', () =>
			gateway.rows('Workspace', 'jobs').find(({ id, state }) => id === job.id && state === 'succeeded'),
		);
		expect(await put(address, late)).toBe(200);
		expect(await tell(first.task.ticket, 'done', late)).toMatchObject({ status: 409, body: { code: 'stale' } });
		expect([view.state, view.images[0]?.sha256]).toEqual(['succeeded', sha256(good)]);
		expect(Buffer.from(await (await fetch(view.images[0]?.url ?? '')).arrayBuffer()).equals(good)).toBe(true);
		// The late object is gone: the same address creates it anew.
		expect(await put(address, late)).toBe(200);
	} finally {
		close();
	}
});

it('a crash of the gateway between the PUT and the report costs nothing', async () => {
	const { all, close } = await peers();
	try {
		const job = await gateway.submit({ prompt: 'crash', model: PEER_MODEL.name, seed: 1 });
		const { task } = await taker(all, job.id, 1);
		const picture = makePng(64, 64, 3);
		expect(await put(await addressOf(task.ticket, picture), picture)).toBe(200);
		await gateway.crash();
		expect((await tell(task.ticket, 'done', picture)).status).toBe(200);
		expect((await gateway.jobEnded(job.id)).images[0]?.sha256).toBe(sha256(picture));
	} finally {
		close();
	}
});

it('what is not the ordered picture never becomes a result', async () => {
	const { all, close } = await peers();
	try {
		const job = await gateway.submit({ prompt: 'bad', model: PEER_MODEL.name, seed: 1 });
		const { task } = await taker(all, job.id, 1);
		const good = makePng(64, 64, 4);
		const address = await addressOf(task.ticket, good);
		const bad = Buffer.from(good);
		bad[bad.length - 13] = (bad[bad.length - 13] ?? 0) ^ 0xff;
		// Other bytes than the announced ones: the bucket refuses them.
		expect(await put(address, bad)).toBe(400);
		expect((await tell(task.ticket, 'done', good)).status).toBe(503);
		// Announced as they are, and broken: the bucket takes them, the gateway does not, and removes them.
		const broken = await addressOf(task.ticket, bad);
		expect(await put(broken, bad)).toBe(200);
		expect(await tell(task.ticket, 'done', bad)).toMatchObject({ status: 422, body: { code: 'result_refused' } });
		expect(await put(broken, bad)).toBe(200);
		const again = await taker(all, job.id, 2);
		expect((await again.peer.upload(again.task.ticket, good)).status).toBe(200);
		expect((await gateway.jobEnded(job.id)).state).toBe('succeeded');
	} finally {
		close();
	}
});

it('a ticket is needed, and its bounds hold', async () => {
	const picture = makePng(64, 64, 9);
	for (const what of ['url', 'done'] as const) {
		expect((await tell('nonsense', what, picture)).status).toBe(401);
		expect((await gateway.api('POST', `/api/v1/results/nonsense/${what}`, { sha256: 'x' }, { authorization: '' })).status).toBe(422);
	}
});
