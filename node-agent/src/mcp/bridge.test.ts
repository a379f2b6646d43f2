import { describe, expect, it } from 'vitest';
import { Bridge, headersOf } from './bridge.ts';
import { answerOffline } from './offline.ts';

interface Answer {
	id?: number;
	result?: Record<string, unknown>;
	error?: { message: string };
	method?: string;
}

const run = async (respond: (url: string, init: RequestInit) => Promise<Response>, lines: object[], apiKey: string | undefined = 'k') => {
	const sent: Answer[] = [];
	const seen: RequestInit[] = [];
	const bridge = new Bridge({
		url: 'http://gateway.test',
		apiKey,
		send: (message) => {
			expect(message).not.toContain('\n');
			sent.push(JSON.parse(message) as Answer);
		},
		offline: answerOffline,
		fetch: (url, init) => {
			seen.push(init);
			return respond(url, init);
		},
	});
	for (const line of lines) await bridge.line(JSON.stringify(line));
	return { sent, seen };
};

const call = { jsonrpc: '2.0', id: 1, method: 'tools/call', params: { name: 'list_models', arguments: {} } };
const initialize = {
	jsonrpc: '2.0',
	id: 0,
	method: 'initialize',
	params: { protocolVersion: '2025-06-18', capabilities: {}, clientInfo: { name: 't', version: '1' } },
};
const tooMany = (): Promise<Response> => Promise.resolve(Response.json({ detail: 'too many requests' }, { status: 429 }));
const down = (): Promise<Response> => Promise.reject(new TypeError('fetch failed'));

describe('headers', () => {
	it('repeat version, method and name of a modern message, and nothing of an older one', () => {
		const meta = { 'io.modelcontextprotocol/protocolVersion': '2026-07-28' };
		expect(headersOf({ id: 1, method: 'tools/call', params: { name: 'x', _meta: meta } }, undefined)).toMatchObject({
			'mcp-protocol-version': '2026-07-28',
			'mcp-method': 'tools/call',
			'mcp-name': 'x',
		});
		expect(headersOf({ id: 1, method: 'resources/read', params: { uri: 'limner://ü', _meta: meta } }, undefined)['mcp-name']).toMatch(
			/^=\?base64\?/,
		);
		expect(headersOf(call, '2025-06-18')).toMatchObject({ 'mcp-protocol-version': '2025-06-18' });
		expect(headersOf(call, '2025-06-18')).not.toHaveProperty('mcp-method');
		expect(headersOf(initialize, '2025-06-18')).not.toHaveProperty('mcp-protocol-version');
	});
});

describe('with a gateway', () => {
	it('passes streams and single answers on, one message a line', async () => {
		const stream =
			'data: {"jsonrpc":"2.0","method":"notifications/progress","params":{}}\n\n: keep\n\ndata: {"jsonrpc":"2.0","id":1,"result":{}}\n\n';
		const { sent, seen } = await run(
			() => Promise.resolve(new Response(stream, { headers: { 'content-type': 'text/event-stream' } })),
			[call],
		);
		expect(sent.map((message) => message.method ?? message.id)).toEqual(['notifications/progress', 1]);
		expect(new Headers(seen[0]?.headers).get('authorization')).toBe('Bearer k');
	});

	it('sends the negotiated version with what follows', async () => {
		const { seen } = await run(
			() => Promise.resolve(Response.json({ jsonrpc: '2.0', id: 0, result: { protocolVersion: '2025-03-26' } })),
			[initialize, call],
		);
		expect(new Headers(seen[1]?.headers).get('mcp-protocol-version')).toBe('2025-03-26');
	});

	it('answers a problem of the gateway as an error, and nothing for a notification', async () => {
		const { sent } = await run(tooMany, [call, { jsonrpc: '2.0', method: 'notifications/initialized' }]);
		expect(sent).toEqual([{ jsonrpc: '2.0', id: 1, error: { code: -32_000, message: 'too many requests' } }]);
	});

	it('hangs up on a call that the host cancels', async () => {
		const sent: string[] = [];
		let hungUp = false;
		const bridge = new Bridge({
			url: 'http://gateway.test',
			apiKey: 'k',
			send: (message) => sent.push(message),
			offline: answerOffline,
			fetch: (_url, { signal }) =>
				new Promise((_resolve, reject) => {
					signal?.addEventListener('abort', () => {
						hungUp = true;
						reject(new Error('aborted'));
					});
				}),
		});
		const running = bridge.line(JSON.stringify(call));
		await bridge.line(JSON.stringify({ jsonrpc: '2.0', method: 'notifications/cancelled', params: { requestId: 1 } }));
		await running;
		expect(hungUp).toBe(true);
		expect(sent).toEqual([]);
	});
});

describe('without a gateway', () => {
	it('lists the tools, and each says how to start one', async () => {
		const { sent } = await run(down, [initialize, { jsonrpc: '2.0', id: 1, method: 'tools/list', params: {} }, { ...call, id: 2 }]);
		const answer = (id: number): Answer => sent.find((message) => message.id === id) ?? {};
		expect(answer(0).result).toMatchObject({ serverInfo: { name: 'limner' } });
		expect(answer(1).result?.['tools']).toHaveLength(10);
		expect(answer(2).result).toMatchObject({ isError: true });
		expect(JSON.stringify(answer(2))).toContain('npm start');
	});

	it('says that a key is missing or not known', async () => {
		expect(JSON.stringify((await run(down, [call], '')).sent)).toContain('limner login');
		const refused = await run(() => Promise.resolve(new Response('{}', { status: 401 })), [call]);
		expect(JSON.stringify(refused.sent)).toContain('does not know the API key');
	});

	it('answers what is no message as the protocol says', async () => {
		const sent: string[] = [];
		const bridge = new Bridge({ url: '', apiKey: 'k', send: (message) => sent.push(message), offline: answerOffline, fetch: down });
		await bridge.line('not json');
		expect(JSON.parse(sent[0] ?? '')).toMatchObject({ id: null, error: { code: -32_700 } });
	});
});
