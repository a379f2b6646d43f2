/**
 * One HTTP call to a gateway, with its failures turned into sentences.
 * @module
 */
import { LIMNER_VERSION, ProblemDetails } from '@limner/shared';
import { errorCode, messageOf, UserError } from '../lib/user-error.ts';

/** A gateway answered with an error status. */
export class GatewayError extends UserError {
	readonly status: number;
	readonly code: string;
	/** Seconds after which a repeat makes sense, when the gateway said so. */
	readonly retryAfterS: number | undefined;
	constructor(sentence: string, status: number, code: string, retryAfterS: number | undefined) {
		super(sentence);
		this.status = status;
		this.code = code;
		this.retryAfterS = retryAfterS;
	}
}

/** No answer at all: the gateway is down, unreachable, or the address is wrong. */
export class UnreachableError extends UserError {}

export interface CallOptions {
	method?: string;
	headers?: Record<string, string>;
	body?: string | Uint8Array<ArrayBuffer>;
	signal?: AbortSignal | undefined;
}

const isLocal = (base: string): boolean => /^https?:\/\/(localhost|127\.|\[::1\])/.test(base);

const unreachable = (base: string, error: unknown): UnreachableError => {
	const code = errorCode(error);
	const hint = isLocal(base) ? 'start it with `npm start`' : 'check the address and your network';
	return new UnreachableError(`No gateway answers at ${base} (${code ?? messageOf(error)}); ${hint}.`, { cause: error });
};

/** What a call that got no answer throws: the caller's own abort as it is, everything else as a sentence. */
const failureOf = (base: string, error: unknown, signal: AbortSignal | undefined): unknown => {
	if (signal?.aborted !== true) return unreachable(base, error);
	const reason: unknown = signal.reason;
	return reason instanceof DOMException && reason.name === 'TimeoutError' ? unreachable(base, new Error('no answer in time')) : error;
};

const trimSlash = (base: string): string => base.replace(/\/+$/, '');

/** Absolute address of a path on the gateway; absolute addresses pass unchanged. */
export const gatewayUrl = (base: string, path: string): string => (/^https?:\/\//.test(path) ? path : `${trimSlash(base)}${path}`);

/** Reads a problem document out of an answer, whatever the answer really is. */
export const problemOf = async (response: Response): Promise<GatewayError> => {
	const text = await response.text().catch(() => '');
	const retryHeader = Number(response.headers.get('retry-after') ?? Number.NaN);
	let parsed: ProblemDetails | undefined;
	try {
		parsed = ProblemDetails.safeParse(JSON.parse(text)).data;
	} catch {
		parsed = undefined;
	}
	const retryAfterS = parsed?.retryAfter ?? (Number.isFinite(retryHeader) ? retryHeader : undefined);
	if (parsed === undefined) {
		return new GatewayError(
			`The gateway answered ${response.status} ${response.statusText}.`.replace(' .', '.'),
			response.status,
			'unknown',
			retryAfterS,
		);
	}
	const told = parsed.detail ?? parsed.title;
	// The detail of a single wrong field names it already.
	const fields = (parsed.errors ?? []).map((field) => `${field.pointer}: ${field.detail}`).filter((field) => !told.includes(field));
	const sentence = fields.length === 0 ? told : `${told} (${fields.join('; ')})`;
	return new GatewayError(/[.!?)]$/.test(sentence) ? sentence : `${sentence}.`, response.status, parsed.code, retryAfterS);
};

/**
 * Calls the gateway and answers the raw response, whatever its status.
 * @param key API key or ticket for the Authorization header; empty for none
 * @throws {UnreachableError} when nothing answers
 */
export const callRaw = async (base: string, key: string, path: string, options: CallOptions = {}): Promise<Response> => {
	// The runtime would refuse the header too, and print the key with its refusal.
	if (!/^[\x21-\x7e]*$/.test(key))
		throw new UserError('The key or token has a space, a line break or a letter that keys never have; copy it again.');
	const headers: Record<string, string> = { 'user-agent': `limner/${LIMNER_VERSION}`, ...options.headers };
	if (key !== '') headers['authorization'] = `Bearer ${key}`;
	try {
		return await fetch(gatewayUrl(base, path), {
			method: options.method ?? 'GET',
			headers,
			...(options.body === undefined ? {} : { body: options.body }),
			...(options.signal === undefined ? {} : { signal: options.signal }),
		});
	} catch (error) {
		throw failureOf(base, error, options.signal);
	}
};

/**
 * Calls the gateway and answers the response of a success.
 * @throws {GatewayError} for an error status
 * @throws {UnreachableError} when nothing answers
 */
export const call = async (base: string, key: string, path: string, options: CallOptions = {}): Promise<Response> => {
	const response = await callRaw(base, key, path, options);
	if (response.ok) return response;
	throw await problemOf(response);
};
