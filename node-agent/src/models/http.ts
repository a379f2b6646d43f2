/**
 * Reading from a hub over HTTP: redirects, a proxy from the environment, and a token that stays with the hub.
 * @module
 */
import { Agent as HttpAgent, get as httpGet, type IncomingMessage, type RequestOptions } from 'node:http';
import { Agent as HttpsAgent, get as httpsGet } from 'node:https';
import { LIMNER_VERSION, PULL_LIMITS } from '@limner/shared';

export interface HubAnswer {
	status: number;
	headers: IncomingMessage['headers'];
	body: IncomingMessage;
	/** Whether the hub itself answered, and not a store that it redirects to. */
	fromHub: boolean;
}

export interface HubClient {
	/** Address of the hub without a slash at its end. */
	endpoint: string;
	token?: string;
	/** What a user sets to name a mirror; `HF_ENDPOINT` when absent. */
	mirror?: string;
	/** Answers any status but a redirect; rejects when the connection fails. */
	get: (url: string, options?: { range?: string; accept?: string; signal?: AbortSignal; token?: boolean }) => Promise<HubAnswer>;
	/** Closes idle connections. */
	close: () => void;
}

const isRedirect = (status: number): boolean => [301, 302, 303, 307, 308].includes(status);

/** Whether a request may carry the token: it is meant for the hub, never for the store that the hub redirects to. */
export const mayCarryToken = (url: URL, endpoint: string): boolean => url.origin === new URL(endpoint).origin;

/**
 * A client for one hub.
 * @param env names the proxy: `HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`, in upper or lower case
 */
export const createHubClient = (endpoint: string, token: string | undefined, env: NodeJS.ProcessEnv): HubClient => {
	const agents = {
		'http:': new HttpAgent({ keepAlive: true, proxyEnv: env }),
		'https:': new HttpsAgent({ keepAlive: true, proxyEnv: env }),
	};
	const once = (url: URL, headers: Record<string, string>, signal: AbortSignal | undefined): Promise<IncomingMessage> =>
		new Promise((resolve, reject) => {
			const secure = url.protocol === 'https:';
			const options: RequestOptions = {
				headers,
				agent: secure ? agents['https:'] : agents['http:'],
				...(signal === undefined ? {} : { signal }),
			};
			const request = secure ? httpsGet(url, options, resolve) : httpGet(url, options, resolve);
			request.setTimeout(PULL_LIMITS.idleMs, () => request.destroy(new Error(`nothing came for ${PULL_LIMITS.idleMs / 1000} s`)));
			request.on('error', reject);
		});
	const get: HubClient['get'] = async (address, options = {}) => {
		let url = new URL(address);
		for (let hop = 0; hop <= PULL_LIMITS.redirects; hop++) {
			if (!/^https?:$/.test(url.protocol)) throw new Error(`the hub redirects to ${url.protocol}//, which is not allowed`);
			// No content coding: ranges and sizes are those of the file itself.
			const headers: Record<string, string> = { 'user-agent': `limner/${LIMNER_VERSION}`, 'accept-encoding': 'identity' };
			if (options.range !== undefined) headers['range'] = options.range;
			if (options.accept !== undefined) headers['accept'] = options.accept;
			if (token !== undefined && options.token !== false && mayCarryToken(url, endpoint)) headers['authorization'] = `Bearer ${token}`;
			const body = await once(url, headers, options.signal);
			const status = body.statusCode ?? 0;
			const { location } = body.headers;
			if (!isRedirect(status) || location === undefined)
				return { status, headers: body.headers, body, fromHub: mayCarryToken(url, endpoint) };
			body.resume();
			url = new URL(location, url);
		}
		throw new Error(`${address} redirects more than ${PULL_LIMITS.redirects} times`);
	};
	const close = (): void => {
		for (const agent of Object.values(agents)) agent.destroy();
	};
	return { endpoint, get, close, ...(token === undefined ? {} : { token }) };
};
