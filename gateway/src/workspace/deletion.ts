/**
 * Deletes a workspace: its open jobs, its machines, its objects, its rows. Runs in the alarm, in bounded steps that can
 * be repeated; what is left at the end is the note that the id was used.
 * @module
 */
import { shardOfJob } from '@limner/shared';
import type { PoolRpc } from '../rpc.ts';
import type { Storage } from '../storage/index.ts';
import { removeOlder } from '../storage/port.ts';
import type { Store } from './store.ts';

/** Objects deleted in one step. */
const OBJECTS = 1000;
/** Emptied at the end. The ledger goes too: it names people. */
const TABLES = [
	'keys',
	'jobs',
	'idem',
	'ledger',
	'assets',
	'members',
	'invitations',
	'usage_days',
	'allocations',
	'replies',
	'takedowns',
] as const;

type Objects = Pick<Storage, 'delete' | 'list'>;

/** Ends the open jobs and refuses the machines that worked for the workspace alone. */
const stopWork = async (store: Store, pool: (shard: number) => PoolRpc): Promise<void> => {
	for (const id of store.open.keys()) await pool(shardOfJob(id) ?? store.homeShard).cancel(store.ws, id, 'workspace deleted');
	const home = pool(store.homeShard);
	for (const node of await home.nodes(store.ws)) {
		if (node.ws === store.ws) await home.setMode(store.ws, node.id, 'terminated', 'the workspace was deleted');
	}
};

/**
 * One step.
 * @param lateMs until when a node may still upload: objects are looked for again after that
 * @returns when to go on; `null` when all is done
 */
export const deleteStep = async (
	store: Store,
	objects: Objects,
	pool: (shard: number) => PoolRpc,
	lateMs: number,
	nowMs: number,
): Promise<number | null> => {
	await stopWork(store, pool);
	for (const prefix of [`w/${store.ws}/`, `a/${store.ws}/`, `o/${store.ws}/`]) {
		if (await removeOlder(objects, prefix, Infinity, OBJECTS)) return nowMs + 1;
	}
	if (store.getMeta('wiped') === undefined) store.wipe(TABLES);
	const lastTicketAt = (store.deletingSince ?? nowMs) + lateMs;
	return lastTicketAt > nowMs ? lastTicketAt : null;
};
