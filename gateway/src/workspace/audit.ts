/**
 * Reading the ledger: events for people, rows for an export. Pure but for the store, which is synchronous.
 * @module
 */
import type { HistEntry } from '@limner/shared';
import type { AuditEvent, AuditFilter, AuditPage, LedgerSlice } from '../rpc.ts';
import { histHash, type LedgerEntry, type LedgerRow } from './ledger.ts';
import { ledgerFromSql, type LedgerSql } from './schema.ts';
import type { Store } from './store.ts';

/** Rows that one page of events looks at; it may come back short, with a cursor from which to go on. */
const SCAN_ROWS = 2000;
/** The job ended by the clock of its shard, the row was written by that of the workspace. */
const CLOCKS_APART_MS = 60_000;
const AFTER_ALL = { seq: Number.MAX_SAFE_INTEGER, index: 0 };

/** Position of an event: `<seq>.<index in its row>`. */
export const parseAuditCursor = (cursor: string): { seq: number; index: number } | undefined => {
	const match = /^(\d{1,15})\.(\d{1,4})$/.exec(cursor);
	return match === null ? undefined : { seq: Number(match[1]), index: Number(match[2]) };
};

const jobsOf = (entry: LedgerEntry): string[] => {
	if (entry.type === 'expire') return entry.jobs;
	return entry.type === 'settle' || entry.type === 'purge' ? [entry.job] : [];
};

const WHO: Record<Exclude<LedgerEntry['type'], 'action'>, string> = { settle: 'pool', purge: 'owner', expire: 'system', key: 'system' };
const ACTION: Record<Exclude<LedgerEntry['type'], 'action'>, string> = {
	settle: 'job.settle',
	purge: 'images.delete',
	expire: 'images.expire',
	key: 'key.add',
};

const targetOf = (entry: LedgerEntry): string => {
	if (entry.type === 'action') return entry.target;
	return entry.type === 'key' ? entry.key : (jobsOf(entry)[0] ?? '');
};

/** One entry of a row as an event. */
export const auditEvent = (row: LedgerRow, index: number, entry: LedgerEntry): AuditEvent => {
	const base = { id: `${row.seq}.${index}`, at: row.at, seq: row.seq, hash: row.hash, unsealed: false, target: targetOf(entry) };
	if (entry.type === 'action') {
		const { who, action, detail = {}, traceId } = entry;
		return { ...base, type: 'action', who, action, detail, ...(traceId === undefined ? {} : { traceId }) };
	}
	const { type, ...detail } = entry;
	return { ...base, type, who: WHO[type], action: ACTION[type], detail };
};

/** A line of a job's history as an event. */
export const histEvent = (jobId: string, entry: HistEntry, unsealed: boolean): AuditEvent => {
	const { rev, at, type, who, traceId, ...detail } = entry;
	const base = { id: `${jobId}.${rev}`, at, type: 'history' as const, who, action: `job.${type}`, target: jobId, detail, unsealed };
	return { ...base, ...(traceId === undefined ? {} : { traceId }) };
};

const within = (at: number, filter: AuditFilter): boolean =>
	(filter.from === undefined || at >= filter.from) && (filter.to === undefined || at < filter.to);

/** Whether an event passes the filters. `action` may end in `.*`. */
export const auditMatches = (event: AuditEvent, filter: AuditFilter): boolean => {
	const { type, who, action, target } = filter;
	if (type !== undefined && event.type !== type) return false;
	if (who !== undefined && event.who !== who) return false;
	if (target !== undefined && event.target !== target && !jobsIn(event).includes(target)) return false;
	if (action !== undefined && !(action.endsWith('.*') ? event.action.startsWith(action.slice(0, -1)) : event.action === action))
		return false;
	return within(event.at, filter);
};

const jobsIn = (event: AuditEvent): string[] => {
	const { jobs } = event.detail;
	return Array.isArray(jobs) ? jobs.filter((job) => typeof job === 'string') : [];
};

/** Matching events of a row, newest first, below a position. */
const eventsBefore = (row: LedgerRow, before: { seq: number; index: number }, filter: AuditFilter): AuditEvent[] =>
	row.entries
		.slice(0, row.seq === before.seq ? before.index : undefined)
		.map((entry, index) => auditEvent(row, index, entry))
		.filter((event) => auditMatches(event, filter))
		.toReversed();

/** Sealed events, newest first. A cursor that is none gives an empty page. */
export const listAudit = (store: Store, query: AuditFilter & { limit: number; cursor?: string }): AuditPage => {
	const before = query.cursor === undefined ? AFTER_ALL : parseAuditCursor(query.cursor);
	if (before === undefined) return { data: [], nextCursor: null };
	const data: AuditEvent[] = [];
	let scanned = 0;
	let last = '';
	const rows = store.sql.each<LedgerSql>('SELECT * FROM ledger WHERE seq <= ? ORDER BY seq DESC LIMIT ?', before.seq, SCAN_ROWS + 1);
	for (const sql of rows) {
		if (scanned++ === SCAN_ROWS) return { data, nextCursor: last };
		const row = ledgerFromSql(sql);
		for (const event of eventsBefore(row, before, query)) {
			if (data.length === query.limit) return { data, nextCursor: data.at(-1)?.id ?? null };
			data.push(event);
		}
		last = `${row.seq}.0`;
	}
	return { data, nextCursor: null };
};

/** History of one settled job, sealed when its hash is the one in the ledger. */
export const settledHistory = (store: Store, jobId: string): AuditEvent[] => {
	const job = store.job(jobId)?.row;
	if (job?.finishedAt === undefined) return [];
	const seal = histHash(job.hist);
	const sealed = store.sql
		.all<LedgerSql>('SELECT * FROM ledger WHERE at >= ? ORDER BY seq LIMIT ?', job.finishedAt - CLOCKS_APART_MS, SCAN_ROWS)
		.flatMap((sql) => ledgerFromSql(sql).entries)
		.some((entry) => entry.type === 'settle' && entry.job === jobId && entry.hist === seal);
	return job.hist.map((entry) => histEvent(jobId, entry, !sealed));
};

/** Rows after `after` for an export, with the histories that they seal as far as their jobs are still kept. */
export const ledgerSlice = (store: Store, after: number, limit: number): LedgerSlice => {
	const rows = store.sql
		.all<LedgerSql>('SELECT * FROM ledger WHERE seq > ? ORDER BY seq LIMIT ?', after, limit)
		.map((sql) => ledgerFromSql(sql));
	const { seq, hash } = store.ledger;
	return {
		head: { seq, hash },
		rows: rows.map((row) => ({
			row,
			histories: row.entries.flatMap((entry) => {
				const job = entry.type === 'settle' ? store.job(entry.job)?.row : undefined;
				return job === undefined ? [] : [{ job: job.id, hist: job.hist }];
			}),
		})),
	};
};
