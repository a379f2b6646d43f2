/**
 * Claims inside signed texts. The signing itself (HMAC-SHA256 with a key derived from the gateway's secret and the
 * kind's name) lives in the gateway; nodes and callers treat the texts as opaque.
 * @module
 */
import { z } from 'zod';

/** Right to upload the result of one grant: `PUT /api/v1/results/{ticket}`. */
export const ResultTicket = z.object({
	k: z.literal('result'),
	ws: z.string(),
	job: z.string(),
	i: z.int(),
	e: z.int(),
	node: z.string(),
	w: z.int(),
	h: z.int(),
	/** Seed, so that the record is right even when the node's metadata is not. */
	s: z.int(),
	/** Allowed content types, separated by commas. */
	ct: z.string(),
	exp: z.int(),
});
export type ResultTicket = z.infer<typeof ResultTicket>;

/** A node's certificate: issued at enrolment, verified without a look-up at each connect. */
export const NodeCertificate = z.object({
	k: z.literal('node'),
	node: z.string(),
	/** base64url raw Ed25519 public key. */
	key: z.string(),
	ws: z.string(),
	trust: z.enum(['own', 'shared']),
	shard: z.int(),
	name: z.string(),
	labels: z.array(z.string()).optional(),
	/** An operator has not approved it yet: it may connect, and gets no work. */
	pending: z.boolean().optional(),
	/** Number of its key, raised by each rotation; absent = 1. A shard takes none that is older than the newest it has seen. */
	kv: z.int().optional(),
	exp: z.int(),
});
export type NodeCertificate = z.infer<typeof NodeCertificate>;

/** Right to read one stored object (picture or asset) without a key. */
export const ObjectTicket = z.object({
	k: z.literal('object'),
	ws: z.string(),
	/** R2 key. */
	key: z.string(),
	/** Content type to serve. */
	ct: z.string(),
	exp: z.int(),
});
export type ObjectTicket = z.infer<typeof ObjectTicket>;

/** Right to follow one job's events from a browser's EventSource. */
export const StreamTicket = z.object({ k: z.literal('stream'), ws: z.string(), job: z.string(), exp: z.int() });
export type StreamTicket = z.infer<typeof StreamTicket>;

/** Right to follow a workspace's presence and dashboard from a browser's EventSource. */
export const DashboardTicket = z.object({ k: z.literal('dashboard'), ws: z.string(), exp: z.int() });
export type DashboardTicket = z.infer<typeof DashboardTicket>;

/** What a client of OAuth registered, which is its client id: nothing is stored for clients (RFC 7591, appendix A.5.2). */
export const OAuthClientTicket = z.object({
	k: z.literal('oauth-client'),
	name: z.string(),
	redirects: z.array(z.string()),
	exp: z.int(),
});
export type OAuthClientTicket = z.infer<typeof OAuthClientTicket>;

/** A checked authorization request, carried by the sign-in page. */
export const OAuthRequestTicket = z.object({
	k: z.literal('oauth-request'),
	client: z.string(),
	name: z.string(),
	redirect: z.string(),
	/** Empty when the client sent none. */
	state: z.string(),
	challenge: z.string(),
	resource: z.string(),
	scopes: z.array(z.string()),
	exp: z.int(),
});
export type OAuthRequestTicket = z.infer<typeof OAuthRequestTicket>;

/** The same, after the person has given the password; carried by the consent page. */
export const OAuthConsentTicket = OAuthRequestTicket.extend({ k: z.literal('oauth-consent'), account: z.string() });
export type OAuthConsentTicket = z.infer<typeof OAuthConsentTicket>;

export type Claims =
	| ResultTicket
	| NodeCertificate
	| ObjectTicket
	| StreamTicket
	| DashboardTicket
	| OAuthClientTicket
	| OAuthRequestTicket
	| OAuthConsentTicket;
