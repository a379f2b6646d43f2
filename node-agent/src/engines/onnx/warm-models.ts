/**
 * The models that an engine keeps in memory: as many as fit, and what was used longest ago goes first.
 * @module
 */

export interface WarmModelsOptions<M, P> {
	/** Bytes that models may take now, those that are held included. */
	limit: (heldBytes: number) => number;
	/** What this process holds; a model is measured by how much it grows while loading. 0 where that says nothing. */
	used: () => number;
	open: (model: M, onProgress: (fraction: number) => void) => Promise<P>;
	/** Bytes that a model takes as far as its files tell. */
	estimate: (model: M) => number;
}

interface Held<P> {
	pipeline: P;
	bytes: number;
}

/** Keeps loaded models by key; a `Map` remembers the order in which they were used. */
export class WarmModels<M, P extends { release: () => Promise<void> }> {
	readonly #options: WarmModelsOptions<M, P>;
	readonly #held = new Map<string, Held<P>>();

	constructor(options: WarmModelsOptions<M, P>) {
		this.#options = options;
	}

	/** Keys, the one used last at the end. */
	get keys(): string[] {
		return [...this.#held.keys()];
	}

	/** The model, loaded if it is not; others are let go until it fits. */
	async get(key: string, model: M, onProgress: (fraction: number) => void): Promise<P> {
		const found = this.#held.get(key);
		if (found !== undefined) {
			this.#held.delete(key);
			this.#held.set(key, found);
			return found.pipeline;
		}
		await this.#makeRoom(this.#options.estimate(model));
		const before = this.#options.used();
		const pipeline = await this.#options.open(model, onProgress);
		const bytes = Math.max(this.#options.estimate(model), this.#options.used() - before);
		this.#held.set(key, { pipeline, bytes });
		return pipeline;
	}

	/** Lets go of everything, or of everything but one. */
	async clear(except?: string): Promise<void> {
		for (const key of this.keys) if (key !== except) await this.#release(key);
	}

	get #bytes(): number {
		return [...this.#held.values()].reduce((sum, { bytes }) => sum + bytes, 0);
	}

	async #makeRoom(need: number): Promise<void> {
		for (const key of this.keys) {
			if (this.#bytes + need <= this.#options.limit(this.#bytes)) return;
			await this.#release(key);
		}
	}

	async #release(key: string): Promise<void> {
		const held = this.#held.get(key);
		this.#held.delete(key);
		await held?.pipeline.release();
	}
}
