/**
 * Accounts: sign in, join a workspace, set a password. For people; programs use API keys.
 * @module
 */
import type { CallOptions, Http } from './http.ts';
import type { AccessToken, AccountWithWorkspaces, InvitationPreview, JoinedWorkspace, Page, Session } from './types.ts';

export interface SignIn {
	email: string;
	password: string;
	/** Default: the workspace that the account joined first. */
	workspaceId?: string;
}

export class Accounts {
	readonly #http: Http;
	constructor(http: Http) {
		this.#http = http;
	}

	/**
	 * Opens a session: an access token for ten minutes, and a refresh token.
	 * @throws {ApiError} 401 wrong address or password, 429 too many tries
	 */
	signIn(credentials: SignIn, options: CallOptions = {}): Promise<AccessToken> {
		return this.#http.json('/api/v1/auth/token', { ...options, method: 'POST', json: { grant: 'password', ...credentials } });
	}

	/**
	 * The next pair of tokens; `workspaceId` changes to another workspace of the account. Sent again when the answer is
	 * lost: the gateway takes a repeat for 30 s.
	 * @throws {ApiError} 401 when the session has ended
	 */
	refresh(refreshToken: string, workspaceId?: string, options: CallOptions = {}): Promise<AccessToken> {
		const json = { grant: 'refresh', refreshToken, ...(workspaceId === undefined ? {} : { workspaceId }) };
		return this.#http.json('/api/v1/auth/token', { ...options, method: 'POST', json, repeatable: true });
	}

	/** Ends the session of a refresh token, with its access tokens. */
	async signOut(refreshToken: string, options: CallOptions = {}): Promise<void> {
		await this.#http.request('/api/v1/auth/revoke', { ...options, method: 'POST', json: { refreshToken }, repeatable: true });
	}

	/** Makes an account and signs it in; `invitation` is the code of a link. */
	create(account: { email: string; password: string; invitation?: string }, options: CallOptions = {}): Promise<AccessToken> {
		return this.#http.json('/api/v1/accounts', { ...options, method: 'POST', json: account });
	}

	/** Sets a new password with the code of a reset link; all sessions of the account end. */
	async reset(token: string, password: string, options: CallOptions = {}): Promise<void> {
		await this.#http.request('/api/v1/auth/reset', { ...options, method: 'POST', json: { token, password } });
	}

	/**
	 * Has a reset link mailed. The answer is the same whether there is such an account or not.
	 * @throws {ApiError} 409 where the gateway sends no mail
	 */
	async forgotPassword(email: string, options: CallOptions = {}): Promise<void> {
		await this.#http.request('/api/v1/accounts/forgot-password', { ...options, method: 'POST', json: { email } });
	}

	/** What an invitation is for, without using it. */
	previewInvitation(invitation: string, options: CallOptions = {}): Promise<InvitationPreview> {
		return this.#http.json('/api/v1/invitations/preview', { ...options, method: 'POST', json: { invitation }, repeatable: true });
	}

	/** Joins a workspace with the account that is signed in. */
	acceptInvitation(invitation: string, options: CallOptions = {}): Promise<JoinedWorkspace> {
		return this.#http.json('/api/v1/invitations/accept', { ...options, method: 'POST', json: { invitation } });
	}

	/** Where the account is signed in. */
	async sessions(options: CallOptions = {}): Promise<Session[]> {
		return (await this.#http.json<Page<Session>>('/api/v1/auth/sessions', options)).data;
	}

	/** Signs one of them out. */
	async endSession(id: string, options: CallOptions = {}): Promise<void> {
		await this.#http.request(`/api/v1/auth/sessions/${encodeURIComponent(id)}`, { ...options, method: 'DELETE' });
	}

	/** The account that is signed in, and its workspaces. */
	me(options: CallOptions = {}): Promise<AccountWithWorkspaces> {
		return this.#http.json('/api/v1/accounts/me', options);
	}

	/** Changes the name or the password; a new password needs the present one and ends all other sessions. */
	update(change: { name?: string; password?: string; newPassword?: string }, options: CallOptions = {}): Promise<AccountWithWorkspaces> {
		return this.#http.json('/api/v1/accounts/me', { ...options, method: 'PATCH', json: change });
	}
}
