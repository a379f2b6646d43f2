/**
 * Chooses a device by trying those that are wanted, in their order.
 * @module
 */
import type { Device } from '@limner/shared';
import { tryDevice, type DeviceReport } from '../doctor/devices.ts';
import { gatherFacts, type Gpu } from '../doctor/facts.ts';
import type { GpuFacts } from '../doctor/advice.ts';
import { linkProvider } from '../gpu/install.ts';
import { gpuEnvironment, gpuPlaces, providerLinked, readManifest } from '../gpu/places.ts';
import { UserError } from '../lib/user-error.ts';
import { autoOrder, cpuPlan, parseDevices, type DeviceKind, type DevicePlan } from './devices.ts';

const PROVIDERS: Readonly<Record<DeviceKind, string[]>> = {
	cuda: ['cuda', 'cpu'],
	tensorrt: ['tensorrt', 'cuda', 'cpu'],
	coreml: ['coreml', 'cpu'],
	webgpu: ['webgpu', 'cpu'],
	dml: ['dml', 'cpu'],
	cpu: ['cpu'],
};

/** GPUs of NVIDIA count one by one, each visible to its slots only; other kinds choose theirs by themselves. */
const planOf = (kind: DeviceKind, label: string, gpus: readonly Gpu[]): DevicePlan => {
	if (kind === 'cpu') return cpuPlan();
	const nvidia = kind === 'cuda' || kind === 'tensorrt' ? gpus : [];
	const devices: Device[] = nvidia.map(({ name, memoryBytes }) => ({ kind, name, memoryBytes }));
	const all = devices.length > 0 ? devices : [{ kind, name: label }];
	return {
		device: all[0] ?? { kind, name: label },
		devices: all,
		executionProviders: PROVIDERS[kind],
		defaultSlots: all.length,
		env: gpuEnvironment(gpuPlaces(), process.env),
		// By its id: numbers change with the order in which the driver counts.
		deviceEnv: nvidia.length > 1 ? nvidia.map(({ uuid }) => ({ CUDA_VISIBLE_DEVICES: uuid })) : all.map(() => ({})),
		passedOver: [],
	};
};

/** A new installation of the packages loses the link to what `limner gpu install` brought. */
const mendLink = async (): Promise<void> => {
	const places = gpuPlaces();
	if (!providerLinked(places) && readManifest(places)?.runtimeVersion === places.runtimeVersion) await linkProvider(places);
};

const withStop = (text: string): string => text.replace(/\.$/, '');

const sentenceOf = ({ label, detail, fix }: DeviceReport): string => `${label}: ${withStop(detail)}${fix === undefined ? '' : ` → ${fix}`}`;

export interface PlanParts {
	facts: () => Promise<GpuFacts & { gpus: Gpu[] }>;
	tryDevice: (kind: DeviceKind, facts: GpuFacts) => Promise<DeviceReport>;
}

const REAL: PlanParts = {
	facts: async () => {
		await mendLink();
		return gatherFacts();
	},
	tryDevice,
};

/**
 * Plans for the wanted devices: the first that works.
 * @param wanted a kind, several with commas, `auto`, or nothing, which is `auto`
 * @throws {UserError} when none of them works, with the reasons and what to do
 */
export const planDevice = async (wanted: string | undefined, parts: PlanParts = REAL): Promise<DevicePlan> => {
	const named = parseDevices(wanted);
	if (named?.[0] === 'cpu') return cpuPlan();
	const facts = await parts.facts();
	const order = named ?? autoOrder(facts.platform, facts.gpus.length > 0);
	const passedOver: string[] = [];
	for (const kind of order) {
		if (kind === 'cpu') return { ...cpuPlan(), passedOver };
		const report = await parts.tryDevice(kind, facts);
		if (report.state === 'ok') return { ...planOf(kind, report.label, facts.gpus), passedOver };
		passedOver.push(sentenceOf(report));
	}
	throw new UserError(
		`${order.length === 1 ? 'The device' : 'None of the devices'} that --device asks for ${order.length === 1 ? 'does not work' : 'works'}: ${passedOver.join('; ')}. Or use --device cpu.`,
	);
};

/** What pictures say that were not made on the device that comes first; nothing when they were. */
export const fallbackWarning = ({ device, passedOver }: DevicePlan): string | undefined =>
	passedOver.length === 0 ? undefined : `Made on ${device.kind === 'cpu' ? 'the CPU' : device.name}, because ${passedOver.join('; ')}.`;

/** Bounds the memory that the pool and the engine count with. */
export const limitMemory = (plan: DevicePlan, maxBytes: number | undefined): DevicePlan => {
	if (maxBytes === undefined) return plan;
	const limit = (device: Device): Device => ({ ...device, memoryBytes: Math.min(maxBytes, device.memoryBytes ?? maxBytes) });
	return { ...plan, device: limit(plan.device), devices: plan.devices.map(limit) };
};
