import { describe, expect, it } from 'vitest';
import { idleReason } from './idle.ts';
import { Bench } from './sim/bench.ts';
import { modelOf } from './sim/fixtures.ts';

describe('why a node stands idle', () => {
	it.each([
		['at once where few do', 3, 0],
		['a quarter of a second later at most where very many do', 40, 250],
	])('is told as it is now, %s', (_, count, lateMs) => {
		const bench = new Bench({ quiet: true });
		for (let i = 0; i < count; i++) bench.join(bench.identity(), { models: [modelOf('other')] });
		const [node] = bench.state.nodes.values();
		const told = (): string | undefined => node && idleReason(bench.state, bench.now, node);
		expect(told()).toMatch(/nothing is waiting/);
		bench.submit();
		expect(told()).toMatch(/1 task: this node does not have the model storybook/);
		bench.submit({ model: 'third' });
		expect(told()?.includes('third')).toBe(lateMs === 0);
		bench.now += lateMs;
		expect(told()).toMatch(/1 task: this node does not have the model third/);
	});
});
