/**
 * A gateway that plays conversations: enrolment, certificates, sockets and uploads over real connections, every answer
 * chosen by the case that is played, and every word of the node checked against the schemas.
 * @module
 */
import { createHash, createPublicKey, verify } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { helloMessage, parseNodeFrame, PING_TEXT, PONG_TEXT, SUBPROTOCOL, type GrantRef, type Hello, type NodeFrame } from '@limner/shared';
import { WebSocketServer, type WebSocket } from 'ws';
import { until } from '../lib/until.ts';

export type FrameOf<T extends NodeFrame['t']> = Extract<NodeFrame, { t: T }>;

export interface Upload {
	ticket: string;
	bytes: Buffer;
	headers: IncomingMessage['headers'];
	/** What it was answered. */
	status: number;
}

/** One connection of the node, with all that came over it. */
export interface Conversation {
	ws: WebSocket;
	connId: string;
	nonce: string;
	/** Of the upgrade request. */
	headers: IncomingMessage['headers'];
	frames: { frame: NodeFrame; at: number }[];
	pings: number[];
	/** Set when a hello was accepted. */
	hello: Hello | undefined;
	closed: boolean;
}

export const JOIN_TOKEN = 'jt_conformance';
const NODE_ID = `node_${'7'.repeat(26)}`;
const YEAR_MS = 365 * 86_400_000;

export class ScriptedGateway {
	readonly conversations: Conversation[] = [];
	readonly uploads: Upload[] = [];
	readonly enrolments: unknown[] = [];
	renewals = 0;
	/** Everything that no node may do. */
	readonly violations: string[] = [];
	/** Status of the next uploads; the last one stays. */
	uploadStatus: number[] = [200];
	/** Status of the next upgrades; 101 = let in. */
	upgradeStatus: number[] = [101];
	/** Close code instead of a welcome. */
	closeInstead: number[] = [];
	keep: GrantRef[] = [];
	drop: GrantRef[] = [];
	welcome: Record<string, unknown> = {};
	/** Answers heartbeats. */
	alive = true;
	#publicKey = '';
	#connections = 0;
	readonly #http: Server;
	readonly #sockets = new WebSocketServer({
		noServer: true,
		handleProtocols: (offered) => (offered.has(SUBPROTOCOL) ? SUBPROTOCOL : false),
	});

	private constructor() {
		this.#http = createServer((request, response) => void this.#onRequest(request, response));
		this.#http.on('upgrade', (request, socket, head) => this.#onUpgrade(request, socket, head));
	}

	static async start(): Promise<ScriptedGateway> {
		const gateway = new ScriptedGateway();
		await new Promise<void>((resolve) => gateway.#http.listen(0, '127.0.0.1', resolve));
		return gateway;
	}

	get url(): string {
		return `http://127.0.0.1:${(this.#http.address() as AddressInfo).port}`;
	}

	async stop(): Promise<void> {
		for (const socket of this.#sockets.clients) socket.terminate();
		this.#http.closeAllConnections();
		await new Promise((resolve) => this.#http.close(resolve));
	}

	#must(condition: boolean, sentence: string): void {
		if (!condition) this.violations.push(sentence);
	}

	async #onRequest(request: IncomingMessage, response: ServerResponse): Promise<void> {
		const chunks: Buffer[] = [];
		for await (const chunk of request) chunks.push(chunk as Buffer);
		const body = Buffer.concat(chunks);
		const path = request.url ?? '';
		const json = (status: number, value: unknown): void =>
			void response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(value));
		if (request.method === 'PUT' && path.startsWith('/api/v1/results/')) {
			const status = this.#answerUpload(path, body, request.headers);
			return json(status, status === 200 ? { outcome: 'accepted' } : { status, code: 'scripted', detail: 'as the case says' });
		}
		if (request.method === 'POST' && path === '/api/v1/nodes') return this.#enrol(body, json);
		if (request.method === 'POST' && path === '/api/v1/nodes/renew') {
			this.renewals++;
			this.#must(this.#isCurrent(request.headers.authorization), 'the renewal does not carry the certificate');
			return json(200, this.#identity());
		}
		this.violations.push(`${request.method} ${path} is not part of the protocol`);
		return json(404, { detail: 'not found' });
	}

	#answerUpload(path: string, bytes: Buffer, headers: IncomingMessage['headers']): number {
		const status = (this.uploadStatus.length > 1 ? this.uploadStatus.shift() : this.uploadStatus[0]) ?? 200;
		this.uploads.push({ ticket: decodeURIComponent(path.split('/').at(-1) ?? ''), bytes, headers, status });
		return status;
	}

	#enrol(body: Buffer, json: (status: number, value: unknown) => void): void {
		const asked = JSON.parse(body.toString()) as { token?: string; publicKey?: string; name?: string };
		this.enrolments.push(asked);
		this.#must(/^[A-Za-z0-9_-]{43}$/.test(asked.publicKey ?? ''), 'publicKey is not a raw Ed25519 key as base64url');
		this.#must(typeof asked.name === 'string' && asked.name !== '', 'the enrolment names no name');
		if (asked.token !== JOIN_TOKEN) return json(401, { detail: 'the join token is not valid' });
		this.#publicKey = asked.publicKey ?? '';
		return json(201, this.#identity());
	}

	#identity(): Record<string, unknown> {
		const exp = Date.now() + YEAR_MS;
		const certificate = `${Buffer.from(JSON.stringify({ k: 'node', trust: 'own', exp })).toString('base64url')}.scripted`;
		const times = { expiresAt: new Date(exp).toISOString(), gatewayTime: new Date().toISOString() };
		return { nodeId: NODE_ID, certificate, ws: 'main', trust: 'own', shard: 0, name: 'conformance', ...times };
	}

	#isCurrent(authorization: string | undefined): boolean {
		return authorization !== undefined && /^Bearer [\w-]+\.scripted$/.test(authorization);
	}

	#onUpgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
		const status = (this.upgradeStatus.length > 1 ? this.upgradeStatus.shift() : this.upgradeStatus[0]) ?? 101;
		if (status !== 101) return void socket.end(`HTTP/1.1 ${status} Refused\r\ncontent-length: 0\r\n\r\n`);
		this.#must(request.url === '/api/v1/nodes/connect', `the socket is opened at ${request.url}`);
		this.#must(this.#isCurrent(request.headers.authorization), 'the upgrade does not carry the certificate');
		this.#must(
			(request.headers['sec-websocket-protocol'] ?? '').split(/\s*,\s*/).includes(SUBPROTOCOL),
			`the subprotocol ${SUBPROTOCOL} is not offered`,
		);
		return this.#sockets.handleUpgrade(request, socket, head, (ws) => this.#onSocket(ws, request));
	}

	#onSocket(ws: WebSocket, request: IncomingMessage): void {
		const connId = `c-${++this.#connections}`;
		const nonce = createHash('sha256').update(connId).digest('base64url').slice(0, 22);
		const talk: Conversation = { ws, connId, nonce, headers: request.headers, frames: [], pings: [], hello: undefined, closed: false };
		this.conversations.push(talk);
		ws.on('close', () => (talk.closed = true));
		ws.on('message', (data: Buffer, isBinary) => {
			if (isBinary) return;
			if (data.toString() === PING_TEXT) {
				talk.pings.push(Date.now());
				if (this.alive) ws.send(PONG_TEXT);
			} else this.#onFrame(talk, data.toString());
		});
		const code = this.closeInstead.shift();
		if (code === undefined) ws.send(JSON.stringify({ t: 'challenge', nonce, connId }));
		else ws.close(code, 'as the case says');
	}

	#onFrame(talk: Conversation, text: string): void {
		const parsed = parseNodeFrame(text);
		if (parsed.kind !== 'frame') {
			this.violations.push(
				`a frame is not of the protocol (${parsed.kind === 'bad' ? parsed.detail : parsed.type}): ${text.slice(0, 200)}`,
			);
			return;
		}
		const { frame } = parsed;
		talk.frames.push({ frame, at: Date.now() });
		if (frame.t === 'hello') this.#onHello(talk, frame);
		else this.#must(talk.hello !== undefined, `${frame.t} comes before the hello`);
	}

	#onHello(talk: Conversation, hello: Hello): void {
		this.#must(hello.connId === talk.connId, 'hello does not repeat the connId of the challenge');
		this.#must(hello.nodeId === NODE_ID, 'hello names another node than the certificate');
		const key = createPublicKey({ format: 'jwk', key: { kty: 'OKP', crv: 'Ed25519', x: this.#publicKey } });
		const signed = verify(null, Buffer.from(helloMessage(talk.nonce, NODE_ID, talk.connId)), key, Buffer.from(hello.sig, 'base64url'));
		this.#must(signed, 'the signature in hello does not fit the key of the enrolment');
		this.#must(new Set(hello.slots.map((slot) => slot.id)).size === hello.slots.length, 'two slots have one id');
		talk.hello = hello;
		const config = { pingMs: 4000, progressMs: 2000, watchProgressMs: 250, telemetryMs: 30_000 };
		const common = {
			t: 'welcome',
			nodeId: NODE_ID,
			connId: talk.connId,
			minVersion: 1,
			mode: 'active',
			config,
			keep: this.keep,
			drop: this.drop,
		};
		talk.ws.send(JSON.stringify({ ...common, ...this.welcome }));
	}

	/** The newest connection that was welcomed, once there are so many. */
	async online(connections = 1): Promise<Conversation> {
		return until(
			`connection ${connections} is welcomed`,
			() => this.conversations.filter((talk) => talk.hello !== undefined)[connections - 1],
			30_000,
			10,
		);
	}

	/** The first frame of a kind that fits, on any connection. */
	async frame<T extends NodeFrame['t']>(t: T, match: (frame: FrameOf<T>) => boolean = () => true, timeoutMs = 20_000): Promise<FrameOf<T>> {
		return until(`the node sends ${t}`, () => this.find(t, match), timeoutMs, 10);
	}

	find<T extends NodeFrame['t']>(t: T, match: (frame: FrameOf<T>) => boolean = () => true): FrameOf<T> | undefined {
		for (const talk of this.conversations) {
			for (const { frame } of talk.frames) if (frame.t === t && match(frame as FrameOf<T>)) return frame as FrameOf<T>;
		}
		return undefined;
	}

	/** The first upload with a ticket and an answer. */
	async upload(ticket: string, status?: number): Promise<Upload> {
		const fits = (upload: Upload): boolean => upload.ticket === ticket && (status === undefined || upload.status === status);
		return until(`${ticket} is uploaded`, () => this.uploads.find(fits), 30_000, 10);
	}
}
