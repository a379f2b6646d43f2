/**
 * Where the CUDA provider of ONNX Runtime and NVIDIA's libraries lie, and the environment in which a process finds them.
 * @module
 */
import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { homedir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { z } from 'zod';
import { settings } from '../config/settings.ts';
import { userPath } from '../lib/paths.ts';

export interface GpuPlaces {
	/** Folder of what `limner gpu install` brought. */
	home: string;
	/** Folder of the native binding: ONNX Runtime looks for providers beside its own library and nowhere else. */
	bindingDir: string;
	/** Version of the installed onnxruntime-node; a provider of any other version does not fit. */
	runtimeVersion: string;
}

export const PROVIDER_FILES = [
	'libonnxruntime_providers_cuda.so',
	'libonnxruntime_providers_shared.so',
	'libonnxruntime_providers_tensorrt.so',
] as const;
export const CUDA_PROVIDER = PROVIDER_FILES[0];

export const providerDir = ({ home, runtimeVersion }: GpuPlaces): string => join(home, `onnxruntime-${runtimeVersion}`);
export const librariesDir = ({ home }: GpuPlaces): string => join(home, 'lib');
const manifestFile = ({ home }: GpuPlaces): string => join(home, 'gpu.json');

const defaultHome = (): string => {
	if (process.platform === 'win32') return join(process.env['LOCALAPPDATA'] ?? homedir(), 'limner', 'gpu');
	return join(process.env['XDG_DATA_HOME'] ?? join(homedir(), '.local', 'share'), 'limner', 'gpu');
};

const requireHere = createRequire(import.meta.url);

/** The places of this installation. */
export const gpuPlaces = (): GpuPlaces => {
	const main = requireHere.resolve('onnxruntime-node');
	const root = join(dirname(main), '..');
	const { version } = z.object({ version: z.string() }).parse(JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')));
	const { gpuDir } = settings();
	return {
		home: gpuDir === undefined ? defaultHome() : userPath(gpuDir),
		bindingDir: join(root, 'bin', 'napi-v6', process.platform, process.arch),
		runtimeVersion: version,
	};
};

export const GpuManifest = z.object({
	version: z.literal(1),
	/** Of ONNX Runtime. */
	runtimeVersion: z.string(),
	/** Major version of CUDA that the provider was built for. */
	cuda: z.number(),
	source: z.string(),
	/** sha256 of each provider file. */
	provider: z.record(z.string(), z.string()),
	/** What was fetched besides: package and version → sha256 of the archive. */
	packages: z.record(z.string(), z.string()),
});
export type GpuManifest = z.infer<typeof GpuManifest>;

/** What is installed for the runtime of now; nothing when there is none, or it is of another version. */
export const readManifest = (places: GpuPlaces): GpuManifest | undefined => {
	try {
		return GpuManifest.parse(JSON.parse(readFileSync(manifestFile(places), 'utf8')));
	} catch {
		return undefined;
	}
};
export { manifestFile };

/** Whether the provider lies beside the binding. */
export const providerLinked = ({ bindingDir }: GpuPlaces): boolean => existsSync(join(bindingDir, CUDA_PROVIDER));

/** Folders of LD_LIBRARY_PATH. */
export const libraryPath = (env: NodeJS.ProcessEnv): string[] =>
	(env['LD_LIBRARY_PATH'] ?? '').split(delimiter).filter((dir) => dir !== '');

/**
 * The variables that a process needs to find the libraries. The loader reads them once, when the process starts, so they
 * are for children.
 */
export const gpuEnvironment = (places: GpuPlaces, env: NodeJS.ProcessEnv): Record<string, string> => {
	const own = librariesDir(places);
	const dirs = libraryPath(env);
	if (process.platform !== 'linux' || !existsSync(own) || dirs.includes(own)) return {};
	return { LD_LIBRARY_PATH: [own, ...dirs].join(delimiter) };
};
