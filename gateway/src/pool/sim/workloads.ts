/**
 * Workloads on which policies are compared: who asks for what and when, and how fast each machine really is.
 * @module
 */
import type { SlotInfo } from '@limner/shared';
import { createRandom, type Random } from './random.ts';

/** A machine with one slot. Times are what it really takes, which no policy is told. */
export interface PolicyNode {
	kind: SlotInfo['device']['kind'];
	sPerMpStep: number;
	/** Seconds to load a model that is not in memory. One stays loaded. */
	loadS: number;
	models: string[];
}

/** One picture. */
export interface PolicyTask {
	atMs: number;
	ws: string;
	model: string;
	steps: number;
	px: number;
}

export interface Workload {
	name: string;
	about: string;
	make: (random: Random) => { nodes: PolicyNode[]; tasks: PolicyTask[] };
}

const many = (count: number, node: PolicyNode): PolicyNode[] => Array.from({ length: count }, () => ({ ...node }));

const PX = 512;
const STEPS = 20;
/** Megapixel-steps of the usual picture. */
const WORK = (PX * PX * STEPS) / 1_000_000;

const FAST = { kind: 'cuda', sPerMpStep: 0.15, loadS: 8 } as const;
const MIDDLE = { kind: 'coreml', sPerMpStep: 0.7, loadS: 12 } as const;
const SLOW = { kind: 'cpu', sPerMpStep: 4, loadS: 6 } as const;

/** Arrivals at random (Poisson), so many a second on average. */
const poisson = (random: Random, count: number, perS: number, make: (i: number) => Omit<PolicyTask, 'atMs'>): PolicyTask[] => {
	let at = 0;
	return Array.from({ length: count }, (_, i) => {
		at += (-Math.log(1 - random.next()) / perS) * 1000;
		return { atMs: Math.round(at), ...make(i) };
	});
};

/** Pictures a second that the nodes can make when models stay loaded. */
const capacityOf = (nodes: readonly PolicyNode[]): number => nodes.reduce((sum, node) => sum + 1 / (node.sPerMpStep * WORK), 0);

const usual = (ws: string, model: string): Omit<PolicyTask, 'atMs'> => ({ ws, model, steps: STEPS, px: PX });

const COUNT = 400;

export const WORKLOADS: readonly Workload[] = [
	{
		name: 'mixed',
		about: '4 fast, 4 middling and 4 slow machines (0.8, 3.7 and 21 s a picture), one model, 60 % load',
		make: (random) => {
			const models = ['a'];
			const nodes = [...many(4, { ...FAST, models }), ...many(4, { ...MIDDLE, models }), ...many(4, { ...SLOW, models })];
			return { nodes, tasks: poisson(random, COUNT, 0.6 * capacityOf(nodes), () => usual('one', 'a')) };
		},
	},
	{
		name: 'warm-cold',
		about: '8 equal machines that all have 4 models, a load takes 20 s and a picture 5 s, popularity 8 : 4 : 2 : 1, 30 % load',
		make: (random) => {
			const models = ['a', 'b', 'c', 'd'];
			const nodes = many(8, { kind: 'cuda', sPerMpStep: 5 / WORK, loadS: 20, models });
			const popular = () => models[[8, 12, 14, 15].findIndex((edge) => edge > random.int(15))] ?? 'a';
			return { nodes, tasks: poisson(random, COUNT, 0.3 * capacityOf(nodes), () => usual('one', popular())) };
		},
	},
	{
		name: 'rare-model',
		about: '2 fast machines with models a and b, 6 middling with a alone; one picture in five needs b; 60 % load',
		make: (random) => {
			const nodes = [...many(2, { ...FAST, loadS: 3, models: ['a', 'b'] }), ...many(6, { ...MIDDLE, loadS: 3, models: ['a'] })];
			return { nodes, tasks: poisson(random, COUNT, 0.6 * capacityOf(nodes), () => usual('one', random.chance(0.2) ? 'b' : 'a')) };
		},
	},
	{
		name: 'crowd',
		about: '6 machines of two speeds; one workspace submits 300 pictures at once, another one picture every few seconds',
		make: (random) => {
			const models = ['a'];
			const nodes = [...many(3, { ...FAST, sPerMpStep: 0.4, models }), ...many(3, { ...MIDDLE, models })];
			const crowd = Array.from({ length: 300 }, () => ({ atMs: 0, ...usual('crowd', 'a') }));
			return { nodes, tasks: [...crowd, ...poisson(random, 60, 0.3, () => usual('guest', 'a'))] };
		},
	},
	{
		name: 'homogeneous',
		about: '8 equal machines, one model, 70 % load: there is nothing to choose',
		make: (random) => {
			const nodes = many(8, { ...FAST, sPerMpStep: 0.5, models: ['a'] });
			return { nodes, tasks: poisson(random, COUNT, 0.7 * capacityOf(nodes), () => usual('one', 'a')) };
		},
	},
];

/** The same machines and arrivals for every policy. */
export const makeWorkload = (workload: Workload, seed: number): ReturnType<Workload['make']> => workload.make(createRandom(seed));

/** What a picture really takes, in milliseconds; `loaded` is what the machine has in memory. */
export const truthOf = (node: PolicyNode, loaded: string | null, task: PolicyTask): { loadMs: number; drawMs: number } => ({
	loadMs: loaded === task.model ? 0 : node.loadS * 1000,
	drawMs: (node.sPerMpStep * 1000 * task.steps * task.px * task.px) / 1_000_000,
});
