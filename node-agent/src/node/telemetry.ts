/**
 * What a machine does now: processor, memory of the node and its engines, graphics cards. Everything is measured; what
 * cannot be measured here is left out.
 * @module
 */
import { execFile } from 'node:child_process';
import { cpus, type CpuInfo } from 'node:os';
import type { GpuReading } from '@limner/shared';
import { errorCode } from '../lib/user-error.ts';

const COMMAND_MS = 5000;
const MIB = 1024 * 1024;
const KIB = 1024;

export interface Readings {
	rssBytes: number;
	/** 0..1, of the whole machine since the last reading. */
	cpuUtil: number;
	gpus?: GpuReading[];
}

interface CpuTimes {
	busy: number;
	all: number;
}

/** Sums over all cores, in milliseconds since the machine started. */
export const cpuTimes = (cores: readonly Pick<CpuInfo, 'times'>[]): CpuTimes => {
	let [busy, all] = [0, 0];
	for (const { times } of cores) {
		const total = times.user + times.nice + times.sys + times.idle + times.irq;
		all += total;
		busy += total - times.idle;
	}
	return { busy, all };
};

/** Share of busy time between two readings; 0 when no time has passed. */
export const cpuShare = (before: CpuTimes, after: CpuTimes): number => {
	const all = after.all - before.all;
	return all <= 0 ? 0 : Math.min(1, Math.max(0, (after.busy - before.busy) / all));
};

/**
 * Memory of a process and everything below it.
 * @param table lines of `ps -axo pid=,ppid=,rss=`, sizes in KiB
 */
export const treeRss = (table: string, root: number): number | undefined => {
	const rows = table.split('\n').flatMap((line) => {
		const match = /^\s*(\d+)\s+(\d+)\s+(\d+)\s*$/.exec(line);
		return match === null ? [] : [{ pid: Number(match[1]), parent: Number(match[2]), rss: Number(match[3]) }];
	});
	if (!rows.some(({ pid }) => pid === root)) return undefined;
	const wanted = new Set([root]);
	// A child may be listed before its parent: go over the table until nothing is added.
	for (let size = 0; size !== wanted.size;) {
		size = wanted.size;
		for (const { pid, parent } of rows) if (wanted.has(parent)) wanted.add(pid);
	}
	return rows.filter(({ pid }) => wanted.has(pid)).reduce((sum, { rss }) => sum + rss * KIB, 0);
};

export const NVIDIA_QUERY = 'name,utilization.gpu,memory.used,memory.total,temperature.gpu,power.draw';

const numberField = (text: string | undefined): number | undefined => {
	const value = Number(text?.trim());
	return text === undefined || text.trim() === '' || !Number.isFinite(value) ? undefined : value;
};

/** Cards out of `nvidia-smi --format=csv,noheader,nounits`; a field that a card does not tell (`[N/A]`) is left out. */
export const parseNvidia = (csv: string): GpuReading[] =>
	csv
		.split('\n')
		.filter((line) => line.trim() !== '')
		.map((line) => {
			const [name = '', util, used, total, temp, power] = line.split(',');
			const fields: Record<string, number | undefined> = {
				util: scaled(util, 1, 100),
				memUsedBytes: scaled(used, MIB),
				memTotalBytes: scaled(total, MIB),
				tempC: numberField(temp),
				powerW: numberField(power),
			};
			return { name: name.trim(), ...Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== undefined)) };
		});

/** A number times a whole factor, or divided by one: 35 / 100 is exact where 35 × 0.01 is not. */
const scaled = (text: string | undefined, factor: number, divisor = 1): number | undefined => {
	const value = numberField(text);
	return value === undefined ? undefined : (value * factor) / divisor;
};

type Run = (command: string, args: string[]) => Promise<string>;

const runCommand: Run = (command, args) =>
	new Promise((resolve, reject) => {
		execFile(command, args, { timeout: COMMAND_MS, maxBuffer: 8 * MIB, windowsHide: true }, (error, stdout) => {
			if (error === null) resolve(stdout);
			else reject(error instanceof Error ? error : new Error('the command failed'));
		});
	});

/** Takes readings. Commands that this machine does not have are asked for once. */
export class Sampler {
	readonly #run: Run;
	readonly #missing = new Set<string>();
	#before: CpuTimes = cpuTimes(cpus());

	constructor(run: Run = runCommand) {
		this.#run = run;
	}

	async read(): Promise<Readings> {
		const after = cpuTimes(cpus());
		const cpuUtil = cpuShare(this.#before, after);
		this.#before = after;
		const table = process.platform === 'win32' ? undefined : await this.#ask('ps', ['-axo', 'pid=,ppid=,rss=']);
		const nvidia = await this.#ask('nvidia-smi', [`--query-gpu=${NVIDIA_QUERY}`, '--format=csv,noheader,nounits']);
		const gpus = nvidia === undefined ? [] : parseNvidia(nvidia);
		const rssBytes = (table === undefined ? undefined : treeRss(table, process.pid)) ?? process.memoryUsage.rss();
		return { rssBytes, cpuUtil, ...(gpus.length === 0 ? {} : { gpus }) };
	}

	async #ask(command: string, args: string[]): Promise<string | undefined> {
		if (this.#missing.has(command)) return undefined;
		try {
			return await this.#run(command, args);
		} catch (error) {
			// A driver that is being updated comes back; a program that is not there does not.
			if (errorCode(error) === 'ENOENT') this.#missing.add(command);
			return undefined;
		}
	}
}

const CPU_STEPS = 5;
const RSS_SHARE = 0.2;
const TEMP_STEP_C = 5;

/** Readings so coarse that a machine which does nothing keeps its text: an idle node wakes nobody. */
export const coarse = (readings: Readings | undefined): string => {
	if (readings === undefined) return '';
	const { rssBytes, cpuUtil, gpus = [] } = readings;
	const cards = gpus.map(({ util = 0, memUsedBytes = 0, tempC = 0 }) => [
		Math.round(util * CPU_STEPS),
		Math.round(memUsedBytes / (512 * MIB)),
		Math.round(tempC / TEMP_STEP_C),
	]);
	return JSON.stringify([Math.round(Math.log(Math.max(1, rssBytes)) / RSS_SHARE), Math.round(cpuUtil * CPU_STEPS), cards]);
};
