import type { Job, WorkflowJob } from '@limner/sdk';
import { describe, expect, it } from 'vitest';
import { dependents, depths, layoutGraph, workflowsOf } from './graph.ts';

const job = (id: string, ...after: string[]): WorkflowJob =>
	({ id, key: id, state: 'queued', dependsOn: after.map((one) => ({ job: one })) }) as unknown as WorkflowJob;
/** a → b → d, a → c → d, and e alone. */
const DIAMOND = [job('d', 'b', 'c'), job('b', 'a'), job('c', 'a', 'job_elsewhere'), job('a'), job('e')];

describe('the graph of a workflow', () => {
	it('puts what waits at the right of all that it waits for', () => {
		expect(Object.fromEntries(depths(DIAMOND))).toEqual({ a: 0, e: 0, b: 1, c: 1, d: 2 });
		const { nodes, edges, width, height } = layoutGraph(DIAMOND);
		const at = (key: string) => nodes.find((node) => node.job.key === key)!;
		expect(at('b').x).toBeGreaterThan(at('a').x);
		expect(at('b').x).toBe(at('c').x);
		expect(at('d').x).toBeGreaterThan(at('c').x);
		expect(edges.map(({ id }) => id).toSorted()).toEqual(['a-b', 'a-c', 'b-d', 'c-d']);
		expect(at('c').after).toEqual(['a']);
		for (const { x, y } of nodes) expect(x >= 0 && x < width && y >= 0 && y < height).toBe(true);
		expect(new Set(nodes.map(({ x, y }) => `${x} ${y}`)).size).toBe(nodes.length);
	});

	it('has a place for each of many jobs that wait for nothing', () => {
		const { nodes } = layoutGraph(Array.from({ length: 32 }, (_, i) => job(`j${i}`)));
		expect(new Set(nodes.map(({ x, y }) => `${x} ${y}`)).size).toBe(32);
	});

	it('knows all that depends on a job', () => {
		expect(dependents(DIAMOND, 'a').map(({ key }) => key)).toEqual(['d', 'b', 'c']);
		expect(dependents(DIAMOND, 'b').map(({ key }) => key)).toEqual(['d']);
		expect(dependents(DIAMOND, 'e')).toEqual([]);
	});
});

const of = (id: string, createdAt: string, state: string, wf?: string): Job =>
	({
		id,
		createdAt,
		state,
		request: wf === undefined ? {} : { workflow: { name: `name of ${wf}` } },
		...(wf === undefined ? {} : { workflow: { id: wf, key: id } }),
	}) as unknown as Job;

it('finds the workflows in a list of jobs', () => {
	const found = workflowsOf([
		of('1', '2026-01-03', 'running', 'wf_b'),
		of('2', '2026-01-03', 'queued'),
		of('3', '2026-01-03', 'succeeded', 'wf_b'),
		of('4', '2026-01-04', 'failed', 'wf_c'),
	]);
	expect(found.map(({ id, done, open, name }) => [id, done, open, name])).toEqual([
		['wf_c', 0, 0, 'name of wf_c'],
		['wf_b', 1, 1, 'name of wf_b'],
	]);
});
