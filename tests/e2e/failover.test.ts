import { afterAll, beforeAll, expect, it } from 'vitest';
import { startTestGateway, type TestGateway } from '../lib/gateway.ts';
import { startTestNode, type TestNode } from '../lib/node.ts';
import { makePng, Peer, PEER_MODEL } from '../lib/peer.ts';
import { sleep, until } from '../lib/until.ts';

let gateway: TestGateway;
const nodes: TestNode[] = [];

beforeAll(async () => {
	gateway = await startTestGateway();
});
afterAll(async () => {
	await Promise.all(nodes.map((node) => node.stop()));
	await gateway.stop();
});

const start = async (name: string, stepMs: number): Promise<TestNode> => {
	const node = await startTestNode(gateway, { name, stepMs });
	nodes.push(node);
	return node;
};

it('runs 4 jobs on 2 nodes at once, and a third node takes work as soon as it joins', async () => {
	const [a, b] = await Promise.all([start('a', 100), start('b', 100)]);
	const jobs = await Promise.all([1, 2, 3, 4].map((seed) => gateway.submit({ prompt: 'a castle', seed, steps: 20 })));
	await a.sawEvent('starts', (event) => event.event === 'start');
	const c = await start('c', 100);
	const first = await c.sawEvent('gets work', (event) => event.event === 'start');
	const views = await Promise.all(jobs.map((job) => gateway.jobEnded(job.id)));
	expect(views.map((view) => view.state)).toEqual(['succeeded', 'succeeded', 'succeeded', 'succeeded']);
	const intervals = [a, b, c].map((node) => {
		const log = node.engineLog();
		const begin = log.find((event) => event.event === 'start');
		const end = log.find((event) => event.event === 'end');
		expect(begin && end).toBeTruthy();
		return { from: begin!.at, to: end!.at, pid: begin!.pid };
	});
	expect(new Set(intervals.map((interval) => interval.pid)).size).toBe(3);
	// Two pictures were being made at one time, by different processes.
	expect(Math.max(intervals[0]!.from, intervals[1]!.from)).toBeLessThan(Math.min(intervals[0]!.to, intervals[1]!.to));
	expect(jobs.map((job) => job.id)).toContain(first.jobId);
});

it('finishes elsewhere at epoch 2 when a node is killed, and charges once', async () => {
	const job = await gateway.submit({ prompt: 'a windmill', seed: 9, steps: 40 });
	const victim = await until('a node works on it', () =>
		nodes.find((node) => node.engineLog().some((e) => e.jobId === job.id && e.event === 'step')),
	);
	await victim.kill();
	const view = await gateway.jobEnded(job.id);
	expect(view.state).toBe('succeeded');
	expect(view.images).toHaveLength(1);
	expect(view.tasks?.[0]?.epoch ?? view.history.findLast((entry) => entry.type === 'assigned')?.epoch).toBe(2);
	expect(view.history.map((entry) => entry.type)).toEqual(['queued', 'assigned', 'requeued', 'assigned', 'image', 'succeeded']);
	// Read from the rows, not through the gateway.
	const charges = (): number => gateway.rows('Workspace', 'ledger').filter((entry) => JSON.stringify(entry).includes(job.id)).length;
	await until('the usage is settled', () => (charges() > 0 ? true : undefined));
	await sleep(500);
	expect(charges()).toBe(1);
	const row = gateway.rows('Workspace', 'jobs').find((candidate) => candidate['id'] === job.id);
	expect(row?.['state']).toBe('succeeded');
	expect(gateway.objects().filter((key) => key.includes(job.id))).toHaveLength(1);
});

it('refuses the late upload of a node that lost its task with 409, and keeps nothing of it', async () => {
	const early = await Peer.enrol(gateway, 'early');
	await early.connect();
	const stopHeart = early.heartbeat();
	const job = await gateway.submit({ prompt: 'x', model: PEER_MODEL.name, seed: 1 });
	const lost = await early.take(job.id);
	expect(lost.epoch).toBe(1);
	stopHeart();
	early.drop();
	const other = await Peer.enrol(gateway, 'other');
	await other.connect();
	other.heartbeat();
	const task = await other.take(job.id, 2);
	expect(task.epoch).toBe(2);
	const late = await early.upload(lost.ticket, makePng(lost.spec.width, lost.spec.height, 1));
	expect(late.status).toBe(409);
	const good = await other.upload(task.ticket, makePng(task.spec.width, task.spec.height, 2));
	expect(good.status).toBe(200);
	expect(good.body).toMatchObject({ outcome: 'accepted' });
	// The same upload again is accepted for ever; the late one stays stale.
	expect((await other.upload(task.ticket, makePng(task.spec.width, task.spec.height, 2))).status).toBe(200);
	expect((await early.upload(lost.ticket, makePng(lost.spec.width, lost.spec.height, 1))).status).toBe(409);
	const view = await gateway.jobEnded(job.id);
	expect(view.state).toBe('succeeded');
	expect(gateway.objects().filter((key) => key.includes(job.id))).toEqual([expect.stringContaining('/2-')]);
	other.close();
});

it('tells an idle wait in words and goes on when the model comes', async () => {
	const job = await gateway.submit({ prompt: 'x', model: PEER_MODEL.name, seed: 1 });
	await sleep(200);
	const waiting = await gateway.job(job.id);
	expect(waiting.state).toBe('queued');
	expect(waiting.queue?.feasible).toBe(false);
	expect(waiting.queue?.reason ?? '').toMatch(/model|online/i);
	const peer = await Peer.enrol(gateway, 'latecomer');
	await peer.connect();
	const task = await peer.take(job.id);
	expect((await peer.upload(task.ticket, makePng(task.spec.width, task.spec.height))).status).toBe(200);
	expect((await gateway.jobEnded(job.id)).state).toBe('succeeded');
	peer.close();
});

const running = async (jobId: string): Promise<TestNode> =>
	until('a node works on it', () =>
		nodes.find((node) => !node.exited && node.engineLog().some((e) => e.jobId === jobId && e.event === 'step')),
	);
const idOf = async (node: TestNode): Promise<string> =>
	until('its id', async () => (await gateway.workers()).find(({ name, link }) => name === node.name && link === 'online')?.id);

it('gives a running task to another node when its node is paused at once, and lets it finish when it is paused gently', async () => {
	await Promise.all([start('now', 100), start('other', 100)]);
	const gentle = await gateway.submit({ prompt: 'a barn', seed: 1, steps: 20 });
	const first = await running(gentle.id);
	expect((await gateway.api('POST', `/api/v1/supervisor/workers/${await idOf(first)}/pause`)).status).toBe(200);
	expect((await gateway.jobEnded(gentle.id)).history.filter(({ type }) => type === 'assigned')).toHaveLength(1);
	const hurried = await gateway.submit({ prompt: 'a barn', seed: 2, steps: 60 });
	const second = await running(hurried.id);
	expect(second.name).not.toBe(first.name);
	expect((await gateway.api('POST', `/api/v1/supervisor/workers/${await idOf(second)}/pause?now=true`)).status).toBe(200);
	const view = await gateway.jobEnded(hurried.id);
	expect(view.state).toBe('succeeded');
	expect(view.history.map(({ type }) => type)).toContain('requeued');
	expect(view.history.findLast(({ type }) => type === 'image')?.nodeId).not.toBe(await idOf(second));
	expect((await gateway.api('POST', `/api/v1/supervisor/workers/${await idOf(second)}/pause?now=maybe`)).status).toBe(422);
});
