/**
 * A node played by the test itself: a real identity, a real socket, but every frame and upload is the test's choice.
 * For what a correct node never does: late, forged, truncated or repeated uploads, and silence.
 * @module
 */
import { createHash, generateKeyPairSync, randomUUID, sign, type KeyObject } from 'node:crypto';
import { crc32, deflateSync } from 'node:zlib';
import { helloMessage, PROTOCOL_VERSION, SUBPROTOCOL, type GatewayFrame, type ModelInfo, type Task } from '@limner/shared';
import { WebSocket } from 'ws';
import type { ApiAnswer, TestGateway } from './gateway.ts';
import { until } from './until.ts';

type FrameOf<T extends GatewayFrame['t']> = Extract<GatewayFrame, { t: T }>;

export const PEER_MODEL: ModelInfo = {
	name: 'peer-model',
	sha256: 'ab'.repeat(32),
	family: 'sd-1.5',
	bytes: 1,
	operations: ['txt2img', 'img2img', 'inpaint'],
	nativeWidth: 64,
	nativeHeight: 64,
	sizeMultiple: 8,
	defaults: { steps: 4, guidance: 1, scheduler: 'ddim' },
};

const pngChunk = (type: string, data: Uint8Array): Buffer => {
	const body = Buffer.concat([Buffer.from(type, 'latin1'), data]);
	const out = Buffer.alloc(body.length + 8);
	out.writeUInt32BE(data.length, 0);
	body.copy(out, 4);
	out.writeUInt32BE(crc32(body), body.length + 4);
	return out;
};

export const PNG_SIGNATURE = Buffer.from([0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]);

/** A valid RGB PNG whose pixels depend on `salt`. */
export const makePng = (width: number, height: number, salt = 0, idat?: Uint8Array): Buffer => {
	const header = Buffer.alloc(13);
	header.writeUInt32BE(width, 0);
	header.writeUInt32BE(height, 4);
	header.set([8, 2, 0, 0, 0], 8);
	const rows = Buffer.alloc(height * (1 + width * 3));
	for (let i = 0; i < rows.length; i++) rows[i] = i % (1 + width * 3) === 0 ? 0 : (i * 31 + salt * 7) & 0xff;
	return Buffer.concat([
		PNG_SIGNATURE,
		pngChunk('IHDR', header),
		pngChunk('IDAT', idat ?? deflateSync(rows)),
		pngChunk('IEND', new Uint8Array()),
	]);
};

export class Peer {
	readonly gateway: TestGateway;
	readonly nodeId: string;
	readonly certificate: string;
	readonly key: KeyObject;
	readonly frames: GatewayFrame[] = [];
	closed: { code: number; reason: string } | undefined;
	#socket: WebSocket | undefined;
	readonly bootId = randomUUID();

	constructor(gateway: TestGateway, nodeId: string, certificate: string, key: KeyObject) {
		this.gateway = gateway;
		this.nodeId = nodeId;
		this.certificate = certificate;
		this.key = key;
	}

	static async enrol(gateway: TestGateway, name: string): Promise<Peer> {
		const { publicKey, privateKey } = generateKeyPairSync('ed25519');
		const raw = Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url');
		const answer = await gateway.api<{ nodeId: string; certificate: string }>('POST', '/api/v1/nodes', {
			token: await gateway.joinToken(),
			publicKey: raw.toString('base64url'),
			name,
		});
		if (answer.status >= 300) throw new Error(`enrolment answered ${answer.status}: ${JSON.stringify(answer.body)}`);
		return new Peer(gateway, answer.body.nodeId, answer.body.certificate, privateKey);
	}

	/** Connects and says hello; resolves with the welcome. */
	async connect(hello: Record<string, unknown> = {}): Promise<FrameOf<'welcome'>> {
		const socket = new WebSocket(`${this.gateway.url.replace('http', 'ws')}/api/v1/nodes/connect`, SUBPROTOCOL, {
			headers: { authorization: `Bearer ${this.certificate}` },
		});
		this.#socket = socket;
		this.closed = undefined;
		const seen = this.frames.length;
		socket.on('error', () => {});
		socket.on('close', (code, reason) => {
			if (this.#socket === socket) this.closed = { code, reason: String(reason) };
		});
		socket.on('message', (data, isBinary) => {
			const text = (data as Buffer).toString();
			if (isBinary || text === 'pong') return;
			const frame = JSON.parse(text) as GatewayFrame;
			this.frames.push(frame);
			if (frame.t === 'challenge') this.#hello(frame, hello);
		});
		return this.frame('welcome', () => true, seen);
	}

	#hello(challenge: FrameOf<'challenge'>, extra: Record<string, unknown>): void {
		const sig = sign(null, Buffer.from(helloMessage(challenge.nonce, this.nodeId, challenge.connId)), this.key).toString('base64url');
		this.send({
			t: 'hello',
			v: PROTOCOL_VERSION,
			nodeId: this.nodeId,
			connId: challenge.connId,
			bootId: this.bootId,
			sig,
			name: 'peer',
			agentVersion: '0.0.0-test',
			platform: 'test',
			slots: [{ id: '0', device: { kind: 'mock', name: 'test' }, engine: 'mock', maxBatch: 1 }],
			models: [PEER_MODEL],
			running: [],
			finished: [],
			...extra,
		});
	}

	send(frame: unknown): void {
		this.#socket?.send(typeof frame === 'string' ? frame : JSON.stringify(frame));
	}

	/** Starts the heartbeat of a living node; answers how to stop it. */
	heartbeat(everyMs = 2000): () => void {
		const timer = setInterval(() => this.send('ping'), everyMs);
		return () => clearInterval(timer);
	}

	async frame<T extends GatewayFrame['t']>(t: T, match: (frame: FrameOf<T>) => boolean = () => true, from = 0): Promise<FrameOf<T>> {
		return until(`a ${t} frame`, () =>
			this.frames.slice(from).find((frame): frame is FrameOf<T> => frame.t === t && match(frame as FrameOf<T>)),
		);
	}

	/** Waits for a grant of the job and acknowledges it. */
	async take(jobId: string, minEpoch = 1): Promise<Task> {
		const task = await this.frame('task', (frame) => frame.jobId === jobId && frame.epoch >= minEpoch);
		this.send({ t: 'ack', jobId, index: task.index, epoch: task.epoch, slotId: task.slotId });
		return task;
	}

	/** Uploads bytes with a ticket. Headers tell the truth unless overridden. */
	async upload(ticket: string, bytes: Uint8Array, headers: Record<string, string> = {}): Promise<ApiAnswer> {
		const response = await fetch(`${this.gateway.url}/api/v1/results/${ticket}`, {
			method: 'PUT',
			headers: {
				'content-type': 'image/png',
				'x-content-sha256': createHash('sha256').update(bytes).digest('hex'),
				'x-limner-meta': Buffer.from(JSON.stringify({ device: 'test' })).toString('base64url'),
				...headers,
			},
			body: new Uint8Array(bytes),
		});
		const text = await response.text();
		return { status: response.status, headers: response.headers, body: text === '' ? {} : JSON.parse(text) };
	}

	/** Drops the connection without a word, as a pulled cable would after the operating system noticed. */
	drop(): void {
		this.#socket?.terminate();
	}

	close(): void {
		this.#socket?.close();
	}
}
