/**
 * What the hooks in Python cannot do themselves: keys and signatures of nodes, tickets of results, and an address that
 * takes webhooks. A small HTTP server of this process.
 * @module
 */
import { generateKeyPairSync, sign, type KeyObject } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { json } from 'node:stream/consumers';
import { rotateMessage } from '@limner/shared';
import { signClaims } from '../../gateway/src/lib/sign.ts';

const TICKET_MS = 3_600_000;

export interface Workshop {
	url: string;
	/** The secret of the gateway, once there is one: tickets are signed with it. */
	secret: string;
	stop(): Promise<void>;
}

interface Asked {
	nodeId: string;
	publicKey: string;
	job: string;
	epoch: number;
	node: string;
	width: number;
	height: number;
	seed: number;
}

/** Private keys of nodes by their public ones. */
const keys = new Map<string, KeyObject>();

const identity = (): { publicKey: string } => {
	const { publicKey, privateKey } = generateKeyPairSync('ed25519');
	const text = publicKey.export({ format: 'jwk' }).x ?? '';
	keys.set(text, privateKey);
	return { publicKey: text };
};

const rotation = ({ nodeId, publicKey }: Asked): object => {
	const key = keys.get(publicKey);
	if (key === undefined) throw new Error(`no key ${publicKey} was made here`);
	const { publicKey: newPublicKey } = identity();
	const at = Date.now();
	return { newPublicKey, at, signature: sign(null, Buffer.from(rotateMessage(nodeId, newPublicKey, at)), key).toString('base64url') };
};

const ticket = (secret: string, { job, epoch, node, width, height, seed }: Asked): object => ({
	ticket: signClaims(secret, {
		k: 'result',
		ws: 'main',
		job,
		i: 0,
		e: epoch,
		node,
		w: width,
		h: height,
		s: seed,
		ct: 'image/png',
		exp: Date.now() + TICKET_MS,
	}),
});

/** Listens on a free port of the loopback. */
export const startWorkshop = async (): Promise<Workshop> => {
	const workshop = { url: '', secret: '', stop: () => Promise.resolve() };
	const make: Record<string, (asked: Asked) => object> = {
		// Content policies and mails are answered well.
		'/sink': () => ({ action: 'allow' }),
		'/identity': identity,
		'/rotation': rotation,
		'/ticket': (asked) => ticket(workshop.secret, asked),
	};
	const server = createServer((request, response) => {
		void (async () => {
			const body = (await json(request).catch(() => ({}))) as Asked;
			const answer = make[request.url ?? '']?.(body);
			response.writeHead(answer === undefined ? 404 : 200, { 'content-type': 'application/json' }).end(JSON.stringify(answer ?? {}));
		})().catch((error: unknown) => response.writeHead(500).end(String(error)));
	});
	await new Promise<void>((resolve) => {
		server.listen(0, '127.0.0.1', resolve);
	});
	workshop.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
	workshop.stop = () =>
		new Promise((resolve) => {
			server.close(() => resolve());
			server.closeAllConnections();
		});
	return workshop;
};
