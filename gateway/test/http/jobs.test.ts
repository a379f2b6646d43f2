import { evictDurableObject, runInDurableObject } from 'cloudflare:test';
import { env } from 'cloudflare:workers';
import { afterEach, describe, expect, it } from 'vitest';
import { canonicalJson, sha256Hex } from '../../src/lib/canonical.ts';
import { BUILT_IN_MODELS } from '../../src/lib/catalog.ts';
import type { SubmitOutput, WorkspaceRpc } from '../../src/rpc.ts';
import { complete, until } from '../pool/harness.ts';
import { spec } from '../workspace/fixtures.ts';
import {
	addKey,
	call,
	cleanUp,
	countRows,
	enrol,
	connectHeaders,
	eventsOf,
	joinNode,
	KEY,
	pool,
	problemOf,
	submit,
	viewOf,
	WS,
} from './harness.ts';

afterEach(cleanUp);

/** What the gateway knows of the model without any node. */
const [KNOWN] = BUILT_IN_MODELS;
const NATIVE = { width: KNOWN?.nativeWidth, height: KNOWN?.nativeHeight };

/** What the Workspace does of a submit, without the hand-over that follows it. */
const acceptOnly = async (body: { prompt: string }, key: string): Promise<SubmitOutput> => {
	const workspace = env.WORKSPACE.getByName(WS) as unknown as WorkspaceRpc;
	const answer = await workspace.submit(WS, {
		keyHash: sha256Hex(KEY),
		keyId: 'boot',
		spec: spec({ prompt: body.prompt }),
		warnings: [],
		traceId: 'a'.repeat(32),
		idempotency: { key, bodyHash: sha256Hex(canonicalJson(body)) },
	});
	if (!answer.ok) throw new Error(answer.detail);
	return answer;
};

const idsOf = async (state: string): Promise<string[]> =>
	(await (await call(`/api/v1/jobs?state=${state}`)).json<{ data: { id: string }[] }>()).data.map(({ id }) => id);

const twenty = () => call('/api/v1/jobs', { json: { prompt: 'twenty', n: 2 }, headers: { 'idempotency-key': 'same' } });

describe('jobs', () => {
	it('accepts, shows and lists a job', async () => {
		const response = await call('/api/v1/jobs', { json: { prompt: 'a red castle', seed: 5 }, headers: { 'x-request-id': 'req-1' } });
		expect(response.status).toBe(202);
		const view = await viewOf(response);
		expect(response.headers.get('location')).toBe(`/api/v1/jobs/${view.id}`);
		expect(response.headers.get('x-request-id')).toBe('req-1');
		expect(JSON.parse(response.headers.get('limner-queue') ?? '')).toMatchObject({ feasible: false });
		expect(view).toMatchObject({
			state: 'queued',
			request: { model: 'storybook', ...NATIVE, steps: 20, guidance: 4, scheduler: 'ddim', seed: 5, n: 1 },
		});
		const read = await viewOf(await call(`/api/v1/jobs/${view.id}`));
		expect(read).toMatchObject({
			id: view.id,
			state: 'queued',
			tasks: [{ index: 0, state: 'queued' }],
			queue: { feasible: false },
			history: [{ rev: 1, type: 'queued' }],
		});
		const page = await (await call('/api/v1/jobs?limit=1&state=queued')).json<{ data: { id: string }[] }>();
		expect(page.data[0]?.id).toBe(view.id);
		await call(`/api/v1/jobs/${view.id}/cancel`, { method: 'POST' });
	});

	it('hands a replayed job over when its first request died before it could', async () => {
		const body = { prompt: 'cut off' };
		const { row } = await acceptOnly(body, 'cut');
		expect(await pool().known([row.id])).toEqual([]);
		const response = await call('/api/v1/jobs', { json: body, headers: { 'idempotency-key': 'cut' } });
		expect([response.status, response.headers.get('idempotency-replayed')]).toEqual([202, 'true']);
		expect((await viewOf(response)).id).toBe(row.id);
		expect(await pool().known([row.id])).toEqual([row.id]);
	});

	it('answers 202 for an accepted job when the wait for its end breaks', async () => {
		const stub = pool() as unknown as DurableObjectStub;
		const before = await countRows('jobs');
		await runInDurableObject(stub, (instance) => {
			(instance as unknown as { fetch: () => never }).fetch = () => {
				throw new Error('too many sockets');
			};
		});
		const response = await call('/api/v1/jobs?wait=5', { json: { prompt: 'a red castle' } });
		await evictDurableObject(stub);
		expect(response.status).toBe(202);
		expect((await viewOf(response)).state).toBe('queued');
		expect(await countRows('jobs')).toBe(before + 1);
	});

	it('lists by the state that callers see', async () => {
		const node = await joinNode();
		const running = await submit();
		await node.frame('task');
		const queued = await submit();
		const waiting = await submit({ dependsOn: [queued.id] });
		expect(await idsOf('running')).toEqual([running.id]);
		expect(await idsOf('queued')).toEqual([queued.id]);
		expect(await idsOf('waiting')).toEqual([waiting.id]);
	});

	it('lets a job wait for a model whose node is away for a moment', async () => {
		const node = await joinNode({ models: ['painter'] });
		node.ws.close(1000, 'restart');
		await until(async () => (await pool().metrics()).nodesOnline === 0, 'node gone');
		await new Promise((resolve) => setTimeout(resolve, 2100));
		const view = await submit({ model: 'painter' });
		expect(view.state).toBe('queued');
		const models = await (await call('/api/v1/models')).json<{ data: { name: string; nodes: number }[] }>();
		expect(models.data.find(({ name }) => name === 'painter')).toMatchObject({ nodes: 0 });
	});

	it('makes a random seed of 32 bits when none is given', async () => {
		const seeds = await Promise.all([submit(), submit({ seed: null })].map(async (view) => (await view).request.seed));
		expect(new Set(seeds).size).toBe(2);
		for (const seed of seeds) expect(seed).toBeLessThan(2 ** 32);
	});

	it('answers 20 parallel duplicates with one job and equal bodies', async () => {
		const before = await countRows('jobs');
		const answers = await Promise.all(Array.from({ length: 20 }, twenty));
		expect(new Set(answers.map((answer) => answer.status))).toEqual(new Set([202]));
		const bodies = await Promise.all(answers.map((answer) => answer.text()));
		expect(new Set(bodies).size).toBe(1);
		expect(answers.filter((answer) => answer.headers.has('limner-queue'))).toHaveLength(1);
		expect(answers.filter((answer) => answer.headers.get('idempotency-replayed') === 'true')).toHaveLength(19);
		expect(await countRows('jobs')).toBe(before + 1);
		const sorted = await call('/api/v1/jobs', { json: { n: 2, prompt: 'twenty' }, headers: { 'idempotency-key': 'same' } });
		expect(sorted.status).toBe(202);
		const other = await call('/api/v1/jobs', { json: { prompt: 'twenty', n: 3 }, headers: { 'idempotency-key': 'same' } });
		expect(other.status).toBe(422);
		expect((await problemOf(other)).code).toBe('idempotency_mismatch');
		expect(await countRows('jobs')).toBe(before + 1);
	});

	it('cancels once, and says what is over', async () => {
		const { id } = await submit();
		const canceled = await call(`/api/v1/jobs/${id}/cancel`, { method: 'POST' });
		expect(canceled.status).toBe(200);
		expect(await viewOf(canceled)).toMatchObject({ state: 'canceled' });
		expect((await call(`/api/v1/jobs/${id}/cancel`, { method: 'POST' })).status).toBe(200);
		const retry = await call(`/api/v1/jobs/${id}/retry`, { method: 'POST' });
		expect(retry.status).toBe(202);
		const again = await viewOf(retry);
		expect(again).toMatchObject({ retryOf: id, state: 'queued' });
		expect(again.id).not.toBe(id);
		expect((await call(`/api/v1/jobs/${again.id}/retry`, { method: 'POST' })).status).toBe(409);
		expect(await viewOf(await call(`/api/v1/jobs/${again.id}`, { method: 'DELETE' }))).toMatchObject({ state: 'canceled' });
	});

	it('gives a waiting job another priority, and keeps it in view, history and ledger', async () => {
		const { id } = await submit({ prompt: 'soon' });
		const changed = await call(`/api/v1/jobs/${id}`, { method: 'PATCH', json: { priority: 9 } });
		expect(changed.status).toBe(200);
		const view = await viewOf(changed);
		expect(view).toMatchObject({ state: 'queued', request: { priority: 9 } });
		expect(view.history.at(-1)).toMatchObject({ type: 'priority', from: '5', to: '9' });
		expect((await viewOf(await call(`/api/v1/jobs/${id}`))).request.priority).toBe(9);
		// A repeat changes nothing and writes nothing.
		expect((await call(`/api/v1/jobs/${id}`, { method: 'PATCH', json: { priority: 9 } })).status).toBe(200);
		const events = await (
			await call(`/api/v1/audit?target=${id}&action=job.priority`)
		).json<{ data: { type: string; detail: object }[] }>();
		const actions = events.data.filter(({ type }) => type === 'action');
		expect(actions.map(({ detail }) => detail)).toEqual([{ from: 5, to: 9 }]);
		await call(`/api/v1/jobs/${id}/cancel`, { method: 'POST' });
		await until(async () => (await viewOf(await call(`/api/v1/jobs/${id}`))).finishedAt !== undefined, 'the settlement');
		expect((await viewOf(await call(`/api/v1/jobs/${id}`))).request.priority).toBe(9);
		const over = await call(`/api/v1/jobs/${id}`, { method: 'PATCH', json: { priority: 1 } });
		expect([over.status, (await problemOf(over)).code]).toEqual([409, 'conflict']);
		const retried = await viewOf(await call(`/api/v1/jobs/${id}/retry`, { method: 'POST' }));
		expect(retried.request.priority).toBe(9);
	});

	it.each([
		[{ priority: 10 }, 422],
		[{ priority: -1 }, 422],
		[{ priority: '5' }, 422],
		[{}, 422],
		[{ priority: 5, steps: 4 }, 422],
	])('refuses %j as a change of a job', async (json, status) => {
		const { id } = await submit();
		const answer = await call(`/api/v1/jobs/${id}`, { method: 'PATCH', json });
		expect([answer.status, (await problemOf(answer)).code]).toEqual([status, 'validation_failed']);
	});

	it('asks for another try while a job is on its way to its shard', async () => {
		const { row } = await acceptOnly({ prompt: 'not there yet' }, 'priority-early');
		const early = await call(`/api/v1/jobs/${row.id}`, { method: 'PATCH', json: { priority: 9 } });
		expect([early.status, (await problemOf(early)).code]).toEqual([503, 'retry_later']);
	});

	it('does not know other jobs', async () => {
		const unknown = `job_${'0'.repeat(28)}`;
		for (const [method, path] of [
			['GET', ''],
			['DELETE', ''],
			['POST', '/cancel'],
			['POST', '/retry'],
			['PATCH', ''],
			['GET', '/events'],
			['POST', '/stream-ticket'],
		] as const) {
			const response = await call(`/api/v1/jobs/${unknown}${path}`, { method, ...(method === 'PATCH' ? { json: { priority: 1 } } : {}) });
			expect([path, response.status, (await problemOf(response)).code]).toEqual([path, 404, 'not_found']);
		}
	});
});

describe('a node makes the picture', () => {
	it('enrols, connects, works, and the caller sees it live', async () => {
		const node = await joinNode();
		const view = await submit({ steps: 4 });
		const stream = await call(`/api/v1/jobs/${view.id}/events`);
		expect(stream.headers.get('content-type')).toBe('text/event-stream; charset=utf-8');
		const seen: string[] = [];
		const ids: number[] = [];
		const task = await node.frame('task');
		expect(task).toMatchObject({ jobId: view.id, epoch: 1 });
		node.ack(task);
		const data = new Map<string, unknown>();
		const outcomes: string[] = [];
		for await (const event of eventsOf(stream)) {
			seen.push(event.event!);
			if (event.id !== undefined) ids.push(event.id);
			data.set(event.event!, event.data);
			if (event.event === 'assigned') node.progress(task, 2);
			if (event.event === 'progress' && !seen.includes('image')) {
				node.generated(task);
				outcomes.push(await complete(pool(), node, task, WS));
			}
		}
		expect(new Set(outcomes)).toEqual(new Set(['accepted']));
		expect(data.get('image')).toMatchObject({ index: 0, image: { url: expect.stringContaining('/api/v1/objects/'), width: 128 } });
		expect(data.get('image')).not.toHaveProperty('image.key');
		expect(ids).toEqual([1, 2, 3, 4]);
		expect(seen).toContain('progress');
		expect(seen.at(-1)).toBe('succeeded');
		expect(data.get('succeeded')).toMatchObject({ images: [{ index: 0, seed: 7 }], usage: { images: 1 } });

		const replay = [];
		for await (const event of eventsOf(await call(`/api/v1/jobs/${view.id}/events`, { headers: { 'last-event-id': '2' } }))) {
			replay.push([event.id, event.event]);
		}
		expect(replay).toEqual([
			[3, 'image'],
			[4, 'succeeded'],
		]);
		const finished = await viewOf(await call(`/api/v1/jobs/${view.id}`));
		expect(finished).toMatchObject({ state: 'succeeded', images: [{ index: 0 }] });
	});

	it('answers the finished job to a caller who waits', async () => {
		const node = await joinNode();
		const waiting = call('/api/v1/jobs?wait=20', { json: { prompt: 'wait for me' } });
		const task = await node.frame('task');
		node.ack(task);
		node.generated(task);
		await complete(pool(), node, task, WS);
		const response = await waiting;
		expect(response.status).toBe(200);
		expect(await viewOf(response)).toMatchObject({ state: 'succeeded', images: [{ index: 0 }] });
	});

	it('answers 202 when the wait is over first', async () => {
		const start = Date.now();
		const response = await call('/api/v1/jobs?wait=1', { json: { prompt: 'nobody is there' } });
		expect(response.status).toBe(202);
		expect(Date.now() - start).toBeGreaterThanOrEqual(1000);
		expect(await viewOf(response)).toMatchObject({ state: 'queued', queue: { feasible: false } });
		expect(Date.now() - start).toBeLessThan(5000);
	});

	it('lets a stream ticket open its job only', async () => {
		const one = await submit();
		const two = await submit();
		const made = await (await call(`/api/v1/jobs/${one.id}/stream-ticket`, { method: 'POST' })).json<{ ticket: string; url: string }>();
		expect(made.url).toContain(`/api/v1/jobs/${one.id}/events?ticket=`);
		const stream = await call(`/api/v1/jobs/${one.id}/events?ticket=${made.ticket}`, { key: null });
		expect(stream.status).toBe(200);
		await stream.body?.cancel();
		expect((await call(`/api/v1/jobs/${two.id}/events?ticket=${made.ticket}`, { key: null })).status).toBe(403);
		expect((await call(`/api/v1/jobs/${one.id}?ticket=${made.ticket}`, { key: null })).status).toBe(401);
		expect((await call(`/api/v1/jobs/${one.id}/events?ticket=${made.ticket}x`, { key: null })).status).toBe(401);
	});
});

describe('nodes', () => {
	it('refuses what is no upgrade, no certificate, no protocol', async () => {
		const { enrolled } = await enrol();
		expect((await call('/api/v1/nodes/connect')).status).toBe(426);
		const headers = connectHeaders(enrolled.certificate);
		expect((await call('/api/v1/nodes/connect', { key: null, headers: { ...headers, 'sec-websocket-protocol': 'other' } })).status).toBe(
			400,
		);
		expect((await call('/api/v1/nodes/connect', { key: null, headers: { ...headers, authorization: 'Bearer a.b' } })).status).toBe(401);
	});
	it('takes a join token once, and gives the same key the same node', async () => {
		const { enrolled, token, identity } = await enrol();
		expect(enrolled.nodeId).toMatch(/^node_/);
		expect(Math.abs(Date.parse(enrolled.gatewayTime) - Date.now())).toBeLessThan(5000);
		const renewed = await call('/api/v1/nodes/renew', {
			method: 'POST',
			key: null,
			headers: { authorization: `Bearer ${enrolled.certificate}` },
		});
		expect(renewed.status).toBe(200);
		expect(await renewed.json()).toMatchObject({ nodeId: enrolled.nodeId, ws: WS, name: 'tester' });
		const other = { token, publicKey: identity.publicKey.replace(/^./, (char) => (char === 'A' ? 'B' : 'A')), name: 'second' };
		const used = await call('/api/v1/nodes', { key: null, json: other });
		expect(used.status).toBeGreaterThanOrEqual(400);
		expect(used.status).toBeLessThan(500);
		expect((await call('/api/v1/nodes', { key: null, json: { token: 'nope', publicKey: identity.publicKey, name: 'x' } })).status).toBe(
			401,
		);
	});
	it('lists, and revokes join tokens', async () => {
		const made = await (await call('/api/v1/join-tokens', { json: { maxUses: 3, trust: 'shared' } })).json<{ id: string; token: string }>();
		const list = await (await call('/api/v1/join-tokens')).json<{ data: { id: string }[] }>();
		expect(list.data.map((token) => token.id)).toContain(made.id);
		expect(JSON.stringify(list)).not.toContain(made.token);
		expect(await (await call(`/api/v1/join-tokens/${made.id}`, { method: 'DELETE' })).json()).toMatchObject({ revoked: true });
		expect((await call('/api/v1/join-tokens/none', { method: 'DELETE' })).status).toBe(404);
	});
	it('shows workers and sets their mode', async () => {
		const node = await joinNode();
		const { id } = node.identity;
		expect(await (await call(`/api/v1/supervisor/workers/${id}`)).json()).toMatchObject({ id, status: 'IDLE', link: 'online' });
		for (const [verb, mode] of [
			['pause', 'paused'],
			['resume', 'active'],
			['drain', 'draining'],
			['resume', 'active'],
		] as const) {
			const response = await call(`/api/v1/supervisor/workers/${id}/${verb}`, { method: 'POST' });
			expect([verb, response.status]).toEqual([verb, 200]);
			expect(await response.json()).toMatchObject({ id, mode });
		}
		const list = await (await call('/api/v1/supervisor/workers?status=idle&model=storybook')).json<{ data: { id: string }[] }>();
		expect(list.data.map((worker) => worker.id)).toContain(id);
		expect((await call('/api/v1/supervisor/workers?status=LAZY')).status).toBe(422);
		const none = await (await call('/api/v1/supervisor/workers?model=other')).json<{ data: unknown[] }>();
		expect(none.data).toEqual([]);
	});
});

describe('scopes', () => {
	it('are what the key has, no more', async () => {
		await submit();
		const reader = await addKey('reader', ['jobs:read']);
		const writer = await addKey('writer', ['jobs:write']);
		expect((await call('/api/v1/jobs', { key: reader })).status).toBe(200);
		const refused = await call('/api/v1/jobs', { key: reader, json: { prompt: 'x' } });
		expect(refused.status).toBe(403);
		expect((await problemOf(refused)).detail).toContain('jobs:write');
		expect((await call('/api/v1/jobs', { key: writer })).status).toBe(403);
		expect((await call('/api/v1/jobs', { key: writer, json: { prompt: 'x' } })).status).toBe(202);
		for (const path of ['/metrics', '/api/v1/supervisor/workers', '/api/v1/join-tokens', '/api/v1/resources/usage']) {
			expect([path, (await call(path, { key: reader })).status]).toEqual([path, 403]);
		}
	});
});
