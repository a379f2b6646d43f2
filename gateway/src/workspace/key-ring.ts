/**
 * API keys of a workspace, and who calls with one.
 * @module
 */
import { randomBytes } from 'node:crypto';
import { API_KEY_LIMITS, newApiKey, refuse, ROLE_SCOPES, type Refusal, type Result } from '@limner/shared';
import { sha256Hex } from '../lib/canonical.ts';
import type { Actor, By, KeyInput, KeyView, Principal, TokenCaller } from '../rpc.ts';
import { deadReason, keyView, UNKNOWN_KEY, type KeyRow } from './keys.ts';
import { covers } from './members.ts';
import type { Store } from './store.ts';
import { Tenancy } from './tenancy.ts';
import { keysOf, memberOf, pruneKeys, putKey } from './tenancy-rows.ts';

const RANDOM_BYTES = 37;
/** Ended keys are listed for this long. */
const ENDED_KEPT_MS = 30 * 86_400_000;
/** Fair-queueing weight of every workspace. */
export const WEIGHT = 1;

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

export class KeyRing extends Tenancy {
	/** Uses of keys that are not written yet. */
	readonly #lastUsed = new Map<string, number>();

	/** Notes a use of a key; written when it has been long enough since the last time. */
	touch(key: KeyRow, nowMs: number): void {
		this.#lastUsed.set(key.id, nowMs);
	}

	/** Writes uses that are only in memory. */
	flushUses(): void {
		const store = this.store;
		if (store === undefined) return;
		for (const [id, at] of this.#lastUsed) {
			const key = store.key(id);
			if (key === undefined) this.#lastUsed.delete(id);
			else if (at - (key.lastUsedAt ?? key.createdAt) >= API_KEY_LIMITS.lastUsedMs) putKey(store, { ...key, lastUsedAt: at });
		}
	}

	principal(ws: string, caller: TokenCaller): Result<{ principal: Principal }> {
		const store = this.store;
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
		const store = this.store;
		return store === undefined ? [] : keysOf(store).map((key) => this.#keyView(key));
	}

	getKey(id: string): KeyView | null {
		const key = this.store?.key(id);
		return key === undefined ? null : this.#keyView(key);
	}

	createKey(input: KeyInput, by: By): Result<{ key: KeyView; text: string }> {
		const store = this.must();
		if (!covers(by.scopes, input.scopes)) return refuse('forbidden', 'a key cannot be given scopes that its maker does not have');
		pruneKeys(store, Date.now() - ENDED_KEPT_MS);
		if (keysOf(store).length >= API_KEY_LIMITS.perWorkspace) {
			return refuse('conflict', `a workspace has at most ${API_KEY_LIMITS.perWorkspace} keys; revoke some that are not used`);
		}
		let text = newApiKey(store.ws, randomBytes(RANDOM_BYTES));
		// An id has 40 bits: a second key with the same id is rare, not impossible.
		while (store.key(keyIdOf(text)) !== undefined) text = newApiKey(store.ws, randomBytes(RANDOM_BYTES));
		const key: KeyRow = { id: keyIdOf(text), hash: sha256Hex(text), createdAt: Date.now(), revokedAt: null, createdBy: by.actor, ...input };
		this.host.commit(() => {
			store.insertKey(key, Date.now());
			this.log(store, 'key.create', by.actor, key.id);
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
		const store = this.must();
		const key = this.#ownKey(store, id, by);
		if ('ok' in key) return key;
		if (change.scopes !== undefined && !covers(by.scopes, change.scopes)) {
			return refuse('forbidden', 'a key cannot be given scopes that its maker does not have');
		}
		const changed = { ...key, ...change };
		this.host.commit(() => {
			putKey(store, changed);
			this.log(store, 'key.update', by.actor, id, { fields: Object.keys(change).toSorted().join(' ') });
		});
		return { ok: true, key: this.#keyView(changed) };
	}

	rotateKey(id: string, graceMs: number, by: By): Result<{ key: KeyView; text: string }> {
		const store = this.must();
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
		this.host.commit(() => {
			putKey(store, rotated);
			this.log(store, 'key.rotate', by.actor, id);
		});
		return { ok: true, key: this.#keyView(rotated), text };
	}

	/** Revoking again changes nothing. */
	revokeKey(id: string, actor: Actor): Result<{ key: KeyView }> {
		const store = this.must();
		const key = store.key(id);
		if (key === undefined) return refuse('not_found', 'there is no such key');
		const revoked = { ...key, revokedAt: key.revokedAt ?? Date.now() };
		if (key.revokedAt === null) {
			this.host.commit(() => {
				putKey(store, revoked);
				this.log(store, 'key.revoke', actor, id);
			});
		}
		return { ok: true, key: this.#keyView(revoked) };
	}
}
