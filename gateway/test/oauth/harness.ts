/** A client of OAuth and a person with a browser that runs no script, as seen from outside. */
import { exports } from 'cloudflare:workers';
import { createHash, randomBytes } from 'node:crypto';

export const BASE = 'http://localhost';
export const RESOURCE = `${BASE}/mcp`;
export const REDIRECT = 'https://chat.example/callback';

const address = (): string => `10.${Math.floor(Math.random() * 250)}.${Math.floor(Math.random() * 250)}.7`;

export const ask = (path: string, init: RequestInit = {}): Promise<Response> =>
	exports.default.fetch(
		new Request(path.startsWith('http') ? path : `${BASE}${path}`, {
			redirect: 'manual',
			...init,
			headers: { 'cf-connecting-ip': address(), ...(init.headers as Record<string, string>) },
		}),
	);

export const post = (path: string, fields: Record<string, string>, headers: Record<string, string> = {}): Promise<Response> =>
	ask(path, {
		method: 'POST',
		body: new URLSearchParams(fields).toString(),
		headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
	});

export const register = async (metadata: object = {}): Promise<{ status: number; body: Record<string, unknown> }> => {
	const answer = await ask('/oauth/register', {
		method: 'POST',
		body: JSON.stringify({ client_name: 'Chat', redirect_uris: [REDIRECT], ...metadata }),
		headers: { 'content-type': 'application/json' },
	});
	return { status: answer.status, body: await answer.json() };
};

export const newClient = async (metadata: object = {}): Promise<string> => String((await register(metadata)).body['client_id']);

export interface Pkce {
	verifier: string;
	challenge: string;
}
export const newPkce = (): Pkce => {
	const verifier = randomBytes(32).toString('base64url');
	return { verifier, challenge: createHash('sha256').update(verifier).digest('base64url') };
};

export const authorizePath = (client: string, { challenge }: Pkce, change: Record<string, string | undefined> = {}): string => {
	const all = {
		response_type: 'code',
		client_id: client,
		redirect_uri: REDIRECT,
		code_challenge: challenge,
		code_challenge_method: 'S256',
		state: 'st&te',
		scope: 'jobs:read jobs:write',
		resource: RESOURCE,
		...change,
	};
	const given = Object.entries(all).filter((pair): pair is [string, string] => pair[1] !== undefined);
	return `/oauth/authorize?${new URLSearchParams(given).toString()}`;
};

const unescape = (text: string): string => text.replaceAll('&quot;', '"').replaceAll('&#39;', "'").replaceAll('&amp;', '&');

/** A field of a page's form, as a browser would send it. */
export const fieldOf = (html: string, name: string): string => unescape(new RegExp(`name="${name}" value="([^"]*)"`).exec(html)?.[1] ?? '');

export interface Person {
	email: string;
	password: string;
	ws: string;
}

/** What the person does from the link on; ends with the address that they are sent to. */
export const consent = async (path: string, { email, password, ws }: Person, decision = 'allow'): Promise<URL> => {
	const first = await ask(path);
	const request = fieldOf(await first.text(), 'request');
	const second = await post('/oauth/authorize', { request, email, password, decision: 'sign-in' }, { origin: BASE });
	const ticket = fieldOf(await second.text(), 'consent');
	const last = await post('/oauth/authorize', { consent: ticket, workspace: ws, decision }, { origin: BASE });
	const location = last.headers.get('location');
	if (location === null) throw new Error(`no redirect: ${first.status} ${second.status} ${last.status} ${await last.text()}`);
	return new URL(location);
};

export interface TokenBody {
	access_token: string;
	refresh_token: string;
	scope: string;
	error: string;
	error_description: string;
	expires_in: number;
	token_type: string;
}

export const token = async (fields: Record<string, string>): Promise<{ status: number; body: TokenBody; headers: Headers }> => {
	const answer = await post('/oauth/token', fields);
	return { status: answer.status, body: await answer.json(), headers: answer.headers };
};

export const redeem = (client: string, code: string, { verifier }: Pkce, change: Record<string, string> = {}) =>
	token({
		grant_type: 'authorization_code',
		code,
		client_id: client,
		redirect_uri: REDIRECT,
		code_verifier: verifier,
		resource: RESOURCE,
		...change,
	});

export const refresh = (client: string, refreshToken: string, change: Record<string, string> = {}) =>
	token({ grant_type: 'refresh_token', refresh_token: refreshToken, client_id: client, ...change });

/** What `/mcp` says to a bearer token. */
export const callMcp = (bearer: string): Promise<Response> =>
	ask('/mcp', {
		method: 'POST',
		body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/list', params: {} }),
		headers: { authorization: `Bearer ${bearer}`, 'content-type': 'application/json', accept: 'application/json, text/event-stream' },
	});

/** A client with tokens of the person. */
export const connect = async (who: Person, change: Record<string, string | undefined> = {}) => {
	const client = await newClient();
	const pkce = newPkce();
	const back = await consent(authorizePath(client, pkce, change), who);
	const code = back.searchParams.get('code') ?? '';
	const answer = await redeem(client, code, pkce);
	return { client, pkce, back, code, answer, access: answer.body.access_token, refreshToken: answer.body.refresh_token };
};
