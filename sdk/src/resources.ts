/**
 * Quotas, usage and reservations.
 * @module
 */
import type { CallOptions, Http } from './http.ts';
import type { Quotas, Reservation, Usage } from './types.ts';

const RESOURCES = '/api/v1/resources';

export interface UsageQuery {
	/** Days of UTC, `YYYY-MM-DD`, both included; default: the last 30 days. */
	from?: string;
	to?: string;
	groupBy?: Usage['groupBy'];
}

export interface ReservationRequest {
	images?: number;
	megapixelSteps?: number;
	/** ISO 8601; default now. */
	startsAt?: string;
	endsAt?: string;
	note?: string;
}

/** Needs the scopes `resources:read` and, to reserve, `resources:write`. */
export class Resources {
	readonly #http: Http;
	constructor(http: Http) {
		this.#http = http;
	}

	/** Limits of the workspace and of the calling key, what is used, and open reservations. */
	quotas(options: CallOptions = {}): Promise<Quotas> {
		return this.#http.json(`${RESOURCES}/quotas`, options);
	}

	usage(query: UsageQuery = {}, options: CallOptions = {}): Promise<Usage> {
		return this.#http.json(`${RESOURCES}/usage`, { ...options, query: { ...query } });
	}

	/** Keeps a part of the quota for later; jobs draw from it with the header `Limner-Allocation`. */
	allocate(request: ReservationRequest, options: CallOptions = {}): Promise<Reservation> {
		return this.#http.json(`${RESOURCES}/allocate`, { ...options, method: 'POST', json: request });
	}

	/** Gives back what is left of a reservation. */
	release(id: string, options: CallOptions = {}): Promise<Reservation> {
		return this.#http.json(`${RESOURCES}/release`, { ...options, method: 'POST', repeatable: true, json: { id } });
	}
}
