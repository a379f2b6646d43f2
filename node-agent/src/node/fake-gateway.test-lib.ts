/**
 * A gateway for tests of the node: enrolment, socket, inputs and uploads over real connections, with every answer under
 * the test's control.
 * @module
 */
import { createHash, createPublicKey, verify } from 'node:crypto';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import {
	decodePreview,
	helloMessage,
	parseNodeFrame,
	TIMING,
	type GatewayFrame,
	type GrantRef,
	type JobSpec,
	type NodeFrame,
	type PreviewHeader,
} from '@limner/shared';
import { WebSocketServer, type WebSocket } from 'ws';
import { MOCK_MODEL } from './mock.ts';

export interface Upload {
	ticket: string;
	bytes: Buffer;
	meta: unknown;
	sha256Matches: boolean;
}

const readBody = async (request: IncomingMessage): Promise<Buffer> => {
	const chunks: Buffer[] = [];
	for await (const chunk of request) chunks.push(chunk as Buffer);
	return Buffer.concat(chunks);
};

const NODE_ID = `node_${'1'.repeat(26)}`;
const YEAR_MS = 365 * 24 * 60 * 60 * 1000;

export class FakeGateway {
	url = '';
	frames: NodeFrame[] = [];
	previews: PreviewHeader[] = [];
	uploads: Upload[] = [];
	certificates: string[] = [];
	/** Status of each PUT. */
	uploadStatus = 200;
	drop: GrantRef[] = [];
	/** Bytes served for input pictures; undefined answers 404. */
	input: Buffer | undefined;
	socket: WebSocket | undefined;
	readonly #http: Server;
	readonly #sockets = new WebSocketServer({ noServer: true, handleProtocols: () => 'limner.v1' });
	#publicKey = '';
	#connections = 0;

	private constructor() {
		this.#http = createServer((request, response) => void this.#onRequest(request, response));
		this.#http.on('upgrade', (request, socket, head) => {
			this.certificates.push(request.headers.authorization ?? '');
			this.#sockets.handleUpgrade(request, socket, head, (ws) => this.#onSocket(ws));
		});
	}

	static async start(): Promise<FakeGateway> {
		const gateway = new FakeGateway();
		await new Promise<void>((resolve) => gateway.#http.listen(0, '127.0.0.1', resolve));
		gateway.url = `http://127.0.0.1:${(gateway.#http.address() as AddressInfo).port}`;
		return gateway;
	}

	async stop(): Promise<void> {
		for (const socket of this.#sockets.clients) socket.terminate();
		this.#http.closeAllConnections();
		await new Promise((resolve) => this.#http.close(resolve));
	}

	send(frame: GatewayFrame): void {
		this.socket?.send(JSON.stringify(frame));
	}

	/** Frames of one type. */
	of<T extends NodeFrame['t']>(type: T): Extract<NodeFrame, { t: T }>[] {
		return this.frames.filter((frame): frame is Extract<NodeFrame, { t: T }> => frame.t === type);
	}

	async #onRequest(request: IncomingMessage, response: ServerResponse): Promise<void> {
		const body = await readBody(request);
		const path = request.url ?? '';
		if (path.startsWith('/api/v1/results/')) return this.#onUpload(path, request, body, response);
		if (path === '/input') {
			response.statusCode = this.input === undefined ? 404 : 200;
			return void response.end(this.input);
		}
		if (path === '/api/v1/join-tokens') return void response.writeHead(201).end('{"token":"a-join-token"}');
		const { publicKey } = JSON.parse(body.toString()) as { publicKey: string };
		this.#publicKey = publicKey;
		const certificate = `${Buffer.from(JSON.stringify({ trust: 'own', exp: Date.now() + YEAR_MS })).toString('base64url')}.sig`;
		response.writeHead(201, { 'content-type': 'application/json' });
		return void response.end(JSON.stringify({ nodeId: NODE_ID, certificate, shard: 0 }));
	}

	#onUpload(path: string, request: IncomingMessage, bytes: Buffer, response: ServerResponse): void {
		const meta: unknown = JSON.parse(Buffer.from(String(request.headers['x-limner-meta']), 'base64url').toString());
		const sha256Matches = createHash('sha256').update(bytes).digest('hex') === request.headers['x-content-sha256'];
		this.uploads.push({ ticket: path.split('/').at(-1) ?? '', bytes, meta, sha256Matches });
		response.statusCode = this.uploadStatus;
		response.end('{"detail":"told so"}');
	}

	#onSocket(ws: WebSocket): void {
		this.socket = ws;
		const connId = `c${++this.#connections}`;
		ws.send(JSON.stringify({ t: 'challenge', nonce: 'n', connId }));
		ws.on('message', (data: Buffer, isBinary) => {
			if (isBinary) {
				const preview = decodePreview(data);
				if (preview !== undefined) this.previews.push(preview.header);
			} else if (data.toString() === 'ping') ws.send('pong');
			else this.#onFrame(ws, connId, data.toString());
		});
	}

	#onFrame(ws: WebSocket, connId: string, text: string): void {
		const parsed = parseNodeFrame(text);
		if (parsed.kind !== 'frame') throw new Error(`the node sent a bad frame: ${text}`);
		this.frames.push(parsed.frame);
		if (parsed.frame.t !== 'hello') return;
		const key = createPublicKey({ format: 'jwk', key: { kty: 'OKP', crv: 'Ed25519', x: this.#publicKey } });
		const signature = Buffer.from(parsed.frame.sig, 'base64url');
		if (!verify(null, Buffer.from(helloMessage('n', NODE_ID, connId)), key, signature)) return ws.close(4401, 'signature');
		const { pingMs, progressMs, watchProgressMs, telemetryMs } = TIMING;
		const config = { pingMs, progressMs, watchProgressMs, telemetryMs };
		const common = { t: 'welcome', nodeId: NODE_ID, connId, minVersion: 1, mode: 'active', config } as const;
		return ws.send(JSON.stringify({ ...common, keep: [], drop: this.drop }));
	}
}

/** A job's spec for the mock engine. */
export const fakeSpec = (extra: Partial<JobSpec> = {}): JobSpec => ({
	task: 'txt2img',
	model: MOCK_MODEL,
	prompt: 'p',
	negativePrompt: null,
	width: 64,
	height: 64,
	steps: 4,
	guidance: 1,
	scheduler: 'ddim',
	seed: 5,
	n: 1,
	pasteBack: true,
	class: 'interactive',
	priority: 5,
	deadlineAt: 0,
	...extra,
});
