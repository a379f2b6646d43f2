/**
 * From what a probe found to what a person can do about it. Pure.
 * @module
 */
import type { DeviceKind } from '../engines/devices.ts';
import type { CheckResult } from './checks.ts';
import type { ProbeOutcome } from './probe.ts';

/** What is known of the machine. */
export interface GpuFacts {
	platform: string;
	arch: string;
	/** Names that nvidia-smi lists. */
	nvidiaGpus: readonly string[];
	/** Version of NVIDIA's driver, where there is one. */
	driver?: string;
	/** Whether the CUDA provider lies where the runtime looks. */
	cudaProvider: boolean;
	/** Major version of CUDA that the installed provider needs. */
	cuda?: number;
	/** Oldest driver for that CUDA. */
	oldestDriver?: number;
	/** Libraries that the installed provider needs and nobody has. */
	missingLibraries: readonly string[];
	/** Inside WSL2. */
	wsl: boolean;
}

const LABELS: Readonly<Record<DeviceKind, string>> = {
	cuda: 'CUDA',
	tensorrt: 'TensorRT',
	coreml: 'CoreML',
	webgpu: 'WebGPU',
	dml: 'DirectML',
	cpu: 'CPU',
};
export const labelOf = (kind: DeviceKind): string => LABELS[kind];

const INSTALL = 'limner gpu install';

/** Kinds that ONNX Runtime for Node has at all, by platform (its npm package, 1.30). */
const OFFERED: Readonly<Record<string, readonly DeviceKind[]>> = {
	'linux-x64': ['cuda', 'tensorrt', 'webgpu', 'cpu'],
	'linux-arm64': ['cpu'],
	'darwin-arm64': ['coreml', 'webgpu', 'cpu'],
	'win32-x64': ['dml', 'webgpu', 'cpu'],
	'win32-arm64': ['dml', 'webgpu', 'cpu'],
};
export const offeredHere = (platform: string, arch: string): readonly DeviceKind[] => OFFERED[`${platform}-${arch}`] ?? ['cpu'];

/** Why a kind cannot be on a platform, and what is there instead. */
const notOffered = (kind: DeviceKind, { platform, arch }: GpuFacts): { detail: string; fix?: string } => {
	const detail = `ONNX Runtime for Node does not have it on ${platform} ${arch}`;
	if (platform === 'win32' && (kind === 'cuda' || kind === 'tensorrt')) {
		return {
			detail,
			fix: 'use `--device dml` (DirectML, any GPU with DirectX 12) or `--device webgpu`; for CUDA run Limner inside WSL2: `wsl --install`, then Limner there, then `limner gpu install`',
		};
	}
	return { detail };
};

const firstLine = (text: string): string => text.trim().split('\n')[0]?.slice(0, 300) ?? '';

/** The library that the loader did not find, in the words of glibc. */
export const unfoundLibrary = (detail: string): string | undefined =>
	/(lib[\w.+-]+\.so(?:\.\d+)*): cannot open shared object file/.exec(detail)?.[1];

interface Advice {
	detail: string;
	fix?: string;
}

const driverTooOld = (facts: GpuFacts): Advice | undefined => {
	const have = Number.parseInt(facts.driver ?? '', 10);
	const { oldestDriver, cuda } = facts;
	if (oldestDriver === undefined || !Number.isFinite(have) || have >= oldestDriver) return undefined;
	return {
		detail: `the driver ${facts.driver ?? ''} is too old for CUDA ${cuda ?? ''}`,
		fix: `update NVIDIA's driver to ${oldestDriver} or newer`,
	};
};

const cudaAdvice = (outcome: ProbeOutcome & { ok: false }, facts: GpuFacts): Advice => {
	const noGpu = facts.nvidiaGpus.length === 0;
	const getDriver = facts.wsl
		? "install NVIDIA's driver on Windows (not inside WSL), then `wsl --shutdown`"
		: "install NVIDIA's driver (`sudo ubuntu-drivers install`, or your distribution's package) and restart";
	if (!facts.cudaProvider) {
		const detail = 'the CUDA provider of ONNX Runtime is not installed';
		return noGpu
			? { detail: `${detail}, and nvidia-smi shows no GPU`, fix: `with an NVIDIA card: ${getDriver}, then: ${INSTALL}` }
			: { detail, fix: INSTALL };
	}
	const missing = facts.missingLibraries.filter((name) => name !== 'libcuda.so.1');
	if (missing.length > 0) return { detail: `these libraries are missing: ${missing.join(', ')}`, fix: `${INSTALL} --libraries` };
	if (facts.missingLibraries.includes('libcuda.so.1') || noGpu)
		return { detail: 'no NVIDIA driver answers', fix: `with an NVIDIA card: ${getDriver}` };
	const library = unfoundLibrary(outcome.detail);
	if (library !== undefined) return { detail: `${library} cannot be loaded`, fix: `${INSTALL} --libraries` };
	return (
		driverTooOld(facts) ?? { detail: firstLine(outcome.message), fix: 'run `nvidia-smi`; if it works, run `limner gpu install` again' }
	);
};

const tensorrtAdvice = (outcome: ProbeOutcome & { ok: false }, facts: GpuFacts): Advice => {
	if (!facts.cudaProvider) return { detail: 'the provider of ONNX Runtime is not installed', fix: INSTALL };
	const library = unfoundLibrary(outcome.detail);
	if (library?.startsWith('libnv') === true)
		return {
			detail: `TensorRT is not installed (${library})`,
			fix: "install NVIDIA's TensorRT 10 and put it on LD_LIBRARY_PATH; CUDA works without it",
		};
	return {
		detail: library === undefined ? firstLine(outcome.message) : `${library} cannot be loaded`,
		fix: 'get `--device cuda` to work first',
	};
};

/** Why Dawn does not take a GPU that is there, in its words: an old driver, mostly. */
const notFit = (detail: string): string => {
	const [, why] = /Warning: (Vulkan [^\n]* required)/.exec(detail) ?? [];
	return why === undefined ? '' : ` (one is there, but: ${why})`;
};

const webgpuAdvice = (outcome: ProbeOutcome & { ok: false }, facts: GpuFacts): Advice => {
	if (/libvulkan/.test(outcome.detail))
		return {
			detail: 'the Vulkan loader is not installed (libvulkan.so.1)',
			fix: "with a GPU: `sudo apt install libvulkan1 mesa-vulkan-drivers` (AMD, Intel) or NVIDIA's driver, which has its own",
		};
	if (/no supported adapters|Failed to get a WebGPU adapter/i.test(`${outcome.message} ${outcome.detail}`))
		return {
			detail: `no GPU is offered to WebGPU${notFit(outcome.detail)}`,
			fix:
				facts.platform === 'linux'
					? 'install the Vulkan driver of your GPU; `vulkaninfo --summary` must list it'
					: "update the GPU's driver",
		};
	return { detail: firstLine(outcome.message) };
};

const genericAdvice = (kind: DeviceKind, outcome: ProbeOutcome & { ok: false }): Advice => ({
	detail: firstLine(outcome.message),
	...(kind === 'dml' ? { fix: "update the GPU's driver and Windows; DirectML needs DirectX 12" } : {}),
	...(kind === 'cpu' ? { fix: 'delete node_modules and run the command again; it needs glibc 2.28 or newer' } : {}),
});

/** ORT says so when a node of the model would have run on the CPU. */
const FELL_BACK = /fallback to CPU EP|disable_cpu_ep_fallback|assigned to the default CPU/i;

const failed = (kind: DeviceKind, outcome: ProbeOutcome & { ok: false }, facts: GpuFacts): Advice => {
	if (FELL_BACK.test(outcome.message)) return { detail: 'it leaves parts of the model to the CPU', fix: 'use another device of this list' };
	if (outcome.kind === 'wrong-numbers')
		return { detail: `it computes wrongly: ${outcome.message}`, fix: "update the GPU's driver; do not use it until then" };
	if (kind === 'cuda') return cudaAdvice(outcome, facts);
	if (kind === 'tensorrt') return tensorrtAdvice(outcome, facts);
	if (kind === 'webgpu') return webgpuAdvice(outcome, facts);
	return genericAdvice(kind, outcome);
};

const time = (ms: number): string => (ms < 10 ? `${ms.toFixed(2)} ms` : `${Math.round(ms)} ms`);

/** What a probe means. Only a CPU that fails is bad: every other device is an extra. */
export const judgeDevice = (kind: DeviceKind, outcome: ProbeOutcome | undefined, facts: GpuFacts): CheckResult => {
	if (outcome === undefined) {
		const { detail, fix } = notOffered(kind, facts);
		return { state: 'absent', detail, ...(fix === undefined ? {} : { fix }) };
	}
	if (outcome.ok) {
		const placed = kind === 'cpu' ? '' : ', no part of it on the CPU';
		return { state: 'ok', detail: `works: the test model ran in ${time(outcome.runMs)}${placed}; loaded in ${time(outcome.loadMs)}` };
	}
	const { detail, fix } = failed(kind, outcome, facts);
	// A card that is there and unused deserves a note; none at all is no fault.
	const expected = kind === 'cuda' && facts.nvidiaGpus.length > 0;
	const state = kind === 'cpu' ? 'bad' : expected || outcome.kind === 'wrong-numbers' || outcome.kind === 'crashed' ? 'note' : 'absent';
	return { state, detail, ...(fix === undefined ? {} : { fix }) };
};
