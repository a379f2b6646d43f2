import { createPublicKey, verify } from 'node:crypto';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { decodePreview, helloMessage, parseNodeFrame, type GatewayFrame, type NodeFrame } from '@limner/shared';
import { afterEach, describe, expect, it } from 'vitest';
import { WebSocketServer, type WebSocket } from 'ws';
import { newKeyPair, signHello } from '../identity/keys.ts';
import { UserError } from '../lib/user-error.ts';
import { Link, type LinkOptions } from './socket.ts';

const NODE = `node_${'0'.repeat(26)}`;
const keys = newKeyPair();
const cleanups: (() => Promise<void>)[] = [];
afterEach(async () => {
	for (const cleanup of cleanups.splice(0)) await cleanup();
});

interface Fake {
	url: string;
	sockets: WebSocket[];
	frames: NodeFrame[];
	binaries: Buffer[];
	pings: number;
	headers: (string | undefined)[];
	refuseWith?: number;
	silent: boolean;
}

const until = async (what: string, check: () => boolean, ms = 5000): Promise<void> => {
	const end = Date.now() + ms;
	while (!check()) {
		if (Date.now() > end) throw new Error(`timed out: ${what}`);
		await new Promise((resolve) => setTimeout(resolve, 10));
	}
};

/** A gateway that speaks the protocol: challenge, checks the signature, welcome, pong. */
const fakeGateway = async (config = { pingMs: 4000 }): Promise<Fake> => {
	const http: Server = createServer();
	const server = new WebSocketServer({ noServer: true, handleProtocols: (offered) => (offered.has('limner.v1') ? 'limner.v1' : false) });
	await new Promise<void>((resolve) => http.listen(0, '127.0.0.1', resolve));
	const fake: Fake = {
		url: `http://127.0.0.1:${(http.address() as AddressInfo).port}`,
		sockets: [],
		frames: [],
		binaries: [],
		pings: 0,
		headers: [],
		silent: false,
	};
	http.on('upgrade', (request, socket, head) => {
		fake.headers.push(request.headers.authorization);
		if (fake.refuseWith !== undefined) return void socket.end(`HTTP/1.1 ${fake.refuseWith} No\r\nContent-Length: 0\r\n\r\n`);
		return server.handleUpgrade(request, socket, head, (ws) => server.emit('connection', ws));
	});
	server.on('connection', (ws) => {
		fake.sockets.push(ws);
		const connId = `conn-${fake.sockets.length}`;
		ws.send(JSON.stringify({ t: 'challenge', nonce: 'nonce', connId }));
		ws.on('message', (data: Buffer, isBinary) => {
			if (isBinary) return void fake.binaries.push(data);
			if (data.toString() === 'ping') {
				fake.pings++;
				return fake.silent ? undefined : ws.send('pong');
			}
			const parsed = parseNodeFrame(data.toString());
			if (parsed.kind !== 'frame') throw new Error(`bad frame: ${data.toString()}`);
			fake.frames.push(parsed.frame);
			if (parsed.frame.t !== 'hello') return undefined;
			const key = createPublicKey({ format: 'jwk', key: { kty: 'OKP', crv: 'Ed25519', x: keys.publicKey } });
			const signed = verify(null, Buffer.from(helloMessage('nonce', NODE, connId)), key, Buffer.from(parsed.frame.sig, 'base64url'));
			if (!signed) return ws.close(4401, 'signature');
			return ws.send(
				JSON.stringify({
					t: 'welcome',
					nodeId: NODE,
					connId,
					minVersion: 1,
					mode: 'active',
					config: { progressMs: 2000, watchProgressMs: 250, telemetryMs: 30_000, ...config },
					keep: [],
					drop: [],
				}),
			);
		});
	});
	cleanups.push(async () => {
		for (const socket of server.clients) socket.terminate();
		http.closeAllConnections();
		await new Promise((resolve) => http.close(resolve));
	});
	return fake;
};

const makeLink = (fake: Fake, extra: Partial<LinkOptions> = {}): { link: Link; frames: GatewayFrame[]; halts: string[] } => {
	const frames: GatewayFrame[] = [];
	const halts: string[] = [];
	const link = new Link({
		credentials: () => ({ gateway: fake.url, certificate: 'cert' }),
		hello: (nonce, connId) => ({
			t: 'hello',
			v: 1,
			nodeId: NODE,
			connId,
			bootId: 'boot',
			sig: signHello(keys, nonce, NODE, connId),
			name: 'n',
			agentVersion: '0',
			platform: 'test',
			slots: [{ id: 's0', device: { kind: 'mock', name: 'm' }, engine: 'mock', maxBatch: 1 }],
			models: [],
			running: [],
			finished: [],
		}),
		onFrame: (frame) => frames.push(frame),
		onState: () => undefined,
		onHalt: (sentence) => halts.push(sentence),
		renew: () => Promise.reject(new UserError('needs a token')),
		isFinal: (error) => error instanceof UserError,
		random: () => 0.05,
		...extra,
	});
	cleanups.push(() => link.stop());
	return { link, frames, halts };
};

describe('Link', () => {
	it('greets with a signature that the gateway accepts, pings, and carries frames both ways', async () => {
		const fake = await fakeGateway({ pingMs: 50 });
		const { link, frames } = makeLink(fake);
		link.start();
		await until('online', () => link.online);
		expect(fake.headers).toEqual(['Bearer cert']);
		expect(fake.sockets[0]?.protocol).toBe('limner.v1');
		fake.sockets[0]?.send(JSON.stringify({ t: 'status', text: 'no work', queued: 0 }));
		fake.sockets[0]?.send(JSON.stringify({ t: 'from-the-future' }));
		await until('status', () => frames.some((frame) => frame.t === 'status'));
		await until('unknown counted', () => link.unknownFrames === 1);
		expect(link.send({ t: 'bye', reason: 'r', abandoned: [] })).toBe(true);
		await until('bye', () => fake.frames.some((frame) => frame.t === 'bye'));
		link.sendPreview({ jobId: 'j', index: 0, epoch: 1, step: 3, contentType: 'image/jpeg' }, new Uint8Array([1, 2]));
		await until('preview', () => fake.binaries.length === 1);
		expect(decodePreview(fake.binaries[0]!)).toMatchObject({ header: { step: 3 } });
		expect(link.online).toBe(true);
	});

	it('pings on its own and notices a half-open connection', async () => {
		const fake = await fakeGateway({ pingMs: 40 });
		const { link } = makeLink(fake);
		link.start();
		await until('online', () => link.online);
		await until('pings', () => fake.pings > 2);
		fake.silent = true;
		await until('a second connection', () => fake.sockets.length === 2);
		fake.silent = false;
		await until('online again', () => link.online);
		expect(link.state.socketId).toBeGreaterThan(1);
	});

	it('comes back after a cut and after a restart of the gateway', async () => {
		const fake = await fakeGateway();
		const { link, frames } = makeLink(fake);
		link.start();
		await until('online', () => link.online);
		fake.sockets[0]?.terminate();
		await until('offline', () => !link.online);
		await until('online again', () => link.online);
		fake.sockets[1]?.close(4503, 'restarting');
		await until('third', () => fake.sockets.length === 3 && link.online);
		expect(frames.filter((frame) => frame.t === 'welcome')).toHaveLength(3);
		expect(link.send({ t: 'bye', reason: '', abandoned: [] })).toBe(true);
	});

	it('stops with a sentence when another process took its place', async () => {
		const fake = await fakeGateway();
		const { link, halts } = makeLink(fake);
		link.start();
		await until('online', () => link.online);
		fake.sockets[0]?.close(4409, 'replaced');
		await until('halted', () => halts.length === 1);
		expect(halts[0]).toContain('--state-dir');
		await new Promise((resolve) => setTimeout(resolve, 200));
		expect(fake.sockets).toHaveLength(1);
	});

	it('renews after HTTP 401, and stops with the sentence when that fails', async () => {
		const fake = await fakeGateway();
		fake.refuseWith = 401;
		const { link, halts } = makeLink(fake);
		link.start();
		await until('halted', () => halts.length === 1);
		expect(halts).toEqual(['needs a token']);
		const second = makeLink(fake, {
			renew: () => {
				delete fake.refuseWith;
				return Promise.resolve();
			},
		});
		second.link.start();
		await until('online with the new certificate', () => second.link.online);
	});

	it('keeps trying while nothing listens', async () => {
		const fake = await fakeGateway();
		let { url } = fake;
		const { link } = makeLink(fake, { credentials: () => ({ gateway: url, certificate: 'c' }), random: () => 0.01 });
		url = 'http://127.0.0.1:9';
		link.start();
		await until('failed', () => link.state.attempt > 1);
		expect(link.state.problem).toMatch(/ECONNREFUSED/);
		({ url } = fake);
		await until('online', () => link.online);
	});
});
