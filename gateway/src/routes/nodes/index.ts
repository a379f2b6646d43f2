/**
 * Enrolment and the socket of nodes: `POST /api/v1/nodes`, `POST /api/v1/nodes/renew`, `GET /api/v1/nodes/connect`.
 * @module
 */
import { createRoute, z } from '@hono/zod-openapi';
import { LimnerError, NODE_ID_PATTERN, NODE_LIMITS, rotateMessage, SUBPROTOCOL, toError } from '@limner/shared';
import { recordAction } from '../../lib/audit.ts';
import { refuseAuthentication } from '../../lib/auth.ts';
import { certified, certificateOf, issueCertificate, signedBy, type NodeIdentity } from '../../lib/certificate.ts';
import type { AppContext } from '../../lib/context.ts';
import { jsonBody, jsonRequest, jsonResponse, newApp, problems, secured, securedJson } from '../../lib/openapi.ts';
import { idempotent, poolOf, registryOf } from '../../lib/stubs.ts';

const EnrolRequest = z
	.object({
		token: z.string().min(1).max(500),
		publicKey: z.string().regex(/^[A-Za-z0-9_-]{43}$/, 'must be a raw Ed25519 public key as base64url, 43 characters'),
		name: z
			.string()
			.min(1)
			.max(NODE_LIMITS.nameChars)
			.regex(/^[\x20-\x7e\u00a0-\uffff]+$/, 'must not contain control characters'),
	})
	.openapi('EnrolRequest');
const RotateRequest = z
	.strictObject({
		newPublicKey: EnrolRequest.shape.publicKey,
		/** Milliseconds since the epoch, at most five minutes off. */
		at: z.int().min(0),
		/** base64url Ed25519 signature of the old key over `limner.v1|rotate|<node>|<new key>|<at>`. */
		signature: z.string().regex(/^[A-Za-z0-9_-]{86}$/, 'must be an Ed25519 signature as base64url, 86 characters'),
	})
	.openapi('RotateKeyRequest');
const BanRequest = z.strictObject({ reason: z.string().min(1).max(200) }).openapi('BanRequest');
const NodePath = z.object({ id: z.string().regex(NODE_ID_PATTERN, 'must be a node id') });
const NodeDecision = z.object({ id: z.string(), state: z.enum(['approved', 'banned']) }).openapi('NodeDecision');
const CLOCK_MS = 5 * 60_000;

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

nodesRoutes.openapi(
	createRoute({
		method: 'post',
		path: '/rotate-key',
		operationId: 'rotateNodeKey',
		tags: ['nodes'],
		summary: 'Give a node a new key',
		description: 'Signed by the old key, which is refused everywhere as soon as the node connects with the new one.',
		security: [{ NodeCertificate: [] }],
		middleware: [certified, jsonBody],
		request: { body: jsonRequest(RotateRequest) },
		responses: { 200: jsonResponse(Enrolled, 'The node’s identity'), ...problems(400, 401, 403, 409, 413, 415, 422, 429) },
	}),
	async (c) => {
		const claims = await certificateOf(c);
		const { newPublicKey, at, signature } = c.req.valid('json');
		if (Math.abs(Date.now() - at) > CLOCK_MS)
			throw await refuseAuthentication(c, 'the signature is not from now; check the clock of the node');
		if (!signedBy(claims.key, rotateMessage(claims.node, newPublicKey, at), signature)) {
			throw await refuseAuthentication(c, 'the signature does not fit the certificate');
		}
		const answer = await registryOf(c.env).rotateNodeKey({ nodeId: claims.node, publicKey: claims.key, newPublicKey });
		if (!answer.ok) throw toError(answer);
		return c.json(enrolled(c, answer, newPublicKey), 200);
	},
);

nodesRoutes.openapi(
	createRoute({
		method: 'post',
		path: '/{id}/approve',
		operationId: 'approveNode',
		tags: ['nodes'],
		summary: 'Let a node work that waits for approval',
		...secured('nodes:write'),
		request: { params: NodePath },
		responses: { 200: jsonResponse(NodeDecision, 'It may work'), ...problems(401, 403, 404, 409, 422, 429) },
	}),
	async (c) => {
		const { id } = c.req.valid('param');
		const { ws } = c.get('principal');
		const answer = await registryOf(c.env).approveNode(ws, id);
		if (!answer.ok) throw toError(answer);
		// A node that has not connected yet is not known to its shard; its next certificate says that it is approved.
		await idempotent(
			() => poolOf(c.env, answer.shard),
			(stub) => stub.setMode(ws, id, 'active', ''),
		);
		await recordAction(c, 'node.approve', id);
		return c.json({ id, state: 'approved' as const }, 200);
	},
);

nodesRoutes.openapi(
	createRoute({
		method: 'post',
		path: '/{id}/ban',
		operationId: 'banNode',
		tags: ['nodes'],
		summary: 'Shut a node out for good',
		description: 'Its task goes to another node at once. Neither the node nor its key can come back.',
		...securedJson('nodes:write'),
		request: { params: NodePath, body: jsonRequest(BanRequest) },
		responses: { 200: jsonResponse(NodeDecision, 'It is out'), ...problems(400, 401, 403, 404, 413, 415, 422, 429) },
	}),
	async (c) => {
		const { id } = c.req.valid('param');
		const { reason } = c.req.valid('json');
		const { ws } = c.get('principal');
		const answer = await registryOf(c.env).banNode(ws, id, reason);
		if (!answer.ok) throw toError(answer);
		await idempotent(
			() => poolOf(c.env, answer.shard),
			(stub) => stub.setMode(ws, id, 'terminated', reason),
		);
		await recordAction(c, 'node.ban', id, { reason });
		return c.json({ id, state: 'banned' as const }, 200);
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
