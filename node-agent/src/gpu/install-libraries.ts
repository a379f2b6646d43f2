/**
 * Fetches the libraries of NVIDIA that a provider needs and the machine lacks, from the wheels that NVIDIA publishes.
 * @module
 */
import { existsSync, symlinkSync } from 'node:fs';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { UserError } from '../lib/user-error.ts';
import { extractFiles } from './archive.ts';
import { createClient, fetchArchive, type FetchHooks } from './fetch.ts';
import { writeManifest } from './install.ts';
import {
	DRIVER_LIBRARY,
	libraryFinder,
	missingLibraries,
	openedAtRunTime,
	packageOf,
	type LibraryPackage,
	type MissingLibrary,
} from './libraries.ts';
import { newestWheel, projectFiles, type IndexFile } from './package-index.ts';
import { CUDA_PROVIDER, librariesDir, libraryPath, providerDir, type GpuManifest, type GpuPlaces } from './places.ts';

export interface LibraryReport {
	/** What no folder has. */
	missing: MissingLibrary[];
	/** The driver's library is missing: no package brings it. */
	driver: boolean;
	/** Packages that bring what is missing. */
	packages: LibraryPackage[];
	/** Missing, and NVIDIA does not offer them this way. */
	unknown: string[];
}

/** What the installed provider still lacks. */
export const libraryReport = (places: GpuPlaces, cuda: number, env: NodeJS.ProcessEnv): LibraryReport => {
	const find = libraryFinder([librariesDir(places), ...libraryPath(env)]);
	const all = missingLibraries(join(providerDir(places), CUDA_PROVIDER), find, openedAtRunTime(cuda));
	const missing = all.filter(({ name }) => name !== DRIVER_LIBRARY);
	const packages = new Map<string, LibraryPackage>();
	const unknown: string[] = [];
	for (const { name } of missing) {
		const found = packageOf(name, cuda);
		if (found === undefined) unknown.push(name);
		else packages.set(found.name, found);
	}
	return { missing, driver: missing.length !== all.length, packages: [...packages.values()], unknown };
};

export interface PlannedWheel extends IndexFile {
	version: string;
	package: string;
}

/**
 * The wheels to fetch, with their sizes where the index tells.
 * @throws {UserError} when the index has none that fits
 */
export const planWheels = async (packages: readonly LibraryPackage[], index: string): Promise<PlannedWheel[]> => {
	const client = createClient(index);
	try {
		const wheels: PlannedWheel[] = [];
		for (const { name, version } of packages) {
			const wheel = newestWheel(await projectFiles(client, index, name), version);
			if (wheel === undefined)
				throw new UserError(`${new URL(index).origin} has no ${name} ${version}x for Linux x64; install it with your package manager.`);
			wheels.push({ ...wheel, package: name });
		}
		return wheels;
	} finally {
		client.close();
	}
};

const LIBRARY = /^lib[\w.+-]+\.so(\.\d+)*$/;

/** cuDNN is opened under its bare name, which wheels do not have. */
const linkBareNames = (folder: string, names: readonly string[]): void => {
	for (const name of names.filter((each) => each.startsWith('libcudnn.so.'))) {
		const bare = join(folder, 'libcudnn.so');
		if (!existsSync(bare)) symlinkSync(name, bare);
	}
};

/** Fetches wheels, and puts their libraries beside each other into one folder. */
export const installWheels = async (
	wheels: readonly PlannedWheel[],
	places: GpuPlaces,
	manifest: GpuManifest,
	hooks: FetchHooks,
): Promise<GpuManifest> => {
	const folder = librariesDir(places);
	await mkdir(folder, { recursive: true });
	let now = manifest;
	for (const wheel of wheels) {
		hooks.onNote(wheel.filename);
		const expected = { sha256: wheel.sha256, ...(wheel.size === undefined ? {} : { size: wheel.size }) };
		const archive = await fetchArchive(wheel.url, join(places.home, 'downloads'), expected, hooks);
		linkBareNames(folder, await extractFiles(archive.path, folder, (name) => LIBRARY.test(name)));
		await rm(archive.path, { force: true });
		now = { ...now, packages: { ...now.packages, [`${wheel.package} ${wheel.version}`]: wheel.sha256 } };
		await writeManifest(places, now);
	}
	return now;
};
