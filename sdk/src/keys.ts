/**
 * API keys of the workspace.
 * @module
 */
import type { CallOptions, Http } from './http.ts';
import type { ApiKey, ApiKeyRequest, NewApiKey, Page } from './types.ts';

const KEYS = '/api/v1/keys';
const one = (id: string): string => `${KEYS}/${encodeURIComponent(id)}`;

/** Needs the scopes `keys:read` and `keys:write`. */
export class Keys {
	readonly #http: Http;
	constructor(http: Http) {
		this.#http = http;
	}

	async list(options: CallOptions = {}): Promise<ApiKey[]> {
		return (await this.#http.json<Page<ApiKey>>(KEYS, options)).data;
	}

	get(id: string, options: CallOptions = {}): Promise<ApiKey> {
		return this.#http.json(one(id), options);
	}

	/** Answers the text of the key, once. A key never gets a scope that its maker does not have. */
	create(request: ApiKeyRequest, options: CallOptions = {}): Promise<NewApiKey> {
		return this.#http.json(KEYS, { ...options, method: 'POST', json: request });
	}

	update(id: string, change: Partial<ApiKeyRequest>, options: CallOptions = {}): Promise<ApiKey> {
		return this.#http.json(one(id), { ...options, method: 'PATCH', json: change });
	}

	/** Gives it a new text, once; the one before stays good for `graceS` seconds. */
	rotate(id: string, graceS = 0, options: CallOptions = {}): Promise<NewApiKey> {
		return this.#http.json(`${one(id)}/rotate`, { ...options, method: 'POST', json: { graceS } });
	}

	/** It stops working everywhere within a second. */
	revoke(id: string, options: CallOptions = {}): Promise<ApiKey> {
		return this.#http.json(one(id), { ...options, method: 'DELETE' });
	}
}
