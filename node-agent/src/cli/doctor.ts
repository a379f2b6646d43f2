/**
 * `limner doctor`: looks at everything that pictures depend on, and says what to do about what is wrong.
 * @module
 */
import { existsSync, mkdirSync, statfsSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Command } from 'commander';
import { call } from '../client/index.ts';
import { settings } from '../config/settings.ts';
import { coreCount, planDevice } from '../engines/devices.ts';
import { defaultStateDir, userPath } from '../lib/paths.ts';
import { messageOf, UserError } from '../lib/user-error.ts';
import { tryModel } from '../local/trial.ts';
import { defaultModelDirs, listModels } from '../models/store.ts';
import { shortTime } from './output.ts';

export type CheckResult = { state: 'ok' | 'note' | 'bad'; detail: string; fix?: string };

const MIN_NODE = [20, 20] as const;
const MIN_FREE_BYTES = 2 * 1024 ** 3;
const GATEWAY_MS = 5000;

/** Whether this Node is new enough. */
export const checkNode = (version: string): CheckResult => {
	const [major = 0, minor = 0] = version.split('.').map(Number);
	if (major > MIN_NODE[0] || (major === MIN_NODE[0] && minor >= MIN_NODE[1])) return { state: 'ok', detail: `Node ${version}` };
	return {
		state: 'bad',
		detail: `Node ${version} is too old`,
		fix: 'install Node 20.20 or newer, or start through npm, which brings its own',
	};
};

/** Whether there is room for models and pictures. */
export const judgeDisk = (folder: string, freeBytes: number): CheckResult => {
	const free = `${(freeBytes / 1024 ** 3).toFixed(1)} GiB free in ${folder}`;
	if (freeBytes >= MIN_FREE_BYTES) return { state: 'ok', detail: free };
	return { state: freeBytes < MIN_FREE_BYTES / 10 ? 'bad' : 'note', detail: free, fix: 'free some disk, or use another --state-dir' };
};

const existing = (path: string): string => (existsSync(path) ? path : existing(dirname(path)));

const checkDisk = (stateDir: string): CheckResult => {
	const folder = existing(stateDir);
	const { bavail, bsize } = statfsSync(folder);
	return judgeDisk(folder, bavail * bsize);
};

const checkState = (stateDir: string): CheckResult => {
	try {
		mkdirSync(stateDir, { recursive: true, mode: 0o700 });
		return { state: 'ok', detail: stateDir };
	} catch (error) {
		return {
			state: 'bad',
			detail: `${stateDir} cannot be made: ${messageOf(error)}`,
			fix: 'use another --state-dir, or change the owner of the folder',
		};
	}
};

const checkRuntime = async (): Promise<CheckResult> => {
	try {
		const { listSupportedBackends } = await import('onnxruntime-node');
		return {
			state: 'ok',
			detail: `ONNX Runtime with ${listSupportedBackends()
				.map((backend) => backend.name)
				.join(', ')}`,
		};
	} catch (error) {
		return {
			state: 'bad',
			detail: `ONNX Runtime cannot be loaded: ${messageOf(error)}`,
			fix: 'delete node_modules and run the command again; it needs glibc 2.28 or newer, macOS 13.3 or newer, or Windows 10 or newer',
		};
	}
};

const checkModels = async (dirs: string[]): Promise<CheckResult> => {
	const { models, broken } = await listModels(dirs);
	const names = models.map((model) => model.name).join(', ');
	if (models.length === 0) {
		return {
			state: 'bad',
			detail: broken[0]?.sentence ?? `no model in ${dirs.join(' or ')}`,
			fix: 'restore the embedded model with `git checkout models/`, or give a folder with --models',
		};
	}
	if (broken.length > 0)
		return {
			state: 'note',
			detail: `${names}; left out: ${broken.map((model) => model.sentence).join(' ')}`,
			fix: 'download the broken ones again, or remove them',
		};
	return { state: 'ok', detail: names };
};

const checkInference = async (dirs: string[]): Promise<CheckResult> => {
	const { models } = await listModels(dirs);
	const model = models.find((candidate) => candidate.name === 'storybook') ?? models[0];
	if (model === undefined) return { state: 'bad', detail: 'there is no model to try', fix: 'see above' };
	const { device, executionProviders } = await planDevice('cpu');
	const trial = await tryModel({ kind: 'onnx', options: { device, executionProviders, intraOpNumThreads: coreCount() } }, model);
	if (trial.ok)
		return {
			state: 'ok',
			detail: `${model.name} in a process of its own: loaded in ${shortTime(trial.loadMs)}, one step in all ${shortTime(trial.totalMs)}`,
		};
	return {
		state: 'bad',
		detail: trial.sentence,
		fix: 'run `npm run limner -- models verify`, and delete node_modules and install again if every model fails',
	};
};

const checkGateway = async (url: string): Promise<CheckResult> => {
	try {
		await call(url, '', '/ready', { signal: AbortSignal.timeout(GATEWAY_MS) });
		return { state: 'ok', detail: `${url} is ready` };
	} catch (error) {
		const why = error instanceof UserError ? error.message : `${url} did not answer within ${GATEWAY_MS / 1000} s`;
		return { state: 'note', detail: why, fix: 'start it with `npm start`, or set LIMNER_URL; `limner generate` works without one' };
	}
};

const MARKS: Readonly<Record<CheckResult['state'], string>> = { ok: '✓', note: '!', bad: '✗' };

/** One line of the report. */
export const reportLine = (name: string, { state, detail, fix }: CheckResult): string =>
	`${MARKS[state]} ${name.padEnd(10)} ${detail}${fix === undefined ? '' : `\n  → ${fix}`}`;

const doctor = async (flags: { stateDir?: string; url?: string }): Promise<void> => {
	const stateDir = userPath(flags.stateDir ?? settings().stateDir ?? defaultStateDir());
	const dirs = settings().models?.map(userPath) ?? defaultModelDirs(join(stateDir));
	const checks: [string, () => CheckResult | Promise<CheckResult>][] = [
		['node', () => checkNode(process.versions.node)],
		['disk', () => checkDisk(stateDir)],
		['state', () => checkState(stateDir)],
		['runtime', checkRuntime],
		['models', () => checkModels(dirs)],
		['inference', () => checkInference(dirs)],
		['gateway', () => checkGateway(flags.url ?? settings().url)],
	];
	let bad = 0;
	for (const [name, check] of checks) {
		const result = await check();
		if (result.state === 'bad') bad++;
		console.log(reportLine(name, result));
	}
	if (bad > 0) throw new UserError(`${bad} of ${checks.length} checks failed; do what the arrows say and run it again.`);
	console.log('Everything that pictures need is in order.');
};

export const registerDoctor = (program: Command): void => {
	program
		.command('doctor')
		.description('look at everything that pictures depend on, and say what to do')
		.option('--state-dir <folder>', "the node's state folder")
		.option('--url <address>', 'the gateway (default: LIMNER_URL)')
		.action(doctor);
};
