/**
 * Enrolment of nodes: which identity a public key gets. Pure; certificates are signed by the route.
 * @module
 */
import { newNodeId, NODE_LIMITS, refuse, type Refusal } from '@limner/shared';
import { rendezvous } from '../lib/rendezvous.ts';
import type { JoinTokenRow } from './tokens.ts';

/** A node as its row keeps it. */
export interface NodeRow {
	id: string;
	/** base64url of the raw 32 bytes of the Ed25519 public key. */
	publicKey: string;
	ws: string;
	trust: 'own' | 'shared';
	shard: number;
	name: string;
	tokenId: string;
	createdAt: number;
	labels: string[];
	state: 'approved' | 'pending' | 'banned';
	banReason: string | null;
	/** From 1; raised by each rotation. */
	keyVersion: number;
}

const KEY_BYTES = 32;

/** Checks a public key: canonical base64url without padding of exactly 32 bytes, so that one key has one text. */
export const checkPublicKey = (publicKey: string): Refusal | undefined => {
	const bytes = Buffer.from(publicKey, 'base64url');
	if (bytes.length === KEY_BYTES && bytes.toString('base64url') === publicKey) return undefined;
	const detail = 'must be the raw 32 bytes of an Ed25519 public key in base64url without padding (43 characters)';
	return refuse('validation_failed', `publicKey ${detail}`, { errors: [{ pointer: '/publicKey', detail }] });
};

/** Checks a node's name: something to read, on one line. */
export const checkName = (name: string): Refusal | undefined => {
	if (name.trim() !== '' && name.length <= NODE_LIMITS.nameChars && !/\p{Cc}/u.test(name)) return undefined;
	const detail = `must have 1 to ${NODE_LIMITS.nameChars} characters and no control characters`;
	return refuse('validation_failed', `name ${detail}`, { errors: [{ pointer: '/name', detail }] });
};

/**
 * Shard of a new node. A node that works only for its own workspace belongs where that workspace's jobs are. Others
 * are spread by rendezvous hash of their id rather than to the shard with the fewest nodes: the answer needs no count
 * that could be stale, the same node gets the same shard again, and a new shard takes its share without moving others.
 * @param home home shard of the token's workspace
 */
export const shardOfNode = (trust: 'own' | 'shared', nodeId: string, home: number, shards: number): number =>
	trust === 'own' ? home : rendezvous(nodeId, shards);

export type EnrolDecision =
	/** A node that was never seen: costs one use of the token. */
	| { kind: 'insert'; node: NodeRow }
	/** The same public key again: the same id. `changed` when the row must be written. */
	| { kind: 'known'; node: NodeRow; changed: boolean }
	| { kind: 'refused'; refusal: Refusal };

export interface EnrolContext {
	token: JoinTokenRow;
	/** The node with this public key, if there is one. */
	known: NodeRow | undefined;
	home: number;
	shards: number;
	nowMs: number;
	/** At least 10 bytes. */
	random: Uint8Array;
}

/** The same public key again. */
const decideKnown = (input: { name: string }, known: NodeRow, { token, home, shards }: EnrolContext): EnrolDecision => {
	if (known.ws !== token.ws) {
		// A public key is no secret: whoever saw one must not be able to move the node that holds it.
		const detail = 'this public key is enrolled in another workspace; let the node make a new identity';
		return { kind: 'refused', refusal: refuse('conflict', detail) };
	}
	if (known.state === 'banned') {
		return { kind: 'refused', refusal: refuse('forbidden', `this node was banned: ${known.banReason ?? ''}`) };
	}
	const { trust, labels } = token;
	const shard = trust === known.trust ? known.shard : shardOfNode(trust, known.id, home, shards);
	const node = { ...known, trust, shard, name: input.name, tokenId: token.id, labels };
	const labelled = JSON.stringify(labels) !== JSON.stringify(known.labels);
	const changed = trust !== known.trust || input.name !== known.name || token.id !== known.tokenId || labelled;
	return { kind: 'known', node, changed };
};

/** Decides an enrolment whose token, key and name were checked. */
export const decideEnrol = (input: { publicKey: string; name: string }, context: EnrolContext): EnrolDecision => {
	const { token, known } = context;
	if (known !== undefined) return decideKnown(input, known, context);
	if (token.uses >= token.maxUses) {
		const detail = `the join token has been used ${token.uses} times and allows ${token.maxUses}; make a new one`;
		return { kind: 'refused', refusal: refuse('unauthorized', detail) };
	}
	const id = newNodeId(context.nowMs, context.random);
	const node: NodeRow = {
		id,
		publicKey: input.publicKey,
		ws: token.ws,
		trust: token.trust,
		shard: shardOfNode(token.trust, id, context.home, context.shards),
		name: input.name,
		tokenId: token.id,
		createdAt: context.nowMs,
		labels: token.labels,
		state: token.approval ? 'pending' : 'approved',
		banReason: null,
		keyVersion: 1,
	};
	return { kind: 'insert', node };
};
