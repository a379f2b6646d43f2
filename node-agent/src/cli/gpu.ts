/**
 * `limner gpu install`, `status` and `remove`: the CUDA provider of ONNX Runtime and NVIDIA's libraries.
 * @module
 */
import { rm } from 'node:fs/promises';
import { createInterface } from 'node:readline/promises';
import type { Command } from 'commander';
import { gatherFacts } from '../doctor/facts.ts';
import { reportLine } from '../doctor/report.ts';
import { tryDevice } from '../doctor/devices.ts';
import { installWheels, libraryReport, planWheels, type LibraryReport } from '../gpu/install-libraries.ts';
import { DEFAULT_INDEX, installProvider, linkProvider, unlinkProvider, unsupported } from '../gpu/install.ts';
import type { FetchHooks } from '../gpu/fetch.ts';
import { gpuPlaces, readManifest, type GpuManifest, type GpuPlaces } from '../gpu/places.ts';
import { userPath } from '../lib/paths.ts';
import { UserError } from '../lib/user-error.ts';
import { createPullLine, inWords } from './pull-line.ts';

interface InstallFlags {
	provider?: string;
	sha256?: string;
	index?: string;
	libraries?: boolean;
}

const isAddress = (text: string): boolean => /^https?:\/\//.test(text);

const withLine = async <T>(action: (hooks: FetchHooks) => Promise<T>): Promise<T> => {
	const line = createPullLine();
	try {
		return await action({ onProgress: line.update, onNote: (sentence) => line.note(`limner: ${sentence}`) });
	} finally {
		line.done();
	}
};

/** What is installed already is not fetched again, unless another source is named. */
const ensureProvider = async (flags: InstallFlags, index: string, places: GpuPlaces): Promise<GpuManifest> => {
	const there = readManifest(places);
	if (there?.runtimeVersion === places.runtimeVersion && flags.provider === undefined) {
		await linkProvider(places);
		console.log(`The CUDA provider of ONNX Runtime ${places.runtimeVersion} is installed (from ${there.source}).`);
		return there;
	}
	const provider = flags.provider === undefined || isAddress(flags.provider) ? flags.provider : userPath(flags.provider);
	const source = {
		index,
		...(provider === undefined ? {} : { provider }),
		...(flags.sha256 === undefined ? {} : { sha256: flags.sha256 }),
	};
	const manifest = await withLine((hooks) => installProvider(source, places, hooks));
	console.log(`The CUDA provider of ONNX Runtime ${places.runtimeVersion} is installed; it is built for CUDA ${manifest.cuda}.`);
	return manifest;
};

const ask = async (question: string): Promise<boolean> => {
	if (!process.stdin.isTTY) return false;
	const prompt = createInterface({ input: process.stdin, output: process.stderr });
	const answer = await prompt.question(`${question} [y/N] `);
	prompt.close();
	return /^y(es)?$/i.test(answer.trim());
};

const told = (report: LibraryReport): void => {
	for (const { name, neededBy } of report.missing) console.log(`missing: ${name}, needed by ${neededBy}`);
	if (report.unknown.length > 0)
		console.log(`NVIDIA offers no package for ${report.unknown.join(', ')}; install CUDA with your package manager.`);
	if (report.driver)
		console.log("NVIDIA's driver is not installed (libcuda.so.1 is missing); it comes from your distribution, not from here.");
};

/** Fetches what is missing, in rounds: what was fetched may need more. */
const offerLibraries = async (flags: InstallFlags, index: string, places: GpuPlaces, manifest: GpuManifest): Promise<void> => {
	let now = manifest;
	for (let round = 0; ; round++) {
		const report = libraryReport(places, now.cuda, process.env);
		if (round === 0 || report.packages.length === 0) told(report);
		if (report.packages.length === 0) {
			if (report.missing.length === 0) console.log('Every library that the provider needs is there.');
			return;
		}
		const names = report.packages.map(({ name, version }) => `${name} ${version}x`).join(', ');
		if (flags.libraries === false) return console.log(`Packages that bring them: ${names}.`);
		const wheels = await planWheels(report.packages, index);
		const bytes = wheels.reduce((sum, wheel) => sum + (wheel.size ?? 0), 0);
		const size = wheels.every((wheel) => wheel.size !== undefined) ? `, ${inWords(bytes)}` : '';
		const yes =
			flags.libraries === true ||
			round > 0 ||
			(await ask(`Fetch ${names} from ${new URL(index).origin}${size}? NVIDIA's licence applies.`));
		if (!yes) return console.log(`To fetch them from ${new URL(index).origin} (${names}${size}): limner gpu install --libraries`);
		if (round > report.missing.length + 3)
			throw new UserError(`The packages ${names} do not bring what is missing; install CUDA with your package manager.`);
		now = await withLine((hooks) => installWheels(wheels, places, now, hooks));
	}
};

const showProbe = async (): Promise<boolean> => {
	const report = await tryDevice('cuda', await gatherFacts());
	console.log(reportLine(report.label, report));
	return report.state === 'ok';
};

const checkPlatform = (): void => {
	const why = unsupported(process.platform, process.arch);
	if (why !== undefined) throw new UserError(why);
};

const install = async (flags: InstallFlags): Promise<void> => {
	checkPlatform();
	const index = flags.index ?? process.env['PIP_INDEX_URL'] ?? DEFAULT_INDEX;
	if (!isAddress(index)) throw new UserError(`"${index}" is no address of a package index; give one like ${DEFAULT_INDEX} with --index.`);
	const places = gpuPlaces();
	const manifest = await ensureProvider(flags, index, places);
	await offerLibraries(flags, index, places, manifest);
	if (await showProbe()) console.log('Start a node on it: limner node --device cuda');
};

const status = async (): Promise<void> => {
	checkPlatform();
	const places = gpuPlaces();
	const manifest = readManifest(places);
	if (manifest === undefined) console.log(`Nothing is installed in ${places.home}; run: limner gpu install`);
	else {
		const fits =
			manifest.runtimeVersion === places.runtimeVersion
				? ''
				: `, which does not fit the installed ${places.runtimeVersion}: run limner gpu install`;
		console.log(
			`CUDA provider of ONNX Runtime ${manifest.runtimeVersion} for CUDA ${manifest.cuda}, from ${manifest.source}, in ${places.home}${fits}`,
		);
		for (const name of Object.keys(manifest.packages)) console.log(`library: ${name}`);
		if (fits === '') told(libraryReport(places, manifest.cuda, process.env));
	}
	await showProbe();
};

const remove = async (): Promise<void> => {
	const places = gpuPlaces();
	await unlinkProvider(places);
	await rm(places.home, { recursive: true, force: true });
	console.log(`Removed ${places.home}, and the provider beside ONNX Runtime.`);
};

export const registerGpu = (program: Command): void => {
	const gpu = program.command('gpu').description('CUDA for this installation (Linux x64)');
	gpu
		.command('install')
		.description('fetch the CUDA provider that matches the installed ONNX Runtime, and what it needs')
		.option('--provider <url|file>', 'a wheel of onnxruntime-gpu or its NuGet package (default: from the package index)')
		.option('--sha256 <hex>', 'what that archive must hash to', sha256)
		.option('--index <url>', `Python package index (default: PIP_INDEX_URL, else ${DEFAULT_INDEX})`)
		.option('--libraries', 'fetch missing libraries of NVIDIA without asking')
		.option('--no-libraries', 'only say which are missing')
		.action(install);
	gpu.command('status').description('what is installed, what is missing, and whether it works').action(status);
	gpu.command('remove').description('remove what install brought').action(remove);
};

const sha256 = (text: string): string => {
	if (!/^[0-9a-f]{64}$/i.test(text)) throw new UserError('--sha256 must be 64 hexadecimal digits.', { exitCode: 2 });
	return text.toLowerCase();
};
