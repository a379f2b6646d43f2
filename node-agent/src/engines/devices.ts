/**
 * Which device a node computes on, and how its threads are shared out. A device is chosen by trying it; where the wanted one
 * does not work and another is taken, a sentence says so, in the log and in every picture.
 * @module
 */
import { availableParallelism, cpus } from 'node:os';
import type { Device } from '@limner/shared';
import { UserError } from '../lib/user-error.ts';

export const DEVICE_KINDS = ['cuda', 'tensorrt', 'coreml', 'webgpu', 'dml', 'cpu'] as const;
export type DeviceKind = (typeof DEVICE_KINDS)[number];

export interface DevicePlan {
	/** The first of `devices`. */
	device: Device;
	/** One for each GPU; slots share them out in turn. */
	devices: Device[];
	executionProviders: string[];
	/** Pictures at a time that make sense. */
	defaultSlots: number;
	/** Variables for engine processes, and those of each device. */
	env: Record<string, string>;
	deviceEnv: Record<string, string>[];
	/** Devices that were wanted before this one and do not work, with reasons; empty when this is the first choice. */
	passedOver: string[];
}

const GPU_THREADS = 2;

/** Threads of each slot: the cores are shared out, and every slot gets one at least. */
export const threadsPerSlot = (kind: Device['kind'], cores: number, slots: number): number =>
	kind === 'cpu' ? Math.max(1, Math.floor(cores / slots)) : GPU_THREADS;

export const coreCount = (): number => availableParallelism();

export const cpuPlan = (): DevicePlan => {
	const device: Device = { kind: 'cpu', name: cpus()[0]?.model.trim() || 'CPU' };
	return { device, devices: [device], executionProviders: ['cpu'], defaultSlots: 1, env: {}, deviceEnv: [{}], passedOver: [] };
};

/**
 * What `auto` stands for: the order in which devices are tried.
 * @param nvidia whether NVIDIA's tool lists a GPU
 */
export const autoOrder = (platform: string, nvidia: boolean): DeviceKind[] => {
	if (platform === 'win32') return ['dml', 'webgpu', 'cpu'];
	// CoreML splits these models into many parts and is mostly slower than the CPU: only by name.
	if (platform === 'darwin') return ['webgpu', 'cpu'];
	return nvidia ? ['cuda', 'cpu'] : ['cpu'];
};

/**
 * Reads what a user wants: one device, several with commas between them in the order of preference, or `auto`.
 * @returns nothing for `auto`
 * @throws {UserError} that lists what there is
 */
export const parseDevices = (wanted: string | undefined): DeviceKind[] | undefined => {
	if (wanted === undefined || wanted.trim() === 'auto') return undefined;
	return wanted.split(',').map((part) => {
		const kind = DEVICE_KINDS.find((candidate) => candidate === part.trim());
		if (kind === undefined)
			throw new UserError(
				`There is no device "${part.trim()}"; choose auto, or one or more of ${DEVICE_KINDS.join(', ')} with commas between them.`,
			);
		return kind;
	});
};
