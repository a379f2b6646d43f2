/**
 * Enrolment and the socket of nodes: `POST /api/v1/nodes`, `POST /api/v1/nodes/renew`, `GET /api/v1/nodes/connect`.
 * @module
 */
import { createRoute, z } from '@hono/zod-openapi';
import { LimnerError, NODE_LIMITS, SUBPROTOCOL, toError } from '@limner/shared';
import { refuseAuthentication } from '../../lib/auth.ts';
import { certificateOf, issueCertificate, type NodeIdentity } from '../../lib/certificate.ts';
import type { AppContext } from '../../lib/context.ts';
import { jsonBody, jsonRequest, jsonResponse, newApp, problems } from '../../lib/openapi.ts';
import { idempotent, poolOf, registryOf } from '../../lib/stubs.ts';

const EnrolRequest = z
	.object({
		token: z.string().min(1).max(500),
		publicKey: z.string().regex(/^[A-Za-z0-9_-]{43}$/, 'must be a raw Ed25519 public key as base64url, 43 characters'),
		name: z
			.string()
			.min(1)
			.max(NODE_LIMITS.nameChars)
			.regex(/^[^\p{Cc}]+$/u, 'must not contain control characters'),
	})
	.openapi('EnrolRequest');
const Enrolled = z
	.object({
		nodeId: z.string(),
		/** Signed; send it as `Authorization: Bearer` to `/nodes/connect`. */
		certificate: z.string(),
		expiresAt: z.iso.datetime(),
		ws: z.string(),
		trust: z.enum(['own', 'shared']),
		shard: z.int(),
		name: z.string(),
		gatewayTime: z.iso.datetime(),
	})
	.openapi('Enrolled');

const enrolled = (c: AppContext, identity: NodeIdentity, publicKey: string): z.infer<typeof Enrolled> => {
	const nowMs = Date.now();
	const { certificate, exp } = issueCertificate(c.env.LIMNER_SECRET, identity, publicKey, nowMs);
	const { nodeId, ws, trust, shard, name } = identity;
	const gatewayTime = new Date(nowMs).toISOString();
	return { nodeId, certificate, expiresAt: new Date(exp).toISOString(), ws, trust, shard, name, gatewayTime };
};

export const nodesRoutes = newApp();

nodesRoutes.openapi(
	createRoute({
		method: 'post',
		path: '/',
		operationId: 'enrolNode',
		tags: ['nodes'],
		summary: 'Enrol a node with a join token',
		middleware: [jsonBody],
		request: { body: jsonRequest(EnrolRequest) },
		responses: { 201: jsonResponse(Enrolled, 'The node’s identity'), ...problems(400, 401, 403, 413, 415, 422, 429) },
	}),
	async (c) => {
		const body = c.req.valid('json');
		const answer = await registryOf(c.env).enrol({ token: body.token, publicKey: body.publicKey, name: body.name });
		if (answer.ok) return c.json(enrolled(c, answer, body.publicKey), 201);
		if (answer.code === 'unauthorized') throw await refuseAuthentication(c, answer.detail ?? 'the join token is not valid');
		throw toError(answer);
	},
);

nodesRoutes.openapi(
	createRoute({
		method: 'post',
		path: '/renew',
		operationId: 'renewNode',
		tags: ['nodes'],
		summary: 'Renew a certificate that is still valid',
		security: [{ NodeCertificate: [] }],
		responses: { 200: jsonResponse(Enrolled, 'The node’s identity'), ...problems(401, 403, 404, 429) },
	}),
	async (c) => {
		const claims = await certificateOf(c);
		const answer = await idempotent(
			() => registryOf(c.env),
			(stub) => stub.renew({ nodeId: claims.node, publicKey: claims.key }),
		);
		if (!answer.ok) throw toError(answer);
		return c.json(enrolled(c, answer, claims.key), 200);
	},
);

/** JSON that fits into a header whatever a node is called. */
const asciiJson = (value: unknown): string =>
	JSON.stringify(value).replaceAll(/[^\x20-\x7e]/g, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, '0')}`);

const offersProtocol = (c: AppContext): boolean =>
	(c.req.header('sec-websocket-protocol') ?? '').split(',').some((part) => part.trim() === SUBPROTOCOL);

nodesRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/connect',
		operationId: 'connectNode',
		tags: ['nodes'],
		summary: 'The node’s WebSocket (subprotocol limner.v1)',
		security: [{ NodeCertificate: [] }],
		responses: { 101: { description: 'Node protocol v1' }, ...problems(400, 401, 403, 426, 429) },
	}),
	async (c) => {
		if (c.req.header('upgrade')?.toLowerCase() !== 'websocket') {
			throw new LimnerError('upgrade_required', { detail: 'connect with a WebSocket and the subprotocol limner.v1' });
		}
		if (!offersProtocol(c)) throw new LimnerError('bad_request', { detail: `offer the subprotocol ${SUBPROTOCOL}` });
		const claims = await certificateOf(c);
		// Only these headers go on: a caller cannot slip the Pool an X-Limner-Certificate of its own.
		const response = await poolOf(c.env, claims.shard).fetch('https://pool/node', {
			headers: { Upgrade: 'websocket', 'Sec-WebSocket-Protocol': SUBPROTOCOL, 'X-Limner-Certificate': asciiJson(claims) },
		});
		if (response.webSocket === null) {
			throw new LimnerError(response.status === 403 ? 'forbidden' : 'retry_later', { detail: (await response.text()).slice(0, 200) });
		}
		return new Response(null, {
			status: 101,
			webSocket: response.webSocket,
			headers: { 'Sec-WebSocket-Protocol': SUBPROTOCOL, 'X-Request-Id': c.get('requestId') },
		});
	},
);
