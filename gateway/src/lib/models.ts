/**
 * What the pool can make, as this isolate knows it: asked of all shards, kept `TIMING.registryCacheMs`, and served
 * stale while it is asked again, so that a submit never waits for it but the first time.
 * @module
 */
import { repainterOf, TIMING } from '@limner/shared';
import { BoundedCache } from './cache.ts';
import { BUILT_IN_MODELS, mergeModels, type KnownModel } from './catalog.ts';
import type { AppContext } from './context.ts';
import { describeError } from './log.ts';
import { idempotent, poolOf, shardsOf } from './stubs.ts';

const CACHE_WORKSPACES = 1000;
const cache = new BoundedCache<KnownModel[]>(CACHE_WORKSPACES, TIMING.registryCacheMs);

/** Asks all shards now. For a name that is not known: its node may have come a moment ago. */
export const askModels = async (c: AppContext, ws: string): Promise<KnownModel[]> => {
	const lists = await Promise.all(
		shardsOf(c.env).map((shard) =>
			idempotent(
				() => poolOf(c.env, shard),
				(stub) => stub.models(ws),
			),
		),
	);
	const merged = mergeModels([BUILT_IN_MODELS, ...lists]);
	cache.set(ws, merged, Date.now());
	return merged;
};

/** All models that the workspace can use, by name. */
export const modelsOf = async (c: AppContext, ws: string): Promise<KnownModel[]> => {
	const fresh = cache.get(ws, Date.now());
	if (fresh !== undefined) return fresh;
	const stale = cache.peek(ws);
	if (stale === undefined) return askModels(c, ws);
	const log = c.get('log');
	// Counts as fresh from now on, so that one request asks and the others do not ask with it.
	cache.set(ws, stale, Date.now());
	c.executionCtx.waitUntil(
		askModels(c, ws).catch((error: unknown) => {
			log.warn('models could not be refreshed', describeError(error));
		}),
	);
	return stale;
};

/** The model to repaint with when nobody named one: `model`'s repainter where the caller may use it and a node offers it, else `model` itself. */
export const repainterFor = async (c: AppContext, model: KnownModel): Promise<KnownModel> => {
	const { ws, models: allowed } = c.get('principal');
	const offered = (await modelsOf(c, ws)).filter(({ name, nodes }) => nodes > 0 && (allowed?.includes(name) ?? true));
	return repainterOf(offered, model) ?? model;
};
