/**
 * What the pool can make, and the machines that make it.
 * @module
 */
import type { CallOptions, Http } from './http.ts';
import type { Model, Node, NodeStatus, Page, PoolMetrics, Scheduler } from './types.ts';

export class Models {
	readonly #http: Http;
	constructor(http: Http) {
		this.#http = http;
	}

	/** Models that can be used now, with their sizes and defaults. */
	async list(options: CallOptions = {}): Promise<Model[]> {
		return (await this.#http.json<Page<Model>>('/api/v1/models', options)).data;
	}

	async schedulers(options: CallOptions = {}): Promise<Scheduler[]> {
		return (await this.#http.json<Page<Scheduler>>('/api/v1/schedulers', options)).data;
	}
}

const WORKERS = '/api/v1/supervisor/workers';

/** Needs the scopes `supervisor:read` and, to steer, `supervisor:write`. */
export class Nodes {
	readonly #http: Http;
	constructor(http: Http) {
		this.#http = http;
	}

	async list(query: { status?: NodeStatus; model?: string } = {}, options: CallOptions = {}): Promise<Node[]> {
		return (await this.#http.json<Page<Node>>(WORKERS, { ...options, query: { ...query } })).data;
	}

	get(id: string, options: CallOptions = {}): Promise<Node> {
		return this.#http.json(`${WORKERS}/${encodeURIComponent(id)}`, options);
	}

	/** Takes no new work; what runs is finished, or with `now` given to others. */
	pause(id: string, options: CallOptions & { now?: boolean } = {}): Promise<Node> {
		return this.#steer(id, 'pause', options);
	}

	resume(id: string, options: CallOptions = {}): Promise<Node> {
		return this.#steer(id, 'resume', options);
	}

	/** Finishes what it has, then takes nothing more. */
	drain(id: string, options: CallOptions = {}): Promise<Node> {
		return this.#steer(id, 'drain', options);
	}

	terminate(id: string, options: CallOptions = {}): Promise<Node> {
		return this.#steer(id, 'terminate', options);
	}

	/** Counts of nodes, slots and jobs. */
	metrics(options: CallOptions = {}): Promise<PoolMetrics> {
		return this.#http.json('/api/v1/supervisor/metrics', options);
	}

	#steer(id: string, verb: string, { now, signal }: CallOptions & { now?: boolean }): Promise<Node> {
		const query = { query: { now: now === true ? 'true' : undefined } };
		// Every verb names the state to reach, so that a second send changes nothing.
		return this.#http.json(`${WORKERS}/${encodeURIComponent(id)}/${verb}`, { method: 'POST', repeatable: true, signal, ...query });
	}
}
