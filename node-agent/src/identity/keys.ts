/**
 * A node's Ed25519 key pair.
 * @module
 */
import { createPrivateKey, generateKeyPairSync, sign } from 'node:crypto';
import { helloMessage } from '@limner/shared';

/** Raw 32-byte keys, base64url. */
export interface KeyPair {
	publicKey: string;
	privateKey: string;
}

export const newKeyPair = (): KeyPair => {
	const jwk = generateKeyPairSync('ed25519').privateKey.export({ format: 'jwk' });
	if (jwk.x === undefined || jwk.d === undefined) throw new TypeError('an Ed25519 key has x and d');
	return { publicKey: jwk.x, privateKey: jwk.d };
};

/** base64url signature of a text. */
export const signText = (keys: KeyPair, text: string): string => {
	const key = createPrivateKey({ format: 'jwk', key: { kty: 'OKP', crv: 'Ed25519', x: keys.publicKey, d: keys.privateKey } });
	return sign(null, Buffer.from(text), key).toString('base64url');
};

/** Signature of `hello`: bound to the challenge and to this connection. */
export const signHello = (keys: KeyPair, nonce: string, nodeId: string, connId: string): string =>
	signText(keys, helloMessage(nonce, nodeId, connId));
