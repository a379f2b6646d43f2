/**
 * Typed stubs of the Durable Objects. Make one per use: a stub that threw stays broken.
 * @module
 */
import { poolName } from '@limner/shared';
import type { DeliveryRpc } from '../delivery/rpc.ts';
import type { AccountRpc, PoolRpc, RegistryRpc, WorkspaceRpc } from '../rpc.ts';

type Bindings = Pick<Cloudflare.Env, 'WORKSPACE' | 'POOL' | 'REGISTRY' | 'DELIVERY' | 'ACCOUNT' | 'REGION' | 'SHARDS'>;

/** What a stub can do besides its RPC. */
export interface Fetches {
	fetch(input: string, init?: RequestInit): Promise<Response>;
}
export type PoolStub = PoolRpc & Fetches;

/** Stub of one tenant's Workspace. */
export const workspaceOf = (env: Bindings, ws: string): WorkspaceRpc => env.WORKSPACE.getByName(ws);

/** Stub of one account; its id is the name. */
export const accountOf = (env: Bindings, accountId: string): AccountRpc => env.ACCOUNT.getByName(accountId);

/** Stub of one shard's Pool in this region. */
export const poolOf = (env: Bindings, shard: number): PoolStub => env.POOL.getByName(poolName(env.REGION, shard));

/** Stub of this region's Registry. */
export const registryOf = (env: Bindings): RegistryRpc => env.REGISTRY.getByName(`registry:${env.REGION}`);

/** Stub of a workspace's webhooks and alerts. */
export const deliveryOf = (env: Pick<Bindings, 'DELIVERY'>, ws: string): DeliveryRpc => env.DELIVERY.getByName(ws);

/** Numbers of all shards of this region. */
export const shardsOf = (env: Pick<Bindings, 'SHARDS'>): number[] => {
	const count = Number(env.SHARDS);
	return Array.from({ length: Number.isInteger(count) && count > 0 ? count : 1 }, (_, shard) => shard);
};

const flag = (error: unknown, name: 'retryable' | 'overloaded'): boolean =>
	typeof error === 'object' && error !== null && name in error && (error as Record<string, unknown>)[name] === true;

/** The object was gone for a moment (restart, deploy): an idempotent call may be made again. */
export const isRetryable = (error: unknown): boolean => flag(error, 'retryable') && !flag(error, 'overloaded');
/** The object has more work than it can do: calling again makes it worse. */
export const isOverloaded = (error: unknown): boolean => flag(error, 'overloaded');

/**
 * Runs an idempotent call, and once more with a fresh stub when the object was only restarting.
 * @param make makes a stub; called again for the second try
 */
export const idempotent = async <S, T>(make: () => S, call: (stub: S) => Promise<T>): Promise<T> => {
	try {
		return await call(make());
	} catch (error) {
		if (!isRetryable(error)) throw error;
		return call(make());
	}
};
