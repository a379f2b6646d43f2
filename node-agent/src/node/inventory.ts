/**
 * The models of a node, which come and go while it runs, and whether the gateway knows them.
 * @module
 */
import type { ModelInfo, NodeFrame } from '@limner/shared';
import type { Logger } from '../lib/log.ts';
import type { StoredModel } from '../models/store.ts';
import type { AgentOptions } from './options.ts';

export interface InventoryParts extends Pick<AgentOptions, 'models' | 'lookForModels' | 'fetchModel'> {
	/** Sends a frame; false when the link is down. */
	send: (frame: NodeFrame) => boolean;
	log: Logger;
}

/** A model that came, or the name of one that went. */
export type ModelChange = { came: StoredModel } | { gone: string };

export class Inventory {
	readonly #parts: InventoryParts;
	#models: StoredModel[];
	#told = true;
	#looking = false;

	constructor(parts: InventoryParts) {
		this.#parts = parts;
		this.#models = parts.models;
	}

	all(): StoredModel[] {
		return this.#models;
	}

	find(name: string): StoredModel | undefined {
		return this.#models.find((model) => model.name === name);
	}

	infos(): ModelInfo[] {
		return this.#models.map(({ info }) => info);
	}

	/** A chore brought or removed a model. */
	change(change: ModelChange): void {
		const name = 'came' in change ? change.came.name : change.gone;
		const others = this.#models.filter((model) => model.name !== name);
		this.#models = 'came' in change ? [...others, change.came] : others;
		this.#tell();
	}

	/** Looks at the folders again. Calls while one is under way do nothing. */
	async look(): Promise<void> {
		if (this.#looking) return;
		this.#looking = true;
		try {
			const found = await this.#parts.lookForModels?.();
			if (found !== undefined) {
				this.#models = found;
				this.#told = false;
				this.#parts.log.info({ models: found.map((model) => model.name) }, 'the models have changed');
			}
			// The next hello tells them anyway; on a standing connection it is now.
			if (!this.#told) this.#tell();
		} catch (error) {
			this.#parts.log.warn({ err: error }, 'the folders of models cannot be read');
		} finally {
			this.#looking = false;
		}
	}

	/** A hint of the pool, which waits for nothing: taken while the node stands idle. */
	async prefetch(source: string, name: string): Promise<void> {
		const { fetchModel, log } = this.#parts;
		if (fetchModel === undefined || this.find(name) !== undefined) return;
		log.info({ source, model: name }, 'fetching a model that the pool asks for');
		try {
			this.#models = await fetchModel(source, name);
			this.#tell();
		} catch (error) {
			log.warn({ err: error, model: name }, 'a model that the pool asks for was not fetched');
		}
	}

	#tell(): void {
		this.#told = this.#parts.send({ t: 'telemetry', models: this.infos() });
	}
}
