/**
 * The checks of `limner doctor` besides devices: everything that pictures depend on, and what to do about what is wrong.
 * @module
 */
import { existsSync, mkdirSync, statfsSync } from 'node:fs';
import { dirname } from 'node:path';
import { call } from '../client/index.ts';
import { coreCount, cpuPlan } from '../engines/devices.ts';
import { messageOf, UserError } from '../lib/user-error.ts';
import { tryModel } from '../local/trial.ts';
import { DEFAULT_MODEL } from '../models/embedded.ts';
import { listModels } from '../models/store.ts';
import { shortTime } from '../lib/words.ts';

export interface CheckResult {
	/** `absent` is not there and need not be. */
	state: 'ok' | 'note' | 'bad' | 'absent';
	detail: string;
	/** What to do, as a command where there is one. */
	fix?: string;
}

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

/** Room on the disk of the state folder. */
export const checkDisk = (stateDir: string): CheckResult => {
	const folder = existing(stateDir);
	const { bavail, bsize } = statfsSync(folder);
	return judgeDisk(folder, bavail * bsize);
};

/** Whether the state folder can be used. */
export const checkState = (stateDir: string): CheckResult => {
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

/** Whether ONNX Runtime can be loaded. */
export const checkRuntime = async (): Promise<CheckResult> => {
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

/** Whether there is a usable model. */
export const checkModels = async (dirs: string[]): Promise<CheckResult> => {
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

/** One step with a real model, in a process of its own, on the CPU. */
export const checkInference = async (dirs: string[]): Promise<CheckResult> => {
	const { models } = await listModels(dirs);
	const model = models.find((candidate) => candidate.name === DEFAULT_MODEL) ?? models[0];
	if (model === undefined) return { state: 'bad', detail: 'there is no model to try', fix: 'see above' };
	const { device, executionProviders } = cpuPlan();
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

/** Whether a gateway answers. */
export const checkGateway = async (url: string): Promise<CheckResult> => {
	try {
		await call(url, '', '/ready', { signal: AbortSignal.timeout(GATEWAY_MS) });
		return { state: 'ok', detail: `${url} is ready` };
	} catch (error) {
		const why = error instanceof UserError ? error.message : `${url} did not answer within ${GATEWAY_MS / 1000} s`;
		return { state: 'note', detail: why, fix: 'start it with `npm start`, or set LIMNER_URL; `limner generate` works without one' };
	}
};
