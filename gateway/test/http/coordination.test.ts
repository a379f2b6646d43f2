import { POOL_LIMITS } from '@limner/shared';
import { afterEach, describe, expect, it } from 'vitest';
import { refOf, until } from '../pool/harness.ts';
import { ask, newTenant } from '../tenancy/harness.ts';
import { addKey, call, cleanUp, joinNode, problemOf, submit } from './harness.ts';

afterEach(cleanUp);

interface Task {
	taskId: string;
	taskType: string;
	state: string;
	agentId?: string;
	attemptCount: number;
	failedAgentIds: string[];
	assignmentLatencyMs?: number;
}
interface Report {
	ok: boolean;
	tasks: number;
	violations: { kind: string; tasks: string[] }[];
}

const get = async <T>(path: string): Promise<T> => (await call(`/api/v1/pool${path}`)).json<T>();
const post = (path: string, json: object = {}): Promise<Response> => call(`/api/v1/pool${path}`, { json });
const task = (id: string): Promise<Task> => get(`/tasks/${id}`);
const isolation = (folder: string, startedMs: number, endedMs: number, leftovers = 0, pid = 7) => ({
	pid,
	folder,
	startedMs,
	endedMs,
	leftovers,
});

describe('/api/v1/pool', () => {
	it('initialises to the default size, lists agents, and shuts down', async () => {
		const node = await joinNode();
		const pool = await (await post('/initialize')).json<{ state: string; size: number; limits: object }>();
		expect(pool).toMatchObject({ state: 'ready', size: POOL_LIMITS.defaultPoolSize });
		expect((await node.frame('resize')).slots).toBe(POOL_LIMITS.defaultPoolSize);
		const agents = await get<{ data: { agentId: string; nodeId: string }[] }>('/agents');
		expect(agents.data.map(({ agentId }) => agentId)).toContain(`${node.identity.id}.s0`);
		expect((await post('/initialize', { size: POOL_LIMITS.maxPoolSize + 1 })).status).toBe(422);
		expect((await post('/initialize', { size: 0 })).status).toBe(422);
		const shut = await call('/api/v1/pool/shutdown', { method: 'POST' });
		expect(await shut.json()).toMatchObject({ state: 'shut' });
		expect(await get('')).toMatchObject({ state: 'shut' });
		expect((await post('/initialize', { size: 1 })).status).toBe(200);
	});

	it('shows a task from being queued over a failed agent to the next one', async () => {
		const first = await joinNode();
		const job = await (await call('/api/v1/pool/tasks', { json: { prompt: 'a red castle' } })).json<{ id: string }>();
		const id = `${job.id}.0`;
		const granted = await first.frame('task');
		first.ack(granted);
		await until(async () => (await task(id)).agentId === `${first.identity.id}.${granted.slotId}`, 'the agent');
		expect(await task(id)).toMatchObject({ taskType: 'GENERAL', state: 'leased', attemptCount: 1, failedAgentIds: [] });
		expect((await get<{ data: Task[] }>('/tasks')).data.map(({ taskId }) => taskId)).toContain(id);
		const second = await joinNode();
		const failed = await post(`/agents/${first.identity.id}.${granted.slotId}/fail`, { reason: 'it is on fire' });
		expect(failed.status).toBe(200);
		expect((await second.frame('task')).jobId).toBe(job.id);
		const moved = await task(id);
		expect(moved).toMatchObject({
			attemptCount: 2,
			failedAgentIds: [`${first.identity.id}.${granted.slotId}`],
			agentId: `${second.identity.id}.s0`,
		});
		expect(moved.assignmentLatencyMs).toBeGreaterThanOrEqual(0);
		expect(await get('/metrics')).toMatchObject({
			tasksPending: 0,
			tasksRunning: 1,
			tasksCompleted: expect.any(Number),
			tasksFailed: expect.any(Number),
			utilization: 0.5,
		});
	});

	it('answers 429 when the queue is full', async () => {
		const answers: number[] = [];
		for (let i = 0; i <= POOL_LIMITS.maxQueueDepth; i++) answers.push((await post('/tasks', { prompt: 'x' })).status);
		expect(answers.at(-1)).toBe(429);
		expect(answers.slice(0, -1).every((status) => status === 202)).toBe(true);
	}, 60_000);

	it('reports isolation from what nodes said: green, then red for a planted overlap and a file that was left', async () => {
		const node = await joinNode({ slots: 2 });
		const made = async (used: object): Promise<void> => {
			await submit({});
			const granted = await node.frame('task');
			node.ack(granted);
			node.send({ t: 'generated', ...refOf(granted), slotId: granted.slotId, totalMs: 5, isolation: used });
		};
		const before = await get<Report>('/isolation-report');
		expect(before.ok).toBe(true);
		await made(isolation('one', 1000, 2000, 0, 1));
		await made(isolation('two', 2000, 3000, 0, 2));
		await until(async () => (await get<Report>('/isolation-report')).tasks === before.tasks + 2, 'two records');
		expect((await get<Report>('/isolation-report')).violations).toEqual([]);
		const now = Date.now();
		await made(isolation('three', now - 2000, now - 1000, 0, 3));
		await until(async () => (await get<{ data: object[] }>('/timeline?sinceMs=60000')).data.length === 1, 'one span');
		const [span] = (await get<{ data: object[] }>('/timeline?sinceMs=60000')).data;
		expect(span).toMatchObject({
			nodeId: node.identity.id,
			startedAt: new Date(now - 2000).toISOString(),
			endedAt: new Date(now - 1000).toISOString(),
		});
		expect((await call('/api/v1/pool/timeline?sinceMs=1')).status).toBe(422);
		await made(isolation('two', 2500, 3500, 3, 2));
		await until(async () => !(await get<Report>('/isolation-report')).ok, 'a red report');
		const red = await get<Report>('/isolation-report');
		expect(red.violations.map(({ kind }) => kind)).toEqual(expect.arrayContaining(['folder', 'process', 'leftover']));
	});

	it('is guarded, and knows nothing of others', async () => {
		const narrow = await addKey('narrow7', ['supervisor:read']);
		expect((await call('/api/v1/pool', { key: narrow })).status).toBe(200);
		expect((await call('/api/v1/pool/initialize', { key: narrow, json: {} })).status).toBe(403);
		expect((await call('/api/v1/pool/shutdown', { key: narrow, method: 'POST' })).status).toBe(403);
		for (const path of ['', '/agents', '/tasks', '/metrics', '/isolation-report', '/timeline'])
			expect((await call(`/api/v1/pool${path}`, { key: null })).status).toBe(401);
		expect((await post(`/agents/node_${'0'.repeat(26)}.s0/fail`, {})).status).toBe(404);
		expect((await call(`/api/v1/pool/tasks/job_${'0'.repeat(28)}.0`)).status).toBe(404);
		expect((await call('/api/v1/pool/tasks/nonsense')).status).toBe(404);
		for (const alias of ['', '/pool/agents', '/metrics', '/isolation-report', '/tasks'])
			expect((await call(`/api/coordination${alias}`)).status).toBe(200);
	});
});

const page = async (query: string) =>
	(await call(`/api/v1/supervisor/workers${query}`)).json<{ data: { id: string }[]; nextCursor: string | null }>();

describe('what tenants see of the gateway', () => {
	it('are their own numbers: those of all workspaces are for the one that runs it', async () => {
		const tenant = await newTenant();
		const { key } = (await ask('POST', '/keys', tenant.token, { name: 'prometheus', scopes: ['supervisor:read'] })).body;
		for (const path of ['/api/v1/supervisor/metrics', '/metrics']) {
			for (const credential of [tenant.token, key]) {
				const refused = await call(path, { key: credential });
				expect([path, refused.status, (await problemOf(refused)).code]).toEqual([path, 403, 'forbidden']);
			}
			expect((await call(path)).status).toBe(200);
			expect((await call(path, { key: await addKey(path === '/metrics' ? 'prom1' : 'prom2', ['supervisor:read']) })).status).toBe(200);
		}
		expect((await call('/api/v1/pool/metrics', { key })).status).toBe(200);
	});

	it('is the depth of the queue that holds for them', async () => {
		const tenant = await newTenant();
		await ask('PUT', `/workspaces/${tenant.ws}/limits`, undefined, { queued: 7 });
		expect((await ask('GET', '/pool', tenant.token)).body).toMatchObject({ limits: { maxQueueDepth: 7 } });
	});

	it('comes in pages where they ask for pages', async () => {
		const nodes = [await joinNode(), await joinNode(), await joinNode()].map((node) => node.identity.id).toSorted();
		const all = (await page('')).data.map(({ id }) => id);
		expect(all).toEqual(expect.arrayContaining(nodes));
		const seen: string[] = [];
		for (let cursor: string | null = ''; cursor !== null;) {
			const { data, nextCursor }: { data: { id: string }[]; nextCursor: string | null } = await page(
				`?limit=2${cursor === '' ? '' : `&cursor=${cursor}`}`,
			);
			expect(data.length).toBeLessThanOrEqual(2);
			seen.push(...data.map(({ id }) => id));
			cursor = nextCursor;
		}
		expect(seen).toEqual(all.toSorted());
		expect((await call('/api/v1/supervisor/workers?limit=0')).status).toBe(422);
	});
});
