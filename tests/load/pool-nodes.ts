/**
 * Process that plays many nodes for `npm run bench:pool`: real sockets, signed hellos, heartbeats; a task is answered
 * with `ack` and `generated`, and completed by RPC. One JSON object in `BENCH_POOL_NODES` says what to do.
 * @module
 */
import { generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { Agent, request } from 'node:http';
import { helloMessage, PING_TEXT, resultKey, SUBPROTOCOL, TIMING, type NodeCertificate, type Task } from '@limner/shared';
import { WebSocket } from 'ws';
import { helloOf, slotsOf } from '../../gateway/src/pool/sim/fixtures.ts';
import { until } from '../lib/until.ts';

export interface PoolNodesOptions {
	url: string;
	ids: string[];
	slots: number;
}

/** What the process tells its parent, in batches. */
export type PoolNodesMessage = { t: 'online' } | { t: 'done'; count: number } | { t: 'arrivals'; at: [string, number][] };

const options = JSON.parse(process.env['BENCH_POOL_NODES'] ?? '{}') as PoolNodesOptions;
/** Completions are gathered for so long, so that HTTP requests do not become the bottleneck. */
const GATHER_MS = 2;
/** New sockets at a time while connecting. */
const DOORS = 50;
const clock = (): number => performance.timeOrigin + performance.now();

const agent = new Agent({ keepAlive: true, maxSockets: 8 });
const post = async (body: unknown): Promise<{ refused: string[] }> =>
	new Promise((resolve, reject) => {
		const sending = request(`${options.url}/call`, { method: 'POST', agent, headers: { 'content-type': 'application/json' } }, (answer) => {
			let text = '';
			answer.setEncoding('utf8').on('data', (chunk: string) => (text += chunk));
			answer.on('end', () => resolve(JSON.parse(text) as { refused: string[] }));
		});
		sending.on('error', reject);
		sending.end(JSON.stringify(body));
	});

const arrivals: [string, number][] = [];
let waiting: unknown[] = [];
let timer: NodeJS.Timeout | undefined;

const flush = async (): Promise<void> => {
	timer = undefined;
	const complete = waiting;
	waiting = [];
	const { refused } = await post({ complete });
	if (refused.length > 0) throw new Error(`not taken: ${refused.slice(0, 3).join(', ')}`);
	process.send?.({ t: 'done', count: complete.length } satisfies PoolNodesMessage);
};

const completed = (nodeId: string, task: Task): void => {
	const sha256 = 'ab'.repeat(32);
	const key = resultKey('bench', task.jobId, task.index, task.epoch, sha256, 'png');
	const image = {
		index: task.index,
		key,
		epoch: task.epoch,
		nodeId,
		contentType: 'image/png',
		bytes: 2000,
		sha256,
		width: task.spec.width,
		height: task.spec.height,
		seed: task.seed,
		at: Date.now(),
	};
	waiting.push({ ws: 'bench', jobId: task.jobId, index: task.index, epoch: task.epoch, nodeId, image });
	timer ??= setTimeout(() => void flush(), GATHER_MS);
};

interface Keys {
	privateKey: KeyObject;
	raw: string;
}

const newKeys = (): Keys => {
	const { publicKey, privateKey } = generateKeyPairSync('ed25519');
	return { privateKey, raw: publicKey.export({ format: 'jwk' }).x ?? '' };
};

const onTask = (socket: WebSocket, nodeId: string, task: Task): void => {
	arrivals.push([task.jobId, clock()]);
	const { jobId, index, epoch, slotId } = task;
	socket.send(JSON.stringify({ t: 'ack', jobId, index, epoch, slotId }));
	socket.send(JSON.stringify({ t: 'generated', jobId, index, epoch, slotId, totalMs: 1 }));
	completed(nodeId, task);
};

const join = (nodeId: string, { privateKey, raw }: Keys): Promise<void> =>
	new Promise((resolve, reject) => {
		const cert: NodeCertificate = { k: 'node', node: nodeId, key: raw, ws: 'bench', trust: 'shared', shard: 0, name: nodeId, exp: 2e12 };
		const socket = new WebSocket(`${options.url.replace('http', 'ws')}/connect`, SUBPROTOCOL, {
			headers: { 'X-Limner-Certificate': JSON.stringify(cert) },
			perMessageDeflate: false,
		});
		socket.on('error', reject);
		socket.on('close', (code) => reject(new Error(`closed with ${code}`)));
		socket.on('message', (data: Buffer) => {
			const text = data.toString();
			if (!text.startsWith('{')) return;
			const frame = JSON.parse(text) as { t: string; nonce: string; connId: string };
			if (frame.t === 'task') onTask(socket, nodeId, frame as unknown as Task);
			if (frame.t === 'welcome') resolve();
			if (frame.t !== 'challenge') return;
			const sig = sign(null, Buffer.from(helloMessage(frame.nonce, nodeId, frame.connId)), privateKey).toString('base64url');
			const identity = { nodeId, ws: 'bench', trust: 'shared' as const, name: nodeId };
			socket.send(JSON.stringify(helloOf(identity, frame.connId, { sig, slots: slotsOf(options.slots) })));
		});
		const offset = Math.random() * TIMING.pingMs;
		setTimeout(() => setInterval(() => socket.readyState === WebSocket.OPEN && socket.send(PING_TEXT), TIMING.pingMs), offset);
	});

const keys = newKeys();
let next = 0;
let online = 0;
const door = async (): Promise<void> => {
	for (let id = options.ids[next++]; id !== undefined; id = options.ids[next++]) {
		await join(id, keys);
		online++;
	}
};
await Promise.all(Array.from({ length: DOORS }, door));
await until('all nodes are online', () => (online === options.ids.length ? true : undefined));
process.send?.({ t: 'online' } satisfies PoolNodesMessage);
process.on('message', () => {
	process.send?.({ t: 'arrivals', at: arrivals.splice(0) } satisfies PoolNodesMessage);
});
process.on('disconnect', () => process.exit(0));
