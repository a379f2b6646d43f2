import { describe, expect, it } from 'vitest';
import type { JobSpec } from '@limner/shared';
import type { ResultMeta } from '../slots/messages.ts';
import { benchmarkReport, runOf, runsWanted } from './benchmark.ts';

const spec = { width: 1000, height: 500, steps: 10, params: { repeat: 3 } } as unknown as JobSpec;
const meta = { model: 'm', modelSha256: 'a'.repeat(64), engine: 'onnx', device: 'cpu', timings: {} } as unknown as ResultMeta;
const run = (denoiseMs: number, totalMs = denoiseMs + 100, loadMs = 0) => ({ denoiseMs, totalMs, loadMs });

describe('a benchmark', () => {
	it('runs once more than it measures, and once at least', () => {
		expect(runsWanted(spec)).toBe(4);
		expect(runsWanted({ ...spec, params: {} })).toBe(2);
		expect(runsWanted({ ...spec, params: undefined })).toBe(2);
	});

	it('takes the time of the steps from the engine, and else what is not loading', () => {
		expect(runOf({ ...meta, timings: { denoiseMs: 70 } }, 20, 100)).toEqual({ loadMs: 20, denoiseMs: 70, totalMs: 100 });
		expect(runOf(meta, 20, 100)).toEqual({ loadMs: 20, denoiseMs: 80, totalMs: 100 });
		expect(runOf(meta, 120, 100).denoiseMs).toBe(0);
	});

	it('reports medians of all runs but the first, which loads and warms up', () => {
		const report = benchmarkReport(spec, meta, [run(9000, 20_000, 5000), run(1000), run(1200), run(60_000)]);
		// 1200 ms for 10 steps of half a megapixel.
		expect(report).toMatchObject({ sPerStep: 0.12, sPerMpStep: 0.24, totalMs: 1300, loadMs: 5000, steps: 10, model: 'm', engine: 'onnx' });
		expect(report['runs']).toEqual([
			{ denoiseMs: 1000, totalMs: 1100 },
			{ denoiseMs: 1200, totalMs: 1300 },
			{ denoiseMs: 60_000, totalMs: 60_100 },
		]);
	});

	it('takes the middle of two for an even number of runs', () => {
		expect(benchmarkReport(spec, meta, [run(0), run(1000), run(2000)])).toMatchObject({ sPerStep: 0.15 });
	});

	it('says numbers even when nothing was measured', () => {
		const report = benchmarkReport({ ...spec, steps: 0 }, meta, []);
		expect([report['sPerStep'], report['totalMs'], report['loadMs']]).toEqual([0, 0, 0]);
	});
});
