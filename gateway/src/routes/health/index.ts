/**
 * `GET /health` (no I/O: the process answers) and `GET /ready` (a Durable Object and R2 answer too).
 * @module
 */
import { createRoute, z } from '@hono/zod-openapi';
import { LimnerError, LIMNER_VERSION, READY_CACHE_MS } from '@limner/shared';
import type { AppContext } from '../../lib/context.ts';
import { describeError } from '../../lib/log.ts';
import { jsonResponse, newApp, problems } from '../../lib/openapi.ts';
import { idempotent, poolOf } from '../../lib/stubs.ts';
import { directUpload, storageOf } from '../../storage/index.ts';

const Health = z.object({ status: z.literal('ok'), version: z.string() }).openapi('Health');
const Ready = z.object({ status: z.literal('ready'), checks: z.object({ pool: z.number(), storage: z.number() }) }).openapi('Ready');
type Checks = z.infer<typeof Ready>['checks'];

/** Anybody may ask, so that an isolate asks its back ends at most once in this time. */
let last: { at: number; checks: Checks } | undefined;

const timed = async (what: () => Promise<unknown>): Promise<number> => {
	const start = Date.now();
	await what();
	return Date.now() - start;
};

/** Asks the pool and the bucket; throws when one does not answer. */
export const check = async (c: AppContext): Promise<Checks> => {
	const now = Date.now();
	if (last !== undefined && now - last.at < READY_CACHE_MS) return last.checks;
	const [pool, storage] = await Promise.all([
		timed(() =>
			idempotent(
				() => poolOf(c.env, 0),
				(stub) => stub.known([]),
			),
		),
		timed(async () => {
			// Throws when its settings are wrong; nodes send to the gateway then, and somebody should know.
			directUpload(c.env);
			await storageOf(c.env).head('ready');
		}),
	]);
	last = { at: now, checks: { pool, storage } };
	return last.checks;
};

export const healthRoutes = newApp();

healthRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/health',
		operationId: 'health',
		tags: ['operations'],
		summary: 'The gateway answers',
		responses: { 200: jsonResponse(Health, 'It does'), ...problems() },
	}),
	(c) => c.json({ status: 'ok' as const, version: LIMNER_VERSION }, 200),
);

healthRoutes.openapi(
	createRoute({
		method: 'get',
		path: '/ready',
		operationId: 'ready',
		tags: ['operations'],
		summary: 'The gateway can take work: its pool and its storage answer',
		responses: { 200: jsonResponse(Ready, 'Ready; the numbers are milliseconds'), ...problems() },
	}),
	async (c) => {
		try {
			return c.json({ status: 'ready' as const, checks: await check(c) }, 200);
		} catch (error) {
			c.get('log').error('not ready', describeError(error));
			throw new LimnerError('not_ready', { detail: 'the pool or the storage does not answer', retryAfterS: 2 });
		}
	},
);
