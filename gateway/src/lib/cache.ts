/**
 * A map with an age limit and a size limit, for what an isolate may remember between requests.
 * @module
 */

export class BoundedCache<T> {
	readonly #entries = new Map<string, { value: T; at: number }>();
	readonly #max: number;
	readonly #ttlMs: number;
	/**
	 * @param max entries; the oldest goes first
	 * @param ttlMs age in milliseconds at which an entry no longer counts
	 */
	constructor(max: number, ttlMs: number) {
		this.#max = max;
		this.#ttlMs = ttlMs;
	}
	get size(): number {
		return this.#entries.size;
	}
	/** The value, unless it is too old. */
	get(key: string, nowMs: number): T | undefined {
		const entry = this.#entries.get(key);
		return entry !== undefined && nowMs - entry.at < this.#ttlMs ? entry.value : undefined;
	}
	/** The value at any age. */
	peek(key: string): T | undefined {
		return this.#entries.get(key)?.value;
	}
	set(key: string, value: T, nowMs: number): void {
		this.#entries.delete(key);
		this.#entries.set(key, { value, at: nowMs });
		if (this.#entries.size <= this.#max) return;
		const oldest = this.#entries.keys().next();
		if (!oldest.done) this.#entries.delete(oldest.value);
	}
}
