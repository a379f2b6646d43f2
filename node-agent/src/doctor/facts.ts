/**
 * What this machine has in the way of GPUs, drivers and providers. Asking never fails: what cannot be told is left out.
 * @module
 */
import { execFile } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { readElf } from '../gpu/elf.ts';
import { cudaMajor, libraryFinder, missingLibraries, oldestDriver, openedAtRunTime } from '../gpu/libraries.ts';
import { CUDA_PROVIDER, gpuPlaces, librariesDir, libraryPath, providerLinked, type GpuPlaces } from '../gpu/places.ts';
import type { GpuFacts } from './advice.ts';

export interface Gpu {
	name: string;
	memoryBytes: number;
	uuid: string;
	driver: string;
}

const SMI_MS = 5000;
const SMI_FIELDS = 'name,memory.total,uuid,driver_version';

/** Reads `nvidia-smi --query-gpu=name,memory.total,uuid,driver_version --format=csv,noheader,nounits`. */
export const parseGpus = (text: string): Gpu[] =>
	text
		.trim()
		.split('\n')
		.map((line) => line.split(',').map((part) => part.trim()))
		.filter((parts) => parts.length === 4 && Number(parts[1]) > 0)
		.map(([name = '', mib, uuid = '', driver = '']) => ({ name, memoryBytes: Number(mib) * 1024 ** 2, uuid, driver }));

/** GPUs as NVIDIA's tool lists them; none where it is absent. WSL keeps it out of the way. */
export const nvidiaGpus = async (): Promise<Gpu[]> => {
	for (const command of ['nvidia-smi', '/usr/lib/wsl/lib/nvidia-smi']) {
		try {
			const { stdout } = await promisify(execFile)(command, [`--query-gpu=${SMI_FIELDS}`, '--format=csv,noheader,nounits'], {
				timeout: SMI_MS,
			});
			return parseGpus(stdout);
		} catch {
			// Not there, or no driver answers it.
		}
	}
	return [];
};

const isWsl = (): boolean => {
	try {
		return /microsoft/i.test(readFileSync('/proc/version', 'utf8'));
	} catch {
		return false;
	}
};

/** What the linked provider needs, and lacks. */
const providerFacts = (places: GpuPlaces): Pick<GpuFacts, 'cudaProvider' | 'cuda' | 'oldestDriver' | 'missingLibraries'> => {
	const file = join(places.bindingDir, CUDA_PROVIDER);
	if (!providerLinked(places) || !existsSync(file)) return { cudaProvider: false, missingLibraries: [] };
	try {
		const cuda = cudaMajor(readElf(file).needed);
		const find = libraryFinder([librariesDir(places), ...libraryPath(process.env)]);
		const missing = missingLibraries(file, find, cuda === undefined ? [] : openedAtRunTime(cuda)).map(({ name }) => name);
		const oldest = cuda === undefined ? undefined : oldestDriver(cuda);
		return {
			cudaProvider: true,
			missingLibraries: missing,
			...(cuda === undefined ? {} : { cuda }),
			...(oldest === undefined ? {} : { oldestDriver: oldest }),
		};
	} catch {
		// A damaged file: the probe tells what the loader thinks of it.
		return { cudaProvider: true, missingLibraries: [] };
	}
};

/** Everything that advice is made from. */
export const gatherFacts = async (places: GpuPlaces = gpuPlaces()): Promise<GpuFacts & { gpus: Gpu[] }> => {
	const gpus = await nvidiaGpus();
	const driver = gpus[0]?.driver;
	return {
		platform: process.platform,
		arch: process.arch,
		gpus,
		nvidiaGpus: gpus.map((gpu) => gpu.name),
		...(driver === undefined ? {} : { driver }),
		...providerFacts(places),
		wsl: isWsl(),
	};
};
