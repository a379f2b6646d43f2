/** `/mcp` inside workerd: who may call from where, and what a narrow key is shown. */
import { exports } from 'cloudflare:workers';
import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { describe, expect, it } from 'vitest';
import { addKey, KEY } from '../http/harness.ts';

const ENDPOINT = 'http://localhost/mcp';

const send = (url: string, headers: Record<string, string>, method = 'POST'): Promise<Response> =>
	exports.default.fetch(
		new Request(url, {
			method,
			headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream', ...headers },
			...(method === 'POST' ? { body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/list', params: {} }) } : {}),
		}),
	);
const KEYED = { authorization: `Bearer ${KEY}` };

const toolsOf = async (key: string): Promise<string[]> => {
	const client = new Client({ name: 'test', version: '1' }, { versionNegotiation: { mode: 'auto' } });
	const transport = new StreamableHTTPClientTransport(new URL(ENDPOINT), {
		requestInit: { headers: { authorization: `Bearer ${key}` } },
		fetch: (input, init) => exports.default.fetch(new Request(input, init)),
	});
	await client.connect(transport);
	const { tools } = await client.listTools();
	await client.close();
	return tools.map(({ name }) => name);
};

describe('who may call', () => {
	it('nobody without a key, and learns where to get one', async () => {
		const none = await send(ENDPOINT, {});
		expect(none.status).toBe(401);
		expect(none.headers.get('www-authenticate')).toBe(
			'Bearer resource_metadata="http://localhost/.well-known/oauth-protected-resource/mcp", scope="jobs:read jobs:write images:read images:write resources:read"',
		);
		const wrong = await send(ENDPOINT, { authorization: `Bearer lk_test_none_${'0'.repeat(32)}` });
		expect(wrong.status).toBe(401);
		expect(wrong.headers.get('www-authenticate')).toContain('error="invalid_token"');
	});

	it.each(['/.well-known/oauth-protected-resource', '/.well-known/oauth-protected-resource/mcp'])(
		'%s tells of the resource',
		async (path) => {
			const answer = await send(`http://localhost${path}`, {}, 'GET');
			expect(await answer.json()).toMatchObject({ resource: ENDPOINT, bearer_methods_supported: ['header'] });
		},
	);

	it.each([
		['https://evil.example', 403],
		['null', 403],
		['http://localhost:6274', 200],
		['http://localhost', 200],
	])('a page of %s: %i', async (origin, status) => {
		const answer = await send(ENDPOINT, { ...KEYED, origin });
		expect(answer.status).toBe(status);
		expect(answer.headers.get('access-control-allow-origin')).toBe(status === 200 ? origin : null);
		await answer.text();
	});

	it.each([
		['evil.example', 403],
		['gpu-box', 200],
		['192.168.1.7:8787', 200],
		['limner.someone.workers.dev', 200],
	])('a request for the host %s: %i', async (host, status) => {
		const answer = await send(`http://${host}/mcp`, KEYED);
		expect(answer.status).toBe(status);
		await answer.text();
	});

	it('answers a page’s question before its call without a key', async () => {
		const answer = await send(ENDPOINT, { origin: 'http://localhost:6274', 'access-control-request-method': 'POST' }, 'OPTIONS');
		expect(answer.status).toBe(204);
		expect(answer.headers.get('access-control-allow-headers')).toContain('Mcp-Method');
	});

	it.each(['GET', 'DELETE'])('%s is refused: there are no sessions', async (method) => {
		const answer = await send(ENDPOINT, KEYED, method);
		expect(answer.status).toBe(405);
	});

	it('refuses a body that is too large', async () => {
		const answer = await exports.default.fetch(
			new Request(ENDPOINT, {
				method: 'POST',
				headers: { ...KEYED, 'content-type': 'application/json', accept: 'application/json, text/event-stream' },
				body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'ping', params: { pad: 'x'.repeat(4 * 1024 ** 2) } }),
			}),
		);
		expect(answer.status).toBe(413);
	});
});

describe('what a key is shown', () => {
	it('all ordinary tools for a key that may do all', async () => {
		const tools = await toolsOf(KEY);
		expect(tools.slice(0, 3)).toEqual(['generate_image', 'get_generation', 'regenerate']);
		expect(tools.filter((name) => !/pool|coordination|isolation/.test(name)).length).toBeLessThanOrEqual(10);
	});

	it('only reading for a key that may only read', async () => {
		expect(await toolsOf(await addKey('mcpread', ['jobs:read', 'images:read']))).toEqual([
			'get_generation',
			'view_image',
			'list_generations',
			'list_models',
		]);
	});

	it('the operator’s tools only with the operator’s scopes', async () => {
		const tools = await toolsOf(await addKey('mcpuser', ['jobs:read', 'jobs:write', 'images:read', 'images:write', 'resources:read']));
		expect(tools).not.toContain('initialize_pool');
		expect(tools).not.toContain('isolation_report');
		expect(tools).toContain('generate_image');
	});
});
