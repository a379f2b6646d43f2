/** The operator's MCP tools against a running pool: each one, and what it does to nodes and tasks. */
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startTestGateway, type TestGateway } from '../lib/gateway.ts';
import { startTestNode, type TestNode } from '../lib/node.ts';
import { until } from '../lib/until.ts';

let gateway: TestGateway;
let node: TestNode;
let other: TestNode;
let client: Client;
beforeAll(async () => {
	gateway = await startTestGateway();
	node = await startTestNode(gateway, { name: 'pool', stepMs: 20 });
	client = new Client({ name: 'operator', version: '1' }, { versionNegotiation: { mode: 'auto' } });
	const headers = { authorization: `Bearer ${gateway.key}` };
	await client.connect(new StreamableHTTPClientTransport(new URL(`${gateway.url}/mcp`), { requestInit: { headers } }));
});
afterAll(async () => {
	await client?.close();
	await node?.stop();
	await other?.stop();
	await gateway?.stop();
});

type Answer = Record<string, unknown>;

const call = async (name: string, args: Answer = {}): Promise<Answer> => {
	const result = await client.callTool({ name, arguments: args });
	if (result.isError === true) throw new Error(JSON.stringify(result.content));
	return result.structuredContent as Answer;
};

interface Task {
	state: string;
	agentId?: string;
	attemptCount: number;
	failedAgentIds: string[];
}
const taskOf = async (jobId: unknown): Promise<Task> => (await gateway.api<Task>('GET', `/api/v1/pool/tasks/${String(jobId)}.0`)).body;

/** Some engine is at work on a job. */
const runs = async (jobId: string): Promise<true> =>
	until('it runs', () =>
		[node, other].some((each) => each.engineLog().some((event) => event.jobId === jobId && event.event === 'step')) ? true : undefined,
	);

it('starts a pool, and its node gets the slots', async () => {
	expect(await call('initialize_pool', { size: 2 })).toMatchObject({ state: 'ready', size: 2 });
	await until('two slots', async () => ((await gateway.workers())[0]?.slots.length === 2 ? true : undefined));
	await expect(call('initialize_pool', { size: 17 })).rejects.toThrow('size');
});

it('submits tasks of the pool’s own kinds, which nodes do', async () => {
	for (const task of [
		{ taskType: 'HEARTBEAT' },
		{ taskType: 'DISCOVERY', modelSource: false },
		{ taskType: 'GENERAL', prompt: 'a fox', steps: 3 },
	]) {
		const made = await call('submit_coordination_task', task);
		expect((await gateway.jobEnded(String(made['id']))).state, task.taskType).toBe('succeeded');
	}
	await expect(call('submit_coordination_task', { taskType: 'NOTHING' })).rejects.toThrow('taskType');
});

it('fails an agent, and its task goes on elsewhere', async () => {
	other = await startTestNode(gateway, { name: 'other', stepMs: 20 });
	const made = await call('submit_coordination_task', { taskType: 'GENERAL', prompt: 'failed over', steps: 100 });
	const jobId = String(made['id']);
	await runs(jobId);
	const { agentId = '' } = await taskOf(jobId);
	await call('fail_coordination_agent', { agent_id: agentId, reason: 'a test' });
	expect((await gateway.jobEnded(jobId)).state).toBe('succeeded');
	expect(await taskOf(jobId)).toMatchObject({ attemptCount: 2, failedAgentIds: [agentId] });
	// Both machines began it; the second one made it.
	for (const each of [node, other]) expect(each.engineLog().some((event) => event.jobId === jobId && event.event === 'start')).toBe(true);
	await expect(call('fail_coordination_agent', { agent_id: 'node_nobody.s0' })).rejects.toThrow('there is no such');
});

it('reports numbers and isolation', async () => {
	expect(await call('coordination_metrics')).toMatchObject({ tasksPending: 0, tasksRunning: 0, utilization: 0 });
	await until('all are counted', async () => (Number((await call('coordination_metrics'))['tasksCompleted']) >= 4 ? true : undefined));
	const report = await call('isolation_report');
	expect(report).toMatchObject({ ok: true, violations: [] });
	expect(report['tasks']).toBeGreaterThan(0);
});

it('shuts the pool down, with what runs given back, and starts it again', async () => {
	const made = await call('submit_coordination_task', { taskType: 'GENERAL', prompt: 'given back', steps: 100 });
	const jobId = String(made['id']);
	await runs(jobId);
	expect(await call('shutdown_coordination_pool', { now: true })).toMatchObject({ state: 'shut' });
	await until('the task is back in the queue', async () => ((await taskOf(jobId)).state === 'queued' ? true : undefined));
	expect((await gateway.workers()).map(({ mode }) => mode)).toEqual(['paused', 'paused']);
	await call('initialize_pool', { size: 1 });
	expect((await gateway.jobEnded(jobId)).state).toBe('succeeded');
});
