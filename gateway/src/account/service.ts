/**
 * Signing in, apart from HTTP: passwords, sessions, tokens.
 * @module
 */
import { ACCOUNT_LIMITS as L, hasScope, LimnerError, narrowScopes, parseOneTime, refuse, toError, type Result } from '@limner/shared';
import { addressOf, issuerOf, refuseAuthentication } from '../lib/auth.ts';
import { sha256Hex } from '../lib/canonical.ts';
import type { AppContext } from '../lib/context.ts';
import { signToken } from '../lib/jwt.ts';
import { accountOf, idempotent, workspaceOf } from '../lib/stubs.ts';
import type { AccountView, Membership, NewSession, Principal } from '../rpc.ts';
import { accountIdOf } from './email.ts';
import { hashPassword, isOutdated, verifyPassword } from './password.ts';

/** Counts what costs a hash against the caller's address. */
export const limitSignIns = async (c: AppContext): Promise<void> => {
	const { success } = await c.env.SIGN_IN_LIMIT.limit({ key: addressOf(c) });
	if (!success) throw new LimnerError('rate_limited', { detail: 'too many sign-ins from this address', retryAfterS: 60 });
};

const agentOf = (c: AppContext): string => (c.req.header('user-agent') ?? 'unknown').slice(0, 200);

/**
 * Checks a password. Unknown addresses and wrong passwords cannot be told apart, by answer or time.
 * @returns the account, and the hash to keep when the old one has outdated parameters
 * @throws {LimnerError} `unauthorized`, `rate_limited`
 */
const checkPassword = async (c: AppContext, email: string, password: string): Promise<{ id: string; phc?: string }> => {
	await limitSignIns(c);
	const id = accountIdOf(email);
	const begun = await accountOf(c.env, id).beginSignIn();
	if (!begun.ok) throw toError(begun);
	if (!(await verifyPassword(begun.phc, password))) throw await refuseAuthentication(c, 'the e-mail address or the password is wrong');
	return begun.phc !== null && isOutdated(begun.phc) ? { id, phc: await hashPassword(password) } : { id };
};

/**
 * Checks a password and opens a session.
 * @throws {LimnerError} `unauthorized`, `rate_limited`
 */
export const signIn = async (c: AppContext, email: string, password: string): Promise<NewSession> => {
	const { id, ...rehashed } = await checkPassword(c, email, password);
	const session = await accountOf(c.env, id).signedIn({ agent: agentOf(c), ...rehashed });
	if (!session.ok) throw toError(session);
	return session;
};

/**
 * Checks a password without opening a session, and answers the account's id.
 * @throws {LimnerError} `unauthorized`, `rate_limited`
 */
export const provePassword = async (c: AppContext, email: string, password: string): Promise<string> => {
	const { id, phc } = await checkPassword(c, email, password);
	await accountOf(c.env, id).passwordWasRight(phc);
	return id;
};

/**
 * Checks the password of a signed-in account again, before something that cannot be undone.
 * @throws {LimnerError} `forbidden`
 */
export const confirmPassword = async (c: AppContext, accountId: string, password: string): Promise<void> => {
	await limitSignIns(c);
	const begun = await accountOf(c.env, accountId).beginSignIn();
	if (!begun.ok) throw toError(begun);
	if (!(await verifyPassword(begun.phc, password))) throw new LimnerError('forbidden', { detail: 'the password is wrong' });
	await accountOf(c.env, accountId).passwordWasRight();
};

/** Account id in a refresh or reset token, with the id of the token. */
const readToken = (kind: 'lr' | 'lp', text: string): { accountId: string; id: string } | undefined => {
	const parts = parseOneTime(kind, text);
	return parts === undefined ? undefined : { accountId: `acct_${parts.owner}`, id: parts.id };
};

export const refreshSession = async (c: AppContext, token: string): Promise<NewSession> => {
	const parts = readToken('lr', token);
	if (parts === undefined) throw await refuseAuthentication(c, 'the refresh token is malformed');
	const session = await accountOf(c.env, parts.accountId).refresh(parts.id, sha256Hex(token));
	if (session.ok) return session;
	throw await refuseAuthentication(c, session.detail ?? 'sign in again');
};

/** Sets a new password with a reset link; all sessions end. */
export const resetPassword = async (c: AppContext, token: string, password: string): Promise<void> => {
	await limitSignIns(c);
	const parts = readToken('lp', token);
	const hash = sha256Hex(token);
	// Looked at before the hash is made: a wrong link must not cost one.
	const known = parts !== undefined && (await accountOf(c.env, parts.accountId).checkReset(parts.id, hash));
	if (!known) throw await refuseAuthentication(c, 'the reset link is not known, was used, or has expired');
	const used = await accountOf(c.env, parts.accountId).useReset(parts.id, hash, await hashPassword(password));
	if (!used) throw await refuseAuthentication(c, 'the reset link was used in the meantime');
};

export const makeAccount = async (c: AppContext, input: { email: string; password: string; name: string }): Promise<AccountView> => {
	const id = accountIdOf(input.email);
	const phc = await hashPassword(input.password);
	const made = await accountOf(c.env, id).create({ id, email: input.email, name: input.name, phc });
	if (!made.ok) throw toError(made);
	return made.account;
};

export const openSession = async (c: AppContext, accountId: string): Promise<NewSession> => {
	const session = await accountOf(c.env, accountId).signedIn({ agent: agentOf(c) });
	if (!session.ok) throw toError(session);
	return session;
};

const iso = (ms: number): string => new Date(ms).toISOString();
export const accountBody = (account: AccountView) => ({ ...account, createdAt: iso(account.createdAt) });
export const membershipBody = ({ ws, role, joinedAt }: Membership) => ({ workspaceId: ws, role, joinedAt: iso(joinedAt) });

interface Wanted {
	ws: string;
	sub: string;
	sessionId?: string;
	scopes: readonly string[];
	ttlMs: number;
}

const issue = async (c: AppContext, { ws, sub, sessionId, scopes, ttlMs }: Wanted) => ({
	accessToken: await signToken(
		c.env.LIMNER_SECRET,
		{ sub, ws, scope: scopes.join(' '), issuer: issuerOf(c), ttlMs, ...(sessionId === undefined ? {} : { sid: sessionId }) },
		Date.now(),
	),
	tokenType: 'Bearer' as const,
	expiresIn: Math.floor(ttlMs / 1000),
	scopes: [...scopes],
	workspaceId: ws === '' ? null : ws,
});

/** Refuses scopes that the caller does not have: a token that silently lacks some fails later, where nobody looks. */
const chosenScopes = (given: readonly string[], wanted: readonly string[] | undefined): string[] => {
	if (wanted === undefined) return [...given];
	const missing = wanted.filter((scope) => !hasScope(given, scope));
	if (missing.length > 0) throw new LimnerError('forbidden', { detail: `you do not have: ${missing.join(', ')}` });
	return narrowScopes(given, wanted);
};

/** What a person may do in a workspace. */
export const memberPrincipal = async (c: AppContext, ws: string, accountId: string): Promise<Result<{ principal: Principal }>> =>
	ws === ''
		? refuse('not_found')
		: idempotent(
				() => workspaceOf(c.env, ws),
				(stub) => stub.principalOf(ws, { kind: 'account', accountId }),
			);

/**
 * Token of a signed-in person, for one of their workspaces.
 * @param workspaceId the first one when absent
 * @throws {LimnerError} `not_found` for a workspace that they are not in
 */
export const tokenForSession = async (
	c: AppContext,
	session: NewSession,
	workspaceId: string | undefined,
	scopes: readonly string[] | undefined,
) => {
	const { account, sessionId, refreshToken } = session;
	const memberships = await accountOf(c.env, account.id).memberships();
	const ws = workspaceId ?? memberships[0]?.ws ?? '';
	const member = await memberPrincipal(c, ws, account.id);
	if (!member.ok && workspaceId !== undefined) throw new LimnerError('not_found', { detail: `you are in no workspace ${workspaceId}` });
	const given = member.ok ? member.principal.scopes : ['account'];
	const chosen = { ws: member.ok ? ws : '', sub: account.id, sessionId, scopes: chosenScopes(given, scopes), ttlMs: L.accessTokenTtlMs };
	return { ...(await issue(c, chosen)), refreshToken, account: accountBody(account), workspaces: memberships.map(membershipBody) };
};

/** Token made from an API key: the same rights or fewer, for a short time. */
export const tokenForKey = async (c: AppContext, principal: Principal, scopes: readonly string[] | undefined, ttlS: number | undefined) =>
	issue(c, {
		ws: principal.ws,
		sub: `key:${principal.keyId}`,
		scopes: chosenScopes(principal.scopes, scopes),
		ttlMs: ttlS === undefined ? L.accessTokenTtlMs : ttlS * 1000,
	});
