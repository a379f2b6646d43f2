import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ALL_FAULTS, Fates } from './fates.ts';
import { play, sameKind, shrink, type RunResult } from './runs.ts';
import type { WorldOptions } from './world.ts';

const SEEDS = 40;
const STORM_MS = 60_000;

const options = (seed: number, faults: WorldOptions['faults']): WorldOptions => ({ seed, nodes: 5, tasks: 90, faults, stormMs: STORM_MS });
const held = (result: RunResult): RunResult => {
	expect(result.violation, `seed ${result.seed}, ${result.atMs} ms in`).toBeNull();
	return result;
};

describe('simulated pool', () => {
	it('makes every picture once and in one attempt when nothing goes wrong', () => {
		for (let seed = 1; seed <= 5; seed++) {
			const { world } = held(play(options(seed, new Set())));
			// What was canceled takes along what waits for it.
			const rows = [...world.cloud.rows.values()].filter((row) => row.state !== 'canceled' && row.error?.class !== 'dependency');
			// What is meant for one node ends by its deadline when that node cannot do it; pictures always come.
			for (const row of rows) expect(row.spec.taskType === undefined ? ['succeeded'] : ['succeeded', 'expired']).toContain(row.state);
			const pictures = rows.reduce((sum, row) => sum + row.spec.n, 0);
			expect(pictures).toBeGreaterThan(60);
			const canceled = [...world.cloud.rows.values()].filter((row) => row.state === 'canceled').length;
			expect(world.watch.grants - pictures).toBeLessThanOrEqual(canceled * 4);
		}
	});

	it('keeps its invariants and loses nothing under faults', () => {
		const outcomes: Record<string, number> = {};
		const faults = new Set<string>();
		let jobs = 0;
		let handoffs = 0;
		let batches = 0;
		const others = { reports: 0, hints: 0, moves: 0 };
		const types = new Set<string>();
		for (let seed = 100; seed < 100 + SEEDS; seed++) {
			const { world } = held(play(options(seed, ALL_FAULTS)));
			for (const { state } of world.cloud.rows.values()) outcomes[state] = (outcomes[state] ?? 0) + 1;
			for (const { name } of world.fates.happened) if (name.includes(':')) faults.add(name.split(':')[0] ?? '');
			jobs += world.cloud.rows.size;
			batches += world.watch.batches;
			others.reports += world.watch.reports.size;
			others.hints += world.hints;
			others.moves += world.moves;
			for (const row of world.cloud.rows.values()) if (row.state === 'succeeded') types.add(row.spec.taskType ?? 'GENERAL');
			for (const row of world.cloud.rows.values()) handoffs += row.hist.filter((entry) => entry.type === 'handoff').length;
		}
		expect(handoffs).toBeGreaterThan(50);
		expect(batches).toBeGreaterThan(50);
		expect(others.reports).toBeGreaterThan(50);
		expect(others.hints).toBeGreaterThan(0);
		expect(others.moves).toBeGreaterThan(0);
		expect([...types].toSorted()).toEqual(['DISCOVERY', 'GENERAL', 'HEARTBEAT', 'INGEST', 'MIGRATION', 'RESEARCH']);
		// The storm is real: every fault and every way to end a job happened, and most still succeeded.
		expect([...faults].toSorted()).toEqual([...ALL_FAULTS].toSorted());
		expect(Object.keys(outcomes).toSorted()).toEqual(['canceled', 'expired', 'failed', 'succeeded']);
		expect(outcomes['succeeded'] ?? 0).toBeGreaterThan(jobs * 0.6);
	}, 60_000);

	it('keeps its invariants in worlds of any shape', () => {
		const world = fc.record({
			seed: fc.nat(),
			nodes: fc.integer({ min: 1, max: 9 }),
			tasks: fc.integer({ min: 1, max: 60 }),
			faults: fc.subarray([...ALL_FAULTS]),
			stormMs: fc.integer({ min: 1000, max: 40_000 }),
		});
		const holds = fc.property(world, ({ faults, ...rest }) => play({ ...rest, faults: new Set(faults) }).violation === null);
		// The same worlds in every run: what fails here can be played again.
		const found = fc.check(holds, { seed: 7, numRuns: 30 });
		expect(found.counterexample, fc.defaultReportMessage(found) ?? '').toBeNull();
	}, 60_000);

	it('plays a seed the same way every time, and from its own script', () => {
		const first = play(options(7, ALL_FAULTS)).world;
		const again = play(options(7, ALL_FAULTS)).world;
		expect(again.fates.happened).toEqual(first.fates.happened);
		const script = new Set(first.fates.happened.map(({ name }) => name));
		expect(play({ ...options(7, ALL_FAULTS), script }).world.fates.happened).toEqual(first.fates.happened);
	});
});

describe('shrinking', () => {
	it('finds the few events that a violation needs', () => {
		// A world in which a lost settlement is lost for good: somebody must notice, and the script must be short.
		const broken = options(3, new Set(['rpc']));
		const failed = play(broken);
		failed.violation = `${'x'.repeat(3)} never ended`;
		expect(sameKind('job_a1 never ended', 'job_b22 never ended')).toBe(true);
		expect(sameKind('job_a1 never ended', 'audit: tasks still wait')).toBe(false);
		// Nothing violates, so nothing may be left out.
		const found = shrink(broken, failed, 300);
		expect(found.script).toEqual(failed.world.fates.happened);
		expect(found.tried).toBeGreaterThan(0);
	});

	it('asks chance by name, never by order', () => {
		const one = new Fates(1, ALL_FAULTS, undefined, () => 0);
		const two = new Fates(1, ALL_FAULTS, undefined, () => 0);
		const a = [one.roll('a'), one.roll('b')];
		expect([two.roll('b'), two.roll('a')]).toEqual(a.toReversed());
		const mean = Array.from({ length: 10_000 }, (_, i) => one.roll(`event ${i}`)).reduce((sum, each) => sum + each, 0) / 10_000;
		expect(Math.abs(mean - 0.5)).toBeLessThan(0.02);
	});
});
