import { afterAll, beforeAll, expect, it } from 'vitest';
import type { WorkflowView } from '@limner/shared';
import { startTestGateway, type TestGateway } from '../lib/gateway.ts';
import { startTestNode, type TestNode } from '../lib/node.ts';
import { SseReader } from '../lib/sse.ts';
import { until } from '../lib/until.ts';

let gateway: TestGateway;
let node: TestNode;

beforeAll(async () => {
	gateway = await startTestGateway();
	node = await startTestNode(gateway, { name: 'painter', stepMs: 5 });
});
afterAll(async () => {
	await node.stop();
	await gateway.stop();
});

const submit = async (body: unknown, headers: Record<string, string> = {}) =>
	gateway.api<WorkflowView & { errors: { pointer: string }[] }>('POST', '/api/v1/workflows', body, headers);

const read = async (id: string): Promise<WorkflowView> => (await gateway.api<WorkflowView>('GET', `/api/v1/workflows/${id}`)).body;

const ended = (id: string): Promise<WorkflowView> =>
	until('the workflow ends', async () => {
		const view = await read(id);
		return view.state === 'running' ? undefined : view;
	});

const steps = 4;

const place = (event: { data: Record<string, unknown> }): string => `${String(event.data['key'])} ${String(event.data['rev'])}`;

it('hands pictures on, tells all of it in one stream, and says how the hand-offs went', async () => {
	const { status, body } = await submit({
		name: 'two steps',
		jobs: [
			{ key: 'second', prompt: 'in the rain', steps, initImage: { job: 'first', index: 1 } },
			{ key: 'first', prompt: 'a house', steps, n: 2 },
			{ key: 'check', taskType: 'DISCOVERY', modelSource: false, dependsOn: ['second'] },
		],
	});
	expect(status).toBe(202);
	expect(body.jobs.map(({ key, state }) => [key, state])).toEqual(
		expect.arrayContaining([
			['second', 'waiting'],
			['check', 'waiting'],
		]),
	);
	const stream = SseReader.open(gateway, `/api/v1/workflows/${body.id}/events`);
	const view = await ended(body.id);
	expect(view).toMatchObject({ state: 'succeeded', name: 'two steps', handoffs: { decided: 2, succeeded: 2, successRate: 1 } });
	expect(view.jobs[0]?.history.find(({ type }) => type === 'handoff')?.handoff).toMatchObject({
		artefacts: ['initImage: picture 1'],
		ok: true,
	});
	await stream.finished();
	const ends = stream.events.filter(({ event }) => event === 'succeeded').map(({ data }) => String(data['key']));
	expect(ends.toSorted()).toEqual(['check', 'first', 'second']);
	const half = stream.durable[3]?.id ?? '';
	const rest = SseReader.open(gateway, `/api/v1/workflows/${body.id}/events`, { 'last-event-id': half });
	await rest.finished();
	expect(rest.durable.map(place).toSorted()).toEqual(stream.durable.slice(4).map(place).toSorted());
	const last = stream.durable.at(-1)?.id ?? '';
	// The pool tells ends first; once the workspace has them too, whoever has read all is told that there is no more.
	await until('nothing more to read', async () => {
		const answer = await gateway.api('GET', `/api/v1/workflows/${body.id}/events`, undefined, { 'last-event-id': last });
		return answer.status === 204 ? true : undefined;
	});
});

it('refuses cycles, chains that are too long and names that lead nowhere, and then leaves nothing behind', async () => {
	const before = (await gateway.api<{ data: unknown[] }>('GET', '/api/v1/jobs?limit=200')).body.data.length;
	const chain = Array.from({ length: 9 }, (_, i) => ({ key: `k${i}`, prompt: 'x', ...(i === 0 ? {} : { dependsOn: [`k${i - 1}`] }) }));
	const bad: [unknown, string][] = [
		[
			{
				jobs: [
					{ key: 'a', prompt: 'x', dependsOn: ['b'] },
					{ key: 'b', prompt: 'x', dependsOn: ['a'] },
				],
			},
			'/jobs/0/dependsOn',
		],
		[{ jobs: [{ key: 'a', prompt: 'x', dependsOn: ['a'] }] }, '/jobs/0/dependsOn'],
		[{ jobs: chain }, '/jobs/8/dependsOn'],
		[{ jobs: [{ key: 'a', prompt: 'x', dependsOn: ['nobody'] }] }, '/jobs/0/dependsOn/0'],
		[
			{
				jobs: [
					{ key: 'a', prompt: 'x' },
					{ key: 'a', prompt: 'y' },
				],
			},
			'/jobs/1/key',
		],
		[
			{
				jobs: [
					{ key: 'a', prompt: 'x' },
					{ key: 'b', prompt: 'y', width: 100 },
				],
			},
			'/jobs/1/width',
		],
		[
			{
				jobs: [
					{ key: 'a', prompt: 'x' },
					{ key: 'b', prompt: 'y', initImage: { job: 'a', index: 3 } },
				],
			},
			'/jobs/1/initImage/index',
		],
	];
	for (const [body, pointer] of bad) {
		const answer = await submit(body);
		expect([answer.status, answer.body.errors[0]?.pointer], JSON.stringify(answer.body)).toEqual([422, pointer]);
	}
	expect((await submit({ jobs: chain.slice(0, 8) })).status).toBe(202);
	const after = (await gateway.api<{ data: unknown[] }>('GET', '/api/v1/jobs?limit=200')).body.data.length;
	expect(after - before).toBe(8);
});

it('is the same workflow for the same Idempotency-Key', async () => {
	const body = { jobs: [{ key: 'a', prompt: 'x', steps }] };
	const headers = { 'idempotency-key': 'once' };
	const [first, second] = [await submit(body, headers), await submit(body, headers)];
	expect(second.body.id).toBe(first.body.id);
	expect(second.headers.get('idempotency-replayed')).toBe('true');
	expect((await submit({ jobs: [{ key: 'a', prompt: 'y' }] }, headers)).status).toBe(422);
});

it('fails what depends on a failure, runs what says so, and cancels a subtree', async () => {
	const { body } = await submit({
		jobs: [
			{ key: 'bad', prompt: '[mock:invalid]', steps },
			{ key: 'strict', prompt: 'x', steps, dependsOn: ['bad'] },
			{ key: 'lenient', prompt: 'y', steps, dependsOn: ['bad'], onDependencyFailure: 'run' },
		],
	});
	const view = await ended(body.id);
	expect(view.jobs.map(({ key, state }) => [key, state])).toEqual([
		['bad', 'failed'],
		['strict', 'failed'],
		['lenient', 'succeeded'],
	]);
	expect(view).toMatchObject({ state: 'failed', handoffs: { decided: 2, succeeded: 0 } });
	const slow = await submit({
		jobs: [
			{ key: 'a', prompt: 'x', steps: 150 },
			{ key: 'b', prompt: 'y', dependsOn: ['a'] },
		],
	});
	const root = slow.body.jobs[0]?.id ?? '';
	await gateway.api('POST', `/api/v1/jobs/${root}/cancel?subtree=true`);
	expect((await ended(slow.body.id)).jobs.map(({ state }) => state)).toEqual(['canceled', 'canceled']);
});

it('waits for a job that exists, and says so', async () => {
	const first = await gateway.submit({ prompt: 'x', steps: 150 });
	const second = await gateway.submit({ prompt: 'y', steps, dependsOn: [first.id], initImage: { job: first.id } });
	expect((await gateway.job(second.id)).queue).toMatchObject({ feasible: true, reason: `Waits for the job ${first.id}.` });
	const view = await gateway.jobEnded(second.id);
	expect(view.state, JSON.stringify(view.error)).toBe('succeeded');
	expect(view.dependsOn).toEqual([{ job: first.id, met: true }]);
});
