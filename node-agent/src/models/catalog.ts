/**
 * Models that are worth knowing, and which of them fits a machine. Sizes are of the files that a pull brings or an export
 * makes; the pull itself tells the exact size before it begins.
 * @module
 */
import { CATALOG } from './catalog-entries.ts';
import type { ModelFamily } from './layout.ts';

const GIB = 1024 ** 3;

export { CATALOG } from './catalog-entries.ts';

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
	/** Fused operators that only the CUDA provider has. */
	cudaOnly?: boolean;
	/** The repository has PyTorch weights alone: it has to be exported, and cannot be pulled. */
	export?: boolean;
	/** Order of preference among those that fit: the picture's quality. */
	rank: number;
}

/** What a recommendation goes by. */
export interface Machine {
	/** Memory of the CUDA device that Limner can use, nothing without one. */
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
	const suits = ({ family, cudaOnly }: CatalogEntry): boolean => machine.gpuBytes !== undefined || (family === 'sd' && cudaOnly !== true);
	const pullable = catalog.filter((entry) => entry.export !== true && !entry.gated);
	const fits = pullable.filter((entry) => entry.memoryBytes <= memory && entry.bytes * 1.05 <= machine.diskFreeBytes && suits(entry));
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
