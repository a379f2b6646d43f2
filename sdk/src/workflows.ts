/**
 * Workflows: jobs that wait for each other.
 * @module
 */
import { newIdempotencyKey, type CallOptions, type Http } from './http.ts';
import type { SubmitOptions } from './jobs.ts';
import type { Workflow, WorkflowRequest } from './types.ts';

const path = (id: string): string => `/api/v1/workflows/${encodeURIComponent(id)}`;

export class Workflows {
	readonly #http: Http;
	constructor(http: Http) {
		this.#http = http;
	}

	/** Submits a graph of at most 32 jobs: all of them or none. Jobs name each other by `key`. */
	submit(request: WorkflowRequest, options: SubmitOptions = {}): Promise<Workflow> {
		const headers = { 'idempotency-key': options.idempotencyKey ?? newIdempotencyKey() };
		return this.#http.json('/api/v1/workflows', { method: 'POST', json: request, headers, signal: options.signal });
	}

	/** The workflow with all its jobs as they are now. */
	get(id: string, options: CallOptions = {}): Promise<Workflow> {
		return this.#http.json(path(id), options);
	}

	/** Cancels what is open of it. Pictures that are made are kept. */
	cancel(id: string, options: CallOptions = {}): Promise<Workflow> {
		return this.#http.json(`${path(id)}/cancel`, { ...options, method: 'POST', repeatable: true });
	}
}
