/**
 * Which device a node computes on, and how its threads are shared out.
 * @module
 */
import { execFile } from 'node:child_process';
import { availableParallelism, cpus } from 'node:os';
import { promisify } from 'node:util';
import type { Device } from '@limner/shared';
import { UserError } from '../lib/user-error.ts';

export const DEVICE_KINDS = ['cpu', 'cuda', 'coreml', 'webgpu', 'dml', 'tensorrt'] as const;
export type DeviceKind = (typeof DEVICE_KINDS)[number];

export interface DevicePlan {
	device: Device;
	executionProviders: string[];
	/** Pictures at a time that make sense. */
	defaultSlots: number;
}

const GPU_THREADS = 2;

/** Threads of each slot: the cores are shared out, and every slot gets one at least. */
export const threadsPerSlot = (kind: Device['kind'], cores: number, slots: number): number =>
	kind === 'cpu' ? Math.max(1, Math.floor(cores / slots)) : GPU_THREADS;

export const coreCount = (): number => availableParallelism();

interface Gpu {
	name: string;
	memoryBytes: number;
}

/** GPUs as NVIDIA's tool lists them; none where it is absent. */
const nvidiaGpus = async (): Promise<Gpu[]> => {
	try {
		const { stdout } = await promisify(execFile)('nvidia-smi', ['--query-gpu=name,memory.total', '--format=csv,noheader,nounits'], {
			timeout: 5000,
		});
		return parseGpus(stdout);
	} catch {
		return [];
	}
};

/** Reads `nvidia-smi --query-gpu=name,memory.total --format=csv,noheader,nounits`. */
export const parseGpus = (text: string): Gpu[] =>
	text
		.trim()
		.split('\n')
		.map((line) => line.split(',').map((part) => part.trim()))
		.filter((parts) => parts.length === 2 && Number(parts[1]) > 0)
		.map(([name = '', mib]) => ({ name, memoryBytes: Number(mib) * 1024 ** 2 }));

const backends = async (): Promise<Set<string>> => {
	const { listSupportedBackends } = await import('onnxruntime-node');
	return new Set(
		listSupportedBackends()
			.filter((backend) => backend.bundled || backend.name === 'cuda')
			.map((backend) => backend.name),
	);
};

const cpuPlan = (): DevicePlan => ({
	device: { kind: 'cpu', name: cpus()[0]?.model.trim() || 'CPU' },
	executionProviders: ['cpu'],
	defaultSlots: 1,
});

const gpuPlan = (kind: 'cuda' | 'tensorrt', gpus: readonly Gpu[]): DevicePlan => {
	const [first] = gpus;
	if (first === undefined)
		throw new UserError(`No NVIDIA GPU answers nvidia-smi, so --device ${kind} cannot work; install the driver, or use --device cpu.`);
	return {
		device: { kind, name: first.name, memoryBytes: first.memoryBytes },
		executionProviders: kind === 'tensorrt' ? ['tensorrt', 'cuda', 'cpu'] : ['cuda', 'cpu'],
		defaultSlots: gpus.length,
	};
};

/**
 * Plans for the wanted device.
 * @param wanted a kind, or nothing for what surely works
 * @throws {UserError} when it is unknown or not there
 */
export const planDevice = async (wanted: string | undefined): Promise<DevicePlan> => {
	if (wanted === undefined || wanted === 'cpu') return cpuPlan();
	const kind = DEVICE_KINDS.find((candidate) => candidate === wanted);
	if (kind === undefined || kind === 'cpu')
		throw new UserError(`There is no device "${wanted}"; choose one of ${DEVICE_KINDS.join(', ')}.`);
	const available = await backends();
	if (!available.has(kind)) {
		throw new UserError(
			`ONNX Runtime has no ${kind} on this machine; it has ${[...available].join(', ')}, so use --device cpu or one of these.`,
		);
	}
	if (kind === 'cuda' || kind === 'tensorrt') return gpuPlan(kind, await nvidiaGpus());
	return { device: { kind, name: kind }, executionProviders: [kind, 'cpu'], defaultSlots: 1 };
};
