import { describe, expect, it } from 'vitest';
import { Bench } from './sim/bench.ts';
import { modelOf, sourcedModel } from './sim/fixtures.ts';

/** So many nodes are counted once for a moment, fewer at each question. */
const LARGE = 120;
/** In a pool of so many nodes answers are remembered for a moment. */
const MANY = 300;

const queueOf = (bench: Bench, ...args: Parameters<Bench['job']>) => {
	const reply = bench.enqueue(bench.job(...args));
	if (!reply.ok) throw new Error('refused');
	return reply.queue;
};

describe('what nodes say to a task, counted', () => {
	it('counts in a large pool the shared nodes and those of the workspace itself, and no others', () => {
		const bench = new Bench({ quiet: true });
		for (let i = 0; i < LARGE; i++) bench.join(bench.identity(), { models: [modelOf('other')] });
		for (let i = 0; i < 3; i++) bench.join(bench.identity({ ws: 'acme', trust: 'own' }), { models: [modelOf('third')] });
		const refused = 'does not have the model storybook';
		expect(queueOf(bench, {}, { ws: 'acme' })).toMatchObject({ feasible: false, refusals: { [refused]: LARGE + 3 } });
		expect(queueOf(bench, {}, { ws: 'bolt' })).toMatchObject({ feasible: false, refusals: { [refused]: LARGE } });
		bench.join(bench.identity({ ws: 'bolt', trust: 'own' }));
		// The numbers of shared nodes may be a moment old, but never those of another workspace.
		expect(queueOf(bench, {}, { ws: 'acme' })).toMatchObject({ feasible: false, refusals: { [refused]: LARGE + 3 } });
		expect(queueOf(bench, {}, { ws: 'bolt' })).toMatchObject({ feasible: true });
	});

	it('asks about a task that looks after the pool the nodes of its workspace only', () => {
		const bench = new Bench();
		bench.join(bench.identity({ ws: 'bolt' }), { taskTypes: ['DISCOVERY'] });
		const chore = { taskType: 'DISCOVERY', model: '', width: 0, height: 0, steps: 0, prompt: '' } as const;
		expect(queueOf(bench, chore, { ws: 'acme' }).reason).toMatch(/This workspace has no node yet/);
		bench.join(bench.identity({ ws: 'acme' }), {});
		expect(queueOf(bench, chore, { ws: 'acme' }).refusals).toEqual({});
	});

	it('does not tell where a model comes from that only nodes of other workspaces have', () => {
		const bench = new Bench();
		bench.join(bench.identity());
		bench.join(bench.identity({ ws: 'bolt', trust: 'own' }), { models: [sourcedModel('secret')] });
		expect(queueOf(bench, { model: 'secret' }, { ws: 'acme' }).remedies).toEqual(['start a node that has the model secret']);
		bench.join(bench.identity({ ws: 'acme', trust: 'own', name: 'attic' }), { models: [sourcedModel('known')] });
		expect(queueOf(bench, { model: 'known', task: 'inpaint' }, { ws: 'acme' }).remedies).toEqual([
			'use a model that can do inpaint; known cannot',
		]);
	});

	it('tells in a large pool numbers that may be a moment old, but at once when something becomes feasible or ceases to be', () => {
		const bench = new Bench({ quiet: true });
		for (let i = 0; i < MANY; i++) bench.join(bench.identity(), { models: [modelOf('other')] });
		const refused = 'does not have the model storybook';
		expect(queueOf(bench)).toMatchObject({ feasible: false, refusals: { [refused]: MANY } });
		bench.join(bench.identity(), { models: [modelOf('other')] });
		expect(queueOf(bench).refusals).toEqual({ [refused]: MANY });
		// What another is told of shared nodes may come from there, and stand as long again: half a second in all.
		for (const [later, ws, count] of [
			[249, 'bolt', MANY],
			[2, 'cork', MANY + 1],
			[247, 'bolt', MANY],
			[2, 'bolt', MANY + 1],
		] as const) {
			bench.now += later;
			expect(queueOf(bench, {}, { ws }).refusals).toEqual({ [refused]: count });
		}

		const busy = bench.join(bench.identity());
		expect(queueOf(bench)).toMatchObject({ feasible: true, refusals: { busy: 1, [refused]: MANY + 1 } });
		bench.on('closed', { connId: busy });
		const { feasible, remedies } = queueOf(bench);
		expect(feasible).toBe(false);
		expect(remedies?.[0]).toMatch(/^start .* again/);
	});

	it('tells everybody in a large pool of its own nodes, not of those that others have just been told of', () => {
		const bench = new Bench({ quiet: true });
		for (let i = 0; i < MANY; i++) bench.join(bench.identity(), { models: [modelOf('other')] });
		bench.join(bench.identity({ ws: 'acme', trust: 'own' }));
		expect(queueOf(bench, {}, { ws: 'acme' }).feasible).toBe(true);
		expect(queueOf(bench, {}, { ws: 'bolt' }).feasible).toBe(false);
		bench.join(bench.identity({ ws: 'bolt', trust: 'own' }));
		expect(queueOf(bench, {}, { ws: 'bolt' }).feasible).toBe(true);
	});
});
