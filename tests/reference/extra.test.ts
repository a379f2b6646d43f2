import { expect, test } from 'vitest';
import { maskArea } from '../../node-agent/src/diffusion/pipelines/mask-area.ts';
import { Largest, largestDifference, readReferenceJson, std } from './compare.ts';
import { implementation } from './implementation.ts';
import { checkRules, failed, replayFormulas, replayRun, type ExtraFile } from './replay.ts';

const file = readReferenceJson('extra/extra.json') as ExtraFile;
const largest = new Largest();

test.each(file.runs.map((run) => [run.id, run] as const))('%s', (_id, run) => {
	const checks = replayRun(implementation, run);
	largest.see(run.class, (checks.at(-1)?.error ?? Number.POSITIVE_INFINITY) / (1 + std(run.final)));
	expect(checks.filter(failed)).toEqual([]);
});

test.each([
	['euler_exponential', 'euler-use_exponential_sigmas'],
	['euler_beta', 'euler-use_beta_sigmas'],
	['dpmpp_2m_exponential', 'dpmpp-use_exponential_sigmas'],
	['dpmpp_2m_beta', 'dpmpp-use_beta_sigmas'],
])('%s by name has the levels of its record, whatever the model is set to', (name, id) => {
	const run = file.runs.find((r) => r.id === id);
	const { config = {}, steps = 0, sigmas = [] } = run ?? {};
	const model = { ...config, _class_name: 'PNDMScheduler', use_exponential_sigmas: false, use_beta_sigmas: false, use_karras_sigmas: true };
	const scheduler = implementation.schedulers.createScheduler(model, name);
	scheduler.setTimesteps(steps);
	expect(sigmas.length).toBe(steps + 1);
	expect(largestDifference(scheduler.sigmas ?? [], sigmas)).toBeLessThan(2e-5);
});

test('quantiles and shifts', () => {
	const checks = replayFormulas(implementation, file);
	expect(checks.length).toBeGreaterThan(file.quantiles.length + file.shifts.length);
	expect(checks.filter(failed)).toEqual([]);
});

test('limits, refusals and properties', () => {
	const checks = checkRules(implementation);
	expect(checks.length).toBeGreaterThanOrEqual(40);
	expect(checks.filter(failed)).toEqual([]);
});

test("areas around masks are diffusers' own", () => {
	expect(file.crops.length).toBeGreaterThanOrEqual(60);
	for (const { mask: box, size, padding, area } of file.crops) {
		const [x, y, w, h] = box;
		const [width, height] = size;
		const mask = Float32Array.from({ length: width * height }, (_, i) => {
			const [column, row] = [i % width, Math.floor(i / width)];
			return column >= x && column < x + w && row >= y && row < y + h ? 1 : 0;
		});
		const { left, top, right, bottom } = maskArea(mask, width, height, padding);
		expect([left, top, right, bottom], JSON.stringify({ box, size, padding })).toEqual(area);
	}
});

test('summary', () => {
	console.log(`more schedulers: ${largest.count} runs, largest error / (1 + std) by class\n${largest.table()}`);
	expect(largest.count).toBe(file.runs.length);
});
