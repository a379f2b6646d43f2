/**
 * Tries every device that ONNX Runtime could compute on.
 * @module
 */
import { DEVICE_KINDS, type DeviceKind } from '../engines/devices.ts';
import { gpuEnvironment, gpuPlaces } from '../gpu/places.ts';
import { judgeDevice, labelOf, offeredHere, type GpuFacts } from './advice.ts';
import type { CheckResult } from './checks.ts';
import { gatherFacts } from './facts.ts';
import { probeProvider, type ProbeOutcome } from './probe.ts';

export interface DeviceReport extends CheckResult {
	kind: DeviceKind;
	label: string;
	/** What the probe measured, or how it failed; absent where the platform does not have the device. */
	probe?: ProbeOutcome;
}

/** One device: its probe, and what it means. */
export const tryDevice = async (kind: DeviceKind, facts: GpuFacts): Promise<DeviceReport> => {
	const offered = offeredHere(facts.platform, facts.arch).includes(kind);
	const outcome = offered ? await probeProvider(kind, { env: gpuEnvironment(gpuPlaces(), process.env) }) : undefined;
	return { kind, label: labelOf(kind), ...judgeDevice(kind, outcome, facts), ...(outcome === undefined ? {} : { probe: outcome }) };
};

/** All of them, one after the other: two GPU probes at once would disturb each other. */
export const tryDevices = async (): Promise<{ facts: GpuFacts; devices: DeviceReport[] }> => {
	const facts = await gatherFacts();
	const devices: DeviceReport[] = [];
	for (const kind of DEVICE_KINDS) devices.push(await tryDevice(kind, facts));
	return { facts, devices };
};
