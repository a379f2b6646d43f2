/**
 * Jobs: submit, read, follow, cancel.
 * @module
 */
import { jobEvents, type EventsOptions, type JobEvent } from './events.ts';
import { newIdempotencyKey, type CallOptions, type Http } from './http.ts';
import { isTerminal, type Job, type JobRequest, type JobState, type Page, type PageQuery } from './types.ts';

export interface SubmitOptions extends CallOptions {
	/** A repeat with the same key and body answers the same job. Default: one made for this call, so that a lost answer can be asked for again. */
	idempotencyKey?: string;
}

const path = (id: string): string => `/api/v1/jobs/${encodeURIComponent(id)}`;
const keyed = (options: SubmitOptions): Record<string, string> => ({ 'idempotency-key': options.idempotencyKey ?? newIdempotencyKey() });

export class Jobs {
	readonly #http: Http;
	constructor(http: Http) {
		this.#http = http;
	}

	/** Submits a job and answers it as it was accepted; `client.images.generate` also waits for the pictures. */
	submit(request: JobRequest, options: SubmitOptions = {}): Promise<Job> {
		return this.#http.json('/api/v1/jobs', { method: 'POST', json: request, headers: keyed(options), signal: options.signal });
	}

	get(id: string, options: CallOptions = {}): Promise<Job> {
		return this.#http.json(path(id), options);
	}

	/** Jobs, newest first; `open` are those that have not ended. A page may come back short; only `nextCursor: null` is the end. */
	list(query: PageQuery & { state?: JobState | 'open' } = {}, options: CallOptions = {}): Promise<Page<Job>> {
		return this.#http.json('/api/v1/jobs', { ...options, query: { ...query } });
	}

	/**
	 * Cancels an open job. Pictures that are made are kept. Repeating it is no error; `conflict` when it ended otherwise.
	 * With `subtree` everything that depends on it as well.
	 */
	cancel(id: string, options: CallOptions & { subtree?: boolean } = {}): Promise<Job> {
		const { subtree, signal } = options;
		const query = subtree === true ? { query: { subtree: 'true' } } : {};
		return this.#http.json(`${path(id)}/cancel`, { ...query, signal, method: 'POST', repeatable: true });
	}

	/** Moves what waits of a job forward or back in its workspace's queue; `conflict` when nothing of it waits. */
	setPriority(id: string, priority: number, options: CallOptions = {}): Promise<Job> {
		return this.#http.json(path(id), { ...options, method: 'PATCH', json: { priority }, repeatable: true });
	}

	/** Cancels an open job, or removes the pictures of a finished one. */
	delete(id: string, options: CallOptions = {}): Promise<Job> {
		return this.#http.json(path(id), { ...options, method: 'DELETE' });
	}

	/** Submits a finished job again, as a new job. */
	retry(id: string, options: SubmitOptions = {}): Promise<Job> {
		return this.#http.json(`${path(id)}/retry`, { method: 'POST', headers: keyed(options), signal: options.signal });
	}

	/** Events of a job until it ends, across lost connections. */
	events(id: string, options: EventsOptions = {}): AsyncGenerator<JobEvent, void, undefined> {
		return jobEvents(this.#http, id, options);
	}

	/** Waits until a job has ended and answers it, whatever became of it. */
	async wait(id: string, options: EventsOptions & { onEvent?: (event: JobEvent) => void } = {}): Promise<Job> {
		let { after = 0 } = options;
		for (;;) {
			for await (const event of this.events(id, { ...options, after })) {
				after = event.id ?? after;
				options.onEvent?.(event);
			}
			const job = await this.get(id, options);
			if (isTerminal(job.state)) return job;
		}
	}
}
