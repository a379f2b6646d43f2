/**
 * Name and limits of a workspace.
 * @module
 */
import { WorkspaceLimits, type Result } from '@limner/shared';
import type { Actor, WorkspaceView } from '../rpc.ts';
import type { Store } from './store.ts';
import { Tenancy } from './tenancy.ts';
import { membersOf } from './tenancy-rows.ts';

interface Profile {
	name: string;
	limits: WorkspaceLimits;
}

export class Profiles extends Tenancy {
	#profile(store: Store): Profile {
		const text = store.getMeta('profile');
		return text === undefined ? { name: store.ws, limits: {} } : (JSON.parse(text) as Profile);
	}

	/** Notes in the ledger what was done. */
	note(action: string, actor: Actor, target: string): void {
		this.log(this.must(), action, actor, target);
	}

	/** Limits that hold: those of the gateway, and the workspace's own over them. */
	limits(): WorkspaceLimits {
		const store = this.store;
		return store === undefined ? this.host.defaultLimits : { ...this.host.defaultLimits, ...this.#profile(store).limits };
	}

	workspace(): WorkspaceView | null {
		const store = this.host.store();
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
		const store = this.must();
		this.host.commit(() => {
			store.setMeta('profile', JSON.stringify({ ...this.#profile(store), ...change }));
			this.log(store, action, actor, store.ws);
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
}
