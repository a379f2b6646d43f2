/**
 * `limner prune`: removes what a node left behind.
 * @module
 */
import { existsSync, readdirSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { TIMING } from '@limner/shared';
import type { Command } from 'commander';
import { settings } from '../config/settings.ts';
import { defaultStateDir, userPath } from '../lib/paths.ts';
import { lockOwner } from '../lib/process-lock.ts';
import { UserError } from '../lib/user-error.ts';
import { openOutbox } from '../outbox/outbox.ts';

interface PruneFlags {
	stateDir?: string;
	outbox?: boolean;
	dryRun?: boolean;
}

const LOGS = ['node.log', 'node.log.1', 'engine.log', 'engine.log.1'];

const sizeOf = (path: string): number => {
	const info = statSync(path, { throwIfNoEntry: false });
	if (info === undefined) return 0;
	if (!info.isDirectory()) return info.size;
	return readdirSync(path).reduce((sum, name) => sum + sizeOf(join(path, name)), 0);
};

export interface Pruned {
	what: string;
	bytes: number;
}

/**
 * Removes temporary folders and logs, and pictures whose upload can no longer succeed.
 * @param all removes every picture that waits for its upload
 */
export const prune = async (stateDir: string, options: { all: boolean; dryRun: boolean; now: number }): Promise<Pruned[]> => {
	const pid = lockOwner(join(stateDir, 'node.pid'))?.pid;
	if (pid !== undefined) throw new UserError(`A node (process ${pid}) uses ${stateDir}; stop it first.`);
	const removed: Pruned[] = [];
	for (const name of ['tmp', ...LOGS]) {
		const path = join(stateDir, name);
		const bytes = sizeOf(path);
		if (!existsSync(path)) continue;
		removed.push({ what: name, bytes });
		if (!options.dryRun) rmSync(path, { recursive: true, force: true });
	}
	if (!existsSync(join(stateDir, 'outbox'))) return removed;
	const outbox = await openOutbox(join(stateDir, 'outbox'));
	for (const record of outbox.list()) {
		if (!options.all && options.now - record.createdAt <= TIMING.ticketTtlMs) continue;
		removed.push({ what: `picture ${record.index} of ${record.jobId}`, bytes: record.bytes });
		if (!options.dryRun) await outbox.remove(record);
	}
	return removed;
};

const command = async (flags: PruneFlags): Promise<void> => {
	const stateDir = userPath(flags.stateDir ?? settings().stateDir ?? defaultStateDir());
	if (!existsSync(stateDir)) throw new UserError(`There is no state folder ${stateDir}; name it with --state-dir.`);
	const dryRun = flags.dryRun === true;
	const removed = await prune(stateDir, { all: flags.outbox === true, dryRun, now: Date.now() });
	for (const { what, bytes } of removed) console.log(`${dryRun ? 'would remove' : 'removed'} ${what} (${Math.ceil(bytes / 1024)} KiB)`);
	if (removed.length === 0) console.log('There is nothing to remove.');
};

export const registerPrune = (program: Command): void => {
	program
		.command('prune')
		.description("remove a node's logs, temporary files and pictures that can no longer be uploaded")
		.option('--state-dir <folder>', "the node's state folder")
		.option('--outbox', 'remove all pictures that wait for their upload as well')
		.option('--dry-run', 'only say what would be removed')
		.action(command);
};
