/**
 * Brings the CUDA provider of ONNX Runtime to where the runtime looks for it. The npm package leaves it out because of its
 * size. Linux on x64 only: Node's binding has CUDA nowhere else.
 * @module
 */
import { copyFileSync, createReadStream, existsSync, linkSync, lstatSync, symlinkSync } from 'node:fs';
import { mkdir, rename, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { realFs, writeAtomic } from '../lib/durable-fs.ts';
import { errorCode, messageOf, UserError } from '../lib/user-error.ts';
import { extractFiles } from './archive.ts';
import { readElf } from './elf.ts';
import { createClient, fetchArchive, localArchive, sha256Of, type Archive, type FetchHooks } from './fetch.ts';
import { cudaMajor } from './libraries.ts';
import { newestWheel, projectFiles } from './package-index.ts';
import { CUDA_PROVIDER, manifestFile, PROVIDER_FILES, providerDir, type GpuManifest, type GpuPlaces } from './places.ts';

export const DEFAULT_INDEX = 'https://pypi.org/simple';
/** The wheel of ONNX Runtime for Python holds the very libraries that Node's binding lacks. */
const PROVIDER_PACKAGE = 'onnxruntime-gpu';

export interface ProviderSource {
	/** Address or path of a wheel or NuGet package; from the index when absent. */
	provider?: string;
	/** What the archive must hash to. */
	sha256?: string;
	/** Address of a Python package index. */
	index: string;
}

/** Why there is no CUDA provider for this machine, and what there is instead. */
export const unsupported = (platform: string, arch: string): string | undefined => {
	if (platform === 'linux' && arch === 'x64') return undefined;
	if (platform === 'win32')
		return 'ONNX Runtime for Node has no CUDA on Windows; use --device dml or --device webgpu, or run Limner inside WSL2 (`wsl --install`), where CUDA works.';
	if (platform === 'darwin') return 'There is no CUDA on macOS; use --device webgpu or --device coreml.';
	return `ONNX Runtime for Node has no CUDA on ${platform} ${arch}, only on Linux x64; use --device cpu.`;
};

const isAddress = (text: string): boolean => /^https?:\/\//.test(text);

const fromIndex = async (source: ProviderSource, places: GpuPlaces, downloads: string, hooks: FetchHooks): Promise<Archive> => {
	const client = createClient(source.index);
	const files = await projectFiles(client, source.index, PROVIDER_PACKAGE).finally(() => client.close());
	const wheel = newestWheel(files, places.runtimeVersion);
	if (wheel === undefined) {
		throw new UserError(
			`${new URL(source.index).origin} has no ${PROVIDER_PACKAGE} ${places.runtimeVersion}, which the installed onnxruntime-node needs; name a wheel or the NuGet package Microsoft.ML.OnnxRuntime.Gpu.Linux ${places.runtimeVersion} with --provider.`,
		);
	}
	hooks.onNote(`${wheel.filename} from ${new URL(source.index).origin}`);
	const size = wheel.size === undefined ? {} : { size: wheel.size };
	return fetchArchive(wheel.url, downloads, { sha256: source.sha256 ?? wheel.sha256, ...size }, hooks);
};

const getArchive = (source: ProviderSource, places: GpuPlaces, downloads: string, hooks: FetchHooks): Promise<Archive> => {
	const { provider, sha256 } = source;
	if (provider === undefined) return fromIndex(source, places, downloads, hooks);
	if (isAddress(provider)) return fetchArchive(provider, downloads, sha256 === undefined ? {} : { sha256 }, hooks);
	return localArchive(provider, sha256);
};

/** Whether a file holds a text, read in pieces. */
const holds = async (file: string, text: string): Promise<boolean> => {
	const wanted = Buffer.from(`\0${text}\0`, 'latin1');
	let tail = Buffer.alloc(0);
	for await (const chunk of createReadStream(file, { highWaterMark: 1 << 22 })) {
		const window = Buffer.concat([tail, chunk as Buffer]);
		if (window.includes(wanted)) return true;
		tail = window.subarray(Math.max(0, window.length - wanted.length));
	}
	return false;
};

/**
 * Whether a provider fits: right machine, right version of the runtime, built for some CUDA.
 * @returns the major version of CUDA
 * @throws {UserError} when it does not fit
 */
export const checkProvider = async (file: string, runtimeVersion: string): Promise<number> => {
	let elf: ReturnType<typeof readElf>;
	try {
		elf = readElf(file);
	} catch (error) {
		throw new UserError(`${messageOf(error)}; get the archive again.`, { cause: error });
	}
	if (elf.machine !== 'x64') throw new UserError(`${file} is for another kind of machine (${elf.machine}); get the one for Linux x64.`);
	const cuda = cudaMajor(elf.needed);
	if (cuda === undefined)
		throw new UserError(`${file} needs no libcudart, so it is no CUDA provider; name another archive with --provider.`);
	if (!(await holds(file, runtimeVersion))) {
		throw new UserError(
			`${file} is not of ONNX Runtime ${runtimeVersion}, which is installed here; a provider of another version crashes. Name one of ${runtimeVersion} with --provider.`,
		);
	}
	return cuda;
};

/** A link, so that a new installation of the packages loses no more than the link; a copy where there are none. */
const place = (from: string, to: string): void => {
	try {
		symlinkSync(from, to);
	} catch {
		try {
			linkSync(from, to);
		} catch {
			copyFileSync(from, to);
		}
	}
};

/**
 * Puts what was installed beside the binding, where the runtime looks. Does nothing when it is there.
 * @throws {UserError} when the folder cannot be written
 */
export const linkProvider = async (places: GpuPlaces): Promise<void> => {
	for (const name of PROVIDER_FILES) {
		const from = join(providerDir(places), name);
		const to = join(places.bindingDir, name);
		if (!existsSync(from) || existsSync(to)) continue;
		try {
			// A link whose target is gone stands in the way, though nothing "exists" there.
			if (lstatSync(to, { throwIfNoEntry: false }) !== undefined) await rm(to);
			place(from, to);
		} catch (error) {
			throw new UserError(
				`${to} cannot be written (${errorCode(error) ?? messageOf(error)}), and ONNX Runtime looks nowhere else; run the command as the owner of node_modules.`,
				{ cause: error },
			);
		}
	}
};

export const unlinkProvider = async (places: GpuPlaces): Promise<void> => {
	for (const name of PROVIDER_FILES) await rm(join(places.bindingDir, name), { force: true });
};

const unpack = async (archive: string, places: GpuPlaces): Promise<void> => {
	const folder = providerDir(places);
	const draft = `${folder}.${process.pid}.tmp`;
	await rm(draft, { recursive: true, force: true });
	await mkdir(draft, { recursive: true });
	try {
		const written = await extractFiles(archive, draft, (name) => (PROVIDER_FILES as readonly string[]).includes(name));
		const missing = PROVIDER_FILES.slice(0, 2).filter((name) => !written.includes(name));
		if (missing.length > 0)
			throw new UserError(
				`${archive} holds no ${missing.join(' and no ')}; it must be a wheel of onnxruntime-gpu or the NuGet package of it.`,
			);
		await checkProvider(join(draft, CUDA_PROVIDER), places.runtimeVersion);
		await rm(folder, { recursive: true, force: true });
		await rename(draft, folder);
	} finally {
		await rm(draft, { recursive: true, force: true });
	}
};

/**
 * Fetches, checks, unpacks and links the provider that matches the installed runtime.
 * @throws {UserError}
 */
export const installProvider = async (source: ProviderSource, places: GpuPlaces, hooks: FetchHooks): Promise<GpuManifest> => {
	const downloads = join(places.home, 'downloads');
	const archive = await getArchive(source, places, downloads, hooks);
	if (!archive.checked) hooks.onNote(`sha256 ${archive.sha256}, not compared with anything; give --sha256 to have it checked`);
	await unpack(archive.path, places);
	await unlinkProvider(places);
	await linkProvider(places);
	const folder = providerDir(places);
	const hashes: Record<string, string> = {};
	for (const name of PROVIDER_FILES) if (existsSync(join(folder, name))) hashes[name] = await sha256Of(join(folder, name));
	const manifest: GpuManifest = {
		version: 1,
		runtimeVersion: places.runtimeVersion,
		cuda: await checkProvider(join(folder, CUDA_PROVIDER), places.runtimeVersion),
		source: source.provider ?? `${PROVIDER_PACKAGE} from ${new URL(source.index).origin}`,
		provider: hashes,
		packages: {},
	};
	await writeManifest(places, manifest);
	// Only archives that this brought; a file of the user's stays.
	if (archive.path.startsWith(downloads)) await rm(archive.path, { force: true });
	return manifest;
};

export const writeManifest = (places: GpuPlaces, manifest: GpuManifest): Promise<void> =>
	writeAtomic(realFs, manifestFile(places), `${JSON.stringify(manifest, null, '\t')}\n`, 0o644);
