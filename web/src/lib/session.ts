/**
 * Who is signed in, by API key or by account, and the client that calls the gateway for them.
 * @module
 */
import { ApiError, Limner, type AccessToken, type Account } from '@limner/sdk';
import { createStored, createValue } from './value.ts';

/** Access tokens are renewed so long before they end. */
const RENEW_BEFORE_MS = 60_000;

export interface AccountSession {
	account: Account;
	workspaceId: string | null;
	workspaces: NonNullable<AccessToken['workspaces']>;
	accessToken: string;
	/** Unix time in ms, by this browser's clock. */
	expiresAt: number;
	/** Good once. */
	refreshToken: string;
}

/** The API key, kept in this browser until somebody signs out. */
export const apiKey = createStored<string | undefined>('limner.key', undefined);
/** The account's session; goes before the key. */
export const session = createStored<AccountSession | undefined>('limner.session', undefined);

const who = (): string | undefined => {
	const signedIn = session.get();
	return signedIn === undefined ? apiKey.get() : `${signedIn.account.id} ${signedIn.workspaceId ?? ''}`;
};

/** Changes when somebody else is signed in, or the same account in another workspace; not when a token is renewed. */
export const identity = createValue(who());
for (const value of [apiKey, session]) value.subscribe(() => identity.set(who()));

/** Without credentials: for signing in. */
const anonymous = new Limner({ maxTries: 3 });

const toSession = (answer: AccessToken, had: AccountSession | undefined, nowMs: number): AccountSession => {
	const account = answer.account ?? had?.account;
	const refreshToken = answer.refreshToken ?? had?.refreshToken;
	if (account === undefined || refreshToken === undefined) throw new Error('The gateway’s answer names no account.');
	return {
		account,
		refreshToken,
		workspaceId: answer.workspaceId,
		workspaces: answer.workspaces ?? had?.workspaces ?? [],
		accessToken: answer.accessToken,
		expiresAt: nowMs + answer.expiresIn * 1000,
	};
};

/** One tab at a time renews: a refresh token is good once. Pages without TLS have no locks; there the gateway's grace must do. */
const alone = <T>(work: () => Promise<T>): Promise<T> => ('locks' in navigator ? navigator.locks.request('limner.session', work) : work());

/** Tokens for the workspace that is wanted, or where the session is; for any other when the account has been removed from that one. */
const refreshed = async (had: AccountSession, wanted: string | undefined): Promise<AccessToken> => {
	const stay = wanted ?? had.workspaceId ?? undefined;
	try {
		return await anonymous.accounts.refresh(had.refreshToken, stay);
	} catch (error) {
		if (wanted !== undefined || stay === undefined || !(error instanceof ApiError) || error.status !== 404) throw error;
		return anonymous.accounts.refresh(had.refreshToken);
	}
};

let renewing: Promise<AccountSession> | undefined;

/** The next pair of tokens; several callers share one call. */
const renew = (workspaceId?: string): Promise<AccountSession> => {
	renewing ??= alone(async () => {
		// Another tab may have been here while this one waited.
		session.reload();
		const had = session.get();
		if (had === undefined) throw new Error('You are signed out.');
		if (workspaceId === undefined && had.expiresAt - Date.now() > RENEW_BEFORE_MS) return had;
		const next = toSession(await refreshed(had, workspaceId), had, Date.now());
		session.set(next);
		return next;
	}).finally(() => {
		renewing = undefined;
	});
	return renewing;
};

const token = async (): Promise<string | undefined> => {
	const signedIn = session.get();
	if (signedIn === undefined) return apiKey.get();
	return (signedIn.expiresAt - Date.now() > RENEW_BEFORE_MS ? signedIn : await renew()).accessToken;
};

export const client = new Limner({ apiKey: token });

/** Whether the gateway takes `key`; throws what it says when it does not. */
export const signIn = async (key: string): Promise<void> => {
	await new Limner({ apiKey: key, maxTries: 2 }).models.list();
	session.set(undefined);
	apiKey.set(key);
};

const enter = (answer: AccessToken): void => {
	session.set(toSession(answer, undefined, Date.now()));
	apiKey.set(undefined);
};

/** @throws {ApiError} 401 for a wrong address or password */
export const signInByAccount = async (email: string, password: string): Promise<void> =>
	enter(await anonymous.accounts.signIn({ email, password }));

/** Makes an account and signs it in; without the code of an invitation only where sign-up is open. */
export const signUp = async (email: string, password: string, invitation?: string): Promise<void> =>
	enter(await anonymous.accounts.create({ email, password, ...(invitation === undefined ? {} : { invitation }) }));

export const previewInvitation = (code: string) => anonymous.accounts.previewInvitation(code);
export const forgotPassword = (email: string): Promise<void> => anonymous.accounts.forgotPassword(email);
export const resetPassword = (code: string, password: string): Promise<void> => anonymous.accounts.reset(code, password);

/** Another workspace of the account. */
export const switchWorkspace = async (workspaceId: string): Promise<void> => {
	await renewing?.catch(() => undefined);
	await renew(workspaceId);
};

/** Joins a workspace with the account that is signed in, and goes there. */
export const acceptInvitation = async (code: string): Promise<void> => {
	const { workspaceId } = await client.accounts.acceptInvitation(code);
	await switchWorkspace(workspaceId);
};

export const signOut = (): void => {
	const had = session.get();
	session.set(undefined);
	apiKey.set(undefined);
	// It ends by itself when the gateway can not be told.
	if (had !== undefined) anonymous.accounts.signOut(had.refreshToken).catch(() => undefined);
};

/** A refused key signs out, so that the page asks for another instead of failing everywhere. */
export const onFailure = (error: unknown): void => {
	if (error instanceof ApiError && error.status === 401) signOut();
};
