import { InvalidRequestError, ModelFolderError } from '../errors.ts';
import type { RawConfig } from './config.ts';
import { DdimScheduler } from './ddim.ts';
import { DdpmScheduler } from './ddpm.ts';
import { DpmppScheduler } from './dpmpp.ts';
import { EulerScheduler } from './euler.ts';
import { EulerAncestralScheduler } from './euler_ancestral.ts';
import { FlowEulerScheduler } from './flow_euler.ts';
import { HeunScheduler } from './heun.ts';
import { LcmScheduler } from './lcm.ts';
import { LmsScheduler } from './lms.ts';
import { PndmScheduler } from './pndm.ts';
import type { Scheduler, SchedulerOptions } from './types.ts';
import { UniPcScheduler } from './unipc.ts';

export type { Scheduler, SchedulerOptions } from './types.ts';
export type { RawConfig } from './config.ts';

type Build = (config: RawConfig, options: SchedulerOptions) => Scheduler;

/** Scheduler classes by the name that model folders use (`_class_name`). */
const CLASSES: Readonly<Record<string, Build>> = {
	DDIMScheduler: (c, o) => new DdimScheduler(c, o),
	DDPMScheduler: (c) => new DdpmScheduler(c),
	PNDMScheduler: (c) => new PndmScheduler(c),
	EulerDiscreteScheduler: (c) => new EulerScheduler(c),
	EulerAncestralDiscreteScheduler: (c) => new EulerAncestralScheduler(c),
	HeunDiscreteScheduler: (c) => new HeunScheduler(c),
	LMSDiscreteScheduler: (c) => new LmsScheduler(c),
	DPMSolverMultistepScheduler: (c) => new DpmppScheduler(c),
	UniPCMultistepScheduler: (c) => new UniPcScheduler(c),
	LCMScheduler: (c) => new LcmScheduler(c),
	FlowMatchEulerDiscreteScheduler: (c) => new FlowEulerScheduler(c),
};

const FLOW_CLASS = 'FlowMatchEulerDiscreteScheduler';

/** A sampler by public name: class plus the flags that make the variant. */
interface Variant {
	className: string;
	flags: RawConfig;
}

const DPM = 'DPMSolverMultistepScheduler';

/** Spacings of noise levels; a model's own must not stay on beside them. */
const EXPONENTIAL: RawConfig = { use_karras_sigmas: false, use_exponential_sigmas: true, use_beta_sigmas: false };
const BETA: RawConfig = { use_karras_sigmas: false, use_exponential_sigmas: false, use_beta_sigmas: true };

/** Public sampler names, in the order in which they are listed to callers. */
const VARIANTS = {
	ddim: { className: 'DDIMScheduler', flags: {} },
	ddpm: { className: 'DDPMScheduler', flags: {} },
	pndm: { className: 'PNDMScheduler', flags: { skip_prk_steps: true } },
	euler: { className: 'EulerDiscreteScheduler', flags: {} },
	euler_karras: { className: 'EulerDiscreteScheduler', flags: { use_karras_sigmas: true } },
	euler_a: { className: 'EulerAncestralDiscreteScheduler', flags: {} },
	heun: { className: 'HeunDiscreteScheduler', flags: {} },
	lms: { className: 'LMSDiscreteScheduler', flags: {} },
	dpmpp_2m: { className: DPM, flags: { algorithm_type: 'dpmsolver++' } },
	dpmpp_2m_karras: { className: DPM, flags: { algorithm_type: 'dpmsolver++', use_karras_sigmas: true } },
	dpmpp_2m_sde: { className: DPM, flags: { algorithm_type: 'sde-dpmsolver++' } },
	dpmpp_2m_sde_karras: { className: DPM, flags: { algorithm_type: 'sde-dpmsolver++', use_karras_sigmas: true } },
	euler_exponential: { className: 'EulerDiscreteScheduler', flags: EXPONENTIAL },
	euler_beta: { className: 'EulerDiscreteScheduler', flags: BETA },
	dpmpp_2m_exponential: { className: DPM, flags: { algorithm_type: 'dpmsolver++', ...EXPONENTIAL } },
	dpmpp_2m_beta: { className: DPM, flags: { algorithm_type: 'dpmsolver++', ...BETA } },
	unipc: { className: 'UniPCMultistepScheduler', flags: {} },
	lcm: { className: 'LCMScheduler', flags: {} },
	flow_euler: { className: FLOW_CLASS, flags: {} },
} as const satisfies Record<string, Variant>;

export type SchedulerName = keyof typeof VARIANTS;

/** Every sampler name that `createScheduler` accepts. */
export const SCHEDULER_NAMES = Object.keys(VARIANTS) as SchedulerName[];

/** Samplers that also run flow-matching models. */
const FLOW_NAMES: readonly SchedulerName[] = ['flow_euler', 'dpmpp_2m', 'dpmpp_2m_sde', 'unipc'];

function isSchedulerName(name: string): name is SchedulerName {
	return Object.hasOwn(VARIANTS, name);
}

/** Whether a model with this scheduler config predicts flow (rectified flow) instead of diffusion noise. */
export function isFlowConfig(config: RawConfig): boolean {
	return config['_class_name'] === FLOW_CLASS;
}

/** Sampler names that can run a model with this scheduler config. */
export function schedulersFor(config: RawConfig): SchedulerName[] {
	if (isFlowConfig(config)) return [...FLOW_NAMES];
	return SCHEDULER_NAMES.filter((name) => name !== 'flow_euler');
}

/** Public name of a model's own scheduler; null for classes that only run under another name. */
export function ownSchedulerName(config: RawConfig): SchedulerName | null {
	const own = config['_class_name'];
	const karras = config['use_karras_sigmas'] === true;
	const sde = config['algorithm_type'] === 'sde-dpmsolver++';
	if (own === DPM) return `dpmpp_2m${sde ? '_sde' : ''}${karras ? '_karras' : ''}`;
	if (own === 'EulerDiscreteScheduler' && karras) return 'euler_karras';
	return SCHEDULER_NAMES.find((name) => VARIANTS[name].className === own) ?? null;
}

/**
 * Builds the sampler for a run.
 *
 * Without `name`: the model's own class and config. With `name`: diffusers' `from_config` — every key of the model's
 * config that the class knows, the class's defaults for the rest, `clip_sample` off, plus the variant's flags.
 * Multistep samplers on a flow model get flow sigmas with the model's shift.
 * @throws InvalidRequestError for an unknown name or one that cannot run this model
 * @throws ModelFolderError when the model's own scheduler class is unknown
 */
export function createScheduler(config: RawConfig, name?: string, options: SchedulerOptions = {}): Scheduler {
	if (name === undefined) return createFromClass(config, options);
	if (!isSchedulerName(name)) {
		throw new InvalidRequestError(`There is no sampler "${name}"; choose one of ${SCHEDULER_NAMES.join(', ')}.`);
	}
	const usable = schedulersFor(config);
	if (!usable.includes(name)) {
		throw new InvalidRequestError(`The sampler ${name} cannot run this model; choose one of ${usable.join(', ')}.`);
	}
	const variant: Variant = VARIANTS[name];
	const flow = isFlowConfig(config) && variant.className !== FLOW_CLASS;
	const flowFlags: RawConfig = flow ? { prediction_type: 'flow_prediction', use_flow_sigmas: true, flow_shift: config['shift'] ?? 1 } : {};
	return createFromClass({ ...config, clip_sample: false, ...flowFlags, ...variant.flags, _class_name: variant.className }, options);
}

function createFromClass(config: RawConfig, options: SchedulerOptions): Scheduler {
	const className = String(config['_class_name']);
	const build = CLASSES[className];
	if (build === undefined) {
		throw new ModelFolderError(
			`scheduler/scheduler_config.json names the class "${className}", which this engine does not run; ask for a sampler by name instead.`,
		);
	}
	return build(config, options);
}
