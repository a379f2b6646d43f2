/**
 * How a workspace does, for alerts.
 * @module
 */
import type { WorkspaceHealth } from '../rpc.ts';
import { ledgerFromSql, type LedgerSql } from './schema.ts';
import type { Store } from './store.ts';

/** Rows of the ledger that are looked at: newer ones only when there were more. */
const SCAN_ROWS = 500;

/** What was settled since a time, and what is open, oldest first. */
export const healthOf = (store: Store, sinceMs: number, maxQueueDepth: number): WorkspaceHealth => {
	const health: WorkspaceHealth = {
		open: [...store.open].map(([id, createdAt]) => ({ id, createdAt })),
		settled: 0,
		failed: 0,
		poison: [],
		quotas: [{ name: 'queued', used: store.open.size, limit: maxQueueDepth }],
	};
	for (const sql of store.sql.each<LedgerSql>('SELECT * FROM ledger ORDER BY seq DESC LIMIT ?', SCAN_ROWS)) {
		if (sql.at < sinceMs) break;
		for (const entry of ledgerFromSql(sql).entries) {
			if (entry.type !== 'settle') continue;
			health.settled++;
			if (entry.state !== 'failed') continue;
			health.failed++;
			if (store.job(entry.job)?.row.error?.class === 'poison') health.poison.push(entry.job);
		}
	}
	return health;
};
