import { rotateMessage, type ProblemDetails } from '@limner/shared';
import { afterEach, describe, expect, it } from 'vitest';
import { newIdentity, TestNode, until, type Identity } from '../pool/harness.ts';
import { addKey, call, cleanUp, connectHeaders, joinNode, problemOf, submit, viewOf, WS, type Enrolled } from './harness.ts';

interface Worker {
	id: string;
	mode: string;
	reason?: string;
	labels: string[];
	telemetry?: { rssBytes?: number; cpuUtil?: number; gpus?: unknown[] };
}

const open = new Set<TestNode>();
afterEach(async () => {
	for (const node of open) node.ws.close(1000, 'test over');
	open.clear();
	await cleanUp();
});

const token = async (json: object = {}): Promise<string> =>
	(await (await call('/api/v1/join-tokens', { json })).json<{ token: string }>()).token;
const enrolWith = async (text: string, identity?: Identity): Promise<{ response: Response; identity: Identity }> => {
	const own = identity ?? (await newIdentity(WS));
	const response = await call('/api/v1/nodes', { key: null, json: { token: text, publicKey: own.publicKey, name: 'tester' } });
	return { response, identity: own };
};
const admitted = async (json: object = {}): Promise<{ identity: Identity; enrolled: Enrolled }> => {
	const { response, identity } = await enrolWith(await token(json));
	const enrolled = await response.json<Enrolled>();
	return { identity: { ...identity, id: enrolled.nodeId }, enrolled };
};
const connect = async (identity: Identity, certificate: string): Promise<TestNode> => {
	const response = await call('/api/v1/nodes/connect', { key: null, headers: connectHeaders(certificate) });
	const node = new TestNode(identity, response.webSocket!);
	open.add(node);
	return node;
};
const worker = async (id: string): Promise<Worker> => (await call(`/api/v1/supervisor/workers/${id}`)).json();
const workers = async (query: string): Promise<Worker[]> =>
	(await (await call(`/api/v1/supervisor/workers${query}`)).json<{ data: Worker[] }>()).data;

const rotation = async (identity: Identity, nodeId: string, newKey: string, at = Date.now(), signer = identity) => ({
	newPublicKey: newKey,
	at,
	signature: Buffer.from(
		await crypto.subtle.sign('Ed25519', signer.keys.privateKey, new TextEncoder().encode(rotateMessage(nodeId, newKey, at))),
	).toString('base64url'),
});

describe('join tokens', () => {
	it('give their labels to nodes, by which the supervisor finds them', async () => {
		const { identity, enrolled } = await admitted({ labels: ['rack:a', 'gpu'] });
		const node = await connect(identity, enrolled.certificate);
		await node.hello();
		expect((await workers('?label=rack:a')).map(({ id }) => id)).toEqual([identity.id]);
		expect(await workers('?label=rack:b')).toEqual([]);
		expect((await worker(identity.id)).labels).toEqual(['rack:a', 'gpu']);
	});

	it('are used up, and say so', async () => {
		const text = await token({ maxUses: 1 });
		expect((await enrolWith(text)).response.status).toBe(201);
		const second = (await enrolWith(text)).response;
		expect(second.status).toBe(401);
		expect((await problemOf(second)).detail).toContain('used 1 times');
	});

	it('refuse labels that would not fit', async () => {
		const bad = await call('/api/v1/join-tokens', { json: { labels: ['<script>'] } });
		expect(bad.status).toBe(422);
		expect((await call('/api/v1/join-tokens', { json: { labels: Array.from({ length: 17 }, (_, i) => `l${i}`) } })).status).toBe(422);
	});
});

describe('approval', () => {
	it('keeps a node from work until somebody approves it', async () => {
		const { identity, enrolled } = await admitted({ approval: true });
		const node = await connect(identity, enrolled.certificate);
		expect(await node.hello()).toMatchObject({ mode: 'paused' });
		expect(await worker(identity.id)).toMatchObject({ mode: 'paused', reason: expect.stringContaining('approval') });
		const job = await submit({});
		await new Promise((resolve) => setTimeout(resolve, 200));
		expect((await viewOf(await call(`/api/v1/jobs/${job.id}`))).state).toBe('queued');
		const narrow = await addKey('narrow5', ['nodes:read']);
		expect((await call(`/api/v1/nodes/${identity.id}/approve`, { method: 'POST', key: narrow })).status).toBe(403);
		expect((await call(`/api/v1/nodes/${identity.id}/approve`, { method: 'POST' })).status).toBe(200);
		const task = await node.frame('task');
		expect(task.jobId).toBe(job.id);
	});
});

describe('a ban', () => {
	it('throws a node out, gives its task to another, and keeps its key from coming back', async () => {
		const { identity, enrolled } = await admitted();
		const node = await connect(identity, enrolled.certificate);
		await node.hello();
		const job = await submit({});
		node.ack(await node.frame('task'));
		const other = await joinNode();
		const answer = await call(`/api/v1/nodes/${identity.id}/ban`, { json: { reason: 'it sent rubbish' } });
		expect(answer.status).toBe(200);
		expect((await node.closed).code).toBe(4403);
		expect((await other.frame('task')).jobId).toBe(job.id);
		const renewed = await call('/api/v1/nodes/renew', { method: 'POST', key: enrolled.certificate });
		expect(renewed.status).toBe(403);
		expect((await enrolWith(await token(), identity)).response.status).toBe(403);
		const again = await connect(identity, enrolled.certificate);
		again.hello().catch(() => undefined);
		expect((await again.closed).code).toBe(4403);
		const unknown = `node_${'0'.repeat(26)}`;
		expect((await call(`/api/v1/nodes/${unknown}/ban`, { json: { reason: 'x' } })).status).toBe(404);
	});
});

describe('a new key', () => {
	it('takes the place of the old one, which is refused from then on', async () => {
		const { identity, enrolled } = await admitted();
		const next = { ...(await newIdentity(WS)), id: identity.id };
		const rotate = (body: object, certificate = enrolled.certificate): Promise<Response> =>
			call('/api/v1/nodes/rotate-key', { key: certificate, json: body });
		expect((await rotate(await rotation(identity, identity.id, next.publicKey, Date.now(), next))).status).toBe(401);
		expect((await rotate(await rotation(identity, identity.id, next.publicKey, Date.now() - 600_000))).status).toBe(401);
		const body = await rotation(identity, identity.id, next.publicKey);
		const answer = await rotate(body);
		expect(answer.status).toBe(200);
		const fresh = await answer.json<Enrolled>();
		expect(fresh.nodeId).toBe(identity.id);
		// The same call again, because its answer was lost.
		expect((await rotate(body)).status).toBe(200);
		const node = await connect(next, fresh.certificate);
		await node.hello();
		const old = await connect(identity, enrolled.certificate);
		old.hello().catch(() => undefined);
		expect((await old.closed).code).toBe(4401);
		expect((await call('/api/v1/nodes/renew', { method: 'POST', key: enrolled.certificate })).status).toBe(401);
		const reused = await enrolWith(await token(), identity);
		expect((await reused.response.json<ProblemDetails>()).detail).toContain('replaced');
	});
});

describe('detail of a worker', () => {
	it('shows readings, tasks, history and numbers', async () => {
		const node = await joinNode();
		const { id } = node.identity;
		node.send({ t: 'telemetry', rssBytes: 5e8, cpuUtil: 0.5, gpus: [{ name: 'H100', util: 0.4, memUsedBytes: 1e9, tempC: 50 }] });
		await until(async () => (await worker(id)).telemetry?.rssBytes === 5e8, 'the reading');
		const { data } = await (await call(`/api/v1/supervisor/workers/${id}/telemetry`)).json<{ data: unknown[] }>();
		expect(data).toMatchObject([{ cpuUtil: 0.5, gpus: [{ tempC: 50 }] }]);
		const job = await submit({});
		node.ack(await node.frame('task'));
		await until(async () => (await (await call(`/api/v1/supervisor/workers/${id}/tasks`)).text()).includes(job.id), 'the task');
		expect(await (await call(`/api/v1/supervisor/workers/${id}/metrics`)).json()).toMatchObject({ slots: 1, slotsBusy: 1, utilization: 1 });
		await call(`/api/v1/supervisor/workers/${id}/pause`, { method: 'POST' });
		const history = await (await call(`/api/v1/supervisor/workers/${id}/history`)).json<{ data: { text: string }[] }>();
		expect(history.data[0]?.text).toContain('node.pause');
		for (const part of ['telemetry', 'tasks', 'history', 'metrics']) {
			expect((await call(`/api/v1/supervisor/workers/node_${'0'.repeat(26)}/${part}`)).status).toBe(404);
			expect((await call(`/api/v1/supervisor/workers/${id}/${part}`, { key: null })).status).toBe(401);
		}
	});
});
