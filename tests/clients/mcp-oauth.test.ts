/**
 * OAuth as a host does it: the official MCP client finds the authorization server by itself, registers, sends the person to
 * the page, takes the code, draws, refreshes. The person's browser is played by requests that fill in the page's forms.
 */
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Client, StreamableHTTPClientTransport, UnauthorizedError, type OAuthClientProvider } from '@modelcontextprotocol/client';
import { Client as ClientV1 } from '@modelcontextprotocol/sdk/client/index.js';
import { UnauthorizedError as UnauthorizedV1, type OAuthClientProvider as ProviderV1 } from '@modelcontextprotocol/sdk/client/auth.js';
import { StreamableHTTPClientTransport as TransportV1 } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { startTestGateway, type TestGateway } from '../lib/gateway.ts';
import { startTestNode, type TestNode } from '../lib/node.ts';
import { firstWorkspace, newOwner, PASSWORD } from '../lib/tenant.ts';

const EMAIL = 'ada@example.com';

let gateway: TestGateway;
let node: TestNode;
let host: Server;
let redirectUrl = '';
/** What the browser brought back to the host, in the order of arrival. */
const callbacks: URLSearchParams[] = [];

beforeAll(async () => {
	gateway = await startTestGateway();
	node = await startTestNode(gateway, { name: 'oauth', stepMs: 5 });
	await newOwner(gateway, await firstWorkspace(gateway), EMAIL);
	host = createServer((request, response) => {
		callbacks.push(new URL(request.url ?? '', 'http://127.0.0.1').searchParams);
		response.end('you may close this window');
	});
	await new Promise<void>((resolve) => host.listen(0, '127.0.0.1', resolve));
	redirectUrl = `http://127.0.0.1:${(host.address() as AddressInfo).port}/callback`;
});
afterAll(async () => {
	host?.close();
	await node?.stop();
	await gateway?.stop();
});

const unescape = (text: string): string => text.replaceAll('&quot;', '"').replaceAll('&#39;', "'").replaceAll('&amp;', '&');
const send = (fields: Record<string, string>): Promise<Response> =>
	fetch(`${gateway.url}/oauth/authorize`, {
		method: 'POST',
		body: new URLSearchParams(fields),
		headers: { origin: gateway.url },
		redirect: 'manual',
	});

/** The browser: opens the link, signs in, chooses the workspace, allows, and is sent back to the host. */
const browse = async (link: URL): Promise<void> => {
	const first = await (await fetch(link)).text();
	const request = unescape(/name="request" value="([^"]*)"/.exec(first)?.[1] ?? '');
	const second = await (await send({ request, email: EMAIL, password: PASSWORD, decision: 'sign-in' })).text();
	const consent = unescape(/name="consent" value="([^"]*)"/.exec(second)?.[1] ?? '');
	const workspace = unescape(/<option value="([^"]*)"/.exec(second)?.[1] ?? '');
	const last = await send({ consent, workspace, decision: 'allow' });
	expect(last.status).toBe(303);
	await (await fetch(last.headers.get('location') ?? '')).text();
};

/** What a host keeps of one gateway; the methods are those that the SDK asks for. */
const newProvider = (): OAuthClientProvider & { kept: Record<string, unknown>; link: URL | undefined } => {
	const kept: Record<string, unknown> = {};
	return {
		kept,
		link: undefined,
		redirectUrl,
		clientMetadata: { client_name: 'Host', redirect_uris: [redirectUrl], grant_types: ['authorization_code', 'refresh_token'] },
		state: () => 'a state',
		clientInformation: () => kept['client'] as never,
		saveClientInformation: (client) => void (kept['client'] = client),
		tokens: () => kept['tokens'] as never,
		saveTokens: (tokens) => void (kept['tokens'] = tokens),
		saveCodeVerifier: (verifier) => void (kept['verifier'] = verifier),
		codeVerifier: () => String(kept['verifier']),
		saveDiscoveryState: (state) => void (kept['discovery'] = state),
		discoveryState: () => kept['discovery'] as never,
		redirectToAuthorization(url) {
			this.link = url;
		},
	};
};

it('the client of today finds its way, draws, and refreshes by itself', async () => {
	const provider = newProvider();
	const connect = async (): Promise<Client> => {
		const client = new Client({ name: 'host', version: '1' }, { versionNegotiation: { mode: 'auto' } });
		await client.connect(new StreamableHTTPClientTransport(new URL(`${gateway.url}/mcp`), { authProvider: provider }));
		return client;
	};
	await expect(connect()).rejects.toThrow(UnauthorizedError);
	expect(provider.link?.searchParams.get('resource')).toBe(`${gateway.url}/mcp`);
	expect(provider.link?.searchParams.get('code_challenge_method')).toBe('S256');
	await browse(provider.link ?? new URL(gateway.url));
	const back = callbacks.at(-1) ?? new URLSearchParams();
	expect([back.get('state'), back.get('iss')]).toEqual(['a state', gateway.url]);
	const finishing = new StreamableHTTPClientTransport(new URL(`${gateway.url}/mcp`), { authProvider: provider });
	await finishing.finishAuth(back);

	const client = await connect();
	expect(client.getNegotiatedProtocolVersion()).toBe('2026-07-28');
	const made = await client.callTool({ name: 'generate_image', arguments: { prompt: 'by a host that signed in', steps: 7 } });
	const { job_id: jobId, status } = made.structuredContent as { job_id: string; status: string };
	expect(status).toBe('succeeded');
	expect(node.engineLog().filter((event) => event.jobId === jobId && event.event === 'step')).toHaveLength(7);
	expect((await client.listTools()).tools.map(({ name }) => name)).not.toContain('initialize_pool');
	await client.close();

	// An access token that is no longer good: the client refreshes, and goes on without asking the person.
	const before = provider.kept['tokens'] as { access_token: string; refresh_token: string };
	provider.kept['tokens'] = { ...before, access_token: `${before.access_token.slice(0, -4)}AAAA` };
	provider.link = undefined;
	const again = await connect();
	expect((await again.listTools()).tools.length).toBeGreaterThan(5);
	expect(provider.link).toBeUndefined();
	expect((provider.kept['tokens'] as { refresh_token: string }).refresh_token).not.toBe(before.refresh_token);
	await again.close();
});

it('the client of the older SDK does so too', async () => {
	const provider = newProvider();
	const connect = async (): Promise<ClientV1> => {
		const client = new ClientV1({ name: 'old host', version: '1' });
		await client.connect(new TransportV1(new URL(`${gateway.url}/mcp`), { authProvider: provider as unknown as ProviderV1 }));
		return client;
	};
	await expect(connect()).rejects.toThrow(UnauthorizedV1);
	await browse(provider.link ?? new URL(gateway.url));
	await new TransportV1(new URL(`${gateway.url}/mcp`), { authProvider: provider as unknown as ProviderV1 }).finishAuth(
		callbacks.at(-1)?.get('code') ?? '',
	);
	const client = await connect();
	const result = await client.callTool({ name: 'list_models', arguments: {} });
	expect(JSON.stringify(result.structuredContent)).toContain('storybook');
	await client.close();
});
