/** OAuth for MCP clients inside workerd: from metadata and registration to a token that draws. */
import { afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { ask as api, newMember, newTenant, PASSWORD } from '../tenancy/harness.ts';
import {
	ask,
	authorizePath,
	BASE,
	callMcp,
	connect,
	consent,
	fieldOf,
	newClient,
	newPkce,
	post,
	redeem,
	REDIRECT,
	register,
	RESOURCE,
	type Person,
} from './harness.ts';

let person: Person;
let owner: Awaited<ReturnType<typeof newTenant>>;
beforeAll(async () => {
	owner = await newTenant();
	person = { email: owner.email, password: PASSWORD, ws: owner.ws };
});
afterEach(() => {
	vi.restoreAllMocks();
});

/** Names of the tools that `tools/list` answered. */
const toolsOf = async (answer: Response): Promise<string[]> => {
	const data = /^data: (.*)$/m.exec(await answer.text())?.[1] ?? '{}';
	return (JSON.parse(data) as { result: { tools: { name: string }[] } }).result.tools.map(({ name }) => name);
};

const serve = (url: string, document: unknown, init: ResponseInit = {}) =>
	vi.spyOn(globalThis, 'fetch').mockImplementation(async (input) => {
		expect(input).toBe(url);
		return new Response(typeof document === 'string' ? document : JSON.stringify(document), init);
	});

const document = (url: string, change: object = {}) => ({ client_id: url, client_name: 'Chat', redirect_uris: [REDIRECT], ...change });

describe('metadata', () => {
	it('leads from the 401 to the authorization server', async () => {
		const refused = await ask('/mcp', { method: 'POST', body: '{}' });
		expect(refused.status).toBe(401);
		const where = /resource_metadata="([^"]+)"/.exec(refused.headers.get('www-authenticate') ?? '')?.[1] ?? '';
		const resource = await (await ask(where)).json<Record<string, unknown>>();
		expect(resource).toMatchObject({ resource: RESOURCE, authorization_servers: [BASE] });
		const answer = await ask('/.well-known/oauth-authorization-server', { headers: { origin: 'https://inspector.example' } });
		expect(answer.headers.get('access-control-allow-origin')).toBe('*');
		expect(await answer.json()).toMatchObject({
			issuer: BASE,
			authorization_endpoint: `${BASE}/oauth/authorize`,
			token_endpoint: `${BASE}/oauth/token`,
			registration_endpoint: `${BASE}/oauth/register`,
			revocation_endpoint: `${BASE}/oauth/revoke`,
			code_challenge_methods_supported: ['S256'],
			response_types_supported: ['code'],
			token_endpoint_auth_methods_supported: ['none'],
			client_id_metadata_document_supported: true,
			authorization_response_iss_parameter_supported: true,
		});
	});

	it.each(['/oauth/token', '/oauth/register', '/oauth/revoke', '/.well-known/oauth-authorization-server'])(
		'%s may be called by a page of any origin, which needs no cookie',
		async (path) => {
			const headers = { origin: 'https://inspector.example', 'access-control-request-method': 'POST' };
			const answer = await ask(path, { method: 'OPTIONS', headers });
			expect([answer.status, answer.headers.get('access-control-allow-origin')]).toEqual([204, '*']);
		},
	);
});

describe('registration', () => {
	it('answers a public client, whatever it asked for', async () => {
		const { status, body } = await register({ token_endpoint_auth_method: 'client_secret_post', logo_uri: 'https://x.example/l.png' });
		expect(status).toBe(201);
		expect(body).toMatchObject({ client_name: 'Chat', redirect_uris: [REDIRECT], token_endpoint_auth_method: 'none' });
		expect(body).not.toHaveProperty('client_secret');
	});

	it.each([
		['javascript:alert(1)', 'invalid_redirect_uri'],
		['data:text/html,x', 'invalid_redirect_uri'],
		['http://evil.example/cb', 'invalid_redirect_uri'],
		['http://localhost.evil.example/cb', 'invalid_redirect_uri'],
		['https://chat.example/cb#x', 'invalid_redirect_uri'],
		['https://me@chat.example/cb', 'invalid_redirect_uri'],
		['/cb', 'invalid_redirect_uri'],
		[`https://chat.example/${'x'.repeat(500)}`, 'invalid_redirect_uri'],
	])('refuses to answer at %s', async (uri, error) => {
		expect(await register({ redirect_uris: [uri] })).toMatchObject({ status: 400, body: { error } });
	});

	it.each(['http://127.0.0.1:3334/cb', 'http://[::1]/cb', 'cursor://anysphere.cursor-mcp/oauth/callback', 'com.example.app:/cb'])(
		'takes %s',
		async (uri) => {
			expect((await register({ redirect_uris: [uri] })).status).toBe(201);
		},
	);

	it('refuses what is no client', async () => {
		expect((await register({ redirect_uris: [] })).body['error']).toBe('invalid_client_metadata');
		expect((await register({ redirect_uris: 'https://x.example' })).body['error']).toBe('invalid_client_metadata');
		const text = await ask('/oauth/register', { method: 'POST', body: '{' });
		expect([text.status, (await text.json<{ error: string }>()).error]).toEqual([400, 'invalid_client_metadata']);
		const large = await ask('/oauth/register', { method: 'POST', body: JSON.stringify({ pad: 'x'.repeat(40_000) }) });
		expect(large.status).toBe(400);
	});
});

describe('the whole way', () => {
	it('from the link to a picture’s job, with the scopes that were allowed and no more', async () => {
		const { back, answer, access } = await connect(person);
		expect(`${back.origin}${back.pathname}`).toBe(REDIRECT);
		expect([back.searchParams.get('state'), back.searchParams.get('iss')]).toEqual(['st&te', BASE]);
		expect(answer.status).toBe(200);
		expect(answer.headers.get('cache-control')).toBe('no-store');
		expect(answer.body).toMatchObject({ token_type: 'Bearer', scope: 'jobs:read jobs:write', expires_in: 600 });
		const listed = await toolsOf(await callMcp(access));
		expect(listed).toContain('generate_image');
		expect(listed).not.toContain('upload_image');
		expect(listed).not.toContain('initialize_pool');
		const drawn = await ask('/mcp', {
			method: 'POST',
			body: JSON.stringify({
				jsonrpc: '2.0',
				id: 1,
				method: 'tools/call',
				params: { name: 'generate_image', arguments: { prompt: 'a fox', wait_seconds: 0 } },
			}),
			headers: { authorization: `Bearer ${access}`, 'content-type': 'application/json', accept: 'application/json, text/event-stream' },
		});
		const jobId = /job_[a-z0-9]+/.exec(await drawn.text())?.[0];
		// The job is in the workspace that was chosen, where its owner finds it.
		const job = await api('GET', `/jobs/${jobId}`, owner.token);
		expect(job).toMatchObject({ status: 200, body: { id: jobId } });
		await api('POST', `/jobs/${jobId}/cancel`, owner.token);
	});

	it('shows the pages without script, frame or foreign form', async () => {
		const client = await newClient({ client_name: '<script>alert(1)</script>' });
		const page = await ask(authorizePath(client, newPkce()));
		const html = await page.text();
		expect(html).not.toContain('<script');
		expect(html).toContain('&lt;script&gt;');
		expect(html).toContain('chat.example');
		const policy = page.headers.get('content-security-policy') ?? '';
		for (const part of ["default-src 'none'", "frame-ancestors 'none'", "form-action 'self' https://chat.example;", "base-uri 'none'"]) {
			expect(policy).toContain(part);
		}
		expect(policy).not.toContain('unsafe');
		expect(page.headers.get('x-frame-options')).toBe('DENY');
		expect(page.headers.get('cache-control')).toBe('no-store');
	});

	it('takes a loopback address at another port, and a request without resource, scope or state', async () => {
		const client = await newClient({ redirect_uris: ['http://127.0.0.1/callback'] });
		const pkce = newPkce();
		const redirect = 'http://127.0.0.1:51234/callback';
		const path = authorizePath(client, pkce, { redirect_uri: redirect, resource: undefined, scope: undefined, state: undefined });
		const back = await consent(path, person);
		expect(back.href.startsWith(redirect)).toBe(true);
		expect(back.searchParams.has('state')).toBe(false);
		const answer = await redeem(client, back.searchParams.get('code') ?? '', pkce, { redirect_uri: redirect });
		expect(answer.body.scope).toBe('jobs:read jobs:write images:read images:write resources:read');
	});

	it('tells the client when the person says no, on either page', async () => {
		const client = await newClient();
		const back = await consent(authorizePath(client, newPkce()), person, 'deny');
		expect(back.searchParams.get('error')).toBe('access_denied');
		const first = await (await ask(authorizePath(client, newPkce()))).text();
		const at = await post('/oauth/authorize', { request: fieldOf(first, 'request'), decision: 'deny' }, { origin: BASE });
		expect(new URL(at.headers.get('location') ?? '').searchParams.get('error')).toBe('access_denied');
	});

	it('gives a viewer what a viewer may do', async () => {
		const viewer = await newMember(owner.token, 'viewer');
		const { answer } = await connect({ ...person, email: viewer.email }, { scope: 'jobs:read jobs:write supervisor:write' });
		expect(answer.body.scope).toBe('jobs:read');
	});

	it('shows an owner’s client the operator’s tools only when it asked for them', async () => {
		const { access } = await connect(person, { scope: 'jobs:read supervisor:read supervisor:write offline_access' });
		const listed = await toolsOf(await callMcp(access));
		expect(listed).toContain('coordination_metrics');
	});

	it('ends for a member who leaves the workspace', async () => {
		const member = await newMember(owner.token, 'member');
		const { access } = await connect({ ...person, email: member.email });
		expect((await callMcp(access)).status).toBe(200);
		expect((await api('DELETE', `/workspaces/${owner.ws}/members/${member.accountId}`, owner.token)).status).toBeLessThan(300);
		await expect.poll(async () => (await callMcp(access)).status, { timeout: 10_000 }).toBe(401);
	});
});

describe('the request', () => {
	it.each([
		['an address that was not registered', { redirect_uri: 'https://evil.example/callback' }],
		['an address that only begins like it', { redirect_uri: `${REDIRECT}/../evil` }],
		['an address with more behind it', { redirect_uri: `${REDIRECT}?x=1` }],
		['another port of an address that is no loopback', { redirect_uri: 'https://chat.example:8443/callback' }],
		['a client that nobody knows', { client_id: 'somebody' }],
		['no client', { client_id: undefined }],
	])('with %s is refused on a page, and nobody is sent anywhere', async (_what, change) => {
		const answer = await ask(authorizePath(await newClient(), newPkce(), change));
		expect([answer.status, answer.headers.get('location')]).toEqual([400, null]);
		expect(await answer.text()).not.toContain('password');
	});

	it('with a client id that somebody changed is refused', async () => {
		const client = await newClient();
		const [payload = '', mac = ''] = client.split('.');
		const json = JSON.parse(Buffer.from(payload, 'base64url').toString()) as Record<string, unknown>;
		const forged = Buffer.from(JSON.stringify({ ...json, redirects: ['https://evil.example/cb'] })).toString('base64url');
		const answer = await ask(authorizePath(`${forged}.${mac}`, newPkce(), { redirect_uri: 'https://evil.example/cb' }));
		expect([answer.status, answer.headers.get('location')]).toEqual([400, null]);
	});

	it.each([
		['without PKCE', { code_challenge: undefined }, 'invalid_request'],
		['with plain PKCE', { code_challenge_method: 'plain' }, 'invalid_request'],
		['for a token at once', { response_type: 'token' }, 'unsupported_response_type'],
		['for another resource', { resource: 'https://other.example/mcp' }, 'invalid_target'],
		['for the API itself', { resource: `${BASE}/api/v1` }, 'invalid_target'],
		['for scopes that clients cannot get', { scope: 'keys:write admin account operator' }, 'invalid_scope'],
		['for a fragment', { response_mode: 'fragment' }, 'invalid_request'],
	])('%s goes back with an error', async (_what, change, error) => {
		const answer = await ask(authorizePath(await newClient(), newPkce(), change));
		const back = new URL(answer.headers.get('location') ?? '');
		expect(`${back.origin}${back.pathname}`).toBe(REDIRECT);
		expect(Object.fromEntries(back.searchParams)).toMatchObject({ error, state: 'st&te', iss: BASE });
	});

	it('that says a thing twice goes back with an error', async () => {
		const answer = await ask(`${authorizePath(await newClient(), newPkce())}&scope=admin`);
		expect(new URL(answer.headers.get('location') ?? '').searchParams.get('error')).toBe('invalid_request');
	});
});

describe('a client whose id is the address of its document', () => {
	it('gets the whole way, is asked for once, and is called by its host', async () => {
		const url = 'https://chat.example/client.json';
		const fetched = serve(url, document(url));
		const pkce = newPkce();
		const html = await (await ask(authorizePath(url, pkce))).text();
		expect(html).toContain('It is the program of <b>chat.example</b>');
		const back = await consent(authorizePath(url, pkce), person);
		expect(fetched).toHaveBeenCalledTimes(1);
		expect(fetched.mock.calls[0]?.[1]).toMatchObject({ redirect: 'manual' });
		const answer = await redeem(url, back.searchParams.get('code') ?? '', pkce);
		expect((await callMcp(answer.body.access_token)).status).toBe(200);
	});

	it.each([
		['https://127.0.0.1/client.json'],
		['https://[::ffff:10.0.0.1]/client.json'],
		['https://0x7f.1/client.json'],
		['https://169.254.169.254/latest/meta-data'],
		['http://chat.example/client.json'],
		['https://chat.example/'],
		['https://me:secret@chat.example/client.json'],
	])('is not fetched from %s', async (url) => {
		const fetched = vi.spyOn(globalThis, 'fetch');
		expect((await ask(authorizePath(url, newPkce()))).status).toBe(400);
		expect(fetched).not.toHaveBeenCalled();
	});

	it.each([
		['of another id', 'a', { client_id: 'https://other.example/client.json' }, {}],
		['without addresses', 'b', { redirect_uris: undefined }, {}],
		['with a secret', 'c', { token_endpoint_auth_method: 'client_secret_basic' }, {}],
		['that leads on', 'd', {}, { status: 302, headers: { location: 'https://127.0.0.1/' } }],
		['that is missing', 'e', {}, { status: 404 }],
		['that is too large', 'f', { pad: 'x'.repeat(20_000) }, {}],
	])('is refused with a document %s', async (_what, name, change, init) => {
		const url = `https://chat.example/${name}.json`;
		serve(url, document(url, change), init);
		const answer = await ask(authorizePath(url, newPkce()));
		expect([answer.status, answer.headers.get('location')]).toEqual([400, null]);
	});
});
