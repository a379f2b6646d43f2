import { describe, expect, it } from 'vitest';
import type { DeviceReport } from '../doctor/devices.ts';
import type { Gpu } from '../doctor/facts.ts';
import { deviceOf } from '../node/describe.ts';
import { autoOrder, parseDevices, type DeviceKind } from './devices.ts';
import { fallbackWarning, limitMemory, planDevice, type PlanParts } from './plan.ts';

const gpu = (name: string): Gpu => ({ name, memoryBytes: 24 * 1024 ** 3, uuid: `GPU-${name}`, driver: '580.1' });

/** A machine on which only some devices work. */
const machine = (platform: string, works: DeviceKind[], gpus: Gpu[] = []): { parts: PlanParts; tried: DeviceKind[] } => {
	const tried: DeviceKind[] = [];
	const facts = {
		platform,
		arch: 'x64',
		gpus,
		nvidiaGpus: gpus.map(({ name }) => name),
		cudaProvider: true,
		missingLibraries: [],
		wsl: false,
	};
	return {
		tried,
		parts: {
			facts: () => Promise.resolve(facts),
			tryDevice: (kind) => {
				tried.push(kind);
				const state = works.includes(kind) ? 'ok' : 'absent';
				const report: DeviceReport = { kind, label: kind.toUpperCase(), state, detail: 'it is broken', fix: 'mend it' };
				return Promise.resolve(report);
			},
		},
	};
};

describe('the choice of a device', () => {
	it('reads one device, several in order, or auto', () => {
		expect(parseDevices(undefined)).toBeUndefined();
		expect(parseDevices('auto')).toBeUndefined();
		expect(parseDevices('cuda, webgpu,cpu')).toEqual(['cuda', 'webgpu', 'cpu']);
		expect(() => parseDevices('toaster')).toThrow('There is no device "toaster"; choose auto, or one or more of cuda');
		expect(() => parseDevices('cuda,')).toThrow('There is no device ""');
	});
	it('tries by platform, and NVIDIA only where a card answers', () => {
		expect(autoOrder('linux', true)).toEqual(['cuda', 'cpu']);
		expect(autoOrder('linux', false)).toEqual(['cpu']);
		expect(autoOrder('win32', true)).toEqual(['dml', 'webgpu', 'cpu']);
		expect(autoOrder('darwin', false)).toEqual(['webgpu', 'cpu']);
	});
	it('takes the first that works, and says what it passed over', async () => {
		const windows = machine('win32', ['webgpu']);
		const plan = await planDevice(undefined, windows.parts);
		expect(windows.tried).toEqual(['dml', 'webgpu']);
		expect(plan).toMatchObject({
			device: { kind: 'webgpu' },
			executionProviders: ['webgpu', 'cpu'],
			passedOver: ['DML: it is broken → mend it'],
		});
		expect(fallbackWarning(plan)).toBe('Made on WEBGPU, because DML: it is broken → mend it.');
		const linux = await planDevice(undefined, machine('linux', [], [gpu('a')]).parts);
		expect(fallbackWarning(linux)).toBe('Made on the CPU, because CUDA: it is broken → mend it.');
		expect(fallbackWarning(await planDevice(undefined, machine('linux', []).parts))).toBeUndefined();
	});
	it('never takes another than those that are named', async () => {
		await expect(planDevice('cuda', machine('linux', ['webgpu']).parts)).rejects.toThrow(
			'The device that --device asks for does not work: CUDA: it is broken → mend it. Or use --device cpu.',
		);
		await expect(planDevice('cuda,dml', machine('linux', ['webgpu']).parts)).rejects.toThrow('None of the devices');
		const cpu = machine('linux', ['cuda']);
		expect((await planDevice('cpu', cpu.parts)).device.kind).toBe('cpu');
		expect(cpu.tried).toEqual([]);
	});
	it('gives each slot a GPU of its own', async () => {
		const plan = await planDevice('cuda', machine('linux', ['cuda'], [gpu('a'), gpu('b')]).parts);
		expect(plan.defaultSlots).toBe(2);
		expect(plan.deviceEnv).toEqual([{ CUDA_VISIBLE_DEVICES: 'GPU-a' }, { CUDA_VISIBLE_DEVICES: 'GPU-b' }]);
		expect(['0', '1', '2'].map((slot) => deviceOf(plan.devices, slot).name)).toEqual(['a', 'b', 'a']);
		const single = await planDevice('cuda', machine('linux', ['cuda'], [gpu('a')]).parts);
		expect(single.deviceEnv).toEqual([{}]);
	});
	it('bounds the memory that is counted with', async () => {
		const plan = await planDevice('cuda', machine('linux', ['cuda'], [gpu('a')]).parts);
		expect(limitMemory(plan, 8 * 1024 ** 3).device.memoryBytes).toBe(8 * 1024 ** 3);
		expect(limitMemory(plan, 99 * 1024 ** 3).devices[0]?.memoryBytes).toBe(24 * 1024 ** 3);
		expect(limitMemory(plan, undefined)).toBe(plan);
	});
});
