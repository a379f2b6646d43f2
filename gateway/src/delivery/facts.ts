/**
 * What alerts look at, gathered from the workspace and its shards.
 * @module
 */
import { shardOfJob } from '@limner/shared';
import { poolOf, registryOf, shardsOf, workspaceOf } from '../lib/stubs.ts';
import type { Facts } from './alerts.ts';

/** A shard is asked about this many jobs at a time. */
const VIEWS = 200;

const oldestQueued = async (env: Cloudflare.Env, ws: string, open: { id: string; createdAt: number }[]): Promise<number | null> => {
	const old = open.slice(0, VIEWS);
	let oldest: number | null = null;
	for (const [shard, jobs] of Map.groupBy(old, ({ id }) => shardOfJob(id) ?? 0)) {
		const views = await poolOf(env, shard).views(
			ws,
			jobs.map(({ id }) => id),
		);
		const running = new Set(views.filter((view) => view.state !== 'queued').map((view) => view.id));
		for (const { id, createdAt } of jobs) if (!running.has(id)) oldest = Math.min(oldest ?? createdAt, createdAt);
	}
	return oldest;
};

/** Reported pictures that alerts name. */
const REPORTS = 20;

/**
 * Asks everybody. Throws when one of them does not answer: half the facts would resolve alerts that are none.
 * @param windowMs how far failures are looked back for
 */
export const factsOf = async (env: Cloudflare.Env, ws: string, nowMs: number, windowMs: number): Promise<Facts> => {
	const health = await workspaceOf(env, ws).health(nowMs - windowMs);
	// Whoever runs the gateway decides about pictures of all workspaces, and has to hear of them.
	const open = await registryOf(env).listReports({ ...(health.operator ? {} : { ws }), state: 'open', limit: REPORTS });
	const reports = open.data.map(({ id, imageId, reason, ws: of }) => ({ id, imageId, reason, ...(of === ws ? {} : { ws: of }) }));
	const nodes = await Promise.all(shardsOf(env).map((shard) => poolOf(env, shard).nodes(ws)));
	const { open: jobs, settled, failed, poison, quotas } = health;
	return { nodes: nodes.flat(), oldestQueuedAt: await oldestQueued(env, ws, jobs), settled, failed, poison, quotas, reports };
};
