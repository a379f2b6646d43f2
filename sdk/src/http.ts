/**
 * One call to the gateway: address, key, retries, and failures as errors. Uses nothing but `fetch`.
 * @module
 */
import { apiErrorOf, ApiError, ConnectionError, LimnerError } from './errors.ts';

export interface ClientOptions {
	/** Where the gateway answers, e.g. `http://127.0.0.1:8787`. In a page served by the gateway: its origin, which is the default there. */
	baseUrl?: string;
	/** API key, or a function that answers one for each call (for tokens that are renewed). Absent: no Authorization header. */
	apiKey?: string | (() => string | undefined | Promise<string | undefined>);
	/** Another `fetch`, e.g. a service binding's. */
	fetch?: (input: string, init: RequestInit) => Promise<Response>;
	/** Sent with every call. */
	headers?: Record<string, string>;
	/** Cookies in a browser; default: the browser's own default. */
	credentials?: 'include' | 'omit' | 'same-origin';
	/** Tries of a call that may be repeated, the first one included; default 5. */
	maxTries?: number;
	/** Milliseconds to wait for the head of an answer; default 60,000. 0 = for ever. */
	timeoutMs?: number;
}

export interface CallOptions {
	signal?: AbortSignal | undefined;
}

export interface RequestOptions extends CallOptions {
	method?: string;
	query?: Record<string, string | number | undefined>;
	headers?: Record<string, string>;
	/** Sent as JSON. */
	json?: unknown;
	body?: Blob | Uint8Array<ArrayBuffer> | ArrayBuffer;
	/** Whether a second send is harmless; default: GET, PUT and DELETE are, and whatever has an `Idempotency-Key`. */
	repeatable?: boolean;
}

const RETRY_STATUS: ReadonlySet<number> = new Set([408, 425, 429, 500, 502, 503, 504]);
/** Codes behind a status above that waiting a few seconds does not mend. */
const NO_RETRY_CODES: ReadonlySet<string> = new Set(['quota_exceeded', 'internal']);
const FIRST_WAIT_MS = 300;
const LONGEST_WAIT_MS = 20_000;
const DEFAULT_TRIES = 5;
const DEFAULT_TIMEOUT_MS = 60_000;

/** Waits, or throws the signal's reason. */
export const sleep = (ms: number, signal?: AbortSignal): Promise<void> =>
	new Promise((resolve, reject) => {
		signal?.throwIfAborted();
		const stop = (): void => {
			clearTimeout(timer);
			reject(signal?.reason as Error);
		};
		const timer = setTimeout(() => {
			signal?.removeEventListener('abort', stop);
			resolve();
		}, ms);
		signal?.addEventListener('abort', stop, { once: true });
	});

/**
 * Milliseconds before a repeat: full jitter over a doubling bound, never less than the gateway asked for.
 * @param attempt 0 after the first failure
 * @param random 0..1
 */
export const backoffMs = (attempt: number, random: number, retryAfterS = 0): number =>
	Math.max(retryAfterS * 1000, random * Math.min(LONGEST_WAIT_MS, FIRST_WAIT_MS * 2 ** attempt));

/** Whether the same call may succeed in a moment. */
export const isTransient = (error: unknown): boolean =>
	error instanceof ConnectionError || (error instanceof ApiError && RETRY_STATUS.has(error.status) && !NO_RETRY_CODES.has(error.code));

/** Random text for an `Idempotency-Key`. `crypto.randomUUID` does not exist in pages without TLS. */
export const newIdempotencyKey = (): string =>
	Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, '0')).join('');

const defaultBase = (): string => {
	const origin = (globalThis as { location?: { origin?: string } }).location?.origin;
	if (origin === undefined || origin === 'null') throw new LimnerError('give the gateway’s address as `baseUrl`');
	return origin;
};

const messageOf = (error: unknown): string => (error instanceof Error ? error.message : String(error));

const isRepeatable = ({ method = 'GET', headers, repeatable }: RequestOptions): boolean =>
	repeatable ?? (method !== 'POST' || headers?.['idempotency-key'] !== undefined);

const urlOf = (base: string, path: string, query: RequestOptions['query']): string => {
	const params = new URLSearchParams();
	for (const [name, value] of Object.entries(query ?? {})) if (value !== undefined) params.set(name, String(value));
	const text = params.toString();
	return `${base}${path}${text === '' ? '' : `?${text}`}`;
};

/** Calls a gateway. */
export class Http {
	readonly baseUrl: string;
	readonly #options: ClientOptions;
	constructor(options: ClientOptions) {
		this.#options = options;
		this.baseUrl = (options.baseUrl ?? defaultBase()).replace(/\/+$/, '');
	}

	async #headers(extra: Record<string, string>): Promise<Headers> {
		const { apiKey, headers } = this.#options;
		const all = new Headers({ ...headers, ...extra });
		const key = typeof apiKey === 'function' ? await apiKey() : apiKey;
		if (key !== undefined && key !== '') all.set('authorization', `Bearer ${key}`);
		return all;
	}

	async #init(options: RequestOptions, signal: AbortSignal): Promise<RequestInit> {
		const { credentials } = this.#options;
		const json = options.json === undefined ? undefined : JSON.stringify(options.json);
		const headers = await this.#headers({ ...(json === undefined ? {} : { 'content-type': 'application/json' }), ...options.headers });
		const body = json ?? options.body;
		return {
			method: options.method ?? 'GET',
			headers,
			signal,
			...(body === undefined ? {} : { body }),
			...(credentials === undefined ? {} : { credentials }),
		};
	}

	/** Sends once. Answers any response; throws when there is none. */
	async #send(path: string, options: RequestOptions): Promise<Response> {
		const { fetch: own, timeoutMs = DEFAULT_TIMEOUT_MS } = this.#options;
		const late = new AbortController();
		const signal = options.signal === undefined ? late.signal : AbortSignal.any([late.signal, options.signal]);
		const init = await this.#init(options, signal);
		const url = urlOf(this.baseUrl, path, options.query);
		const timer = timeoutMs > 0 ? setTimeout(() => late.abort(), timeoutMs) : undefined;
		try {
			// Not `(own ?? fetch)(…)`: browsers refuse a fetch that is called as something's method.
			return await (own === undefined ? fetch(url, init) : own(url, init));
		} catch (error) {
			options.signal?.throwIfAborted();
			const why = late.signal.aborted ? `no answer within ${timeoutMs} ms` : messageOf(error);
			throw new ConnectionError(`no gateway answers at ${this.baseUrl} (${why})`, { cause: error });
		} finally {
			clearTimeout(timer);
		}
	}

	async #attempt(path: string, options: RequestOptions): Promise<Response> {
		options.signal?.throwIfAborted();
		const response = await this.#send(path, options);
		if (response.ok) return response;
		throw await apiErrorOf(response);
	}

	/**
	 * Calls the gateway, again when that is harmless and may help.
	 * @throws {ApiError} for an error status
	 * @throws {ConnectionError} when nothing answers
	 */
	async request(path: string, options: RequestOptions = {}): Promise<Response> {
		const tries = isRepeatable(options) ? (this.#options.maxTries ?? DEFAULT_TRIES) : 1;
		for (let attempt = 0; ; attempt++) {
			try {
				return await this.#attempt(path, options);
			} catch (error) {
				if (attempt + 1 >= tries || !isTransient(error)) throw error;
				const asked = error instanceof ApiError ? error.retryAfterS : undefined;
				await sleep(backoffMs(attempt, Math.random(), asked), options.signal);
			}
		}
	}

	/** Calls the gateway and reads the JSON of its answer. */
	async json<T>(path: string, options: RequestOptions = {}): Promise<T> {
		const response = await this.request(path, options);
		return (await response.json()) as T;
	}
}
