/**
 * Seeded randomness and virtual time for the simulator.
 * @module
 */

export interface Random {
	/** 0 ≤ x < 1 */
	next(): number;
	/** Whether something with this probability happens. */
	chance(probability: number): boolean;
	between(low: number, high: number): number;
	int(below: number): number;
	pick<T>(items: readonly T[]): T;
}

/** mulberry32: small, fast, and equal on every machine. */
export const createRandom = (seed: number): Random => {
	let state = seed >>> 0;
	const next = (): number => {
		state = (state + 0x6d2b79f5) >>> 0;
		let mixed = Math.imul(state ^ (state >>> 15), state | 1);
		mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
		return ((mixed ^ (mixed >>> 14)) >>> 0) / 4_294_967_296;
	};
	const int = (below: number): number => Math.floor(next() * below);
	return {
		next,
		int,
		chance: (probability) => next() < probability,
		between: (low, high) => low + next() * (high - low),
		pick: <T>(items: readonly T[]): T => {
			const item = items[int(items.length)];
			if (item === undefined) throw new RangeError('nothing to pick from');
			return item;
		},
	};
};

interface Planned {
	at: number;
	order: number;
	run: () => void;
}

const sooner = (a: Planned, b: Planned): boolean => a.at < b.at || (a.at === b.at && a.order < b.order);

/** Virtual time: runs what was planned, in order; a heap, since a large world plans a hundred thousand things ahead. */
export class Clock {
	now: number;
	#order = 0;
	readonly #heap: Planned[] = [];

	constructor(start: number) {
		this.now = start;
	}

	/** Plans something `ms` from now. */
	after(ms: number, run: () => void): void {
		const heap = this.#heap;
		const entry = { at: this.now + Math.max(0, Math.round(ms)), order: this.#order++, run };
		let i = heap.length;
		heap.push(entry);
		while (i > 0) {
			const above = heap[(i - 1) >> 1];
			if (above === undefined || !sooner(entry, above)) break;
			heap[i] = above;
			i = (i - 1) >> 1;
		}
		heap[i] = entry;
	}

	#pop(): void {
		const heap = this.#heap;
		const last = heap.pop();
		if (last === undefined || heap.length === 0) return;
		let i = 0;
		for (;;) {
			const left = heap[2 * i + 1];
			const right = heap[2 * i + 2];
			const next = right !== undefined && left !== undefined && sooner(right, left) ? right : left;
			if (next === undefined || !sooner(next, last)) break;
			heap[i] = next;
			i = 2 * i + (next === right ? 2 : 1);
		}
		heap[i] = last;
	}

	/** Runs the next planned thing; false when it would come after `until` or nothing is planned. */
	advance(until: number): boolean {
		const next = this.#heap[0];
		if (next === undefined || next.at > until) return false;
		this.#pop();
		this.now = next.at;
		next.run();
		return true;
	}
}
