import { deflateSync } from 'node:zlib';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startTestGateway, type TestGateway } from '../lib/gateway.ts';
import { makePng, Peer, PEER_MODEL, PNG_SIGNATURE } from '../lib/peer.ts';
import { until } from '../lib/until.ts';

let gateway: TestGateway;
let peers: Peer[];

beforeAll(async () => {
	gateway = await startTestGateway();
	peers = await Promise.all(['one', 'two'].map((name) => Peer.enrol(gateway, name)));
	for (const peer of peers) {
		await peer.connect();
		peer.heartbeat();
	}
});
afterAll(async () => {
	for (const peer of peers) peer.close();
	await gateway.stop();
});

/** Spoils a good PNG in one way. */
const flip = (at: (png: Buffer) => number) => (png: Buffer) => {
	const out = Buffer.from(png);
	const index = at(png);
	out[index] = (out[index] ?? 0) ^ 0xff;
	return out;
};

const BAD: Record<string, { spoil: (png: Buffer) => Buffer; headers?: Record<string, string> }> = {
	'wrong sha256': { spoil: (png) => png, headers: { 'x-content-sha256': '00'.repeat(32) } },
	truncated: { spoil: (png) => png.subarray(0, png.length - 20) },
	'not an image': { spoil: () => Buffer.from('<html>hello</html>'.repeat(100)) },
	'corrupt IDAT under a valid header': { spoil: () => makePng(64, 64, 0, Buffer.from('this is no zlib stream at all')) },
	'too few pixels': { spoil: () => makePng(64, 64, 0, deflateSync(Buffer.alloc(100))) },
	'a bomb': { spoil: () => makePng(64, 64, 0, deflateSync(Buffer.alloc(40 * 1024 * 1024))) },
	'wrong CRC': { spoil: flip((png) => png.length - 13) },
	'another size than promised': { spoil: () => makePng(128, 128) },
	oversized: { spoil: (png) => Buffer.concat([png, Buffer.alloc(200_000)]) },
	'bytes after the end': { spoil: (png) => Buffer.concat([png, Buffer.from('tail')]) },
	'only a signature': { spoil: () => PNG_SIGNATURE },
};

/** Short, so that a broken gateway fails the run soon. */
const TAKE_MS = 8000;

const takeByAnyone = async (jobId: string, epoch: number): Promise<{ peer: Peer; task: Awaited<ReturnType<Peer['take']>> }> =>
	until(
		`epoch ${epoch} of ${jobId}`,
		async () => {
			const peer = peers.find((candidate) =>
				candidate.frames.some((frame) => frame.t === 'task' && frame.jobId === jobId && frame.epoch === epoch),
			);
			return peer === undefined ? undefined : { peer, task: await peer.take(jobId, epoch) };
		},
		TAKE_MS,
	);

for (const [name, { spoil, headers }] of Object.entries(BAD)) {
	it(`refuses an upload with ${name}, stores nothing, and gives the task to somebody again`, async () => {
		const job = await gateway.submit({ prompt: name, model: PEER_MODEL.name, seed: 1 });
		const { peer, task } = await takeByAnyone(job.id, 1);
		const answer = await peer.upload(task.ticket, spoil(makePng(64, 64)), headers);
		expect(answer.status).toBeGreaterThanOrEqual(400);
		expect(answer.status).toBeLessThan(500);
		expect(gateway.objects().filter((key) => key.includes(job.id))).toEqual([]);
		const retry = await takeByAnyone(job.id, 2);
		expect((await retry.peer.upload(retry.task.ticket, makePng(64, 64, 5))).status).toBe(200);
		expect((await gateway.jobEnded(job.id)).state).toBe('succeeded');
		expect(gateway.objects().filter((key) => key.includes(job.id))).toHaveLength(1);
		// Refusals count against the node; this test is about the upload alone.
		for (const worker of await gateway.workers()) {
			if (worker.mode === 'draining') await gateway.api('POST', `/api/v1/supervisor/workers/${worker.id}/resume`);
		}
	});
}

it('refuses a ticket of another task, a forged one and no ticket', async () => {
	const one = await gateway.submit({ prompt: 'one', model: PEER_MODEL.name, seed: 1 });
	const { peer, task } = await takeByAnyone(one.id, 1);
	const [payload = '', signature = ''] = task.ticket.split('.');
	const claims = JSON.parse(Buffer.from(payload, 'base64url').toString()) as Record<string, unknown>;
	const forged = `${Buffer.from(JSON.stringify({ ...claims, i: 7 })).toString('base64url')}.${signature}`;
	for (const ticket of [forged, `${payload}.AAAA`, 'nonsense', peer.certificate]) {
		expect((await peer.upload(ticket, makePng(64, 64))).status).toBe(401);
	}
	const before = gateway.objects();
	expect(before.filter((key) => key.includes(one.id))).toEqual([]);
	expect((await peer.upload(task.ticket, makePng(64, 64))).status).toBe(200);
});
