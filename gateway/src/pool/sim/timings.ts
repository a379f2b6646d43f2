/**
 * How long decisions take, in a histogram: a big world makes millions.
 * @module
 */
import type { EventType, Send } from '../model.ts';

/** Buckets grow by a hundredth of a power of two, from 0.1 µs. */
const PER_OCTAVE = 20;
const BUCKETS = 30 * PER_OCTAVE;
const LOWEST_US = 0.1;

class Histogram {
	count = 0;
	maxUs = 0;
	readonly #buckets = new Uint32Array(BUCKETS);

	add(us: number): void {
		this.count++;
		this.maxUs = Math.max(this.maxUs, us);
		const bucket = Math.floor(Math.log2(Math.max(us, LOWEST_US) / LOWEST_US) * PER_OCTAVE);
		const at = Math.min(BUCKETS - 1, Math.max(0, bucket));
		this.#buckets[at] = (this.#buckets[at] ?? 0) + 1;
	}

	/** Microseconds below which this share lies. */
	quantile(share: number): number {
		let left = this.count * share;
		for (const [bucket, count] of this.#buckets.entries()) {
			left -= count;
			if (left <= 0) return LOWEST_US * 2 ** ((bucket + 1) / PER_OCTAVE);
		}
		return this.maxUs;
	}

	toString(): string {
		const [p50, p95, p99] = [0.5, 0.95, 0.99].map((share) => this.quantile(share).toFixed(1));
		return `p50 ${p50} µs, p95 ${p95} µs, p99 ${p99} µs, max ${(this.maxUs / 1000).toFixed(1)} ms (${this.count})`;
	}
}

export class Timings {
	/** Steps that granted something. */
	readonly granting = new Histogram();
	readonly all = new Histogram();
	readonly #byType = new Map<EventType, Histogram>();

	add(type: EventType, ms: number, sends: readonly Send[]): void {
		const us = ms * 1000;
		this.all.add(us);
		if (sends.some((send) => send.kind === 'task')) this.granting.add(us);
		const known = this.#byType.get(type) ?? new Histogram();
		this.#byType.set(type, known);
		known.add(us);
	}

	lines(): string[] {
		const types = [...this.#byType].toSorted((a, b) => b[1].count - a[1].count);
		return [
			`decisions that grant: ${this.granting.toString()}`,
			`all decisions:        ${this.all.toString()}`,
			...types.map(([type, histogram]) => `  ${type.padEnd(12)} ${histogram.toString()}`),
		];
	}
}
