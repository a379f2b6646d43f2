/**
 * People of a workspace, and invitations to it.
 * @module
 */
import type { CallOptions, Http } from './http.ts';
import type { Invitation, Member, NewInvitation, Page, Role } from './types.ts';

const INVITATIONS = '/api/v1/invitations';
const workspace = (id: string): string => `/api/v1/workspaces/${encodeURIComponent(id)}`;

/** Needs the scopes `members:read` and `members:write`. */
export class Members {
	readonly #http: Http;
	constructor(http: Http) {
		this.#http = http;
	}

	async list(workspaceId: string, options: CallOptions = {}): Promise<Member[]> {
		return (await this.#http.json<Page<Member>>(`${workspace(workspaceId)}/members`, options)).data;
	}

	setRole(workspaceId: string, accountId: string, role: Role, options: CallOptions = {}): Promise<Member> {
		const path = `${workspace(workspaceId)}/members/${encodeURIComponent(accountId)}`;
		return this.#http.json(path, { ...options, method: 'PATCH', json: { role } });
	}

	/** Keys that the member made are revoked too. */
	async remove(workspaceId: string, accountId: string, options: CallOptions = {}): Promise<void> {
		await this.#http.request(`${workspace(workspaceId)}/members/${encodeURIComponent(accountId)}`, { ...options, method: 'DELETE' });
	}

	/** The owner before becomes an admin. */
	transferOwnership(workspaceId: string, accountId: string, options: CallOptions = {}): Promise<Member> {
		return this.#http.json(`${workspace(workspaceId)}/transfer-ownership`, { ...options, method: 'POST', json: { accountId } });
	}

	async invitations(options: CallOptions = {}): Promise<Invitation[]> {
		return (await this.#http.json<Page<Invitation>>(INVITATIONS, options)).data;
	}

	/** Answers the link, once. With an e-mail address only that account may use it; nothing is sent by mail. */
	invite(request: { role?: Role; email?: string } = {}, options: CallOptions = {}): Promise<NewInvitation> {
		return this.#http.json(INVITATIONS, { ...options, method: 'POST', json: request });
	}

	async withdraw(id: string, options: CallOptions = {}): Promise<void> {
		await this.#http.request(`${INVITATIONS}/${encodeURIComponent(id)}`, { ...options, method: 'DELETE' });
	}
}
