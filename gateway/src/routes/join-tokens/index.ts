/**
 * Join tokens: what a machine needs once to become a node.
 * @module
 */
import { createRoute, z } from '@hono/zod-openapi';
import { JOIN_TOKEN_LIMITS as L, toError } from '@limner/shared';
import { recordAction } from '../../lib/audit.ts';
import { jsonRequest, jsonResponse, newApp, pageOf, problems, secured, securedJson } from '../../lib/openapi.ts';
import { idempotent, registryOf } from '../../lib/stubs.ts';
import type { JoinTokenView } from '../../rpc.ts';

const TokenView = z
	.object({
		id: z.string(),
		trust: z.enum(['own', 'shared']),
		createdAt: z.iso.datetime(),
		expiresAt: z.iso.datetime(),
		maxUses: z.int(),
		labels: z.array(z.string()),
		approval: z.boolean(),
		uses: z.int(),
		revoked: z.boolean(),
	})
	.openapi('JoinToken');
const TokenRequest = z
	.strictObject({
		/** own = works for your workspace only; shared = for everybody. */
		trust: z.enum(['own', 'shared']).default('own'),
		ttlMs: z.int().min(L.ttlMinMs).max(L.ttlMaxMs).default(L.ttlDefaultMs),
		maxUses: z.int().min(1).max(L.maxUsesMax).default(1),
		/** Given to its nodes; the supervisor's lists can be filtered by them. */
		labels: z
			.array(z.string().regex(/^[\w.:/-]{1,64}$/, 'letters, digits and _ . : / - only'))
			.max(L.labelsMax)
			.default([]),
		/** Its nodes get no work before an operator has approved them. */
		approval: z.boolean().default(false),
	})
	.openapi('JoinTokenRequest');

const view = ({ id, trust, createdAt, expiresAt, maxUses, uses, revoked, labels, approval }: JoinTokenView): z.infer<typeof TokenView> => ({
	id,
	trust,
	createdAt: new Date(createdAt).toISOString(),
	expiresAt: new Date(expiresAt).toISOString(),
	maxUses,
	uses,
	revoked,
	labels,
	approval,
});

export const joinTokensRoutes = newApp();

joinTokensRoutes.openapi(
	createRoute({
		method: 'post',
		path: '/',
		operationId: 'createJoinToken',
		tags: ['nodes'],
		summary: 'Make a join token',
		description: 'The token is shown once.',
		...securedJson('nodes:join'),
		request: { body: jsonRequest(TokenRequest) },
		responses: {
			201: jsonResponse(TokenView.extend({ token: z.string() }).openapi('NewJoinToken'), 'The token'),
			...problems(400, 401, 403, 413, 415, 422, 429),
		},
	}),
	async (c) => {
		const made = await registryOf(c.env).createJoinToken({ ws: c.get('principal').ws, ...c.req.valid('json') });
		const { id, trust, maxUses } = made.view;
		await recordAction(c, 'join-token.create', id, { trust, maxUses, labels: made.view.labels, approval: made.view.approval });
		return c.json({ ...view(made.view), token: made.token }, 201);
	},
);

joinTokensRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/',
		operationId: 'listJoinTokens',
		tags: ['nodes'],
		summary: 'List join tokens',
		...secured('nodes:join'),
		responses: { 200: jsonResponse(pageOf(TokenView), 'All tokens of the workspace'), ...problems(401, 403, 429) },
	}),
	async (c) => {
		const tokens = await idempotent(
			() => registryOf(c.env),
			(stub) => stub.listJoinTokens(c.get('principal').ws),
		);
		return c.json({ data: tokens.map(view), nextCursor: null }, 200);
	},
);

joinTokensRoutes.openapi(
	createRoute({
		method: 'delete',
		path: '/{id}',
		operationId: 'revokeJoinToken',
		tags: ['nodes'],
		summary: 'Revoke a join token',
		description: 'Nodes that have already joined with it stay.',
		...secured('nodes:join'),
		request: { params: z.object({ id: z.string().min(1).max(100) }) },
		responses: { 200: jsonResponse(TokenView, 'The token, revoked'), ...problems(401, 403, 404, 422, 429) },
	}),
	async (c) => {
		const answer = await idempotent(
			() => registryOf(c.env),
			(stub) => stub.revokeJoinToken(c.get('principal').ws, c.req.valid('param').id),
		);
		if (!answer.ok) throw toError(answer);
		await recordAction(c, 'join-token.revoke', answer.view.id);
		return c.json(view(answer.view), 200);
	},
);
