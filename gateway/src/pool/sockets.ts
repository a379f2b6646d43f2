/**
 * Hibernating sockets of a shard: attachments, closes, signature of hello.
 * @module
 */
import { createPublicKey, randomBytes, verify } from 'node:crypto';
import { NodeCertificate, TIMING, helloMessage } from '@limner/shared';
import type { HelloFrame, NodeIdentity } from './model.ts';
import type { Survivors } from './rows.ts';

/** Everything that outlives the pool's memory of a node's socket. Never lists: 16 KiB is the platform's limit. */
export interface NodeAttachment {
	kind: 'node';
	connId: string;
	nonce: string;
	at: number;
	cert: NodeCertificate;
	/** Set once hello was accepted. */
	bootId?: string;
	/** The gateway has closed it; it may still be listed for a moment. */
	closed?: boolean;
}

export interface WatchAttachment {
	kind: 'watch';
	id: string;
	jobId: string;
	ended?: boolean;
}

export type Attachment = NodeAttachment | WatchAttachment;

export const attachmentOf = (ws: WebSocket): Attachment | null => ws.deserializeAttachment() as Attachment | null;

/** Codes that stand for "no close frame came" and must not be sent. */
const RESERVED: ReadonlySet<number> = new Set([1005, 1006, 1015]);
const REASON_BYTES = 123;

/** A close reason cut to what a close frame holds, at a character's edge. */
export const clampReason = (reason: string): string => {
	const bytes = new TextEncoder().encode(reason);
	if (bytes.length <= REASON_BYTES) return reason;
	return new TextDecoder().decode(bytes.subarray(0, REASON_BYTES)).replace(/\uFFFD+$/, '');
};

/** Closes a socket of which nobody knows whether it is still open. */
export const closeQuietly = (ws: WebSocket, code: number, reason: string): void => {
	if (RESERVED.has(code)) return;
	try {
		ws.close(code, clampReason(reason));
	} catch {
		// It is closed already, which is what was wanted.
	}
};

/** Sends on a socket that may just have closed; its close event tells the pool, so nothing is lost by ignoring it here. */
export const sendQuietly = (ws: WebSocket, text: string): void => {
	try {
		ws.send(text);
	} catch {
		// See above.
	}
};

/** Who a certificate says that a node is. */
export const identityOf = ({ node, ws, trust, name, labels = [], pending = false, kv = 1 }: NodeCertificate): NodeIdentity => ({
	nodeId: node,
	ws,
	trust,
	name,
	labels,
	pending,
	keyVersion: kv,
});

/** Identity in the header that the Worker sets after it verified the certificate. */
export const readCertificate = (header: string | null): NodeCertificate | undefined => {
	if (header === null) return undefined;
	try {
		const parsed = NodeCertificate.safeParse(JSON.parse(header));
		return parsed.success ? parsed.data : undefined;
	} catch {
		return undefined;
	}
};

/**
 * Whether a hello is signed by the certificate's key over this very connection's nonce. node:crypto verifies
 * synchronously, so that no other frame of the socket is handled in between.
 */
export const helloIsGenuine = (attachment: NodeAttachment, frame: HelloFrame): boolean => {
	const { cert, connId, nonce } = attachment;
	if (frame.nodeId !== cert.node || frame.connId !== connId) return false;
	try {
		const key = createPublicKey({ key: { kty: 'OKP', crv: 'Ed25519', x: cert.key }, format: 'jwk' });
		return verify(null, Buffer.from(helloMessage(nonce, cert.node, connId)), key, Buffer.from(frame.sig, 'base64url'));
	} catch {
		return false;
	}
};

export const randomId = (): string => randomBytes(12).toString('base64url');

/** Sorts the sockets that outlived the pool's memory. */
export const surviving = (sockets: WebSocket[]): { byId: Map<string, WebSocket>; survivors: Survivors } => {
	const byId = new Map<string, WebSocket>();
	const survivors: Survivors = { nodes: [], pending: [], watched: [] };
	for (const ws of sockets) {
		const attachment = attachmentOf(ws);
		if (attachment === null || ws.readyState !== WebSocket.OPEN) continue;
		if (attachment.kind === 'watch') {
			if (attachment.ended === true) continue;
			byId.set(attachment.id, ws);
			survivors.watched.push(attachment.jobId);
			continue;
		}
		if (attachment.closed === true) continue;
		const { connId, cert, bootId, at } = attachment;
		byId.set(connId, ws);
		if (bootId === undefined) survivors.pending.push({ connId, until: at + TIMING.helloMs });
		else survivors.nodes.push({ connId, nodeId: cert.node, bootId, at });
	}
	return { byId, survivors };
};
