/**
 * The ledger: what happened, in a chain of hashes that shows a change afterwards.
 * @module
 */
import type { CallOptions, Http } from './http.ts';
import type { AuditEvent, Page, PageQuery } from './types.ts';

export interface AuditQuery extends PageQuery {
	type?: AuditEvent['type'];
	/** Who did it, e.g. `key:…` or an account's id. */
	who?: string;
	/** One action, or a group of them as `node.*`. */
	action?: string;
	/** What it was done to, e.g. a job's or a node's id. */
	target?: string;
	/** ISO 8601 with a time. */
	from?: string;
	to?: string;
}

/** Needs the scope `audit:read`. */
export class Audit {
	readonly #http: Http;
	constructor(http: Http) {
		this.#http = http;
	}

	/** Newest first. Histories of open jobs come on top of the first page, marked `unsealed`. */
	list(query: AuditQuery = {}, options: CallOptions = {}): Promise<Page<AuditEvent>> {
		return this.#http.json('/api/v1/audit', { ...options, query: { ...query } });
	}

	/** All of it as JSON Lines, for `limner audit verify`. */
	async export(options: CallOptions = {}): Promise<Blob> {
		return (await this.#http.request('/api/v1/audit/export', options)).blob();
	}
}
