/**
 * Models in ONNX form that are worth knowing, and which of them fits a machine. Sizes are of the files that a pull brings;
 * the pull itself tells the exact size before it begins.
 * @module
 */
import type { ModelFamily } from './layout.ts';

const GIB = 1024 ** 3;

export interface CatalogEntry {
	/** What `limner models pull` takes; nothing for the model that ships with Limner. */
	repo?: string;
	name: string;
	summary: string;
	family: ModelFamily;
	/** Download in bytes, rounded. */
	bytes: number;
	/** Memory in bytes that making one picture at native size takes, estimated from the weights. */
	memoryBytes: number;
	native: string;
	licence: string;
	/** Whether the hub asks to accept terms first. */
	gated: boolean;
	/** Whether the authors' licence allows commercial use without asking. */
	commercial: boolean;
	/** Whether pictures were made with it by Limner's own tests. */
	tested: boolean;
	/** Element type of most weights. Half precision is slow on CPUs. */
	precision: 'fp16' | 'fp32';
	/** Order of preference among those that fit: the picture's quality. */
	rank: number;
}

export const CATALOG: readonly CatalogEntry[] = [
	{
		name: 'storybook',
		summary: 'ships with Limner: small drawings, for trying things out',
		family: 'sd',
		bytes: 0,
		memoryBytes: 0.5 * GIB,
		native: '128×128',
		licence: 'Apache-2.0',
		gated: false,
		commercial: true,
		tested: true,
		precision: 'fp32',
		rank: 0,
	},
	{
		repo: 'amd/stable-diffusion-1.5_io32_amdgpu',
		name: 'Stable Diffusion 1.5 (half precision)',
		summary: 'the classic; 16-bit weights with 32-bit inputs',
		family: 'sd',
		bytes: 2.0 * GIB,
		memoryBytes: 4 * GIB,
		native: '512×512',
		licence: 'creativeml-openrail-m',
		gated: false,
		commercial: true,
		tested: false,
		precision: 'fp16',
		rank: 2,
	},
	{
		repo: 'amd/stable-diffusion-1.5_io16_amdgpu',
		name: 'Stable Diffusion 1.5 (half precision throughout)',
		summary: 'the same with 16-bit inputs',
		family: 'sd',
		bytes: 2.0 * GIB,
		memoryBytes: 4 * GIB,
		native: '512×512',
		licence: 'creativeml-openrail-m',
		gated: false,
		commercial: true,
		tested: false,
		precision: 'fp16',
		rank: 1,
	},
	{
		repo: 'amd/stable-diffusion-xl-1.0_io32_amdgpu',
		name: 'Stable Diffusion XL 1.0 (half precision)',
		summary: 'larger pictures with more detail; 16-bit weights',
		family: 'sdxl',
		bytes: 6.1 * GIB,
		memoryBytes: 10 * GIB,
		native: '1024×1024',
		licence: 'openrail++',
		gated: false,
		commercial: true,
		tested: false,
		precision: 'fp16',
		rank: 5,
	},
	{
		repo: 'stabilityai/sdxl-turbo',
		name: 'SDXL Turbo',
		summary: 'one to four steps; the quickest that draws well',
		family: 'sdxl',
		bytes: 12.9 * GIB,
		memoryBytes: 16 * GIB,
		native: '512×512',
		licence: 'sai-nc-community (no commercial use without asking)',
		gated: false,
		commercial: false,
		tested: false,
		precision: 'fp32',
		rank: 4,
	},
	{
		repo: 'stabilityai/stable-diffusion-xl-base-1.0',
		name: 'Stable Diffusion XL 1.0',
		summary: 'the original export, 32-bit weights',
		family: 'sdxl',
		bytes: 12.9 * GIB,
		memoryBytes: 18 * GIB,
		native: '1024×1024',
		licence: 'openrail++',
		gated: false,
		commercial: true,
		tested: false,
		precision: 'fp32',
		rank: 3,
	},
];

/** What a recommendation goes by. */
export interface Machine {
	/** Memory of the GPU that Limner can use, nothing without one. */
	gpuBytes?: number;
	ramBytes: number;
	diskFreeBytes: number;
}

export interface Recommendation {
	entry: CatalogEntry;
	/** Why, in one sentence. */
	reason: string;
}

const inGib = (bytes: number): string => `${(bytes / GIB).toFixed(bytes < 10 * GIB ? 1 : 0)} GiB`;

/** A share of the memory is the system's own. */
const USABLE = 0.9;

/** Picks one model for a machine: the best that fits its memory and disk, and on a CPU one that draws in minutes. */
export const recommend = (machine: Machine, catalog: readonly CatalogEntry[] = CATALOG): Recommendation => {
	const memory = (machine.gpuBytes ?? machine.ramBytes) * USABLE;
	const suits = (entry: CatalogEntry): boolean => machine.gpuBytes !== undefined || entry.family === 'sd';
	const fits = catalog.filter(
		(entry) => entry.memoryBytes <= memory && entry.bytes * 1.05 <= machine.diskFreeBytes && suits(entry) && !entry.gated,
	);
	const [best] = fits.toSorted((a, b) => b.rank - a.rank);
	const entry = best ?? catalog[0];
	if (entry === undefined) throw new Error('The catalog is empty.');
	const where =
		machine.gpuBytes === undefined ? `${inGib(machine.ramBytes)} of memory and no usable GPU` : `a GPU with ${inGib(machine.gpuBytes)}`;
	const smaller = entry.repo === undefined ? ', and there is no room for more' : '';
	return {
		entry,
		reason: `this machine has ${where} and ${inGib(machine.diskFreeBytes)} of free disk; it takes about ${inGib(entry.memoryBytes)}${smaller}`,
	};
};
