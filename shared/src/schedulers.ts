/**
 * Scheduler (sampler) names. The canonical name is what jobs, views and metadata carry; the aliases are what people
 * bring from AUTOMATIC1111 and diffusers.
 * @module
 */

export const SCHEDULERS = {
	ddim: { label: 'DDIM', aliases: ['DDIMScheduler'] },
	ddpm: { label: 'DDPM', aliases: ['DDPMScheduler'] },
	pndm: { label: 'PNDM (PLMS)', aliases: ['PNDMScheduler', 'PLMS'] },
	euler: { label: 'Euler', aliases: ['EulerDiscreteScheduler', 'k_euler'] },
	euler_karras: { label: 'Euler Karras', aliases: [] },
	euler_a: { label: 'Euler a', aliases: ['Euler Ancestral', 'EulerAncestralDiscreteScheduler', 'k_euler_a'] },
	heun: { label: 'Heun', aliases: ['HeunDiscreteScheduler', 'k_heun'] },
	lms: { label: 'LMS', aliases: ['LMSDiscreteScheduler', 'k_lms'] },
	dpmpp_2m: { label: 'DPM++ 2M', aliases: ['DPMSolverMultistepScheduler', 'k_dpmpp_2m'] },
	dpmpp_2m_karras: { label: 'DPM++ 2M Karras', aliases: [] },
	dpmpp_2m_sde: { label: 'DPM++ 2M SDE', aliases: [] },
	dpmpp_2m_sde_karras: { label: 'DPM++ 2M SDE Karras', aliases: [] },
	euler_exponential: { label: 'Euler Exponential', aliases: [] },
	euler_beta: { label: 'Euler Beta', aliases: [] },
	dpmpp_2m_exponential: { label: 'DPM++ 2M Exponential', aliases: [] },
	dpmpp_2m_beta: { label: 'DPM++ 2M Beta', aliases: [] },
	unipc: { label: 'UniPC', aliases: ['UniPCMultistepScheduler'] },
	lcm: { label: 'LCM', aliases: ['LCMScheduler'] },
	flow_euler: { label: 'Flow matching Euler', aliases: ['FlowMatchEulerDiscreteScheduler'] },
} as const satisfies Record<string, { label: string; aliases: readonly string[] }>;

export type SchedulerName = keyof typeof SCHEDULERS;
export const SCHEDULER_NAMES = Object.keys(SCHEDULERS) as SchedulerName[];

const fold = (text: string): string => text.toLowerCase().replaceAll(/[\s\-_]+/g, '_');

const BY_ALIAS = new Map<string, SchedulerName>(
	SCHEDULER_NAMES.flatMap((name) =>
		[name, SCHEDULERS[name].label, ...SCHEDULERS[name].aliases].map((alias): [string, SchedulerName] => [fold(alias), name]),
	),
);

/** Canonical name of a scheduler given by name, label or alias (case, spaces, `-` and `_` do not matter). */
export const resolveScheduler = (name: string): SchedulerName | undefined => BY_ALIAS.get(fold(name));
