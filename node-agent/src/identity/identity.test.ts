import { createPublicKey, verify } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { helloMessage, rotateMessage } from '@limner/shared';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { ensureEnrolled, planEnrolment, recoverCertificate, rotateKey } from './enrol.ts';
import { newKeyPair, signHello } from './keys.ts';
import { certificateExpiry, loadIdentity, type Identity } from './store.ts';

const DAY_MS = 86_400_000;
const NOW = 1_800_000_000_000;
const certificate = (exp: number): string => `${Buffer.from(JSON.stringify({ k: 'node', exp })).toString('base64url')}.sig`;

let folder = '';
const servers: Server[] = [];
beforeEach(() => {
	folder = mkdtempSync(join(tmpdir(), 'limner-id-'));
});
afterEach(() => {
	rmSync(folder, { recursive: true, force: true });
	for (const server of servers.splice(0)) server.close();
});

interface Seen {
	path: string;
	auth: string | undefined;
	body: unknown;
}
const serve = async (answer: (seen: Seen) => [number, object]): Promise<{ url: string; seen: Seen[] }> => {
	const seen: Seen[] = [];
	const server = createServer((request, response) => {
		let text = '';
		request.on('data', (chunk) => (text += String(chunk)));
		request.on('end', () => {
			const call = { path: request.url ?? '', auth: request.headers.authorization, body: JSON.parse(text) as unknown };
			seen.push(call);
			const [status, body] = answer(call);
			response.writeHead(status, { 'content-type': 'application/json' });
			response.end(JSON.stringify(body));
		});
	});
	servers.push(server);
	await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
	return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, seen };
};
const options = (url: string, token?: string): Parameters<typeof ensureEnrolled>[0] => ({
	gateway: url,
	stateDir: folder,
	name: 'n',
	token,
	now: NOW,
});

describe('keys', () => {
	it('signs hello so that the public key verifies it', () => {
		const keys = newKeyPair();
		expect(Buffer.from(keys.publicKey, 'base64url')).toHaveLength(32);
		const key = createPublicKey({ format: 'jwk', key: { kty: 'OKP', crv: 'Ed25519', x: keys.publicKey } });
		const signature = Buffer.from(signHello(keys, 'n', 'node', 'c'), 'base64url');
		expect(verify(null, Buffer.from(helloMessage('n', 'node', 'c')), key, signature)).toBe(true);
		expect(verify(null, Buffer.from(helloMessage('n', 'node', 'd')), key, signature)).toBe(false);
	});
});

describe('identity store', () => {
	it('makes a key pair once, in a file that only its owner reads', async () => {
		const first = await loadIdentity(folder);
		expect(await loadIdentity(folder)).toEqual(first);
		expect(statSync(join(folder, 'node.json')).mode & 0o777).toBe(0o600);
	});
	it('says what to do with a damaged file', async () => {
		writeFileSync(join(folder, 'node.json'), '{');
		await expect(loadIdentity(folder)).rejects.toThrow(/damaged; delete it and enrol again with --token/);
	});
});

describe('planEnrolment', () => {
	const keys = { publicKey: 'a', privateKey: 'b' };
	const enrolled = (exp: number): Identity => ({ version: 1, keys, gateway: 'g', nodeId: 'n', certificate: certificate(exp) });
	it.each([
		['no certificate, token', { version: 1, keys } satisfies Identity, 'g', true, 'enrol'],
		['no certificate, no token', { version: 1, keys } satisfies Identity, 'g', false, 'needs-token'],
		['valid', enrolled(NOW + 8 * DAY_MS), 'g', true, 'keep'],
		['exactly 7 days left', enrolled(NOW + 7 * DAY_MS), 'g', false, 'keep'],
		['less than 7 days left', enrolled(NOW + 7 * DAY_MS - 1), 'g', false, 'renew'],
		['expired', enrolled(NOW), 'g', false, 'needs-token'],
		['expired with token', enrolled(NOW), 'g', true, 'enrol'],
		['same gateway at a new address', enrolled(NOW + 8 * DAY_MS), 'other', false, 'keep'],
		['another gateway with its token', enrolled(NOW + 8 * DAY_MS), 'other', true, 'enrol'],
	] as const)('%s', (_name, identity, gateway, hasToken, plan) => {
		expect(planEnrolment(identity, { gateway, hasToken, now: NOW })).toBe(plan);
	});
	it('reads the end out of a certificate', () => {
		expect(certificateExpiry(certificate(5))).toBe(5);
		expect(certificateExpiry('opaque')).toBeUndefined();
	});
});

describe('enrolment', () => {
	it('enrols with the token once and is kept afterwards', async () => {
		const { url, seen } = await serve(() => [201, { nodeId: 'node_1', certificate: certificate(NOW + 90 * DAY_MS), shard: 3 }]);
		const identity = await ensureEnrolled(options(url, 'tok'));
		expect(identity).toMatchObject({ nodeId: 'node_1', shard: 3, gateway: url });
		expect(seen).toEqual([
			{ path: '/api/v1/nodes', auth: undefined, body: { token: 'tok', publicKey: identity.keys.publicKey, name: 'n' } },
		]);
		expect(await ensureEnrolled(options(url))).toEqual(identity);
		expect(seen).toHaveLength(1);
		expect(JSON.parse(readFileSync(join(folder, 'node.json'), 'utf8'))).toEqual(identity);
	});

	it('renews with the certificate before it ends, and goes on with the old one when that fails', async () => {
		let status = 500;
		const old = certificate(NOW + DAY_MS);
		const fresh = certificate(NOW + 90 * DAY_MS);
		const { url, seen } = await serve((call) =>
			call.path === '/api/v1/nodes'
				? [201, { nodeId: 'node_1', certificate: old, shard: 0 }]
				: [status, { nodeId: 'node_1', certificate: fresh, shard: 0 }],
		);
		await ensureEnrolled(options(url, 'tok'));
		expect((await ensureEnrolled(options(url))).certificate).toBe(old);
		status = 200;
		expect((await ensureEnrolled(options(url))).certificate).toBe(fresh);
		expect(seen.at(-1)).toMatchObject({ path: '/api/v1/nodes/renew', auth: `Bearer ${old}` });
	});

	it('changes the key: signed by the old one, and asks for the same new one again when the answer was lost', async () => {
		let status = 500;
		const { url, seen } = await serve((call) =>
			call.path === '/api/v1/nodes'
				? [201, { nodeId: 'node_1', certificate: certificate(NOW + 90 * DAY_MS), shard: 0 }]
				: [status, { nodeId: 'node_1', certificate: certificate(NOW + 91 * DAY_MS), shard: 0 }],
		);
		const before = await ensureEnrolled(options(url, 'tok'));
		await expect(rotateKey(options(url))).rejects.toThrow(/answered 500/);
		expect((await loadIdentity(folder)).keys).toEqual(before.keys);
		status = 200;
		const after = await rotateKey(options(url));
		const bodies = seen.slice(1).map(({ body }) => body as { newPublicKey: string; at: number; signature: string });
		expect(bodies.map(({ newPublicKey }) => newPublicKey)).toEqual([after.keys.publicKey, after.keys.publicKey]);
		expect(after.keys.publicKey).not.toBe(before.keys.publicKey);
		const old = createPublicKey({ format: 'jwk', key: { kty: 'OKP', crv: 'Ed25519', x: before.keys.publicKey } });
		const text = Buffer.from(rotateMessage('node_1', after.keys.publicKey, NOW));
		expect(verify(null, text, old, Buffer.from(bodies[1]!.signature, 'base64url'))).toBe(true);
		expect(await loadIdentity(folder)).toEqual(after);
		expect(after).toMatchObject({ name: 'n', certificate: certificate(NOW + 91 * DAY_MS) });
		expect(after.nextKeys).toBeUndefined();
	});

	it('changes no key of a node that is not enrolled', async () => {
		await expect(rotateKey(options('http://127.0.0.1:9'))).rejects.toThrow(/not enrolled/);
	});

	it('tells what to do without a token and with a bad one', async () => {
		await expect(ensureEnrolled(options('http://127.0.0.1:9'))).rejects.toThrow(/no valid certificate .*--token/);
		const { url } = await serve(() => [401, { type: 'x', title: 'The token was used up', status: 401, code: 'unauthorized' }]);
		await expect(ensureEnrolled(options(url, 'tok'))).rejects.toThrow(
			/refused the join token \(The token was used up\); make a new join token/,
		);
		await expect(recoverCertificate(options(url))).rejects.toThrow(/--token/);
	});
});
