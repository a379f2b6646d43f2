/**
 * Members and invitations of a workspace, as rows.
 * @module
 */
import { randomBytes } from 'node:crypto';
import { ACCOUNT_LIMITS, newOneTime, refuse, type Refusal, type Result, type Role } from '@limner/shared';
import { sha256Hex } from '../lib/canonical.ts';
import type { Actor, By, InvitationView, MemberView, WorkspaceView } from '../rpc.ts';
import {
	checkInvitation,
	checkInvitee,
	checkRank,
	decideRemoval,
	decideRole,
	invitationState,
	invitationView,
	type InvitationRow,
} from './members.ts';
import type { Store } from './store.ts';
import { Tenancy, type TenancyHost } from './tenancy.ts';
import {
	dropMember,
	invitationOf,
	invitationsOf,
	keysOf,
	memberOf,
	membersOf,
	pruneInvitations,
	putInvitation,
	putKey,
	putMember,
} from './tenancy-rows.ts';

const RANDOM_BYTES = 37;
/** Ended invitations are listed for this long. */
const ENDED_KEPT_MS = 30 * 86_400_000;

type Invited = Result<{ invitation: InvitationView; token: string }>;

export class Membership extends Tenancy {
	readonly #workspace: () => WorkspaceView | null;

	/** @param workspace as it is shown */
	constructor(host: TenancyHost, workspace: () => WorkspaceView | null) {
		super(host);
		this.#workspace = workspace;
	}

	listMembers(): MemberView[] {
		const store = this.store;
		return store === undefined ? [] : membersOf(store);
	}

	setRole(accountId: string, role: Role, by: By): Result<{ member: MemberView }> {
		const store = this.must();
		const member = memberOf(store, accountId);
		const refused = decideRole(member, role, by);
		if (member === undefined || refused !== undefined) return refused ?? refuse('not_found');
		const changed = { ...member, role };
		this.host.commit(() => {
			putMember(store, changed);
			this.log(store, 'member.role', by.actor, accountId, { from: member.role, to: role });
		});
		return { ok: true, member: changed };
	}

	/** Keys that the member made end too: they are copies of rights that the member no longer has. */
	removeMember(accountId: string, by: By): Result<{ member: MemberView }> {
		const store = this.must();
		const member = memberOf(store, accountId);
		const refused = decideRemoval(member, by);
		if (member === undefined || refused !== undefined) return refused ?? refuse('not_found');
		this.host.commit(() => {
			dropMember(store, accountId);
			for (const key of keysOf(store)) {
				if (key.createdBy === accountId && key.revokedAt === null) putKey(store, { ...key, revokedAt: Date.now() });
			}
			this.log(store, 'member.remove', by.actor, accountId);
		});
		return { ok: true, member };
	}

	transferOwnership(accountId: string, actor: Actor): Result<{ member: MemberView; before: string[] }> {
		const store = this.must();
		const member = memberOf(store, accountId);
		if (member === undefined) return refuse('not_found', 'there is no such member');
		if (member.role === 'owner') return refuse('conflict', 'this member is the owner already');
		const before = membersOf(store).filter((each) => each.role === 'owner');
		const owner: MemberView = { ...member, role: 'owner' };
		this.host.commit(() => {
			for (const each of before) putMember(store, { ...each, role: 'admin' });
			putMember(store, owner);
			this.log(store, 'workspace.transfer', actor, accountId);
		});
		return { ok: true, member: owner, before: before.map((each) => each.accountId) };
	}

	invite(input: { role: Role; email: string | null }, by: By): Invited {
		if (input.role === 'owner') return refuse('conflict', 'a workspace has one owner; use transfer-ownership');
		return checkRank(by, input.role) ?? this.#invite({ ...input, ttlMs: ACCOUNT_LIMITS.invitationTtlMs }, by.actor);
	}

	ownerLink(actor: Actor): Invited {
		const store = this.must();
		if (membersOf(store).some((member) => member.role === 'owner')) {
			return refuse('conflict', 'the workspace has an owner; an operator can make a password reset link for that account');
		}
		const open = invitationsOf(store).filter((row) => row.role === 'owner' && invitationState(row, Date.now()) === 'open');
		this.host.commit(() => {
			for (const row of open) putInvitation(store, { ...row, revokedAt: Date.now() });
		});
		return this.#invite({ role: 'owner', email: null, ttlMs: ACCOUNT_LIMITS.ownerLinkTtlMs }, actor);
	}

	#invite({ role, email, ttlMs }: { role: Role; email: string | null; ttlMs: number }, actor: Actor): Invited {
		const store = this.must();
		const now = Date.now();
		pruneInvitations(store, now - ENDED_KEPT_MS);
		if (invitationsOf(store).filter((row) => invitationState(row, now) === 'open').length >= ACCOUNT_LIMITS.invitationsMax) {
			return refuse('conflict', `a workspace has at most ${ACCOUNT_LIMITS.invitationsMax} open invitations; withdraw some`);
		}
		const made = newOneTime('li', store.ws, randomBytes(RANDOM_BYTES));
		const row: InvitationRow = {
			id: made.id,
			hash: sha256Hex(made.text),
			role,
			email,
			createdAt: now,
			createdBy: actor,
			expiresAt: now + ttlMs,
			usedAt: null,
			revokedAt: null,
		};
		this.host.commit(() => {
			putInvitation(store, row);
			this.log(store, 'invitation.create', actor, row.id, { role });
		});
		return { ok: true, invitation: invitationView(row, now), token: made.text };
	}

	listInvitations(): InvitationView[] {
		const store = this.store;
		return store === undefined ? [] : invitationsOf(store).map((row) => invitationView(row, Date.now()));
	}

	revokeInvitation(id: string, actor: Actor): Result<{ invitation: InvitationView }> {
		const store = this.must();
		const row = invitationOf(store, id);
		if (row === undefined) return refuse('not_found', 'there is no such invitation');
		if (row.usedAt !== null) return refuse('conflict', 'the invitation has been used; remove the member instead');
		const revoked = { ...row, revokedAt: row.revokedAt ?? Date.now() };
		this.host.commit(() => {
			putInvitation(store, revoked);
			this.log(store, 'invitation.revoke', actor, id);
		});
		return { ok: true, invitation: invitationView(revoked, Date.now()) };
	}

	peekInvitation(id: string, tokenHash: string): Result<{ invitation: InvitationView; workspace: WorkspaceView }> {
		const row = this.store && invitationOf(this.store, id);
		const refused = checkInvitation(row, tokenHash, Date.now());
		if (row === undefined || refused !== undefined) return refused ?? refuse('unauthorized');
		return { ok: true, invitation: invitationView(row, Date.now()), workspace: this.#workspace() as WorkspaceView };
	}

	/** One turn, so that a link is used once however many ask at the same time. */
	acceptInvitation(
		id: string,
		tokenHash: string,
		account: { id: string; email: string; name: string },
	): Result<{ member: MemberView; workspace: WorkspaceView }> {
		const store = this.store;
		const row = store && invitationOf(store, id);
		const refused = checkInvitation(row, tokenHash, Date.now());
		if (store === undefined || row === undefined || refused !== undefined) return refused ?? refuse('unauthorized');
		const blocked = checkInvitee(row, account.email) ?? this.#checkRoom(store, row, account.id);
		if (blocked !== undefined) return blocked;
		const member: MemberView = {
			accountId: account.id,
			email: account.email,
			name: account.name,
			role: row.role,
			joinedAt: Date.now(),
			addedBy: row.createdBy,
		};
		this.host.commit(() => {
			putInvitation(store, { ...row, usedAt: Date.now() });
			putMember(store, member);
			this.log(store, 'member.join', account.id, row.id, { role: row.role });
		});
		return { ok: true, member, workspace: this.#workspace() as WorkspaceView };
	}

	#checkRoom(store: Store, row: InvitationRow, accountId: string): Refusal | undefined {
		const members = membersOf(store);
		if (members.some((member) => member.accountId === accountId)) return refuse('conflict', 'the account is a member already');
		// Two owner links cannot be open, but one may have been used while this one was on its way.
		if (row.role === 'owner' && members.some((member) => member.role === 'owner')) return refuse('conflict', 'the workspace has an owner');
		return members.length >= ACCOUNT_LIMITS.membersMax
			? refuse('conflict', `a workspace has at most ${ACCOUNT_LIMITS.membersMax} members`)
			: undefined;
	}
}
