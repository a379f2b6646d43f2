/**
 * What the pool can make, and the machines that make it.
 * @module
 */
import type { CallOptions, Http } from './http.ts';
import type {
	JoinToken,
	Model,
	NewJoinToken,
	Node,
	NodeHistoryEntry,
	NodeMetrics,
	NodeStatus,
	NodeTask,
	Page,
	PoolMetrics,
	Scheduler,
	Telemetry,
	TimelineSpan,
} from './types.ts';

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
const one = (id: string): string => `${WORKERS}/${encodeURIComponent(id)}`;

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
		return this.#http.json(one(id), options);
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

	/** Readings of the last hour, newest first. */
	async telemetry(id: string, options: CallOptions = {}): Promise<Telemetry[]> {
		return (await this.#http.json<Page<Telemetry>>(`${one(id)}/telemetry`, options)).data;
	}

	/** What it works on, then what it delivered lately. */
	async tasks(id: string, options: CallOptions = {}): Promise<NodeTask[]> {
		return (await this.#http.json<Page<NodeTask>>(`${one(id)}/tasks`, options)).data;
	}

	/** What was done to it, and what failed on it, newest first. */
	async history(id: string, options: CallOptions = {}): Promise<NodeHistoryEntry[]> {
		return (await this.#http.json<Page<NodeHistoryEntry>>(`${one(id)}/history`, options)).data;
	}

	/** Success rate, seconds a step and other numbers of one node. */
	numbers(id: string, options: CallOptions = {}): Promise<NodeMetrics> {
		return this.#http.json(`${one(id)}/metrics`, options);
	}

	/** Lets a node work that waits for approval. Needs `nodes:write`. */
	async approve(id: string, options: CallOptions = {}): Promise<void> {
		await this.#http.request(`/api/v1/nodes/${encodeURIComponent(id)}/approve`, { ...options, method: 'POST', repeatable: true });
	}

	/** Which slot worked on what within the last `sinceMs` (default: an hour), oldest first. */
	async timeline(query: { sinceMs?: number } = {}, options: CallOptions = {}): Promise<TimelineSpan[]> {
		return (await this.#http.json<Page<TimelineSpan>>('/api/v1/pool/timeline', { ...options, query })).data;
	}

	/** Counts of nodes, slots and jobs. */
	metrics(options: CallOptions = {}): Promise<PoolMetrics> {
		return this.#http.json('/api/v1/supervisor/metrics', options);
	}

	#steer(id: string, verb: string, { now, signal }: CallOptions & { now?: boolean }): Promise<Node> {
		const query = { query: { now: now === true ? 'true' : undefined } };
		// Every verb names the state to reach, so that a second send changes nothing.
		return this.#http.json(`${one(id)}/${verb}`, { method: 'POST', repeatable: true, signal, ...query });
	}
}

const TOKENS = '/api/v1/join-tokens';

export interface JoinTokenRequest {
	/** `own` works for this workspace only, `shared` for everybody; default `own`. */
	trust?: 'own' | 'shared';
	/** Milliseconds for which it can be used. */
	ttlMs?: number;
	maxUses?: number;
	/** Given to its nodes. */
	labels?: string[];
	/** Its nodes get no work before somebody has approved them. */
	approval?: boolean;
}

/** What a machine needs once to become a node. Needs the scope `nodes:join`. */
export class JoinTokens {
	readonly #http: Http;
	constructor(http: Http) {
		this.#http = http;
	}

	/** Answers the token itself, once. */
	create(request: JoinTokenRequest = {}, options: CallOptions = {}): Promise<NewJoinToken> {
		return this.#http.json(TOKENS, { ...options, method: 'POST', json: request });
	}

	async list(options: CallOptions = {}): Promise<JoinToken[]> {
		return (await this.#http.json<Page<JoinToken>>(TOKENS, options)).data;
	}

	/** Nodes that have joined with it stay. */
	revoke(id: string, options: CallOptions = {}): Promise<JoinToken> {
		return this.#http.json(`${TOKENS}/${encodeURIComponent(id)}`, { ...options, method: 'DELETE' });
	}
}
