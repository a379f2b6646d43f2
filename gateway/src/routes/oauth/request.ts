/**
 * Reading an authorization request (OAuth 2.1 with PKCE, RFC 8707, RFC 9207). Pure.
 * @module
 */
import { OAUTH_LIMITS as L } from '@limner/shared';
import { DEFAULT_SCOPES, SCOPE_TEXTS } from './metadata.ts';

export interface AuthorizationRequest {
	state: string;
	challenge: string;
	scopes: string[];
}

export type ReadRequest = { ok: true; request: AuthorizationRequest } | { ok: false; error: string; why: string };

const ONCE = ['response_type', 'response_mode', 'state', 'code_challenge', 'code_challenge_method', 'scope', 'resource'] as const;
const CHALLENGE = /^[\w-]{43}$/;

const no = (error: string, why: string): ReadRequest => ({ ok: false, error, why });

/** Whether two addresses of a resource are the same, apart from a slash at the end. */
export const sameResource = (one: string, other: string): boolean =>
	URL.canParse(one) && new URL(one).href.replace(/\/$/, '') === new URL(other).href.replace(/\/$/, '');

/** Of the wanted scopes, those that a client can be given; the usual ones when it wants none. */
export const readScopes = (text: string | null): string[] => {
	const wanted = (text ?? '').split(' ').filter((each) => each !== '');
	return wanted.length === 0 ? [...DEFAULT_SCOPES] : [...new Set(wanted)].filter((each) => Object.hasOwn(SCOPE_TEXTS, each));
};

const formProblem = (query: URLSearchParams): ReadRequest | undefined => {
	const twice = ONCE.find((name) => query.getAll(name).length > 1);
	if (twice !== undefined) return no('invalid_request', `${twice} stands twice`);
	if (query.get('response_type') !== 'code') return no('unsupported_response_type', 'response_type must be code');
	return (query.get('response_mode') ?? 'query') === 'query' ? undefined : no('invalid_request', 'response_mode must be query');
};

/**
 * Checks what a client may be told about by redirecting to it.
 * @param resource the only one that tokens are made for
 */
export const readRequest = (query: URLSearchParams, resource: string): ReadRequest => {
	const wrongForm = formProblem(query);
	if (wrongForm !== undefined) return wrongForm;
	const challenge = query.get('code_challenge') ?? '';
	if (query.get('code_challenge_method') !== 'S256' || !CHALLENGE.test(challenge)) {
		return no('invalid_request', 'PKCE is needed: code_challenge with code_challenge_method=S256');
	}
	const wanted = query.get('resource');
	if (wanted !== null && !sameResource(wanted, resource)) return no('invalid_target', `tokens are made for ${resource} only`);
	const scopes = readScopes(query.get('scope'));
	if (scopes.length === 0) return no('invalid_scope', `known scopes: ${Object.keys(SCOPE_TEXTS).join(' ')}`);
	const state = query.get('state') ?? '';
	if (state.length > L.stateChars) return no('invalid_request', `state may have at most ${L.stateChars} characters`);
	return { ok: true, request: { state, challenge, scopes } };
};
