/**
 * Signatures of the Standard Webhooks specification (https://www.standardwebhooks.com), symmetric scheme `v1`. Secrets
 * are derived from the gateway's own and never stored: what is kept is their number, which a rotation raises.
 * @module
 */
import { createHmac } from 'node:crypto';

/** Where a secret belongs: one workspace, one webhook, one rotation. */
export interface SecretName {
	ws: string;
	webhookId: string;
	/** From 1. */
	version: number;
}

/** The secret as receivers configure it: `whsec_` and base64 of 32 bytes. */
export const webhookSecret = (gatewaySecret: string, { ws, webhookId, version }: SecretName): string => {
	const key = createHmac('sha256', gatewaySecret).update('limner/v1/webhook').digest();
	return `whsec_${createHmac('sha256', key).update(`${ws}|${webhookId}|${version}`).digest('base64')}`;
};

/**
 * Headers of a message.
 * @param secrets each signs; during a rotation there are two
 */
export const signedHeaders = (secrets: readonly string[], messageId: string, nowMs: number, body: string): Record<string, string> => {
	const timestamp = String(Math.floor(nowMs / 1000));
	const signatures = secrets.map((secret) => {
		const key = Buffer.from(secret.slice('whsec_'.length), 'base64');
		return `v1,${createHmac('sha256', key).update(`${messageId}.${timestamp}.${body}`).digest('base64')}`;
	});
	return { 'webhook-id': messageId, 'webhook-timestamp': timestamp, 'webhook-signature': signatures.join(' ') };
};
