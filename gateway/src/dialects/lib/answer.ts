/**
 * From a dialect's work to its HTTP answer: hang-ups cancel, faults become the dialect's own errors, slow answers are held.
 * @module
 */
import { BODY_LIMITS } from '@limner/shared';
import type { AppContext } from '../../lib/context.ts';
import { requireScope } from '../../lib/auth.ts';
import { jsonBodyUpTo } from '../../lib/openapi.ts';
import { held } from './hold.ts';

/** Answers with what `work` makes; headers that were set on the context are kept. */
export const answer = async (
	c: AppContext,
	work: (signal: AbortSignal) => Promise<Response>,
	onFault: (thrown: unknown) => Response,
): Promise<Response> => {
	const gone = new AbortController();
	const hangUp = (): void => gone.abort();
	c.req.raw.signal.addEventListener('abort', hangUp, { once: true });
	if (c.req.raw.signal.aborted) hangUp();
	const response = work(gone.signal).catch(onFault);
	c.executionCtx.waitUntil(response);
	const first = await held(response, hangUp);
	return c.newResponse(first.body, first);
};

/** Security and body reader of a dialect's route: its JSON may hold whole pictures. */
export const securedPictureJson = (scope: string) => ({
	security: [{ ApiKey: [scope] }],
	middleware: [requireScope(scope), jsonBodyUpTo(BODY_LIMITS.pictureJsonBytes)],
});
