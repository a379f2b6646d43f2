/**
 * A node and a caller as they look from inside the Worker: real sockets, real signatures, real rows.
 */
import { env } from 'cloudflare:workers';
import {
	encodePreview,
	helloMessage,
	newJobId,
	newNodeId,
	parseGatewayFrame,
	poolName,
	resultKey,
	type BridgeFrame,
	type GatewayFrame,
	type GrantRef,
	type ImageRecord,
	type JobSpec,
} from '@limner/shared';
import type { CompleteOutcome, PoolJob, PoolRpc } from '../../src/rpc.ts';

type FrameOf<T extends GatewayFrame['t']> = Extract<GatewayFrame, { t: T }>;
export type PoolStub = PoolRpc & { fetch(input: string, init?: RequestInit): Promise<Response> };

const random = (count: number): Uint8Array => crypto.getRandomValues(new Uint8Array(count));

let shardsUsed = 0;
/** A shard that no other test has touched. */
export const freshShard = (): { stub: DurableObjectStub; pool: PoolStub; shard: number } => {
	const shard = ++shardsUsed;
	const stub = env.POOL.getByName(poolName('test', shard));
	return { stub, pool: stub, shard };
};

export const spec = (change: Partial<JobSpec> = {}): JobSpec => ({
	task: 'txt2img',
	model: 'storybook',
	prompt: 'a red castle',
	negativePrompt: null,
	width: 128,
	height: 128,
	steps: 4,
	guidance: 2,
	scheduler: 'ddim',
	seed: 7,
	n: 1,
	pasteBack: true,
	class: 'interactive',
	priority: 5,
	deadlineAt: Date.now() + 3_600_000,
	...change,
});

export const makeJob = (shard: number, change: Partial<JobSpec> = {}, ws = 'acme'): PoolJob => ({
	id: newJobId(Date.now(), random(10), shard),
	ws,
	weight: 1,
	spec: spec(change),
	createdAt: Date.now(),
	warnings: [],
	keyId: 'k1',
});

export const submit = async (pool: PoolStub, job: PoolJob) => pool.enqueue(job, Date.now() + 60_000);

/** Collects messages so that none is missed between two awaits. */
class Inbox<T> {
	readonly seen: T[] = [];
	readonly #waiting: { match: (item: T) => boolean; resolve: (item: T) => void }[] = [];
	push(item: T): void {
		const index = this.#waiting.findIndex(({ match }) => match(item));
		if (index < 0) this.seen.push(item);
		else this.#waiting.splice(index, 1)[0]!.resolve(item);
	}
	take(match: (item: T) => boolean, what: string, ms = 8000): Promise<T> {
		const index = this.seen.findIndex(match);
		if (index >= 0) return Promise.resolve(this.seen.splice(index, 1)[0]!);
		return new Promise((resolve, reject) => {
			const timer = setTimeout(() => reject(new Error(`no ${what} within ${ms} ms; seen: ${JSON.stringify(this.seen)}`)), ms);
			this.#waiting.push({
				match,
				resolve: (item) => {
					clearTimeout(timer);
					resolve(item);
				},
			});
		});
	}
}

export interface Identity {
	id: string;
	ws: string;
	trust: 'own' | 'shared';
	keys: CryptoKeyPair;
	publicKey: string;
}

export const newIdentity = async (ws = 'acme', trust: 'own' | 'shared' = 'own'): Promise<Identity> => {
	const keys = (await crypto.subtle.generateKey('Ed25519', true, ['sign', 'verify'])) as CryptoKeyPair;
	const raw = (await crypto.subtle.exportKey('raw', keys.publicKey)) as ArrayBuffer;
	return { id: newNodeId(Date.now(), random(10)), ws, trust, keys, publicKey: Buffer.from(raw).toString('base64url') };
};

export interface HelloOptions {
	slots?: number;
	models?: string[];
	bootId?: string;
	running?: (GrantRef & { slotId: string })[];
	finished?: GrantRef[];
	sign?: (message: string) => Promise<string>;
}

/** A node over a real socket. */
export class TestNode {
	readonly identity: Identity;
	readonly ws: WebSocket;
	readonly frames = new Inbox<GatewayFrame>();
	readonly texts = new Inbox<string>();
	readonly closed: Promise<CloseEvent>;
	connId = '';

	constructor(identity: Identity, ws: WebSocket) {
		this.identity = identity;
		this.ws = ws;
		this.closed = new Promise((resolve) => {
			ws.addEventListener('close', (event) => {
				if (ws.readyState !== WebSocket.CLOSED) ws.close(event.code === 1006 ? 1000 : event.code, 'seen');
				resolve(event);
			});
		});
		ws.addEventListener('message', (event) => {
			const text = event.data as string;
			const parsed = parseGatewayFrame(text);
			if (parsed.kind === 'frame') this.frames.push(parsed.frame);
			else this.texts.push(text);
		});
		ws.accept();
	}

	static async connect(pool: PoolStub, identity: Identity): Promise<TestNode> {
		const certificate = {
			k: 'node',
			node: identity.id,
			key: identity.publicKey,
			ws: identity.ws,
			trust: identity.trust,
			shard: 0,
			name: 'test',
			exp: Date.now() + 60_000,
		};
		const response = await pool.fetch('http://pool/node', {
			headers: { Upgrade: 'websocket', 'Sec-WebSocket-Protocol': 'limner.v1', 'X-Limner-Certificate': JSON.stringify(certificate) },
		});
		if (response.webSocket === null) throw new Error(`no socket: ${response.status}`);
		return new TestNode(identity, response.webSocket);
	}

	frame<T extends GatewayFrame['t']>(type: T, ms?: number): Promise<FrameOf<T>> {
		return this.frames.take((frame) => frame.t === type, `${type} frame`, ms) as Promise<FrameOf<T>>;
	}

	send(frame: object): void {
		this.ws.send(JSON.stringify(frame));
	}

	async hello(options: HelloOptions = {}): Promise<FrameOf<'welcome'>> {
		const challenge = await this.frame('challenge');
		this.connId = challenge.connId;
		const message = helloMessage(challenge.nonce, this.identity.id, challenge.connId);
		const sign =
			options.sign ??
			(async (text: string) =>
				Buffer.from(await crypto.subtle.sign('Ed25519', this.identity.keys.privateKey, new TextEncoder().encode(text))).toString(
					'base64url',
				));
		this.send({
			t: 'hello',
			v: 1,
			nodeId: this.identity.id,
			connId: challenge.connId,
			bootId: options.bootId ?? 'boot1',
			sig: await sign(message),
			name: 'test',
			agentVersion: '0.1.0',
			platform: 'test',
			slots: Array.from({ length: options.slots ?? 1 }, (_, i) => ({
				id: `s${i}`,
				device: { kind: 'mock', name: 'mock' },
				engine: 'mock',
			})),
			models: (options.models ?? ['storybook']).map((name) => ({
				name,
				sha256: '0'.repeat(64),
				family: 'sd',
				bytes: 1,
				operations: name.endsWith('-inpaint') ? ['inpaint'] : ['txt2img', 'img2img', 'inpaint'],
				nativeWidth: 128,
				nativeHeight: 128,
				defaults: { steps: 4, guidance: 2, scheduler: 'ddim' },
			})),
			running: options.running ?? [],
			finished: options.finished ?? [],
		});
		return this.frame('welcome');
	}

	/** Answers a grant. */
	ack(task: FrameOf<'task'>): void {
		this.send({ t: 'ack', ...refOf(task), slotId: task.slotId });
	}

	progress(task: FrameOf<'task'>, step: number): void {
		this.send({ t: 'progress', items: [{ ...refOf(task), phase: 'denoising', step, steps: task.spec.steps, itPerS: 10 }] });
	}

	preview(ref: GrantRef, step: number, image: Uint8Array): void {
		this.ws.send(encodePreview({ ...refOf(ref), step, contentType: 'image/jpeg' }, image));
	}

	generated(task: FrameOf<'task'>): void {
		this.send({ t: 'generated', ...refOf(task), slotId: task.slotId, loadMs: 0, denoiseMs: 40, totalMs: 50 });
	}
}

export const startNode = async (pool: PoolStub, options: HelloOptions = {}, identity?: Identity): Promise<TestNode> => {
	const node = await TestNode.connect(pool, identity ?? (await newIdentity()));
	await node.hello(options);
	return node;
};

export const refOf = (ref: GrantRef): { jobId: string; index: number; epoch: number } => ({
	jobId: ref.jobId,
	index: ref.index,
	epoch: ref.epoch,
});

export const imageFor = (ws: string, ref: GrantRef, nodeId: string, sha = 'ab'.repeat(32)): ImageRecord => ({
	index: ref.index,
	key: resultKey(ws, ref.jobId, ref.index, ref.epoch, sha, 'png'),
	epoch: ref.epoch,
	nodeId,
	contentType: 'image/png',
	bytes: 1234,
	sha256: sha,
	width: 128,
	height: 128,
	seed: 7,
	at: Date.now(),
});

/** What the results route does once the bytes are in R2. */
export const complete = (pool: PoolStub, node: TestNode, ref: GrantRef, ws = 'acme', sha?: string): Promise<CompleteOutcome> =>
	pool.complete({ ws, ...refOf(ref), nodeId: node.identity.id, image: imageFor(ws, ref, node.identity.id, sha) });

/** A watcher of a job, as the SSE route bridges it. */
export class Watcher {
	readonly frames = new Inbox<BridgeFrame>();
	readonly all: BridgeFrame[] = [];
	readonly ws: WebSocket;
	readonly closed: Promise<CloseEvent>;

	constructor(ws: WebSocket) {
		this.ws = ws;
		this.closed = new Promise((resolve) => {
			ws.addEventListener('close', resolve);
		});
		ws.addEventListener('message', (event) => {
			const frame = JSON.parse(event.data as string) as BridgeFrame;
			this.all.push(frame);
			this.frames.push(frame);
		});
		ws.accept();
	}

	static async open(pool: PoolStub, jobId: string, after = 0, ws = 'acme'): Promise<Watcher | number> {
		const response = await pool.fetch(`http://pool/watch?job=${jobId}&after=${after}&ws=${ws}`, { headers: { Upgrade: 'websocket' } });
		return response.webSocket === null ? response.status : new Watcher(response.webSocket);
	}

	event(name: BridgeFrame['event'], ms?: number): Promise<BridgeFrame> {
		return this.frames.take((frame) => frame.event === name, `${name} event`, ms);
	}

	/** The next progress event of that step. */
	step(step: number): Promise<BridgeFrame> {
		return this.frames.take((frame) => frame.event === 'progress' && (frame.data as { step: number }).step === step, `step ${step}`);
	}

	durable(): number[] {
		return this.all.flatMap((frame) => (frame.id === undefined ? [] : [frame.id]));
	}
}

export const watch = async (pool: PoolStub, jobId: string, after = 0, ws = 'acme'): Promise<Watcher> => {
	const watcher = await Watcher.open(pool, jobId, after, ws);
	if (typeof watcher === 'number') throw new Error(`no bridge: ${watcher}`);
	return watcher;
};

/** Waits for a condition that another turn of the object brings about. */
export const until = async (condition: () => Promise<boolean>, what: string, ms = 8000): Promise<void> => {
	const end = Date.now() + ms;
	while (!(await condition())) {
		if (Date.now() > end) throw new Error(`${what} did not come about within ${ms} ms`);
		await new Promise((resolve) => setTimeout(resolve, 20));
	}
};
