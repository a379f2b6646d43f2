/**
 * RESEARCH: the same picture several times on one slot; the first run loads and warms up, the others are measured. Pure.
 * @module
 */
import type { JobSpec } from '@limner/shared';
import type { ResultMeta } from '../slots/messages.ts';

export interface BenchmarkRun {
	loadMs: number;
	denoiseMs: number;
	totalMs: number;
}

/** One run, from what an engine says of it. */
export const runOf = (meta: ResultMeta, loadMs: number, totalMs: number): BenchmarkRun => ({
	loadMs,
	denoiseMs: meta.timings['denoiseMs'] ?? Math.max(0, totalMs - loadMs),
	totalMs,
});

/** Runs that a benchmark makes in all. */
export const runsWanted = (spec: JobSpec): number => (spec.params?.repeat ?? 1) + 1;

const median = (values: readonly number[]): number => {
	const sorted = values.toSorted((a, b) => a - b);
	const middle = sorted.length >> 1;
	return sorted.length % 2 === 1 ? (sorted[middle] ?? 0) : ((sorted[middle - 1] ?? 0) + (sorted[middle] ?? 0)) / 2;
};

const rounded = (value: number): number => Math.round(value * 1e6) / 1e6;

/** What is reported: medians, because a machine that does something else for a moment must not count. */
export const benchmarkReport = (spec: JobSpec, meta: ResultMeta, runs: readonly BenchmarkRun[]): Record<string, unknown> => {
	const measured = runs.slice(1);
	const denoiseMs = median(measured.map((run) => run.denoiseMs));
	const sPerStep = denoiseMs / 1000 / Math.max(1, spec.steps);
	return {
		model: meta.model,
		modelSha256: meta.modelSha256,
		engine: meta.engine,
		device: meta.device,
		width: spec.width,
		height: spec.height,
		steps: spec.steps,
		sPerStep: rounded(sPerStep),
		sPerMpStep: rounded(sPerStep / ((spec.width * spec.height) / 1_000_000)),
		totalMs: rounded(median(measured.map((run) => run.totalMs))),
		loadMs: rounded(runs[0]?.loadMs ?? 0),
		runs: measured.map(({ denoiseMs: denoise, totalMs }) => ({ denoiseMs: rounded(denoise), totalMs: rounded(totalMs) })),
	};
};
