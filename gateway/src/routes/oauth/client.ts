/**
 * Clients of OAuth, all of them public ones: those that registered themselves, whose id is what they registered, signed;
 * and those whose id is the address of a document about them. Where they may be sent back to is decided here.
 * @module
 */
import { OAUTH_LIMITS as L, urlProblem } from '@limner/shared';
import { z } from 'zod';
import { BoundedCache } from '../../lib/cache.ts';
import { signClaims, verifyClaims } from '../../lib/sign.ts';
import { readBounded } from '../../storage/body.ts';

export interface OAuthClient {
	id: string;
	/** What it calls itself. */
	name: string;
	redirects: string[];
	/** Host of its document: the one thing about a client that somebody has proved. */
	host?: string;
}

/** Programs on the person's machine; a browser hands them the answer. */
const APP_SCHEME = /^(?!(?:javascript|data|vbscript|file|blob|about|view-source|filesystem|ws|wss|ftp|mailto|tel):)[a-z][a-z0-9+.-]*:$/;
const LOOPBACK = /^(?:localhost|127\.0\.0\.1|\[::1\])$/;
const isLoopback = (url: URL): boolean => url.protocol === 'http:' && LOOPBACK.test(url.hostname);

/** Why nobody can be sent to an address, or `undefined`. */
export const redirectProblem = (text: string): string | undefined => {
	if (text.length > L.redirectChars) return `a redirect URI may have at most ${L.redirectChars} characters`;
	if (!URL.canParse(text)) return 'a redirect URI must be an absolute address';
	const url = new URL(text);
	if (text.includes('#')) return 'a redirect URI must not have a fragment';
	if (url.username !== '' || url.password !== '') return 'a redirect URI must not carry a user name or password';
	if (url.protocol === 'https:' || isLoopback(url)) return undefined;
	if (url.protocol === 'http:') return 'a redirect URI with http:// must be on localhost, 127.0.0.1 or [::1]';
	return APP_SCHEME.test(url.protocol) ? undefined : `a redirect URI cannot begin with ${url.protocol}`;
};

/** Without the port, when it is of a program on the same machine: that listens where there is room (RFC 8252 §7.3). */
const portless = (text: string): string => {
	const url = new URL(text);
	if (!isLoopback(url)) return text;
	url.port = '';
	return url.href;
};

/** Whether a client may be answered at an address: letter by letter, except for the port of a loopback address. */
export const mayRedirect = ({ redirects }: OAuthClient, wanted: string): boolean =>
	redirectProblem(wanted) === undefined && redirects.some((known) => known === wanted || portless(known) === portless(wanted));

const Metadata = z.looseObject({
	redirect_uris: z.array(z.string()).min(1).max(L.redirectsMax),
	client_name: z.string().optional(),
	token_endpoint_auth_method: z.string().optional(),
	grant_types: z.array(z.string()).optional(),
	response_types: z.array(z.string()).optional(),
});

export type ClientResult = { ok: true; client: OAuthClient } | { ok: false; error: string; why: string };
const bad = (error: string, why: string): ClientResult => ({ ok: false, error, why });

// Anything that could make a name look like something else on the page.
const nameOf = (given: string | undefined, instead: string): string => {
	const name = (given ?? '').replaceAll(/[\p{C}\p{Zl}\p{Zp}]/gu, '').trim();
	return name === '' ? instead : name.slice(0, L.clientNameChars);
};

const readMetadata = (json: unknown): { ok: true; metadata: z.infer<typeof Metadata> } | { ok: false; error: string; why: string } => {
	const parsed = Metadata.safeParse(json);
	if (!parsed.success) {
		const [issue] = parsed.error.issues;
		return { ok: false, error: 'invalid_client_metadata', why: `${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'not a client'}` };
	}
	const problem = parsed.data.redirect_uris.map(redirectProblem).find((each) => each !== undefined);
	return problem === undefined ? { ok: true, metadata: parsed.data } : { ok: false, error: 'invalid_redirect_uri', why: problem };
};

/** Registers a client (RFC 7591). Nothing is stored: its id holds what it said, signed. */
export const registerClient = (secret: string, json: unknown, nowMs: number): ClientResult => {
	const read = readMetadata(json);
	if (!read.ok) return read;
	const { redirect_uris: redirects, client_name: given } = read.metadata;
	const name = nameOf(given, 'a program without a name');
	const id = signClaims(secret, { k: 'oauth-client', name, redirects, exp: nowMs + L.clientTtlMs });
	if (id.length > L.clientIdChars) return bad('invalid_client_metadata', 'there are too many redirect URIs');
	return { ok: true, client: { id, name, redirects } };
};

/** The client that a document tells of. `url` is its id, and must stand in it. */
export const clientOfDocument = (url: string, json: unknown): ClientResult => {
	const read = readMetadata(json);
	if (!read.ok) return bad('invalid_client', `the client's document: ${read.why}`);
	const { client_id: id, client_name: given, redirect_uris: redirects, token_endpoint_auth_method: method = 'none' } = read.metadata;
	if (id !== url) return bad('invalid_client', 'the document at the client id is of another client id');
	if (method !== 'none') {
		return bad('invalid_client', `this gateway knows public clients only, and the client's document asks for ${method.slice(0, 40)}`);
	}
	const { host } = new URL(url);
	return { ok: true, client: { id: url, name: nameOf(given, host), redirects, host } };
};

const documents = new BoundedCache<ClientResult>(L.documentCacheEntries, L.documentCacheMs);

type Fetch = (url: string, init: RequestInit) => Promise<Response>;

/** Fetches a client's document. Redirects are not followed: the address is the client's name. */
export const fetchClient = async (url: string, get: Fetch): Promise<ClientResult> => {
	const problem = urlProblem(url, false);
	if (problem !== undefined) return bad('invalid_client', `the client id is refused: ${problem}`);
	if (new URL(url).pathname === '/' || url.includes('#')) {
		return bad('invalid_client', 'a client id that is an address needs a path, and no fragment');
	}
	try {
		const response = await get(url, {
			redirect: 'manual',
			headers: { accept: 'application/json' },
			signal: AbortSignal.timeout(L.documentMs),
		});
		if (response.status !== 200) {
			await response.body?.cancel();
			return bad('invalid_client', `the address of the client's document answers ${response.status}`);
		}
		const bytes = await readBounded(response.body, L.documentBytes);
		if (bytes === 'too_large') return bad('invalid_client', `the client's document has more than ${L.documentBytes} bytes`);
		return clientOfDocument(url, JSON.parse(new TextDecoder().decode(bytes)));
	} catch {
		return bad('invalid_client', "the client's document cannot be read");
	}
};

/** Who a client id is. */
export const findClient = async (secret: string, id: string, nowMs: number): Promise<ClientResult> => {
	if (id.length > L.clientIdChars) return bad('invalid_client', 'the client id is too long');
	if (!/^https?:/i.test(id)) {
		const verified = verifyClaims(secret, 'oauth-client', id, nowMs);
		if (!verified.ok) return bad('invalid_client', 'the client id is not known here; register again');
		return { ok: true, client: { id, name: verified.claims.name, redirects: verified.claims.redirects } };
	}
	const known = documents.get(id, nowMs);
	if (known !== undefined) return known;
	const found = await fetchClient(id, (url, init) => fetch(url, init));
	if (found.ok) documents.set(id, found, nowMs);
	return found;
};
