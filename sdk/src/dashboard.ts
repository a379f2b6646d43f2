/**
 * How the workspace does, and who is there: once, or as it changes.
 * @module
 */
import { SILENCE_MS, type EventsOptions } from './events.ts';
import { ApiError } from './errors.ts';
import { backoffMs, isTransient, sleep, type CallOptions, type Http } from './http.ts';
import { readStream } from './stream.ts';
import type { Dashboard, Presence } from './types.ts';

export type DashboardEvent = { event: 'presence'; data: Presence } | { event: 'dashboard'; data: Dashboard };

/** Needs the scope `supervisor:read`. */
export class Dashboards {
	readonly #http: Http;
	constructor(http: Http) {
		this.#http = http;
	}

	/** Counts and rates of the last day, and what keeps work from being done. */
	get(options: CallOptions = {}): Promise<Dashboard> {
		return this.#http.json('/api/v1/dashboard', options);
	}

	presence(options: CallOptions = {}): Promise<Presence> {
		return this.#http.json('/api/v1/presence', options);
	}

	/**
	 * Both, each whole, whenever something has changed. Goes on across lost connections until `signal` fires.
	 * @throws {ApiError} when the gateway refuses for good
	 */
	async *follow(options: Pick<EventsOptions, 'signal' | 'silenceMs'> = {}): AsyncGenerator<DashboardEvent, void, undefined> {
		const { signal, silenceMs = SILENCE_MS } = options;
		for (let failures = 0; ; failures++) {
			try {
				for await (const { event, data } of readStream(this.#http, '/api/v1/presence/events', { signal, silenceMs })) {
					failures = 0;
					if (event === 'presence' || event === 'dashboard') yield { event, data } as unknown as DashboardEvent;
				}
			} catch (error) {
				signal?.throwIfAborted();
				if (error instanceof ApiError && !isTransient(error)) throw error;
			}
			await sleep(backoffMs(failures, Math.random()), signal);
		}
	}
}
