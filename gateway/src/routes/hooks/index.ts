/**
 * `/api/v1/hooks`: the operator's hooks (mail, content policy), what they check signatures with, and a test call.
 * @module
 */
import { createRoute, z } from '@hono/zod-openapi';
import { HOOK_LIMITS, LimnerError } from '@limner/shared';
import { callHook, HOOK_KINDS, hookSecret, type HookKind } from '../../hooks/call.ts';
import { recordAction } from '../../lib/audit.ts';
import type { AppContext } from '../../lib/context.ts';
import { jsonResponse, newApp, problems, secured } from '../../lib/openapi.ts';
import { contentPolicy } from '../../policy/config.ts';

const Hook = z
	.object({
		kind: z.enum(HOOK_KINDS),
		/** Absent when there is none. */
		url: z.string().optional(),
		/** Standard Webhooks secret of every call to it. */
		secret: z.string(),
	})
	.openapi('Hook', { example: { kind: 'email', url: 'https://mail.example.com/limner', secret: 'whsec_bm90IGEgcmVhbCBzZWNyZXQ=' } });
const Hooks = z.object({ data: z.array(Hook) }).openapi('Hooks');
const Tested = z
	.object({ ok: z.boolean(), ms: z.int(), error: z.string().optional() })
	.openapi('HookTest', { example: { ok: true, ms: 120 } });
const HookPath = z.object({ kind: z.enum(HOOK_KINDS) });

const urlOf = (c: AppContext, kind: HookKind): string | undefined => {
	const mail: string = c.env.EMAIL_HOOK_URL;
	return kind === 'email' ? mail || undefined : contentPolicy(c.env.CONTENT_POLICY)?.hook?.url;
};

export const hooksRoutes = newApp();

hooksRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/',
		operationId: 'listHooks',
		tags: ['hooks'],
		summary: 'The operator’s hooks and their secrets',
		description: 'Needs the key that the gateway was started with. Addresses are settings: EMAIL_HOOK_URL, and `hook` of CONTENT_POLICY.',
		...secured('operator'),
		responses: { 200: jsonResponse(Hooks, 'All kinds, set or not'), ...problems(401, 403, 429) },
	}),
	(c) => {
		const data = HOOK_KINDS.map((kind) => {
			const url = urlOf(c, kind);
			return { kind, ...(url === undefined ? {} : { url }), secret: hookSecret(c.env.LIMNER_SECRET, kind) };
		});
		return c.json({ data }, 200);
	},
);

hooksRoutes.openapi(
	createRoute({
		method: 'post',
		path: '/{kind}/test',
		operationId: 'testHook',
		tags: ['hooks'],
		summary: 'Call a hook once and tell what came of it',
		description: 'It gets an event of type `hook.test`, to which any answer of 2xx is good.',
		...secured('operator'),
		request: { params: HookPath },
		responses: { 200: jsonResponse(Tested, 'What came of it'), ...problems(401, 403, 404, 409, 422, 429) },
	}),
	async (c) => {
		const { kind } = c.req.valid('param');
		const url = urlOf(c, kind);
		if (url === undefined) throw new LimnerError('conflict', { detail: `no ${kind} hook is set` });
		const began = Date.now();
		const data = { kind, text: 'This is a test of Limner.' };
		const answer = await callHook(c.env, { kind, url, type: 'hook.test', data, timeoutMs: HOOK_LIMITS.timeoutMaxMs });
		await recordAction(c, 'hook.test', kind, { ok: answer.ok });
		return c.json({ ok: answer.ok, ms: Date.now() - began, ...(answer.ok ? {} : { error: answer.why }) }, 200);
	},
);
