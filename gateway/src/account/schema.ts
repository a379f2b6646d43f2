/**
 * Tables of an Account.
 * @module
 */
import type { Migration } from '../lib/migrations.ts';
import type { OAuthGrant } from '../rpc.ts';
import type { SessionRow } from './sessions.ts';

/** Append only. */
export const ACCOUNT_MIGRATIONS: readonly Migration[] = [
	{
		name: '0001-account',
		sql: `
CREATE TABLE account (
	one INTEGER PRIMARY KEY CHECK (one = 1), id TEXT NOT NULL, email TEXT NOT NULL, name TEXT NOT NULL, phc TEXT NOT NULL,
	created_at INTEGER NOT NULL, failures INTEGER NOT NULL, failed_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE sessions (
	id TEXT PRIMARY KEY, hash TEXT NOT NULL, prev_hash TEXT, rotated_at INTEGER, created_at INTEGER NOT NULL,
	used_at INTEGER NOT NULL, expires_at INTEGER NOT NULL, revoked_at INTEGER, agent TEXT NOT NULL
) WITHOUT ROWID;
CREATE TABLE memberships (ws TEXT PRIMARY KEY, role TEXT NOT NULL, joined_at INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE resets (id TEXT PRIMARY KEY, hash TEXT NOT NULL, expires_at INTEGER NOT NULL) WITHOUT ROWID;`,
	},
	{
		name: '0002-oauth',
		sql: `
ALTER TABLE sessions ADD COLUMN oauth TEXT;
CREATE TABLE codes (
	id TEXT PRIMARY KEY, hash TEXT NOT NULL, body TEXT NOT NULL, expires_at INTEGER NOT NULL, session TEXT
) WITHOUT ROWID;`,
	},
];

export type AccountSql = {
	one: number;
	id: string;
	email: string;
	name: string;
	phc: string;
	created_at: number;
	failures: number;
	failed_at: number;
};

export type SessionSql = {
	id: string;
	hash: string;
	prev_hash: string | null;
	rotated_at: number | null;
	created_at: number;
	used_at: number;
	expires_at: number;
	revoked_at: number | null;
	agent: string;
	oauth: string | null;
};

export const sessionFromSql = (sql: SessionSql): SessionRow => ({
	id: sql.id,
	hash: sql.hash,
	prevHash: sql.prev_hash,
	rotatedAt: sql.rotated_at,
	createdAt: sql.created_at,
	usedAt: sql.used_at,
	expiresAt: sql.expires_at,
	revokedAt: sql.revoked_at,
	agent: sql.agent,
	oauth: sql.oauth === null ? null : (JSON.parse(sql.oauth) as OAuthGrant),
});

/** Values in the order of the columns. */
export const sessionValues = (row: SessionRow): (string | number | null)[] => [
	row.id,
	row.hash,
	row.prevHash,
	row.rotatedAt,
	row.createdAt,
	row.usedAt,
	row.expiresAt,
	row.revokedAt,
	row.agent,
	row.oauth === null ? null : JSON.stringify(row.oauth),
];
