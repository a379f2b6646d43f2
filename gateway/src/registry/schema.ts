/**
 * Tables of a Registry, and the mapping between rows and values.
 * @module
 */
import type { Migration } from '../lib/migrations.ts';
import type { NodeRow } from './enrol.ts';
import type { JoinTokenRow } from './tokens.ts';

/** Append only. */
export const REGISTRY_MIGRATIONS: readonly Migration[] = [
	{
		name: '0001-enrolment',
		sql: `
CREATE TABLE join_tokens (
	id TEXT PRIMARY KEY, hash TEXT NOT NULL, ws TEXT NOT NULL, trust TEXT NOT NULL, created_at INTEGER NOT NULL,
	expires_at INTEGER NOT NULL, max_uses INTEGER NOT NULL, uses INTEGER NOT NULL, revoked_at INTEGER
) WITHOUT ROWID;
CREATE INDEX join_tokens_ws ON join_tokens (ws, created_at);
CREATE TABLE nodes (
	id TEXT PRIMARY KEY, public_key TEXT NOT NULL, ws TEXT NOT NULL, trust TEXT NOT NULL, shard INTEGER NOT NULL,
	name TEXT NOT NULL, token_id TEXT NOT NULL, created_at INTEGER NOT NULL
) WITHOUT ROWID;
CREATE UNIQUE INDEX nodes_public_key ON nodes (public_key);`,
	},
	{
		name: '0002-workspaces',
		sql: 'CREATE TABLE workspaces (id TEXT PRIMARY KEY, created_at INTEGER NOT NULL, deleted_at INTEGER) WITHOUT ROWID;',
	},
	{
		name: '0003-trust',
		sql: `
ALTER TABLE join_tokens ADD COLUMN labels TEXT NOT NULL DEFAULT '[]';
ALTER TABLE join_tokens ADD COLUMN approval INTEGER NOT NULL DEFAULT 0;
ALTER TABLE nodes ADD COLUMN labels TEXT NOT NULL DEFAULT '[]';
ALTER TABLE nodes ADD COLUMN state TEXT NOT NULL DEFAULT 'approved';
ALTER TABLE nodes ADD COLUMN ban_reason TEXT;
ALTER TABLE nodes ADD COLUMN key_version INTEGER NOT NULL DEFAULT 1;
CREATE TABLE old_keys (public_key TEXT PRIMARY KEY, node_id TEXT NOT NULL, at INTEGER NOT NULL) WITHOUT ROWID;`,
	},
	{
		name: '0004-reports',
		sql: `
CREATE TABLE reports (
	id TEXT PRIMARY KEY, ws TEXT NOT NULL, image_id TEXT NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL, who TEXT NOT NULL,
	created_at INTEGER NOT NULL, state TEXT NOT NULL, decided_at INTEGER, decided_by TEXT, note TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX reports_ws ON reports (ws, state);`,
	},
];

export type TokenSql = {
	id: string;
	hash: string;
	ws: string;
	trust: string;
	created_at: number;
	expires_at: number;
	max_uses: number;
	uses: number;
	revoked_at: number | null;
	labels: string;
	approval: number;
};
export const tokenFromSql = (sql: TokenSql): JoinTokenRow => ({
	id: sql.id,
	hash: sql.hash,
	ws: sql.ws,
	trust: sql.trust === 'own' ? 'own' : 'shared',
	createdAt: sql.created_at,
	expiresAt: sql.expires_at,
	maxUses: sql.max_uses,
	uses: sql.uses,
	revoked: sql.revoked_at !== null,
	labels: JSON.parse(sql.labels) as string[],
	approval: sql.approval === 1,
});

export type NodeSql = {
	id: string;
	public_key: string;
	ws: string;
	trust: string;
	shard: number;
	name: string;
	token_id: string;
	created_at: number;
	labels: string;
	state: string;
	ban_reason: string | null;
	key_version: number;
};
export const nodeFromSql = (sql: NodeSql): NodeRow => ({
	id: sql.id,
	publicKey: sql.public_key,
	ws: sql.ws,
	trust: sql.trust === 'own' ? 'own' : 'shared',
	shard: sql.shard,
	name: sql.name,
	tokenId: sql.token_id,
	createdAt: sql.created_at,
	labels: JSON.parse(sql.labels) as string[],
	state: sql.state === 'banned' || sql.state === 'pending' ? sql.state : 'approved',
	banReason: sql.ban_reason,
	keyVersion: sql.key_version,
});
