import { expect, test } from 'vitest';
import { Largest, readReferenceJson, std } from './compare.ts';
import { implementation } from './implementation.ts';
import { failed, replayRun, type Run } from './replay.ts';

const runs = readReferenceJson('schedulers.json') as Run[];
const largest = new Largest();

test('the record holds all 101 runs', () => {
	expect(runs.length).toBe(101);
});

test.each(runs.map((run) => [run.id, run] as const))('%s', (_id, run) => {
	const checks = replayRun(implementation, run);
	expect(checks.length).toBeGreaterThanOrEqual(run.first8_per_step.length + 3);
	largest.see(run.class, (checks.at(-1)?.error ?? Number.POSITIVE_INFINITY) / (1 + std(run.final)));
	expect(checks.filter(failed)).toEqual([]);
});

test('summary', () => {
	console.log(`schedulers: ${largest.count} runs, largest error / (1 + std) by class\n${largest.table()}`);
	expect(largest.count).toBe(101);
});
