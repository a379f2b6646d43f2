/**
 * Which libraries a provider of ONNX Runtime needs, where they are, and which package of NVIDIA's brings one that is
 * missing.
 * @module
 */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { readElf } from './elf.ts';

/** The driver's own library: it comes with the driver and from nowhere else. */
export const DRIVER_LIBRARY = 'libcuda.so.1';

const STANDARD_DIRS = ['/lib64', '/usr/lib64', '/lib', '/usr/lib', '/usr/local/lib', '/usr/local/cuda/lib64', '/usr/lib/wsl/lib'];

/** Reads `ldconfig -p`: name → path. The first one counts, as for the loader. */
export const parseLdconfig = (text: string, arch: string = process.arch): Map<string, string> => {
	const wanted = arch === 'arm64' ? 'AArch64' : 'x86-64';
	const found = new Map<string, string>();
	for (const line of text.split('\n')) {
		const match = /^\s*(\S+) \(([^)]*)\) => (\S+)$/.exec(line);
		const [, name, kind, path] = match ?? [];
		if (name === undefined || path === undefined || kind?.includes(wanted) !== true || found.has(name)) continue;
		found.set(name, path);
	}
	return found;
};

const loaderCache = (): Map<string, string> => {
	for (const command of ['/sbin/ldconfig', '/usr/sbin/ldconfig', 'ldconfig']) {
		try {
			return parseLdconfig(execFileSync(command, ['-p'], { encoding: 'utf8', timeout: 5000, stdio: ['ignore', 'pipe', 'ignore'] }));
		} catch {
			// Not there; the standard folders are looked at all the same.
		}
	}
	return new Map();
};

export type FindLibrary = (name: string) => string | undefined;

/**
 * Finds a library as the loader would: the folders given, then the system's.
 * @param dirs folders of LD_LIBRARY_PATH, first ones first
 */
export const libraryFinder = (dirs: readonly string[]): FindLibrary => {
	let cache: Map<string, string> | undefined;
	return (name) => {
		const own = dirs.map((dir) => join(dir, name)).find((path) => existsSync(path));
		if (own !== undefined) return own;
		cache ??= loaderCache();
		return cache.get(name) ?? STANDARD_DIRS.map((dir) => join(dir, name)).find((path) => existsSync(path));
	};
};

export interface MissingLibrary {
	name: string;
	/** File that asks for it. */
	neededBy: string;
}

/**
 * Everything that a library needs and that is nowhere, through all that is found.
 * @param extra names that it opens by itself while it runs
 */
export const missingLibraries = (file: string, find: FindLibrary, extra: readonly string[] = []): MissingLibrary[] => {
	const missing = new Map<string, MissingLibrary>();
	const seen = new Set<string>();
	const visit = (path: string, names: readonly string[]): void => {
		for (const name of names) {
			if (seen.has(name)) continue;
			seen.add(name);
			const beside = join(dirname(path), name);
			const found = existsSync(beside) ? beside : find(name);
			if (found === undefined) missing.set(name, { name, neededBy: path });
			else visit(found, neededOf(found));
		}
	};
	visit(file, [...readElf(file).needed, ...extra]);
	return [...missing.values()];
};

/** A system library that cannot be read is the loader's affair. */
const neededOf = (file: string): string[] => {
	try {
		return readElf(file).needed;
	} catch {
		return [];
	}
};

/** Major version of CUDA that a provider was built for, read from the names it needs. */
export const cudaMajor = (needed: readonly string[]): number | undefined => {
	const match = needed.map((name) => /^libcudart\.so\.(\d+)/.exec(name)).find((found) => found !== null);
	return match === undefined ? undefined : Number(match[1]);
};

/** Oldest driver of Linux for a major version of CUDA (CUDA release notes, "minor version compatibility"). */
const OLDEST_DRIVER: Readonly<Record<number, number>> = { 11: 450, 12: 525, 13: 580 };
export const oldestDriver = (cuda: number): number | undefined => OLDEST_DRIVER[cuda];

/**
 * What a provider opens by itself: it is linked to neither, and without cuDNN it has no convolutions, of which these models
 * are made. cuDNN compiles kernels with NVRTC where it has none ready.
 */
export const openedAtRunTime = (cuda: number): string[] => ['libcudnn.so.9', `libnvrtc.so.${cuda}`];

export interface LibraryPackage {
	/** Name on the Python package index. */
	name: string;
	/** Version prefix: `13.` takes the newest 13.x. */
	version: string;
}

/** From CUDA 13 on NVIDIA leaves the suffix out, but for cuDNN. */
const suffixed = (name: string, cuda: number): string => (cuda >= 13 ? name : `${name}-cu${cuda}`);

const PACKAGES: readonly (readonly [RegExp, (cuda: number, so: string) => LibraryPackage])[] = [
	[/^libcudart\.so\.(\d+)/, (cuda, so) => ({ name: suffixed('nvidia-cuda-runtime', cuda), version: `${so}.` })],
	[/^libcublas(?:Lt)?\.so\.(\d+)/, (cuda, so) => ({ name: suffixed('nvidia-cublas', cuda), version: `${so}.` })],
	[/^libcudnn(?:_\w+)?\.so\.(\d+)/, (cuda, so) => ({ name: `nvidia-cudnn-cu${cuda}`, version: `${so}.` })],
	[/^libcurand\.so\.(\d+)/, (cuda, so) => ({ name: suffixed('nvidia-curand', cuda), version: `${so}.` })],
	[/^libcufft\.so\.(\d+)/, (cuda, so) => ({ name: suffixed('nvidia-cufft', cuda), version: `${so}.` })],
	[/^libnvrtc\.so\.(\d+)/, (cuda, so) => ({ name: suffixed('nvidia-cuda-nvrtc', cuda), version: `${so}.` })],
	[/^libnvJitLink\.so\.(\d+)/, (cuda, so) => ({ name: suffixed('nvidia-nvjitlink', cuda), version: `${so}.` })],
];

/** The package that brings a library; nothing for what NVIDIA does not offer this way. */
export const packageOf = (library: string, cuda: number): LibraryPackage | undefined => {
	for (const [pattern, make] of PACKAGES) {
		const match = pattern.exec(library);
		if (match !== null) return make(cuda, match[1] ?? '');
	}
	return undefined;
};
