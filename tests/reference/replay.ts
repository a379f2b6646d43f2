/**
 * Replays recorded schedulers and draws against an implementation that is handed in, so that the same checks judge the
 * code in the tree and changed copies of it.
 * @module
 */
import { largestDifference, std } from './compare.ts';
import { LATENT_ABSOLUTE, NOISE_ABSOLUTE, replayTolerance } from './tolerances.ts';

/** The parts of node-agent/src/diffusion that are judged. */
export interface Implementation {
	noise: typeof import('../../node-agent/src/diffusion/noise.ts');
	schedulers: typeof import('../../node-agent/src/diffusion/schedulers/index.ts');
	flow: typeof import('../../node-agent/src/diffusion/schedulers/flow_euler.ts');
	beta: typeof import('../../node-agent/src/diffusion/schedulers/beta-distribution.ts');
	betas: typeof import('../../node-agent/src/diffusion/schedulers/betas.ts');
}

type Scheduler = ReturnType<Implementation['schedulers']['createScheduler']>;
type Generator = InstanceType<Implementation['noise']['TorchGenerator']>;

/** A recorded run of one scheduler on a stand-in for a network. */
export interface Run {
	id: string;
	class: string;
	config: Record<string, unknown>;
	steps: number;
	seed: number;
	set_timesteps: { mu?: number; strength?: number };
	start_step: number;
	step_args: { eta?: number };
	timesteps: number[];
	sigmas?: number[];
	init_noise_sigma: number;
	noised?: number[];
	first8_per_step: number[][];
	final: number[];
}

/** noise.json. */
export interface NoiseFile {
	draws: { seed: string; n: number; first: number[]; last: number[]; sum: number }[];
	sequence: { seed: string; sizes: number[]; first6: number[][] };
}

/** extra/extra.json. */
export interface ExtraFile {
	runs: Run[];
	crops: { mask: [number, number, number, number]; size: [number, number]; padding: number; area: [number, number, number, number] }[];
	shifts: { tokens: number; config: Record<string, number>; mu: number }[];
	/** p, a, b and the quantile. */
	quantiles: [number, number, number, number][];
}

/** One comparison: how far off, and how far off is allowed. */
export interface Check {
	what: string;
	error: number;
	bound: number;
}

export const failed = (check: Check): boolean => !(check.error < check.bound);

const SIZE = 64;
const WIDTH = 4;

/** The stand-in for a network that made the records: 0.8·tanh(0.4·x + 0.3·sin(t/97)) + 0.05·roll(x, 1, last axis). */
const network = (x: Float32Array, t: number): Float32Array => {
	const bias = 0.3 * Math.sin(t / 97);
	return x.map((v, i) => {
		const left = i % WIDTH === 0 ? i + WIDTH - 1 : i - 1;
		return 0.8 * Math.tanh(0.4 * v + bias) + 0.05 * (x[left] ?? 0);
	});
};

const start = (run: Run, scheduler: Scheduler, generator: Generator): { sample: Float32Array; index: number } => {
	const draw = generator.randn(SIZE);
	if (run.noised === undefined) return { sample: draw.map((v) => v * scheduler.initNoiseSigma), index: 0 };
	const sample = new Float32Array(SIZE);
	const index = run.start_step * scheduler.order;
	const clean = Float32Array.from({ length: SIZE }, (_, i) => -1 + (2 * i) / (SIZE - 1));
	scheduler.addNoise(clean, draw, index, sample);
	return { sample, index };
};

/** The plan's timesteps, sigmas and start level against the record. */
const checkPlan = (run: Run, scheduler: Scheduler): Check[] => {
	// the recorded plan starts at the run's first step
	const recorded = scheduler.timesteps.slice(Math.max(0, scheduler.timesteps.length - run.timesteps.length));
	const checks = [{ what: 'timesteps', error: largestDifference(recorded, run.timesteps), bound: 1e-3 }];
	if (run.sigmas !== undefined) {
		const error = largestDifference(scheduler.sigmas ?? [], run.sigmas);
		checks.push({ what: 'sigmas', error, bound: 2e-5 + 1e-6 * Math.max(...run.sigmas) });
	}
	const error = Math.abs(scheduler.initNoiseSigma - run.init_noise_sigma);
	return [...checks, { what: 'start level', error, bound: 1e-4 + 1e-6 * run.init_noise_sigma }];
};

/** Runs a recorded scheduler again and compares every recorded number. */
export const replayRun = ({ schedulers, noise }: Implementation, run: Run): Check[] => {
	const scheduler = schedulers.createScheduler({ ...run.config, _class_name: run.class }, undefined, run.step_args);
	scheduler.setTimesteps(run.steps, run.set_timesteps);
	const checks = checkPlan(run, scheduler);
	const generator = new noise.TorchGenerator(run.seed);
	const { sample, index } = start(run, scheduler, generator);
	if (run.noised !== undefined) {
		checks.push({ what: 'noised start', error: largestDifference(sample, run.noised), bound: LATENT_ABSOLUTE });
	}
	const input = new Float32Array(SIZE);
	let widest = std(sample);
	run.first8_per_step.forEach((expected, k) => {
		const at = index + k;
		scheduler.scaleModelInput(sample, at, input);
		scheduler.step(network(input, scheduler.timesteps[at] ?? Number.NaN), at, sample, generator);
		widest = Math.max(widest, std(sample));
		const bound = replayTolerance(std(sample), widest);
		checks.push({ what: `after step ${k}`, error: largestDifference(sample.slice(0, 8), expected), bound });
	});
	const error = largestDifference(sample, run.final);
	return [...checks, { what: 'final sample', error, bound: replayTolerance(std(run.final), widest) }];
};

/** Compares every recorded draw, and one generator that is drawn from repeatedly. */
export const replayNoise = ({ noise }: Implementation, file: NoiseFile): Check[] => {
	const checks: Check[] = [];
	for (const draw of file.draws) {
		const ours = new noise.TorchGenerator(BigInt(draw.seed)).randn(draw.n);
		const what = `seed ${draw.seed}, n ${draw.n}`;
		const first = largestDifference(ours.slice(0, draw.first.length), draw.first);
		const last = largestDifference(ours.slice(ours.length - draw.last.length), draw.last);
		checks.push({ what, error: Math.max(first, last), bound: NOISE_ABSOLUTE });
		const sum = ours.reduce((a, b) => a + b, 0);
		checks.push({ what: `sum of ${what}`, error: Math.abs(sum - draw.sum), bound: 1e-3 + 1e-5 * draw.n });
	}
	const generator = new noise.TorchGenerator(BigInt(file.sequence.seed));
	file.sequence.sizes.forEach((n, i) => {
		const error = largestDifference(generator.randn(n).slice(0, 6), file.sequence.first6[i] ?? []);
		checks.push({ what: `draw ${i} of the sequence`, error, bound: NOISE_ABSOLUTE });
	});
	return checks;
};

/** Quantiles against scipy, and shifts of flow matching against diffusers. */
export const replayFormulas = ({ beta, flow }: Implementation, file: ExtraFile): Check[] => [
	...file.quantiles.map(([p, a, b, expected]) => ({
		what: `quantile ${p} of Beta(${a}, ${b})`,
		error: Math.abs(beta.betaQuantile(p, a, b) - expected),
		bound: 1e-12,
	})),
	...(
		[
			['distribution below 0', beta.betaCdf(-0.5, 2, 3), 0],
			['distribution at 0', beta.betaCdf(0, 2, 3), 0],
			['distribution at 1', beta.betaCdf(1, 2, 3), 1],
			['distribution above 1', beta.betaCdf(1.5, 2, 3), 1],
			// I_x(2, 3) = 6x² − 8x³ + 3x⁴
			['distribution in between', beta.betaCdf(0.3, 2, 3), 6 * 0.3 ** 2 - 8 * 0.3 ** 3 + 3 * 0.3 ** 4],
			['quantile of less than nothing', beta.betaQuantile(-0.5, 2, 3), 0],
			['quantile of nothing', beta.betaQuantile(0, 2, 3), 0],
			['quantile of all', beta.betaQuantile(1, 2, 3), 1],
			['quantile of more than all', beta.betaQuantile(1.5, 2, 3), 1],
		] as const
	).map(([what, value, expected]) => ({ what, error: Math.abs(value - expected), bound: 1e-14 })),
	...file.shifts.map(({ tokens, config, mu }) => ({
		what: `shift for ${tokens} tokens`,
		error: Math.abs((new flow.FlowEulerScheduler({ use_dynamic_shifting: true, ...config }).shiftFor(tokens) ?? Number.NaN) - mu),
		bound: 1e-9,
	})),
];

/** A config like that of Stable Diffusion 1.5. */
const SD = { _class_name: 'PNDMScheduler', beta_start: 0.00085, beta_end: 0.012, beta_schedule: 'scaled_linear', steps_offset: 1 };
const FLOW = { _class_name: 'FlowMatchEulerDiscreteScheduler', shift: 3 };

/** 0 when `what` throws exactly as it should, else 1. */
const refusal = (what: string, shouldThrow: boolean, act: () => unknown): Check => {
	let threw = false;
	try {
		act();
	} catch {
		threw = true;
	}
	return { what: `${what} ${shouldThrow ? 'is refused' : 'runs'}`, error: threw === shouldThrow ? 0 : 1, bound: 0.5 };
};

const equal = (what: string, actual: unknown, expected: unknown): Check => ({
	what,
	error: Object.is(actual, expected) ? 0 : 1,
	bound: 0.5,
});

/** Samplers that take numbers from the generator inside their steps. */
const DRAWING = new Set(['ddpm', 'euler_a', 'dpmpp_2m_sde', 'dpmpp_2m_sde_karras', 'lcm']);

/** What callers read off a sampler beside its steps. */
const propertyChecks = ({ schedulers, betas }: Implementation): Check[] => {
	const own = schedulers.schedulersFor(SD).map((name) => ({ name, scheduler: schedulers.createScheduler(SD, name) }));
	const flow = schedulers.createScheduler(FLOW);
	const plain = schedulers.createScheduler({ _class_name: 'FlowMatchEulerDiscreteScheduler' }, 'dpmpp_2m');
	plain.setTimesteps(4);
	// no shift: half way between 1 − 1/1000 and 0
	const middle = Math.abs((plain.sigmas?.[2] ?? Number.NaN) - 0.4995);
	// ᾱ = exp(−12·t) of the exponential schedule is its own cumulative product, until betas reach their cap
	const exponential = betas.alphasCumprod({ ...SD, num_train_timesteps: 1000, trained_betas: null, beta_schedule: 'exp' }, false);
	return [
		...own.flatMap(({ name, scheduler }) => [
			equal(`${name} draws noise`, scheduler.drawsNoise, DRAWING.has(name)),
			equal(`estimate of ${name} before the first step`, scheduler.predicted.length, 0),
			equal(`levels of ${name} before a plan`, scheduler.sigmas?.length ?? 0, 0),
		]),
		equal('ddim draws noise with eta', schedulers.createScheduler(SD, 'ddim', { eta: 0.5 }).drawsNoise, true),
		equal('flow levels before a plan', flow.sigmas?.length, 0),
		equal('flow estimate before the first step', flow.predicted.length, 0),
		{ what: 'flow without a shift', error: middle, bound: 1e-6 },
		...[0, 10, 500, 998].map((t) => ({
			what: `exponential schedule at ${t}`,
			error: Math.abs(Math.log(exponential[t] ?? Number.NaN) + (12 * (t + 1)) / 1000),
			bound: 1e-3,
		})),
	];
};

/** What is refused, and where exactly the limits lie. */
export const checkRules = (implementation: Implementation): Check[] => {
	const { schedulers } = implementation;
	const plan = (config: Record<string, unknown>, name: string, steps: number) => (): void =>
		schedulers.createScheduler(config, name).setTimesteps(steps);
	const limits: [Record<string, unknown>, string, number][] = [
		[SD, 'ddim', 1000],
		[{ ...SD, num_train_timesteps: 400 }, 'euler', 400],
		[SD, 'lcm', 50],
		[FLOW, 'flow_euler', 1000],
	];
	const refusals = limits.flatMap(([config, name, most]) => [
		refusal(`${name} with 0 steps`, true, plan(config, name, 0)),
		refusal(`${name} with 1.5 steps`, true, plan(config, name, 1.5)),
		refusal(`${name} with 1 step`, false, plan(config, name, 1)),
		refusal(`${name} with ${most} steps`, false, plan(config, name, most)),
		refusal(`${name} with ${most + 1} steps`, true, plan(config, name, most + 1)),
	]);
	return [...refusals, ...propertyChecks(implementation)];
};
