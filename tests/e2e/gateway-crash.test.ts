import { afterAll, beforeAll, expect, it } from 'vitest';
import { childrenOf, startTestGateway, type TestGateway } from '../lib/gateway.ts';
import { startTestNode, type TestNode } from '../lib/node.ts';
import { makePng, Peer, PEER_MODEL } from '../lib/peer.ts';
import { until } from '../lib/until.ts';

let gateway: TestGateway;
let node: TestNode;

beforeAll(async () => {
	gateway = await startTestGateway();
	node = await startTestNode(gateway, { name: 'a', stepMs: 150 });
});
afterAll(async () => {
	await node.stop();
	await gateway.stop();
});

it('adopts the running task at its epoch after workerd was killed mid-job', async () => {
	const job = await gateway.submit({ prompt: 'a tent', seed: 3, steps: 40 });
	await node.sawEvent('a step', (event) => event.jobId === job.id && event.event === 'step');
	await gateway.crash();
	const view = await gateway.jobEnded(job.id);
	expect(view.state).toBe('succeeded');
	expect(view.history.map((entry) => entry.type)).toEqual(['queued', 'assigned', 'image', 'succeeded']);
	expect(view.history.at(-2)?.epoch).toBe(1);
	expect(node.engineLog().filter((event) => event.jobId === job.id && event.event === 'start')).toHaveLength(1);
	expect(gateway.objects().filter((key) => key.includes(job.id))).toHaveLength(1);
});

/** Kills workerd as soon as the object of the job shows up in the bucket's index: after the upload, before `complete`. */
const crashBetween = async (peer: Peer, salt: number): Promise<{ inWindow: boolean; jobId: string }> => {
	const job = await gateway.submit({ prompt: 'x', model: PEER_MODEL.name, seed: salt });
	const task = await peer.take(job.id);
	const bytes = makePng(task.spec.width, task.spec.height, salt);
	const workerd = childrenOf(gateway.gateway.pid);
	const host = gateway.gateway.pid;
	const upload = peer.upload(task.ticket, bytes).catch(() => undefined);
	await until('the object is stored', () => (gateway.objects().some((key) => key.includes(job.id)) ? true : undefined), 10_000, 0);
	for (const pid of workerd) process.kill(pid, 'SIGKILL');
	process.kill(host, 'SIGKILL');
	await upload;
	await until('a new host', () => (gateway.gateway.pid === host ? undefined : true));
	const pool = gateway.rows('Pool', 'live').find((row) => row['id'] === job.id);
	const inWindow = pool !== undefined && !JSON.stringify(pool).includes('"succeeded"');
	await gateway.healthy();
	await peer.connect({ finished: [{ jobId: job.id, index: task.index, epoch: task.epoch }] });
	const again = await until('the repeated upload is answered', async () => {
		const answer = await peer.upload(task.ticket, bytes).catch(() => undefined);
		return answer === undefined || answer.status >= 500 ? undefined : answer;
	});
	expect(again.status).toBe(200);
	return { inWindow, jobId: job.id };
};

it('accepts the repeated upload after workerd was killed between upload and complete', { timeout: 240_000 }, async () => {
	const peer = await Peer.enrol(gateway, 'peer');
	await peer.connect();
	peer.heartbeat();
	const done: string[] = [];
	let hits = 0;
	for (let attempt = 0; attempt < 12 && hits === 0; attempt++) {
		const { inWindow, jobId } = await crashBetween(peer, attempt);
		done.push(jobId);
		if (inWindow) hits++;
	}
	expect(hits, 'no crash landed between the stored object and complete').toBeGreaterThan(0);
	for (const id of done) {
		const view = await gateway.jobEnded(id);
		expect(view.state).toBe('succeeded');
		expect(view.images).toHaveLength(1);
		expect(gateway.objects().filter((key) => key.includes(id))).toHaveLength(1);
	}
	await until('everything is settled', () => {
		const charged = gateway.rows('Workspace', 'ledger').map((row) => JSON.stringify(row));
		return done.every((id) => charged.filter((text) => text.includes(id)).length === 1) ? true : undefined;
	});
	peer.close();
});
