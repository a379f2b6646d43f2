/**
 * `/api/v1/keys`: API keys of the workspace. The text of a key is shown once, when it is made or rotated.
 * @module
 */
import { createRoute, z } from '@hono/zod-openapi';
import { API_KEY_LIMITS as L, KeyLimits, LimnerError, REQUEST_LIMITS, SCOPES, toError } from '@limner/shared';
import { actorOf, byOf } from '../../lib/auth.ts';
import type { AppContext } from '../../lib/context.ts';
import { jsonRequest, jsonResponse, named, newApp, pageOf, problems, secured, securedJson } from '../../lib/openapi.ts';
import { validationError } from '../../lib/problem.ts';
import { idempotent, workspaceOf } from '../../lib/stubs.ts';
import type { KeyInput, KeyView, Principal } from '../../rpc.ts';

export const keysRoutes = newApp();

const Limits = named(KeyLimits, 'KeyLimits');
const time = z.iso.datetime();
const Key = z
	.object({
		id: z.string(),
		name: z.string(),
		scopes: z.array(z.string()),
		createdAt: time,
		createdBy: z.string().nullable(),
		expiresAt: time.nullable(),
		revokedAt: time.nullable(),
		lastUsedAt: time.nullable(),
		models: z.array(z.string()).nullable(),
		limits: Limits.nullable(),
		previousUntil: time.nullable(),
	})
	.openapi('ApiKeyInfo');
const NewKey = Key.extend({ key: z.string() }).openapi('NewApiKey', { description: '`key` is shown this once' });

const fields = {
	name: z.string().trim().min(1).max(L.nameChars).openapi({ example: 'CI' }),
	scopes: z
		.array(z.enum(SCOPES))
		.min(1)
		.max(SCOPES.length)
		.openapi({ example: ['jobs:read', 'jobs:write'] }),
	expiresAt: time.nullable(),
	models: z.array(z.string().min(1).max(REQUEST_LIMITS.modelNameChars)).min(1).max(L.modelsMax).nullable(),
	limits: Limits.nullable(),
};
const KeyRequest = z
	.strictObject({
		name: fields.name,
		scopes: fields.scopes,
		expiresAt: fields.expiresAt.default(null),
		models: fields.models.default(null),
		limits: fields.limits.default(null),
	})
	.openapi('ApiKeyRequest');
const KeyChange = z
	.strictObject({
		name: fields.name.optional(),
		scopes: fields.scopes.optional(),
		expiresAt: fields.expiresAt.optional(),
		models: fields.models.optional(),
		limits: fields.limits.optional(),
	})
	.openapi('ApiKeyChange');
const KeyPath = z.object({ id: z.string().regex(/^[a-z0-9]{4,32}$/, 'must be a key id') });

const iso = (ms: number | null): string | null => (ms === null ? null : new Date(ms).toISOString());
const body = (key: KeyView): z.infer<typeof Key> => ({
	...key,
	createdAt: new Date(key.createdAt).toISOString(),
	expiresAt: iso(key.expiresAt),
	revokedAt: iso(key.revokedAt),
	lastUsedAt: iso(key.lastUsedAt),
	previousUntil: iso(key.previousUntil),
});

const stubOf = (c: AppContext) => workspaceOf(c.env, c.get('principal').ws);

const forbidden = (detail: string): LimnerError => new LimnerError('forbidden', { detail });

const checkModels = (allowed: string[] | undefined, models: string[] | null | undefined): void => {
	if (allowed === undefined || models === undefined) return;
	if (models === null || !models.every((model) => allowed.includes(model))) {
		throw forbidden(`the key may use only: ${allowed.join(', ')}; name some of these as "models"`);
	}
};

const checkEnd = (end: number | undefined, expiresAt: number | null | undefined, nowMs: number): void => {
	if (expiresAt === undefined) return;
	if (end !== undefined && (expiresAt ?? Number.POSITIVE_INFINITY) > end) {
		throw forbidden(`the key itself ends on ${iso(end) ?? ''}; a key that it makes cannot last longer`);
	}
	const latest = nowMs + L.expiryMaxMs;
	if (expiresAt === null || (expiresAt > nowMs && expiresAt <= latest)) return;
	throw validationError([{ pointer: '/expiresAt', detail: `must be in the future and before ${iso(latest) ?? ''}`, code: 'custom' }]);
};

/**
 * A key can only make keys that can do no more than itself, for no longer.
 * @throws {LimnerError} `forbidden`, `validation_failed`
 */
const within = (principal: Principal, input: Partial<KeyInput>): void => {
	if (principal.limited === true) throw forbidden('a key with limits of its own makes no keys');
	checkModels(principal.models, input.models);
	checkEnd(principal.expiresAt, input.expiresAt, Date.now());
};

const msOf = (text: string | null): number | null => (text === null ? null : Date.parse(text));

keysRoutes.openapi(
	createRoute({
		method: 'post',
		path: '/',
		operationId: 'createKey',
		tags: ['keys'],
		summary: 'Make an API key',
		description: 'The text is shown once; the gateway keeps its SHA-256. A key never gets a scope that its maker does not have.',
		...securedJson('keys:write'),
		request: { body: jsonRequest(KeyRequest) },
		responses: { 201: jsonResponse(NewKey, 'The key'), ...problems(400, 401, 403, 409, 413, 415, 422, 429) },
	}),
	async (c) => {
		const request = c.req.valid('json');
		const input: KeyInput = { ...request, expiresAt: msOf(request.expiresAt) };
		within(c.get('principal'), input);
		const made = await stubOf(c).createKey(input, byOf(c.get('principal')));
		if (!made.ok) throw toError(made);
		return c.json({ ...body(made.key), key: made.text }, 201);
	},
);

keysRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/',
		operationId: 'listKeys',
		tags: ['keys'],
		summary: 'List the API keys of the workspace',
		...secured('keys:read'),
		responses: { 200: jsonResponse(pageOf(Key), 'Keys, newest first'), ...problems(401, 403, 429) },
	}),
	async (c) => {
		const keys = await idempotent(
			() => stubOf(c),
			(stub) => stub.listKeys(),
		);
		return c.json({ data: keys.map(body), nextCursor: null }, 200);
	},
);

keysRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/{id}',
		operationId: 'getKey',
		tags: ['keys'],
		summary: 'Read an API key, without its secret',
		...secured('keys:read'),
		request: { params: KeyPath },
		responses: { 200: jsonResponse(Key, 'The key'), ...problems(401, 403, 404, 429) },
	}),
	async (c) => {
		const key = await stubOf(c).getKey(c.req.valid('param').id);
		if (key === null) throw new LimnerError('not_found', { detail: 'there is no such key' });
		return c.json(body(key), 200);
	},
);

keysRoutes.openapi(
	createRoute({
		method: 'patch',
		path: '/{id}',
		operationId: 'updateKey',
		tags: ['keys'],
		summary: 'Change what an API key may do',
		...securedJson('keys:write'),
		request: { params: KeyPath, body: jsonRequest(KeyChange) },
		responses: { 200: jsonResponse(Key, 'The key'), ...problems(400, 401, 403, 404, 409, 413, 415, 422, 429) },
	}),
	async (c) => {
		const { expiresAt, ...rest } = c.req.valid('json');
		const change = { ...rest, ...(expiresAt === undefined ? {} : { expiresAt: msOf(expiresAt) }) } as Partial<KeyInput>;
		within(c.get('principal'), change);
		const answer = await stubOf(c).updateKey(c.req.valid('param').id, change, byOf(c.get('principal')));
		if (!answer.ok) throw toError(answer);
		return c.json(body(answer.key), 200);
	},
);

keysRoutes.openapi(
	createRoute({
		method: 'post',
		path: '/{id}/rotate',
		operationId: 'rotateKey',
		tags: ['keys'],
		summary: 'Give an API key a new text',
		description: 'The id stays. The text before stays good for `graceS` seconds, so that programs can be changed one by one.',
		...securedJson('keys:write'),
		request: {
			params: KeyPath,
			body: jsonRequest(z.strictObject({ graceS: z.int().min(0).max(L.rotateGraceMaxS).default(0) }).openapi('KeyRotation')),
		},
		responses: { 200: jsonResponse(NewKey, 'The key with its new text'), ...problems(400, 401, 403, 404, 409, 413, 415, 422, 429) },
	}),
	async (c) => {
		within(c.get('principal'), {});
		const answer = await stubOf(c).rotateKey(c.req.valid('param').id, c.req.valid('json').graceS * 1000, byOf(c.get('principal')));
		if (!answer.ok) throw toError(answer);
		return c.json({ ...body(answer.key), key: answer.text }, 200);
	},
);

keysRoutes.openapi(
	createRoute({
		method: 'delete',
		path: '/{id}',
		operationId: 'revokeKey',
		tags: ['keys'],
		summary: 'Revoke an API key',
		description: 'It stops working everywhere within a second, with all tokens made from it.',
		...secured('keys:write'),
		request: { params: KeyPath },
		responses: { 200: jsonResponse(Key, 'The key, revoked'), ...problems(401, 403, 404, 429) },
	}),
	async (c) => {
		const answer = await stubOf(c).revokeKey(c.req.valid('param').id, actorOf(c.get('principal')));
		if (!answer.ok) throw toError(answer);
		return c.json(body(answer.key), 200);
	},
);
