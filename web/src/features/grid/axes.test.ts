import type { Workflow } from '@limner/sdk';
import { describe, expect, it } from 'vitest';
import { planOf, tableOf, toWorkflow, valuesOf } from './axes.ts';

describe('values of an axis', () => {
	it('reads lists and ranges, each value once', () => {
		expect(valuesOf({ name: 'steps', text: '10, 20,20, 30' })).toEqual([10, 20, 30]);
		expect(valuesOf({ name: 'steps', text: '10..30:5' })).toEqual([10, 15, 20, 25, 30]);
		expect(valuesOf({ name: 'guidance', text: '0.1..0.3:0.1, 7.5' })).toEqual([0.1, 0.2, 0.3, 7.5]);
		expect(valuesOf({ name: 'scheduler', text: 'euler, ddim' })).toEqual(['euler', 'ddim']);
		expect(valuesOf({ name: 'none', text: 'x' })).toEqual(['']);
	});

	it('says what is no value', () => {
		expect(planOf({ name: 'steps', text: '10, 0' }, { name: 'none', text: '' }).why).toContain('“0” is no value for Steps (1 … 150)');
		expect(planOf({ name: 'steps', text: '1.5' }, { name: 'none', text: '' }).why).toContain('“1.5”');
		expect(planOf({ name: 'guidance', text: 'high' }, { name: 'none', text: '' }).why).toContain('“high”');
		expect(planOf({ name: 'seed', text: '5..1' }, { name: 'none', text: '' }).why).toContain('“5..1”');
	});

	it('refuses the same setting twice, nothing, and too much', () => {
		expect(planOf({ name: 'seed', text: '1' }, { name: 'seed', text: '2' }).why).toContain('two different');
		expect(planOf({ name: 'seed', text: ' ' }, { name: 'steps', text: '2' }).why).toContain('at least one value');
		expect(planOf({ name: 'seed', text: '1..8' }, { name: 'steps', text: '1..4' }).why).toBeUndefined();
		expect(planOf({ name: 'seed', text: '1..11' }, { name: 'steps', text: '1..3' }).why).toContain('33');
		expect(planOf({ name: 'seed', text: '1..1000000000' }, { name: 'none', text: '' }).why).toContain('33');
	});
});

it('a grid is one workflow, which says by itself what its table is', () => {
	const [x, y] = [
		{ name: 'steps', text: '10, 20' },
		{ name: 'scheduler', text: 'euler, ddim' },
	] as const;
	const request = toWorkflow({ prompt: 'a castle', seed: 7, n: 4 }, x, y, planOf(x, y));
	expect(request.jobs.map((job) => [job.key, 'steps' in job ? job.steps : 0, 'n' in job ? job.n : 0])).toEqual([
		['x0-y0', 10, 1],
		['x1-y0', 20, 1],
		['x0-y1', 10, 1],
		['x1-y1', 20, 1],
	]);
	const table = tableOf({ jobs: request.jobs.map((job) => ({ key: job.key, request: job })).toReversed() } as unknown as Workflow);
	expect(table).toMatchObject({ x: 'steps', y: 'scheduler', columns: ['10', '20'], rows: ['euler', 'ddim'] });
	expect(table?.cells.map((row) => row.map((job) => job?.key))).toEqual([
		['x0-y0', 'x1-y0'],
		['x0-y1', 'x1-y1'],
	]);
	expect(tableOf({ jobs: [{ key: 'a', request: { prompt: 'p' } }] } as unknown as Workflow)).toBeUndefined();
});
