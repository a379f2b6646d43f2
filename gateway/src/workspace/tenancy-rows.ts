/**
 * Rows of members, invitations and keys, behind typed functions over a Store.
 * @module
 */
import type { Role } from '@limner/shared';
import type { MemberView } from '../rpc.ts';
import type { KeyRow } from './keys.ts';
import type { InvitationRow } from './members.ts';
import { jsonOrNull, keyFromSql, type KeySql } from './schema.ts';
import type { Store } from './store.ts';

type MemberSql = { account: string; email: string; name: string; role: string; joined_at: number; added_by: string };
const memberFromSql = (sql: MemberSql): MemberView => ({
	accountId: sql.account,
	email: sql.email,
	name: sql.name,
	role: sql.role as Role,
	joinedAt: sql.joined_at,
	addedBy: sql.added_by,
});

export const membersOf = (store: Store): MemberView[] =>
	store.sql.all<MemberSql>('SELECT * FROM members ORDER BY joined_at, account').map(memberFromSql);

export const memberOf = (store: Store, accountId: string): MemberView | undefined => {
	const row = store.sql.all<MemberSql>('SELECT * FROM members WHERE account = ?', accountId)[0];
	return row && memberFromSql(row);
};

export const putMember = (store: Store, member: MemberView): void => {
	store.sql.write(
		'members',
		'INSERT OR REPLACE INTO members (account, email, name, role, joined_at, added_by) VALUES (?, ?, ?, ?, ?, ?)',
		member.accountId,
		member.email,
		member.name,
		member.role,
		member.joinedAt,
		member.addedBy,
	);
};

export const dropMember = (store: Store, accountId: string): void => {
	store.sql.write('members', 'DELETE FROM members WHERE account = ?', accountId);
};

type InvitationSql = {
	id: string;
	hash: string;
	role: string;
	email: string | null;
	created_at: number;
	created_by: string;
	expires_at: number;
	used_at: number | null;
	revoked_at: number | null;
};
const invitationFromSql = (sql: InvitationSql): InvitationRow => ({
	id: sql.id,
	hash: sql.hash,
	role: sql.role as Role,
	email: sql.email,
	createdAt: sql.created_at,
	createdBy: sql.created_by,
	expiresAt: sql.expires_at,
	usedAt: sql.used_at,
	revokedAt: sql.revoked_at,
});

export const invitationsOf = (store: Store): InvitationRow[] =>
	store.sql.all<InvitationSql>('SELECT * FROM invitations ORDER BY created_at DESC, id').map(invitationFromSql);

export const invitationOf = (store: Store, id: string): InvitationRow | undefined => {
	const row = store.sql.all<InvitationSql>('SELECT * FROM invitations WHERE id = ?', id)[0];
	return row && invitationFromSql(row);
};

export const putInvitation = (store: Store, row: InvitationRow): void => {
	store.sql.write(
		'invitations',
		`INSERT OR REPLACE INTO invitations (id, hash, role, email, created_at, created_by, expires_at, used_at, revoked_at)
			VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
		row.id,
		row.hash,
		row.role,
		row.email,
		row.createdAt,
		row.createdBy,
		row.expiresAt,
		row.usedAt,
		row.revokedAt,
	);
};

/** Forgets invitations that ended before a time. */
export const pruneInvitations = (store: Store, beforeMs: number): void => {
	store.sql.write('invitations', 'DELETE FROM invitations WHERE expires_at < ?', beforeMs);
};

export const keysOf = (store: Store): KeyRow[] => store.sql.all<KeySql>('SELECT * FROM keys ORDER BY created_at DESC, id').map(keyFromSql);

/** Writes what may change about a key. */
export const putKey = (store: Store, key: KeyRow): void => {
	store.sql.write(
		'keys',
		`UPDATE keys SET hash = ?, scopes = ?, expires_at = ?, revoked_at = ?, name = ?, last_used_at = ?, models = ?, limits = ?,
			prev_hash = ?, prev_until = ? WHERE id = ?`,
		key.hash,
		JSON.stringify(key.scopes),
		key.expiresAt,
		key.revokedAt,
		key.name ?? '',
		key.lastUsedAt ?? null,
		jsonOrNull(key.models ?? undefined),
		jsonOrNull(key.limits ?? undefined),
		key.prevHash ?? null,
		key.prevUntil ?? null,
		key.id,
	);
};

/** Forgets keys that were revoked or expired long ago, so that ids do not pile up. */
export const pruneKeys = (store: Store, beforeMs: number): void => {
	store.sql.write('keys', 'DELETE FROM keys WHERE created_by IS NOT NULL AND (revoked_at < ? OR expires_at < ?)', beforeMs, beforeMs);
};
