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
			response.end('hello');
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
});
