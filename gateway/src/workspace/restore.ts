/**
 * Backup and restore of a workspace's ended jobs and its ledger. Open jobs belong to their shard and are no part of it.
 * @module
 */
import { isTerminal, refuse, type Result } from '@limner/shared';
import type { BackupJob, BackupSlice, JobRow, RestoreBatch } from '../rpc.ts';
import { objectsOf } from './jobs.ts';
import { verifyLedger } from './ledger.ts';
import { JOB_COLUMNS, jobFromSql, jobValues, type JobSql } from './schema.ts';
import type { Store } from './store.ts';
import type { UsageState } from './usage.ts';

const MARK = 'restoring';
const USAGE = 'usage-before-restore';
export const USAGE_RESTORED = 'usage-restored';
const PLACES = JOB_COLUMNS.replaceAll(/\w+/g, '?');

/** Ended jobs after `after`, oldest first. */
export const backupSlice = (store: Store, after: string, limit: number): BackupSlice => {
	const rows = store.sql.all<JobSql>(
		`SELECT ${JOB_COLUMNS} FROM jobs WHERE id > ? AND finished_at IS NOT NULL ORDER BY id LIMIT ?`,
		after,
		limit,
	);
	return { jobs: rows.map((sql) => jobFromSql(store.ws, sql)), next: rows.length === limit ? (rows.at(-1)?.id ?? null) : null };
};

export const isRestoring = (store: Store): boolean => store.getMeta(MARK) === '1';

/**
 * Empties ledger and jobs for what is to come. Refused for a workspace that has had jobs, unless a restore broke off:
 * two histories cannot be made one.
 * @returns the number of rows of the ledger that are given up
 */
export const beginRestore = (store: Store): Result<{ dropped: number }> => {
	const used = store.sql.all<{ id: string }>('SELECT id FROM jobs LIMIT 1').length > 0;
	if (used && !isRestoring(store)) return refuse('conflict', 'the workspace has jobs already; restore into an empty one');
	const dropped = store.ledger.seq;
	// Usage is kept beside the ledger's last row, and a restore must not set quotas back.
	if (!isRestoring(store)) store.setMeta(USAGE, store.meter.text());
	store.sql.write('ledger', 'DELETE FROM ledger');
	store.sql.write('jobs', 'DELETE FROM jobs');
	store.setMeta(USAGE_RESTORED, '0');
	store.setMeta(MARK, '1');
	store.reload();
	return { ok: true, dropped };
};

/** Keys of objects that a row names, whatever shape a backup gives it. */
const keysIn = ({ images, spec }: JobRow): string[] => {
	const inputs: unknown = spec['inputKeys'];
	const given = typeof inputs === 'object' && inputs !== null ? Object.values(inputs).map(String) : [];
	return [...images.map(({ key }) => key), ...given];
};

/** Why a row does not belong here. Objects of other workspaces lie in the same bucket, and rows say which are served. */
export const wrongRow = (ws: string, row: JobRow): string | undefined => {
	if (row.ws !== ws) return `job ${row.id} is of the workspace ${row.ws}, this is ${ws}`;
	if (typeof row.spec !== 'object' || row.spec === null) return `job ${row.id} has no request`;
	const foreign = keysIn(row).find((key) => !(key.startsWith(`w/${ws}/`) || key.startsWith(`a/${ws}/`)) || key.includes('..'));
	return foreign === undefined ? undefined : `job ${row.id} names an object that is not of this workspace`;
};

const wrongJob = (store: Store, { row }: BackupJob): string | undefined => {
	const wrong = wrongRow(store.ws, row);
	if (wrong !== undefined) return wrong;
	return isTerminal('job', row.state) ? undefined : `job ${row.id} has not ended`;
};

/** Writes a part of a backup. The rows must go on where the ledger ends. */
export const restoreBatch = (store: Store, { rows, jobs }: RestoreBatch): Result<object> => {
	if (!isRestoring(store)) return refuse('conflict', 'no restore has begun');
	const check = verifyLedger(rows, store.ledger);
	if (!check.ok) return refuse('validation_failed', `row ${check.seq} of the ledger does not fit the chain (${check.why})`);
	const wrong = jobs.map((job) => wrongJob(store, job)).find((text) => text !== undefined);
	if (wrong !== undefined) return refuse('validation_failed', wrong);
	for (const row of rows) {
		store.sql.write(
			'ledger',
			'INSERT INTO ledger (seq, at, prev, hash, totals, open_from, entries) VALUES (?, ?, ?, ?, ?, ?, ?)',
			row.seq,
			row.at,
			row.prev,
			row.hash,
			JSON.stringify(row.totals),
			'',
			JSON.stringify(row.entries),
		);
	}
	for (const job of jobs) {
		store.sql.write('jobs', `INSERT OR REPLACE INTO jobs (${JOB_COLUMNS}) VALUES (${PLACES})`, ...jobValues(job, objectsOf(job.row)));
	}
	store.reload();
	return { ok: true };
};

/** Opens the workspace again. */
export const finishRestore = (store: Store, head: { seq: number; hash: string }): Result<object> => {
	if (!isRestoring(store)) return refuse('conflict', 'no restore has begun');
	// Rows after the backup's last one are the restore's own: invitations of members who have no account here.
	const last = store.sql.all<{ hash: string }>('SELECT hash FROM ledger WHERE seq = ?', head.seq)[0];
	if (head.seq > 0 && last?.hash !== head.hash) {
		return refuse(
			'validation_failed',
			`the ledger ends at row ${store.ledger.seq}, and is not that of the backup, which names row ${head.seq}`,
		);
	}
	keepUsage(store);
	store.setMeta(MARK, '0');
	return { ok: true };
};

/** Where the backup brought no usage, that of before the restore goes on; bytes are those of the restored pictures. */
const keepUsage = (store: Store): void => {
	if (store.getMeta(USAGE_RESTORED) === '1') return;
	const before = JSON.parse(store.getMeta(USAGE) ?? '{}') as Partial<UsageState>;
	const usage = JSON.stringify({ ...store.meter.state, ...before, storedBytes: store.meter.state.storedBytes });
	store.sql.write('ledger', 'UPDATE ledger SET usage = ? WHERE seq = ?', usage, store.ledger.seq);
	store.reload();
};
