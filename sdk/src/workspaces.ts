/**
 * Workspaces: their names and limits. For operators: all of them.
 * @module
 */
import type { CallOptions, Http } from './http.ts';
import type { Page, PageQuery, Workspace, WorkspaceEntry, WorkspaceLimits } from './types.ts';

const WORKSPACES = '/api/v1/workspaces';
const one = (id: string): string => `${WORKSPACES}/${encodeURIComponent(id)}`;

/** Needs the scope `members:read`, `admin` to rename, and the operator's key for limits and new workspaces. */
export class Workspaces {
	readonly #http: Http;
	constructor(http: Http) {
		this.#http = http;
	}

	/** Those of the account; an operator gets all of the gateway. */
	list(query: PageQuery = {}, options: CallOptions = {}): Promise<Page<WorkspaceEntry>> {
		return this.#http.json(WORKSPACES, { ...options, query: { ...query } });
	}

	get(id: string, options: CallOptions = {}): Promise<Workspace> {
		return this.#http.json(one(id), options);
	}

	/** Makes one without an owner; `ownerLink` makes the link for its first. */
	create(request: { name: string; id?: string }, options: CallOptions = {}): Promise<Workspace> {
		return this.#http.json(WORKSPACES, { ...options, method: 'POST', json: request });
	}

	rename(id: string, name: string, options: CallOptions = {}): Promise<Workspace> {
		return this.#http.json(one(id), { ...options, method: 'PATCH', json: { name } });
	}

	/** Replaces the limits of its own; what is absent follows the gateway's. */
	setLimits(id: string, limits: WorkspaceLimits, options: CallOptions = {}): Promise<Workspace> {
		return this.#http.json(`${one(id)}/limits`, { ...options, method: 'PUT', json: limits });
	}

	/** The link with which its first owner joins, once. */
	ownerLink(workspaceId: string, options: CallOptions = {}): Promise<{ url: string }> {
		return this.#http.json('/api/v1/invitations/owner-link', { ...options, method: 'POST', json: { workspaceId } });
	}
}
