/**
 * The sockets of a shard: who is connected under which id, and how the core's sends reach them.
 * @module
 */
import { CLOSE, NODE_CERTIFICATE, type NodeCertificate } from '@limner/shared';
import { signClaims } from '../lib/sign.ts';
import type { Send } from './model.ts';
import { taskFrame } from './present.ts';
import type { Survivors } from './rows.ts';
import { attachmentOf, closeQuietly, randomId, sendQuietly, surviving, type NodeAttachment } from './sockets.ts';

/** Everything that goes out over a socket; a settlement does not. */
export type SocketSend = Exclude<Send, { kind: 'settle' }>;

export class Wire {
	/** Sockets that outlived the object's memory. */
	readonly survivors: Survivors;
	readonly #ctx: DurableObjectState;
	readonly #secret: string;
	readonly #direct: boolean;
	readonly #byId: Map<string, WebSocket>;

	/** @param direct whether nodes may put pictures into the bucket themselves */
	constructor(ctx: DurableObjectState, secret: string, direct: boolean) {
		this.#ctx = ctx;
		this.#secret = secret;
		this.#direct = direct;
		const { byId, survivors } = surviving(ctx.getWebSockets());
		this.#byId = byId;
		this.survivors = survivors;
	}

	/** Accepts a node's socket and challenges it. */
	acceptNode(cert: NodeCertificate, now: number): { client: WebSocket; connId: string } {
		const { 0: client, 1: server } = new WebSocketPair();
		const attachment: NodeAttachment = { kind: 'node', connId: randomId(), nonce: randomId(), at: now, cert };
		const { connId, nonce } = attachment;
		this.#ctx.acceptWebSocket(server, [`node:${cert.node}`]);
		server.serializeAttachment(attachment);
		this.#byId.set(connId, server);
		server.send(JSON.stringify({ t: 'challenge', nonce, connId }));
		return { client, connId };
	}

	acceptWatcher(jobId: string): { client: WebSocket; id: string } {
		const { 0: client, 1: server } = new WebSocketPair();
		const id = randomId();
		this.#ctx.acceptWebSocket(server, [`job:${jobId}`]);
		server.serializeAttachment({ kind: 'watch', id, jobId });
		this.#byId.set(id, server);
		return { client, id };
	}

	/** When the runtime last answered a ping of this connection. */
	pingAt(connId: string): number | null {
		const ws = this.#byId.get(connId);
		return ws === undefined ? null : (this.#ctx.getWebSocketAutoResponseTimestamp(ws)?.getTime() ?? null);
	}

	/** The socket is gone; answers whether it was still in use. */
	forget(id: string): boolean {
		return this.#byId.delete(id);
	}

	send(send: SocketSend, now: number): void {
		switch (send.kind) {
			case 'frame':
				this.#text(send.connId, JSON.stringify(send.frame));
				break;
			case 'task':
				this.#task(send, now);
				break;
			case 'move':
				this.#move(send.connId, send.shard, now);
				break;
			case 'close':
				this.close(send.connId, send.code, send.reason);
				break;
			case 'bridge':
				this.#text(send.watcher, JSON.stringify(send.frame));
				break;
			case 'watch':
				this.#broadcast(send.jobId, JSON.stringify(send.frame));
				break;
			case 'endWatch':
				for (const ws of this.#ctx.getWebSockets(`job:${send.jobId}`)) this.#endBridge(ws, CLOSE.normal, 'over');
				break;
			case 'endBridge': {
				const ws = this.#byId.get(send.watcher);
				if (ws !== undefined) this.#endBridge(ws, CLOSE.normal, 'over');
				break;
			}
		}
	}

	#text(id: string, text: string): void {
		const ws = this.#byId.get(id);
		if (ws !== undefined) sendQuietly(ws, text);
	}

	#broadcast(jobId: string, text: string): void {
		for (const ws of this.#ctx.getWebSockets(`job:${jobId}`)) sendQuietly(ws, text);
	}

	#task(send: Extract<Send, { kind: 'task' }>, now: number): void {
		const ws = this.#byId.get(send.connId);
		const attachment = ws === undefined ? null : attachmentOf(ws);
		if (ws === undefined || attachment?.kind !== 'node') return;
		sendQuietly(ws, JSON.stringify(taskFrame({ secret: this.#secret, direct: this.#direct, nodeId: attachment.cert.node, now }, send)));
	}

	/** A certificate for the other shard; the node connects there with it. */
	#move(connId: string, shard: number, now: number): void {
		const ws = this.#byId.get(connId);
		const attachment = ws === undefined ? null : attachmentOf(ws);
		if (ws === undefined || attachment?.kind !== 'node') return;
		const certificate = signClaims(this.#secret, { ...attachment.cert, shard, exp: now + NODE_CERTIFICATE.ttlMs });
		sendQuietly(ws, JSON.stringify({ t: 'move', shard, certificate }));
	}

	/** Closes a node's connection; nothing that it still says counts. */
	close(connId: string, code: number, reason: string): void {
		const ws = this.#byId.get(connId);
		if (ws === undefined) return;
		this.#byId.delete(connId);
		const attachment = attachmentOf(ws);
		if (attachment?.kind === 'node') ws.serializeAttachment({ ...attachment, closed: true });
		closeQuietly(ws, code, reason);
	}

	#endBridge(ws: WebSocket, code: number, reason: string): void {
		const attachment = attachmentOf(ws);
		if (attachment?.kind !== 'watch' || attachment.ended === true) return;
		this.#byId.delete(attachment.id);
		ws.serializeAttachment({ ...attachment, ended: true });
		closeQuietly(ws, code, reason);
	}

	/** A bridge to a job that ended may have missed the end: its other side opens it anew and reads on from its last event. */
	dropOldBridges(isWatched: (jobId: string) => boolean): void {
		for (const ws of this.#byId.values()) {
			const attachment = attachmentOf(ws);
			if (attachment?.kind === 'watch' && !isWatched(attachment.jobId)) this.#endBridge(ws, CLOSE.restarting, 'open again');
		}
	}
}
