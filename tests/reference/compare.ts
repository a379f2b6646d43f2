import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Path of a file of the reference set. */
export function referencePath(name: string): string {
	return fileURLToPath(new URL(name, import.meta.url));
}

/** Parses a file written by Python's json module, which may contain bare Infinity and NaN. */
export function readReferenceJson(name: string): unknown {
	const text = readFileSync(referencePath(name), 'utf8').replace(/(:\s*-?)Infinity\b/g, '$11e999');
	return JSON.parse(text);
}

/** Largest absolute difference of two equally long sequences. */
export function largestDifference(a: ArrayLike<number>, b: ArrayLike<number>): number {
	if (a.length !== b.length) return Number.POSITIVE_INFINITY;
	let largest = 0;
	for (let i = 0; i < a.length; i++) {
		const d = Math.abs((a[i] ?? Number.NaN) - (b[i] ?? Number.NaN));
		// NaN must count as a failure, and it compares false with everything
		largest = Number.isNaN(d) ? Number.POSITIVE_INFINITY : Math.max(largest, d);
	}
	return largest;
}

/** Population standard deviation. */
export function std(x: ArrayLike<number>): number {
	let mean = 0;
	for (let i = 0; i < x.length; i++) mean += x[i] ?? 0;
	mean /= x.length;
	let sum = 0;
	for (let i = 0; i < x.length; i++) sum += ((x[i] ?? 0) - mean) ** 2;
	return Math.sqrt(sum / x.length);
}

/** Keeps the largest value seen per key. */
export class Largest {
	readonly #values = new Map<string, { value: number; count: number }>();

	see(key: string, value: number): void {
		const old = this.#values.get(key);
		this.#values.set(key, { value: Math.max(value, old?.value ?? 0), count: (old?.count ?? 0) + 1 });
	}

	/** How many values were seen. */
	get count(): number {
		return [...this.#values.values()].reduce((n, v) => n + v.count, 0);
	}

	/** One line per key: name, number of runs, largest value. */
	table(): string {
		return [...this.#values].map(([k, v]) => `  ${k.padEnd(24)} ${String(v.count).padStart(3)}  ${v.value.toExponential(2)}`).join('\n');
	}
}
