/**
 * Small statistics for benchmarks.
 * @module
 */
import { readFileSync } from 'node:fs';

/** Clock ticks a second of /proc/<pid>/stat on Linux. */
const TICKS_PER_S = 100;

/** Value below which the given share of the samples lies (nearest rank); NaN without samples. */
export const percentile = (samples: readonly number[], share: number): number => {
	const sorted = samples.toSorted((a, b) => a - b);
	return sorted[Math.min(sorted.length - 1, Math.max(0, Math.ceil(share * sorted.length) - 1))] ?? Number.NaN;
};

/** User + system CPU seconds of a process so far; 0 where /proc does not exist. */
export const cpuSeconds = (pid: number): number => {
	try {
		const fields = readFileSync(`/proc/${pid}/stat`, 'utf8').split(') ')[1]?.split(' ') ?? [];
		return (Number(fields[11]) + Number(fields[12])) / TICKS_PER_S;
	} catch {
		return 0;
	}
};

/** CPU seconds that all processes of this machine have used so far; 0 where /proc does not exist. */
export const machineCpuSeconds = (): number => {
	try {
		const [, user, nice, system, , , irq, softirq] = (readFileSync('/proc/stat', 'utf8').split('\n')[0] ?? '').split(/\s+/).map(Number);
		return ((user ?? 0) + (nice ?? 0) + (system ?? 0) + (irq ?? 0) + (softirq ?? 0)) / TICKS_PER_S;
	} catch {
		return 0;
	}
};

/** Prints rows as an aligned table. */
export const table = (header: string[], rows: string[][]): string => {
	const widths = header.map((title, column) => Math.max(title.length, ...rows.map((row) => (row[column] ?? '').length)));
	const line = (cells: string[]): string => cells.map((cell, column) => cell.padStart(widths[column] ?? 0)).join('  ');
	return [line(header), ...rows.map(line)].join('\n');
};
