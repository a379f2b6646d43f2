/**
 * `limner doctor`: looks at everything that pictures depend on, tries every device, and says what to do about what is wrong.
 * @module
 */
import type { Command } from 'commander';
import { settings } from '../config/settings.ts';
import {
	checkDisk,
	checkGateway,
	checkInference,
	checkModels,
	checkNode,
	checkRuntime,
	checkState,
	type CheckResult,
} from '../doctor/checks.ts';
import { tryDevices } from '../doctor/devices.ts';
import { chosenDevice, reportLine, type NamedCheck, type Report } from '../doctor/report.ts';
import { autoOrder } from '../engines/devices.ts';
import { defaultStateDir, userPath } from '../lib/paths.ts';
import { UserError } from '../lib/user-error.ts';
import { defaultModelDirs } from '../models/store.ts';

interface DoctorFlags {
	stateDir?: string;
	url?: string;
	json?: boolean;
}

type Check = readonly [name: string, run: () => CheckResult | Promise<CheckResult>];

const checksOf = (flags: DoctorFlags): Check[] => {
	const stateDir = userPath(flags.stateDir ?? settings().stateDir ?? defaultStateDir());
	const dirs = settings().models?.map(userPath) ?? defaultModelDirs(stateDir);
	return [
		['node', () => checkNode(process.versions.node)],
		['disk', () => checkDisk(stateDir)],
		['state', () => checkState(stateDir)],
		['runtime', checkRuntime],
		['models', () => checkModels(dirs)],
		['inference', () => checkInference(dirs)],
		['gateway', () => checkGateway(flags.url ?? settings().url)],
	];
};

const doctor = async (flags: DoctorFlags): Promise<void> => {
	const json = flags.json === true;
	const say = (name: string, result: CheckResult): void => {
		if (!json) console.log(reportLine(name, result));
	};
	const checks: NamedCheck[] = [];
	for (const [name, run] of checksOf(flags)) {
		const result = await run();
		checks.push({ name, ...result });
		say(name, result);
	}
	if (!json) console.log('\nDevices, each tried with a small model in a process of its own:');
	const { facts, devices } = await tryDevices();
	for (const device of devices) say(device.label, device);
	const device = chosenDevice(devices, autoOrder(facts.platform, facts.nvidiaGpus.length > 0));
	const bad = [...checks, ...devices].filter(({ state }) => state === 'bad').length;
	const report: Report = { ok: bad === 0, checks, devices, device };
	if (json) console.log(JSON.stringify({ ...report, facts }, null, '\t'));
	if (bad > 0) throw new UserError(`${bad} of ${checks.length + devices.length} checks failed; do what the arrows say and run it again.`);
	if (!json) console.log(`\nEverything that pictures need is in order. \`--device auto\` takes ${device} here.`);
};

export const registerDoctor = (program: Command): void => {
	program
		.command('doctor')
		.description('look at everything that pictures depend on, try every device, and say what to do')
		.option('--state-dir <folder>', "the node's state folder")
		.option('--url <address>', 'the gateway (default: LIMNER_URL)')
		.option('--json', 'as JSON')
		.action(doctor);
};
