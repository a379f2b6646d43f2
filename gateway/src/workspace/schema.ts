/**
 * Tables of a Workspace, and the mapping between rows and values. Every table is WITHOUT ROWID and `jobs` has no second
 * index, because each index entry is one more row written: a finished job of one picture costs 4 rows.
 * @module
 */
import type { Migration } from '../lib/migrations.ts';
import type { SqlRow } from '../lib/sql.ts';
import type { AssetRow, JobRow } from '../rpc.ts';
import type { ObjectsKind, StoredJob } from './jobs.ts';
import type { KeyRow } from './keys.ts';
import type { LedgerRow } from './ledger.ts';

/**
 * Append only. Columns that scans look at come first, so that a scan does not read the JSON's overflow pages.
 * - `jobs.objects`: see `OBJECTS` in jobs.ts; 0 while the job is open.
 * - `idem.bucket`: time divided by the time to live, so that old rows are one key range and no index is needed.
 * - `ledger.open_from`: a lower bound of the ids open when the row was written. What is older has been settled, so
 *   the constructor finds the open jobs by one range scan. A hint, not part of the hash.
 */
export const WORKSPACE_MIGRATIONS: readonly Migration[] = [
	{
		name: '0001-jobs',
		sql: `
CREATE TABLE meta (k TEXT PRIMARY KEY, v TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE keys (
	id TEXT PRIMARY KEY, hash TEXT NOT NULL, scopes TEXT NOT NULL,
	created_at INTEGER NOT NULL, expires_at INTEGER, revoked_at INTEGER
) WITHOUT ROWID;
CREATE TABLE jobs (
	id TEXT PRIMARY KEY, state TEXT NOT NULL, created_at INTEGER NOT NULL, finished_at INTEGER,
	objects INTEGER NOT NULL, purged_at INTEGER, started_at INTEGER, key_id TEXT NOT NULL, retry_of TEXT, trace_id TEXT,
	images TEXT NOT NULL, usage TEXT, error TEXT, warnings TEXT NOT NULL, spec TEXT NOT NULL, hist TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE idem (
	bucket INTEGER NOT NULL, key TEXT NOT NULL, at INTEGER NOT NULL, body_hash TEXT NOT NULL, job_id TEXT NOT NULL,
	PRIMARY KEY (bucket, key)
) WITHOUT ROWID;
CREATE TABLE ledger (
	seq INTEGER PRIMARY KEY, at INTEGER NOT NULL, prev TEXT NOT NULL, hash TEXT NOT NULL,
	totals TEXT NOT NULL, open_from TEXT NOT NULL, entries TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE assets (
	id TEXT PRIMARY KEY, expires_at INTEGER NOT NULL, created_at INTEGER NOT NULL, sha256 TEXT NOT NULL,
	bytes INTEGER NOT NULL, content_type TEXT NOT NULL, width INTEGER NOT NULL, height INTEGER NOT NULL
) WITHOUT ROWID;`,
	},
	{
		name: '0002-tenancy',
		sql: `
ALTER TABLE keys ADD COLUMN name TEXT NOT NULL DEFAULT '';
ALTER TABLE keys ADD COLUMN created_by TEXT;
ALTER TABLE keys ADD COLUMN last_used_at INTEGER;
ALTER TABLE keys ADD COLUMN models TEXT;
ALTER TABLE keys ADD COLUMN limits TEXT;
ALTER TABLE keys ADD COLUMN prev_hash TEXT;
ALTER TABLE keys ADD COLUMN prev_until INTEGER;
CREATE TABLE members (
	account TEXT PRIMARY KEY, email TEXT NOT NULL, name TEXT NOT NULL, role TEXT NOT NULL, joined_at INTEGER NOT NULL,
	added_by TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE invitations (
	id TEXT PRIMARY KEY, hash TEXT NOT NULL, role TEXT NOT NULL, email TEXT, created_at INTEGER NOT NULL,
	created_by TEXT NOT NULL, expires_at INTEGER NOT NULL, used_at INTEGER, revoked_at INTEGER
) WITHOUT ROWID;`,
	},
	{
		// `ledger.usage`: what is used in the windows of now, see usage.ts; carried along, not part of the hash.
		name: '0003-quotas',
		sql: `
ALTER TABLE ledger ADD COLUMN usage TEXT;
CREATE TABLE usage_days (day_at INTEGER PRIMARY KEY, pairs TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE allocations (
	id TEXT PRIMARY KEY, created_at INTEGER NOT NULL, created_by TEXT NOT NULL, note TEXT NOT NULL,
	starts_at INTEGER NOT NULL, ends_at INTEGER NOT NULL, images INTEGER NOT NULL, milli_steps INTEGER NOT NULL,
	used_images INTEGER NOT NULL, used_milli_steps INTEGER NOT NULL, released_at INTEGER
) WITHOUT ROWID;`,
	},
	{
		// `reply`: encrypted; NULL while the request is being worked on.
		name: '0004-replies',
		sql: `
CREATE TABLE replies (
	bucket INTEGER NOT NULL, name TEXT NOT NULL, at INTEGER NOT NULL, body_hash TEXT NOT NULL, reply TEXT,
	PRIMARY KEY (bucket, name)
) WITHOUT ROWID;`,
	},
	{
		name: '0005-takedowns',
		sql: `
CREATE TABLE takedowns (
	job_id TEXT NOT NULL, idx INTEGER NOT NULL, at INTEGER NOT NULL, who TEXT NOT NULL, reason TEXT NOT NULL, PRIMARY KEY (job_id, idx)
) WITHOUT ROWID;`,
	},
];

export type JobSql = {
	id: string;
	state: string;
	created_at: number;
	finished_at: number | null;
	objects: number;
	purged_at: number | null;
	started_at: number | null;
	key_id: string;
	retry_of: string | null;
	trace_id: string | null;
	images: string;
	usage: string | null;
	error: string | null;
	warnings: string;
	spec: string;
	hist: string;
};
export const JOB_COLUMNS =
	'id, state, created_at, finished_at, objects, purged_at, started_at, key_id, retry_of, trace_id, images, usage, error, warnings, spec, hist';

export const jsonOrNull = (value: unknown): string | null => (value === undefined ? null : JSON.stringify(value));

/** Values of {@link JOB_COLUMNS}, in their order. */
export const jobValues = ({ row, keyId }: StoredJob, objects: ObjectsKind): (string | number | null)[] => [
	row.id,
	row.state,
	row.createdAt,
	row.finishedAt ?? null,
	objects,
	row.purgedAt ?? null,
	row.startedAt ?? null,
	keyId,
	row.retryOf ?? null,
	row.traceId ?? null,
	JSON.stringify(row.images),
	jsonOrNull(row.usage),
	jsonOrNull(row.error),
	JSON.stringify(row.warnings),
	JSON.stringify(row.spec),
	JSON.stringify(row.hist),
];

/** Fields whose column is not NULL; an absent field is absent, never `undefined`. */
const optionalFields = (sql: JobSql): Partial<JobRow> => {
	const fields: Record<string, unknown> = {
		traceId: sql.trace_id,
		retryOf: sql.retry_of,
		startedAt: sql.started_at,
		finishedAt: sql.finished_at,
		purgedAt: sql.purged_at,
		usage: sql.usage === null ? null : JSON.parse(sql.usage),
		error: sql.error === null ? null : JSON.parse(sql.error),
	};
	return Object.fromEntries(Object.entries(fields).filter(([, value]) => value !== null));
};

/** The rows were written by `jobValues`, so their JSON is trusted. Fields come in the order of a fresh row: a replay is equal byte by byte. */
export const jobFromSql = (ws: string, sql: JobSql): StoredJob => ({
	keyId: sql.key_id,
	row: {
		id: sql.id,
		ws,
		state: sql.state as JobRow['state'],
		spec: JSON.parse(sql.spec),
		createdAt: sql.created_at,
		images: JSON.parse(sql.images),
		hist: JSON.parse(sql.hist),
		warnings: JSON.parse(sql.warnings),
		...optionalFields(sql),
	},
});

export type KeySql = {
	id: string;
	hash: string;
	scopes: string;
	created_at: number;
	expires_at: number | null;
	revoked_at: number | null;
	name: string;
	created_by: string | null;
	last_used_at: number | null;
	models: string | null;
	limits: string | null;
	prev_hash: string | null;
	prev_until: number | null;
};
const parsed = (text: string | null) => (text === null ? null : JSON.parse(text));

export const keyFromSql = (sql: KeySql): KeyRow => ({
	id: sql.id,
	hash: sql.hash,
	scopes: JSON.parse(sql.scopes),
	createdAt: sql.created_at,
	expiresAt: sql.expires_at,
	revokedAt: sql.revoked_at,
	name: sql.name,
	createdBy: sql.created_by,
	lastUsedAt: sql.last_used_at,
	models: parsed(sql.models),
	limits: parsed(sql.limits),
	prevHash: sql.prev_hash,
	prevUntil: sql.prev_until,
});

export type LedgerSql = {
	seq: number;
	at: number;
	prev: string;
	hash: string;
	totals: string;
	open_from: string;
	entries: string;
	usage: string | null;
};
export const ledgerFromSql = (sql: LedgerSql): LedgerRow => ({
	seq: sql.seq,
	at: sql.at,
	prev: sql.prev,
	hash: sql.hash,
	totals: JSON.parse(sql.totals),
	entries: JSON.parse(sql.entries),
});

export type AssetSql = SqlRow & {
	id: string;
	expires_at: number;
	created_at: number;
	sha256: string;
	bytes: number;
	content_type: string;
	width: number;
	height: number;
};
export const assetFromSql = (sql: AssetSql): AssetRow => ({
	id: sql.id,
	sha256: sql.sha256,
	bytes: sql.bytes,
	contentType: sql.content_type,
	width: sql.width,
	height: sql.height,
	createdAt: sql.created_at,
	expiresAt: sql.expires_at,
});
