import * as fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { InvalidRequestError, ModelFolderError } from '../errors.ts';
import { TorchGenerator } from '../noise.ts';
import { alphasCumprod, trainingSigmas } from './betas.ts';
import { betaCdf, betaQuantile } from './beta-distribution.ts';
import { createScheduler, ownSchedulerName, SCHEDULER_NAMES, schedulersFor } from './index.ts';
import { roundHalfEven } from './spacing.ts';

const SD = { _class_name: 'PNDMScheduler', beta_start: 0.00085, beta_end: 0.012, beta_schedule: 'scaled_linear', steps_offset: 1 };
const FLOW = { _class_name: 'FlowMatchEulerDiscreteScheduler', shift: 3 };
const CONFIG = { num_train_timesteps: 1000, beta_start: 0.00085, beta_end: 0.012, beta_schedule: 'scaled_linear', trained_betas: null };

test('the forward process has the published end points', () => {
	const bar = alphasCumprod(CONFIG, false);
	expect(bar[0]).toBeCloseTo(0.99915, 5);
	expect(bar[999]).toBeCloseTo(0.0046601, 6);
	const sigmas = trainingSigmas(CONFIG, false);
	expect(sigmas[0]).toBeCloseTo(0.0291672, 6);
	expect(sigmas[999]).toBeCloseTo(14.614641, 3);
	expect(alphasCumprod(CONFIG, true)[999]).toBe(0);
	expect(trainingSigmas(CONFIG, true)[999]).toBeCloseTo(4096, 2);
});

test.each([
	['euler', 5, [801, 601, 401, 201, 1]],
	['pndm', 5, [801, 601, 601, 401, 201, 1]],
	['lcm', 4, [999, 759, 499, 259]],
	['dpmpp_2m', 5, [831, 665, 499, 333, 167]],
	['dpmpp_2m_karras', 5, [999, 786, 427, 59, 0]],
])('%s lays %i steps over the known timesteps', (name, steps, expected) => {
	const scheduler = createScheduler({ ...SD, timestep_spacing: 'leading' }, name);
	scheduler.setTimesteps(steps);
	expect(scheduler.timesteps).toEqual(expected);
});

test('flow matching shifts twice, as the models were tuned', () => {
	const scheduler = createScheduler(FLOW);
	scheduler.setTimesteps(4);
	[1, 0.85769, 0.60215, 0.00893, 0].forEach((v, i) => expect(scheduler.sigmas?.[i]).toBeCloseTo(v, 4));
});

/** A network that always points at `target`: every sampler must arrive there. */
function runTowards(name: string, config: Record<string, unknown>, steps: number): number {
	const scheduler = createScheduler(config, name);
	scheduler.setTimesteps(steps);
	const noise = new TorchGenerator(1);
	const target = Float32Array.from({ length: 64 }, (_, i) => Math.sin(i));
	const sample = noise.randn(64).map((v) => v * scheduler.initNoiseSigma);
	const zero = new Float32Array(64);
	const one = new Float32Array(64).fill(1);
	const at = new Float32Array(64);
	scheduler.timesteps.forEach((_t, i) => {
		// signal and noise amplitude at this level, read off the forward process
		scheduler.addNoise(one, zero, i, at);
		const signal = at[0] as number;
		scheduler.addNoise(zero, one, i, at);
		const level = at[0] as number;
		const flow = config === FLOW;
		const output = sample.map((x, k) => {
			const epsilon = (x - signal * (target[k] as number)) / level;
			return flow ? epsilon - (target[k] as number) : epsilon;
		});
		scheduler.step(output, i, sample, noise);
	});
	return Math.max(...sample.map((v, k) => Math.abs(v - (target[k] as number))));
}

describe('a perfect network leads every sampler to its target', () => {
	test.each(schedulersFor(SD))('%s', (name) => {
		expect(runTowards(name, { ...SD, set_alpha_to_one: true }, 20)).toBeLessThan(0.2);
	});
	test.each(schedulersFor(FLOW))('%s on a flow model', (name) => {
		expect(runTowards(name, FLOW, 20)).toBeLessThan(0.05);
	});
});

test('plans are finite, descend, and have one network evaluation an entry', () => {
	fc.assert(
		fc.property(
			fc.constantFrom(...SCHEDULER_NAMES.filter((n) => n !== 'flow_euler' && n !== 'pndm')),
			fc.integer({ min: 1, max: 50 }),
			fc.constantFrom('linspace', 'leading', 'trailing'),
			fc.boolean(),
			(name, steps, timestep_spacing, rescale_betas_zero_snr) => {
				const scheduler = createScheduler({ ...SD, timestep_spacing, rescale_betas_zero_snr, prediction_type: 'v_prediction' }, name);
				scheduler.setTimesteps(steps);
				expect(scheduler.timesteps.length).toBe(steps * scheduler.order - (scheduler.order - 1));
				expect(scheduler.timesteps.every((t, i, all) => i === 0 || t <= (all[i - 1] as number))).toBe(true);
				expect(scheduler.timesteps.every((t) => t >= 0 && t <= 1000)).toBe(true);
				expect(Number.isFinite(scheduler.initNoiseSigma)).toBe(true);
			},
		),
	);
});

test('names and configs that cannot run are refused with a sentence', () => {
	expect(() => createScheduler(SD, 'nope')).toThrow(InvalidRequestError);
	expect(() => createScheduler(SD, 'flow_euler')).toThrow(/choose one of/);
	expect(() => createScheduler(FLOW, 'ddim')).toThrow(InvalidRequestError);
	expect(() => createScheduler({ _class_name: 'MysteryScheduler' })).toThrow(ModelFolderError);
	expect(() => createScheduler({ ...SD, beta_schedule: 'odd' })).toThrow(ModelFolderError);
	expect(() => createScheduler({ ...SD, beta_start: 'small' }, 'ddim')).toThrow(ModelFolderError);
	expect(() => createScheduler(SD, 'ddim').setTimesteps(0)).toThrow(InvalidRequestError);
	expect(() => createScheduler(SD, 'lcm').setTimesteps(51)).toThrow(/1 to 50/);
});

test('a model tells the public name of its own sampler', () => {
	expect(ownSchedulerName(SD)).toBe('pndm');
	expect(ownSchedulerName({ _class_name: 'DPMSolverMultistepScheduler', use_karras_sigmas: true })).toBe('dpmpp_2m_karras');
	expect(ownSchedulerName({ _class_name: 'EulerDiscreteScheduler', use_karras_sigmas: true })).toBe('euler_karras');
	expect(ownSchedulerName({ _class_name: 'Other' })).toBeNull();
});

test('the beta distribution inverts, and halves round to even', () => {
	fc.assert(
		fc.property(fc.double({ min: 0.01, max: 0.99, noNaN: true }), (p) => {
			expect(betaCdf(betaQuantile(p, 0.6, 0.6), 0.6, 0.6)).toBeCloseTo(p, 9);
		}),
	);
	expect(betaCdf(0.3, 1, 1)).toBeCloseTo(0.3, 12);
	expect(betaCdf(0.3, 2, 1)).toBeCloseTo(0.09, 12);
	expect([166.5, 167.5, 2.4, -1.5].map(roundHalfEven)).toEqual([166, 168, 2, -2]);
});
