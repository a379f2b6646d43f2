/**
 * Keys, members, invitations and settings of one workspace. Every method is one synchronous turn over the Store, and
 * each change appends to the ledger.
 * @module
 */
import { randomBytes } from 'node:crypto';
import {
	ACCOUNT_LIMITS,
	API_KEY_LIMITS,
	newApiKey,
	newOneTime,
	refuse,
	ROLE_SCOPES,
	WorkspaceLimits,
	type Refusal,
	type Result,
	type Role,
} from '@limner/shared';
import { sha256Hex } from '../lib/canonical.ts';
import type { Actor, By, InvitationView, KeyInput, KeyView, MemberView, Principal, TokenCaller, WorkspaceView } from '../rpc.ts';
import { deadReason, keyView, UNKNOWN_KEY, type KeyRow } from './keys.ts';
import {
	checkInvitation,
	checkInvitee,
	checkRank,
	covers,
	decideRemoval,
	decideRole,
	invitationState,
	invitationView,
	type InvitationRow,
} from './members.ts';
import type { LedgerAction } from './ledger.ts';
import type { Store } from './store.ts';
import {
	dropMember,
	invitationOf,
	invitationsOf,
	keysOf,
	memberOf,
	membersOf,
	pruneInvitations,
	pruneKeys,
	putInvitation,
	putKey,
	putMember,
} from './tenancy-rows.ts';

const RANDOM_BYTES = 37;
/** Ended keys and invitations are listed for this long. */
const ENDED_KEPT_MS = 30 * 86_400_000;
/** Fair-queueing weight of every workspace. */
export const WEIGHT = 1;

interface Profile {
	name: string;
	limits: WorkspaceLimits;
}

/** What the shell lends: its store, and a commit that rebuilds memory when it fails. */
export interface TenancyHost {
	store: () => Store | undefined;
	commit: <T>(turn: () => T) => T;
	defaultLimits: WorkspaceLimits;
}

type Invited = Result<{ invitation: InvitationView; token: string }>;

export class Tenancy {
	readonly #host: TenancyHost;
	/** Uses of keys that are not written yet. */
	readonly #lastUsed = new Map<string, number>();

	constructor(host: TenancyHost) {
		this.#host = host;
	}

	/** The store of a workspace that exists and is not being deleted. */
	get #store(): Store | undefined {
		const store = this.#host.store();
		return store === undefined || store.deletingSince !== null ? undefined : store;
	}

	#must(): Store {
		const store = this.#store;
		if (store === undefined) throw new Error('the workspace does not exist: authenticate first');
		return store;
	}

	/** Appends to the ledger. */
	#log(store: Store, action: string, actor: Actor, target: string, detail?: Record<string, string>): void {
		const who = actor.startsWith('acct_') ? `user:${actor}` : actor;
		const entry: LedgerAction = {
			type: 'action',
			id: crypto.randomUUID(),
			who,
			action,
			target,
			...(detail === undefined ? {} : { detail }),
		};
		store.appendLedger([entry], Date.now());
	}

	#profile(store: Store): Profile {
		const text = store.getMeta('profile');
		return text === undefined ? { name: store.ws, limits: {} } : (JSON.parse(text) as Profile);
	}

	/** Notes in the ledger what was done. */
	note(action: string, actor: Actor, target: string): void {
		this.#log(this.#must(), action, actor, target);
	}

	/** Limits that hold: those of the gateway, and the workspace's own over them. */
	limits(): WorkspaceLimits {
		const store = this.#store;
		return store === undefined ? this.#host.defaultLimits : { ...this.#host.defaultLimits, ...this.#profile(store).limits };
	}

	workspace(): WorkspaceView | null {
		const store = this.#host.store();
		if (store === undefined) return null;
		const members = membersOf(store);
		return {
			id: store.ws,
			name: this.#profile(store).name,
			createdAt: store.createdAt,
			members: members.length,
			hasOwner: members.some((member) => member.role === 'owner'),
			limits: this.limits(),
			deletingSince: store.deletingSince,
		};
	}

	#saveProfile(change: Partial<Profile>, action: string, actor: Actor): Result<{ workspace: WorkspaceView }> {
		const store = this.#must();
		this.#host.commit(() => {
			store.setMeta('profile', JSON.stringify({ ...this.#profile(store), ...change }));
			this.#log(store, action, actor, store.ws);
		});
		return { ok: true, workspace: this.workspace() as WorkspaceView };
	}

	rename(name: string, actor: Actor): Result<{ workspace: WorkspaceView }> {
		return this.#saveProfile({ name }, 'workspace.rename', actor);
	}

	setLimits(limits: WorkspaceLimits, actor: Actor): Result<{ workspace: WorkspaceView }> {
		return this.#saveProfile({ limits: WorkspaceLimits.parse(limits) }, 'workspace.limits', actor);
	}

	/** @param name shown to people */
	created(name: string): void {
		this.#saveProfile({ name }, 'workspace.create', 'system');
	}

	/** Notes a use of a key; written when it has been long enough since the last time. */
	touch(key: KeyRow, nowMs: number): void {
		this.#lastUsed.set(key.id, nowMs);
	}

	/** Writes uses that are only in memory. */
	flushUses(): void {
		const store = this.#store;
		if (store === undefined) return;
		for (const [id, at] of this.#lastUsed) {
			const key = store.key(id);
			if (key === undefined) this.#lastUsed.delete(id);
			else if (at - (key.lastUsedAt ?? key.createdAt) >= API_KEY_LIMITS.lastUsedMs) putKey(store, { ...key, lastUsedAt: at });
		}
	}

	principal(ws: string, caller: TokenCaller): Result<{ principal: Principal }> {
		const store = this.#store;
		if (store === undefined || store.ws !== ws) return refuse('unauthorized', UNKNOWN_KEY);
		if (caller.kind === 'key') {
			const key = store.key(caller.keyId);
			const dead = key === undefined ? UNKNOWN_KEY : deadReason(key, Date.now());
			if (key === undefined || dead !== undefined) return refuse('unauthorized', dead ?? UNKNOWN_KEY);
			this.touch(key, Date.now());
			return { ok: true, principal: principalOfKey(ws, key) };
		}
		const member = memberOf(store, caller.accountId);
		if (member === undefined) return refuse('unauthorized', 'the account is not a member of this workspace any more');
		const scopes = [...ROLE_SCOPES[member.role], 'account'];
		return { ok: true, principal: { ws, keyId: caller.accountId, scopes, weight: WEIGHT, role: member.role } };
	}

	#keyView(key: KeyRow): KeyView {
		return keyView(key, Math.max(this.#lastUsed.get(key.id) ?? 0, key.lastUsedAt ?? 0) || null);
	}

	listKeys(): KeyView[] {
		const store = this.#store;
		return store === undefined ? [] : keysOf(store).map((key) => this.#keyView(key));
	}

	getKey(id: string): KeyView | null {
		const key = this.#store?.key(id);
		return key === undefined ? null : this.#keyView(key);
	}

	createKey(input: KeyInput, by: By): Result<{ key: KeyView; text: string }> {
		const store = this.#must();
		if (!covers(by.scopes, input.scopes)) return refuse('forbidden', 'a key cannot be given scopes that its maker does not have');
		pruneKeys(store, Date.now() - ENDED_KEPT_MS);
		if (keysOf(store).length >= API_KEY_LIMITS.perWorkspace) {
			return refuse('conflict', `a workspace has at most ${API_KEY_LIMITS.perWorkspace} keys; revoke some that are not used`);
		}
		let text = newApiKey(store.ws, randomBytes(RANDOM_BYTES));
		// An id has 40 bits: a second key with the same id is rare, not impossible.
		while (store.key(keyIdOf(text)) !== undefined) text = newApiKey(store.ws, randomBytes(RANDOM_BYTES));
		const key: KeyRow = { id: keyIdOf(text), hash: sha256Hex(text), createdAt: Date.now(), revokedAt: null, createdBy: by.actor, ...input };
		this.#host.commit(() => {
			store.insertKey(key, Date.now());
			this.#log(store, 'key.create', by.actor, key.id);
		});
		return { ok: true, key: this.#keyView(key), text };
	}

	/** The key, if the actor has at least its rights: who can turn a key into a new text has all that it can do. */
	#ownKey(store: Store, id: string, by: By): KeyRow | Refusal {
		const key = store.key(id);
		if (key === undefined) return refuse('not_found', 'there is no such key');
		if (key.revokedAt !== null) return refuse('conflict', 'the key has been revoked');
		return covers(by.scopes, key.scopes) ? key : refuse('forbidden', 'the key has scopes that you do not have');
	}

	updateKey(id: string, change: Partial<KeyInput>, by: By): Result<{ key: KeyView }> {
		const store = this.#must();
		const key = this.#ownKey(store, id, by);
		if ('ok' in key) return key;
		if (change.scopes !== undefined && !covers(by.scopes, change.scopes)) {
			return refuse('forbidden', 'a key cannot be given scopes that its maker does not have');
		}
		const changed = { ...key, ...change };
		this.#host.commit(() => {
			putKey(store, changed);
			this.#log(store, 'key.update', by.actor, id, { fields: Object.keys(change).toSorted().join(' ') });
		});
		return { ok: true, key: this.#keyView(changed) };
	}

	rotateKey(id: string, graceMs: number, by: By): Result<{ key: KeyView; text: string }> {
		const store = this.#must();
		const key = this.#ownKey(store, id, by);
		if ('ok' in key) return key;
		const fresh = newApiKey(store.ws, randomBytes(RANDOM_BYTES));
		const text = fresh.replace(`_${keyIdOf(fresh)}_`, `_${id}_`);
		const rotated = {
			...key,
			hash: sha256Hex(text),
			prevHash: graceMs > 0 ? key.hash : null,
			prevUntil: graceMs > 0 ? Date.now() + graceMs : null,
		};
		this.#host.commit(() => {
			putKey(store, rotated);
			this.#log(store, 'key.rotate', by.actor, id);
		});
		return { ok: true, key: this.#keyView(rotated), text };
	}

	/** Revoking again changes nothing. */
	revokeKey(id: string, actor: Actor): Result<{ key: KeyView }> {
		const store = this.#must();
		const key = store.key(id);
		if (key === undefined) return refuse('not_found', 'there is no such key');
		const revoked = { ...key, revokedAt: key.revokedAt ?? Date.now() };
		if (key.revokedAt === null) {
			this.#host.commit(() => {
				putKey(store, revoked);
				this.#log(store, 'key.revoke', actor, id);
			});
		}
		return { ok: true, key: this.#keyView(revoked) };
	}

	listMembers(): MemberView[] {
		const store = this.#store;
		return store === undefined ? [] : membersOf(store);
	}

	setRole(accountId: string, role: Role, by: By): Result<{ member: MemberView }> {
		const store = this.#must();
		const member = memberOf(store, accountId);
		const refused = decideRole(member, role, by);
		if (member === undefined || refused !== undefined) return refused ?? refuse('not_found');
		const changed = { ...member, role };
		this.#host.commit(() => {
			putMember(store, changed);
			this.#log(store, 'member.role', by.actor, accountId, { from: member.role, to: role });
		});
		return { ok: true, member: changed };
	}

	/** Keys that the member made end too: they are copies of rights that the member no longer has. */
	removeMember(accountId: string, by: By): Result<{ member: MemberView }> {
		const store = this.#must();
		const member = memberOf(store, accountId);
		const refused = decideRemoval(member, by);
		if (member === undefined || refused !== undefined) return refused ?? refuse('not_found');
		this.#host.commit(() => {
			dropMember(store, accountId);
			for (const key of keysOf(store)) {
				if (key.createdBy === accountId && key.revokedAt === null) putKey(store, { ...key, revokedAt: Date.now() });
			}
			this.#log(store, 'member.remove', by.actor, accountId);
		});
		return { ok: true, member };
	}

	transferOwnership(accountId: string, actor: Actor): Result<{ member: MemberView; before: string[] }> {
		const store = this.#must();
		const member = memberOf(store, accountId);
		if (member === undefined) return refuse('not_found', 'there is no such member');
		if (member.role === 'owner') return refuse('conflict', 'this member is the owner already');
		const before = membersOf(store).filter((each) => each.role === 'owner');
		const owner: MemberView = { ...member, role: 'owner' };
		this.#host.commit(() => {
			for (const each of before) putMember(store, { ...each, role: 'admin' });
			putMember(store, owner);
			this.#log(store, 'workspace.transfer', actor, accountId);
		});
		return { ok: true, member: owner, before: before.map((each) => each.accountId) };
	}

	invite(input: { role: Role; email: string | null }, by: By): Invited {
		if (input.role === 'owner') return refuse('conflict', 'a workspace has one owner; use transfer-ownership');
		return checkRank(by, input.role) ?? this.#invite({ ...input, ttlMs: ACCOUNT_LIMITS.invitationTtlMs }, by.actor);
	}

	ownerLink(actor: Actor): Invited {
		const store = this.#must();
		if (membersOf(store).some((member) => member.role === 'owner')) {
			return refuse('conflict', 'the workspace has an owner; an operator can make a password reset link for that account');
		}
		const open = invitationsOf(store).filter((row) => row.role === 'owner' && invitationState(row, Date.now()) === 'open');
		this.#host.commit(() => {
			for (const row of open) putInvitation(store, { ...row, revokedAt: Date.now() });
		});
		return this.#invite({ role: 'owner', email: null, ttlMs: ACCOUNT_LIMITS.ownerLinkTtlMs }, actor);
	}

	#invite({ role, email, ttlMs }: { role: Role; email: string | null; ttlMs: number }, actor: Actor): Invited {
		const store = this.#must();
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
		this.#host.commit(() => {
			putInvitation(store, row);
			this.#log(store, 'invitation.create', actor, row.id, { role });
		});
		return { ok: true, invitation: invitationView(row, now), token: made.text };
	}

	listInvitations(): InvitationView[] {
		const store = this.#store;
		return store === undefined ? [] : invitationsOf(store).map((row) => invitationView(row, Date.now()));
	}

	revokeInvitation(id: string, actor: Actor): Result<{ invitation: InvitationView }> {
		const store = this.#must();
		const row = invitationOf(store, id);
		if (row === undefined) return refuse('not_found', 'there is no such invitation');
		if (row.usedAt !== null) return refuse('conflict', 'the invitation has been used; remove the member instead');
		const revoked = { ...row, revokedAt: row.revokedAt ?? Date.now() };
		this.#host.commit(() => {
			putInvitation(store, revoked);
			this.#log(store, 'invitation.revoke', actor, id);
		});
		return { ok: true, invitation: invitationView(revoked, Date.now()) };
	}

	peekInvitation(id: string, tokenHash: string): Result<{ invitation: InvitationView; workspace: WorkspaceView }> {
		const row = this.#store && invitationOf(this.#store, id);
		const refused = checkInvitation(row, tokenHash, Date.now());
		if (row === undefined || refused !== undefined) return refused ?? refuse('unauthorized');
		return { ok: true, invitation: invitationView(row, Date.now()), workspace: this.workspace() as WorkspaceView };
	}

	/** One turn, so that a link is used once however many ask at the same time. */
	acceptInvitation(
		id: string,
		tokenHash: string,
		account: { id: string; email: string; name: string },
	): Result<{ member: MemberView; workspace: WorkspaceView }> {
		const store = this.#store;
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
		this.#host.commit(() => {
			putInvitation(store, { ...row, usedAt: Date.now() });
			putMember(store, member);
			this.#log(store, 'member.join', account.id, row.id, { role: row.role });
		});
		return { ok: true, member, workspace: this.workspace() as WorkspaceView };
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

const keyIdOf = (text: string): string => text.split('_')[2] ?? '';

/** A key as the one who calls. */
export const principalOfKey = (ws: string, key: KeyRow): Principal => ({
	ws,
	keyId: key.id,
	scopes: key.scopes,
	weight: WEIGHT,
	...(key.models === null || key.models === undefined ? {} : { models: key.models }),
	...(key.expiresAt === null ? {} : { expiresAt: key.expiresAt }),
	...(key.limits === null || key.limits === undefined ? {} : { limited: true as const }),
});
