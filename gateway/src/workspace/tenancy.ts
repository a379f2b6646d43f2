/**
 * What keys, members and the profile of a workspace have in common: its store, one commit a change, and the ledger.
 * @module
 */
import type { WorkspaceLimits } from '@limner/shared';
import type { Actor } from '../rpc.ts';
import type { LedgerAction } from './ledger.ts';
import type { Store } from './store.ts';

/** What the shell lends: its store, and a commit that rebuilds memory when it fails. */
export interface TenancyHost {
	store: () => Store | undefined;
	commit: <T>(turn: () => T) => T;
	defaultLimits: WorkspaceLimits;
}

/** Every method of those that extend it is one synchronous turn over the Store. */
export class Tenancy {
	protected readonly host: TenancyHost;

	constructor(host: TenancyHost) {
		this.host = host;
	}

	/** The store of a workspace that exists and is not being deleted. */
	protected get store(): Store | undefined {
		const store = this.host.store();
		return store === undefined || store.deletingSince !== null ? undefined : store;
	}

	protected must(): Store {
		const { store } = this;
		if (store === undefined) throw new Error('the workspace does not exist: authenticate first');
		return store;
	}

	/** Appends to the ledger. */
	protected log(store: Store, action: string, actor: Actor, target: string, detail?: Record<string, string>): void {
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
}
