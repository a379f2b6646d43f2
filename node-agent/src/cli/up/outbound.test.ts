import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { Request } from 'miniflare';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { outboundHandler, publicLookup } from './outbound.ts';

let server: Server;
let seen: string[] = [];
const port = (): number => (server.address() as AddressInfo).port;

beforeAll(async () => {
	server = createServer((request, response) => {
		const parts: Buffer[] = [];
		request.on('data', (part: Buffer) => parts.push(part));
		request.on('end', () => {
			seen.push(`${request.method} ${request.url} ${String(request.headers['x-a'])} ${Buffer.concat(parts).toString()}`);
			if (request.url === '/redirect') response.writeHead(302, { location: 'http://127.0.0.1/' });
			if (request.url === '/big') response.writeHead(200, { 'content-length': 200_000 }).end(Buffer.alloc(200_000));
			else response.end('hello');
		});
	});
	await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
});
afterAll(() => new Promise((resolve) => server.close(resolve)));

describe('the way out of the local gateway', () => {
	it('refuses private addresses before anything is sent', async () => {
		for (const url of [
			`http://127.0.0.1:${port()}/`,
			`https://127.0.0.1:${port()}/`,
			`https://[::1]:${port()}/`,
			`https://localhost:${port()}/`,
		]) {
			expect((await outboundHandler(false)(new Request(url, { method: 'POST', body: 'x' }))).status).toBe(403);
		}
		expect(seen).toEqual([]);
	});

	it('refuses names that resolve into a private network', async () => {
		const error = await new Promise<Error | null>((resolve) => publicLookup('localhost', {}, resolve));
		expect(error?.message).toContain('private network');
	});

	it('passes requests on where private networks are allowed, and follows no redirect', async () => {
		const base = `http://127.0.0.1:${port()}`;
		const made = await outboundHandler(true)(new Request(`${base}/a`, { method: 'POST', body: 'text', headers: { 'x-a': 'b' } }));
		expect([made.status, await made.text()]).toEqual([200, 'hello']);
		expect(seen).toEqual(['POST /a b text']);
		const moved = await outboundHandler(true)(new Request(`${base}/redirect`, { method: 'POST', body: '' }));
		expect(moved.status).toBe(302);
	});

	it('lets the operator’s storage through whole, and nothing beside it', async () => {
		const base = `http://127.0.0.1:${port()}`;
		const handler = outboundHandler(false, `${base}/bucket`);
		const big = await handler(new Request(`${base}/big`, { method: 'GET', headers: { authorization: 'AWS4', 'x-a': 'c' } }));
		expect([big.status, big.headers.get('content-length'), (await big.arrayBuffer()).byteLength]).toEqual([200, '200000', 200_000]);
		const head = await handler(new Request(`${base}/big`, { method: 'HEAD' }));
		expect([head.status, head.headers.get('content-length')]).toEqual([200, '200000']);
		seen = [];
		const body = new ReadableStream({
			start: (controller) => {
				controller.enqueue(new TextEncoder().encode('in '));
				controller.enqueue(new TextEncoder().encode('pieces'));
				controller.close();
			},
		});
		const put = new Request(`${base}/put`, { method: 'PUT', body, duplex: 'half', headers: { 'content-length': '9' } });
		expect((await handler(put)).status).toBe(200);
		expect(seen).toEqual(['PUT /put undefined in pieces']);
		expect((await handler(new Request(`http://localhost:${port()}/put`))).status).toBe(403);
		expect((await handler(new Request('http://127.0.0.1:1/put'))).status).toBe(403);
	});
});
