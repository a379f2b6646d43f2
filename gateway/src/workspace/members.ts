/**
 * Members and invitations of a workspace: what may be changed, by whom. Pure. Nobody gives a role, or takes one, whose
 * scopes they do not have themselves; there is one owner, and only the owner hands that on.
 * @module
 */
import { hasScope, refuse, ROLE_SCOPES, type Refusal, type Role } from '@limner/shared';
import type { By, InvitationView, MemberView } from '../rpc.ts';
import { sameHash } from './keys.ts';

/** An invitation as its row keeps it. */
export interface InvitationRow {
	id: string;
	/** SHA-256 (hex) over the whole link token. */
	hash: string;
	role: Role;
	email: string | null;
	createdAt: number;
	createdBy: string;
	expiresAt: number;
	usedAt: number | null;
	revokedAt: number | null;
}

export const invitationState = (row: InvitationRow, nowMs: number): InvitationView['state'] => {
	if (row.usedAt !== null) return 'used';
	if (row.revokedAt !== null) return 'revoked';
	return row.expiresAt <= nowMs ? 'expired' : 'open';
};

export const invitationView = (row: InvitationRow, nowMs: number): InvitationView => {
	const { hash: _hash, usedAt: _used, revokedAt: _revoked, ...rest } = row;
	return { ...rest, state: invitationState(row, nowMs) };
};

const STATE_WORDS = {
	used: 'the invitation has been used',
	expired: 'the invitation has expired; ask for a new one',
	revoked: 'the invitation was withdrawn',
};

/** Refuses a link that is not good. One text for what is unknown and what has the wrong secret. */
export const checkInvitation = (row: InvitationRow | undefined, tokenHash: string, nowMs: number): Refusal | undefined => {
	if (row === undefined || !sameHash(row.hash, tokenHash)) return refuse('unauthorized', 'the invitation is not known');
	const state = invitationState(row, nowMs);
	return state === 'open' ? undefined : refuse('gone', STATE_WORDS[state]);
};

/** Whether somebody has all that a list of scopes covers. */
export const covers = (given: readonly string[], wanted: readonly string[]): boolean => wanted.every((scope) => hasScope(given, scope));

/** Refuses to give or to take a role that is above the actor's own rights. */
export const checkRank = (by: By, role: Role): Refusal | undefined =>
	covers(by.scopes, ROLE_SCOPES[role]) ? undefined : refuse('forbidden', `only somebody with the rights of the role ${role} may do this`);

const NO_MEMBER = refuse('not_found', 'there is no such member');

/** Decides a change of role. */
export const decideRole = (member: MemberView | undefined, role: Role, by: By): Refusal | undefined => {
	if (member === undefined) return NO_MEMBER;
	if (role === 'owner') return refuse('conflict', 'a workspace has one owner; use transfer-ownership');
	if (member.role === 'owner') return refuse('conflict', 'the owner cannot be made less; transfer the ownership first');
	return checkRank(by, role) ?? checkRank(by, member.role);
};

/** Decides a removal. Everybody may leave, except the owner. */
export const decideRemoval = (member: MemberView | undefined, by: By): Refusal | undefined => {
	if (member === undefined) return NO_MEMBER;
	if (member.role === 'owner') return refuse('conflict', 'the owner cannot leave; transfer the ownership or delete the workspace');
	return member.accountId === by.actor ? undefined : checkRank(by, member.role);
};

/** Refuses an account that an invitation is not for. */
export const checkInvitee = (row: InvitationRow, email: string): Refusal | undefined =>
	row.email === null || row.email === email ? undefined : refuse('forbidden', 'the invitation is for another e-mail address');
