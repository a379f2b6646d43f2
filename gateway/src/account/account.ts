/**
 * Durable Object of one account (key: the account id, which is the SHA-256 of the e-mail address): the hash of the
 * password, sessions, and in which workspaces the account is. What a member may do there is the Workspace's to say.
 * A shell over throttle.ts and sessions.ts. It never sees a password.
 * @module
 */
import { DurableObject } from 'cloudflare:workers';
import { randomBytes } from 'node:crypto';
import { ACCOUNT_LIMITS as L, newOneTime, OAUTH_LIMITS as O, refuse, type Refusal, type Result } from '@limner/shared';
import { sha256Hex } from '../lib/canonical.ts';
import { isMigrated, migrate } from '../lib/migrations.ts';
import type {
	AccountRpc,
	AccountView,
	CodeInput,
	CodeProof,
	GrantSession,
	Membership,
	NewSession,
	OAuthGrant,
	SessionView,
} from '../rpc.ts';
import { sameHash } from '../workspace/keys.ts';
import { codeFromSql, decideCode, type CodeSql } from './codes.ts';
import { ACCOUNT_MIGRATIONS, sessionFromSql, sessionValues, type AccountSql, type SessionSql } from './schema.ts';
import { decideRefresh, isAlive, type SessionRow } from './sessions.ts';
import { beginAttempt, NO_ATTEMPTS, type Attempts } from './throttle.ts';

const RANDOM_BYTES = 37;
const gone = (): Refusal => refuse('unauthorized', 'there is no such account any more');

export class Account extends DurableObject<Cloudflare.Env> implements AccountRpc {
	readonly #sql: SqlStorage;
	/** In memory only where there is no account: guessing addresses must not cost storage. */
	#attempts: Attempts = NO_ATTEMPTS;
	#exists: boolean;

	constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
		super(ctx, env);
		this.#sql = ctx.storage.sql;
		this.#exists = isMigrated(ctx.storage);
		if (!this.#exists) return;
		migrate(ctx.storage, ACCOUNT_MIGRATIONS, Date.now());
		const row = this.#row();
		this.#exists = row !== undefined;
		if (row !== undefined) this.#attempts = { failures: row.failures, lastAt: row.failed_at };
	}

	async create(input: { id: string; email: string; name: string; phc: string }): Promise<Result<{ account: AccountView }>> {
		if (this.#exists) return refuse('conflict', 'there is an account with this e-mail address; sign in to it instead');
		migrate(this.ctx.storage, ACCOUNT_MIGRATIONS, Date.now());
		this.#sql.exec(
			'INSERT INTO account (one, id, email, name, phc, created_at, failures, failed_at) VALUES (1, ?, ?, ?, ?, ?, 0, 0)',
			input.id,
			input.email,
			input.name,
			input.phc,
			Date.now(),
		);
		this.#exists = true;
		return { ok: true, account: this.#view() };
	}

	async beginSignIn(): Promise<Result<{ phc: string | null }>> {
		const decision = beginAttempt(this.#attempts, Date.now());
		if (!decision.ok) {
			const waitS = Math.ceil(decision.waitMs / 1000);
			return refuse('rate_limited', `too many failed sign-ins; try again in ${waitS} s`, {
				retryAfterS: waitS,
				rateLimit: { limit: L.freeFailures, remaining: 0, resetS: waitS },
			});
		}
		this.#remember(decision.attempts);
		return { ok: true, phc: this.#exists ? this.#mustRow().phc : null };
	}

	async signedIn(input: { phc?: string; agent: string }): Promise<Result<NewSession>> {
		if (!this.#exists) return gone();
		this.#remember(NO_ATTEMPTS);
		if (input.phc !== undefined) this.#sql.exec('UPDATE account SET phc = ?', input.phc);
		return { ok: true, ...this.#newSession(input.agent, null), account: this.#view() };
	}

	async passwordWasRight(phc?: string): Promise<void> {
		if (!this.#exists) return;
		this.#remember(NO_ATTEMPTS);
		if (phc !== undefined) this.#sql.exec('UPDATE account SET phc = ?', phc);
	}

	#newSession(agent: string, oauth: OAuthGrant | null): { sessionId: string; refreshToken: string } {
		const now = Date.now();
		const { id: account } = this.#mustRow();
		const made = newOneTime('lr', account.slice('acct_'.length), randomBytes(RANDOM_BYTES));
		const session: SessionRow = {
			id: made.id,
			hash: sha256Hex(made.text),
			prevHash: null,
			rotatedAt: null,
			createdAt: now,
			usedAt: now,
			expiresAt: now + L.refreshTokenTtlMs,
			revokedAt: null,
			agent: agent.slice(0, 200),
			oauth,
		};
		this.ctx.storage.transactionSync(() => {
			this.#sql.exec('DELETE FROM sessions WHERE expires_at <= ? OR revoked_at <= ?', now, now - L.accessTokenTtlMs);
			this.#sql.exec(
				'DELETE FROM sessions WHERE id IN (SELECT id FROM sessions ORDER BY used_at DESC LIMIT -1 OFFSET ?)',
				L.sessionsMax - 1,
			);
			this.#sql.exec(
				'INSERT INTO sessions (id, hash, prev_hash, rotated_at, created_at, used_at, expires_at, revoked_at, agent, oauth) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
				...sessionValues(session),
			);
		});
		return { sessionId: made.id, refreshToken: made.text };
	}

	async refresh(sessionId: string, tokenHash: string): Promise<Result<NewSession>> {
		const rotated = this.#rotate(sessionId, tokenHash, undefined);
		return rotated.ok ? { ok: true, sessionId, refreshToken: rotated.refreshToken, account: this.#view() } : rotated;
	}

	async refreshGrant(sessionId: string, tokenHash: string, clientId: string): Promise<Result<GrantSession>> {
		const rotated = this.#rotate(sessionId, tokenHash, clientId);
		if (!rotated.ok) return rotated;
		const { refreshToken, session } = rotated;
		if (session.oauth === null) throw new Error('a rotated session of a client has no grant');
		return { ok: true, sessionId, refreshToken, accountId: this.#mustRow().id, grant: session.oauth };
	}

	/** @param clientId whose session it must be; absent = a person's own, so that neither's token is good for the other */
	#rotate(sessionId: string, tokenHash: string, clientId: string | undefined): Result<{ refreshToken: string; session: SessionRow }> {
		if (!this.#exists) return gone();
		const known = this.#session(sessionId);
		if (known?.oauth?.clientId !== clientId) return refuse('unauthorized', 'the refresh token is not for this client');
		const made = newOneTime('lr', this.#mustRow().id.slice('acct_'.length), randomBytes(RANDOM_BYTES));
		// The id stays that of the session, so that the token says which session it is of.
		const text = made.text.replace(`_${made.id}_`, `_${sessionId}_`);
		const decision = decideRefresh(known, tokenHash, sha256Hex(text), sameHash, Date.now());
		if (decision.kind === 'refused') return decision.refusal;
		this.#writeSession(decision.session);
		if (decision.kind === 'reused')
			return refuse('unauthorized', 'the refresh token was used before; its session has been ended, sign in again');
		return { ok: true, refreshToken: text, session: decision.session };
	}

	async createCode(input: CodeInput): Promise<Result<{ code: string }>> {
		if (!this.#exists) return gone();
		const now = Date.now();
		const made = newOneTime('lc', this.#mustRow().id.slice('acct_'.length), randomBytes(RANDOM_BYTES));
		this.#sql.exec('DELETE FROM codes WHERE expires_at <= ?', now - O.codeKeepMs);
		this.#sql.exec('DELETE FROM codes WHERE id IN (SELECT id FROM codes ORDER BY expires_at DESC LIMIT -1 OFFSET ?)', O.codesMax - 1);
		this.#sql.exec(
			'INSERT INTO codes (id, hash, body, expires_at) VALUES (?, ?, ?, ?)',
			made.id,
			sha256Hex(made.text),
			JSON.stringify(input),
			now + O.codeTtlMs,
		);
		return { ok: true, code: made.text };
	}

	/** One turn: a code cannot be used twice in parallel. */
	async redeemCode(id: string, codeHash: string, proof: CodeProof): Promise<Result<GrantSession>> {
		if (!this.#exists) return gone();
		const row = this.#sql.exec<CodeSql>('SELECT * FROM codes WHERE id = ?', id).toArray()[0];
		const decision = decideCode(row && codeFromSql(row), codeHash, proof, sameHash, Date.now());
		if (decision.kind === 'unknown') return decision.refusal;
		if (decision.kind === 'replayed') {
			await this.revokeSession(decision.session);
			return decision.refusal;
		}
		if (decision.kind === 'spoilt') {
			this.#sql.exec("UPDATE codes SET session = '' WHERE id = ?", id);
			return decision.refusal;
		}
		const { grant } = decision;
		const session = this.#newSession(`${grant.clientName} (OAuth)`, grant);
		this.#sql.exec('UPDATE codes SET session = ? WHERE id = ?', session.sessionId, id);
		return { ok: true, ...session, accountId: this.#mustRow().id, grant };
	}

	async session(sessionId: string): Promise<Result<{ account: AccountView }>> {
		if (!this.#exists || !isAlive(this.#session(sessionId), Date.now()))
			return refuse('unauthorized', 'the session has ended; sign in again');
		return { ok: true, account: this.#view() };
	}

	async sessions(): Promise<SessionView[]> {
		if (!this.#exists) return [];
		const now = Date.now();
		return this.#sql
			.exec<SessionSql>('SELECT * FROM sessions ORDER BY used_at DESC')
			.toArray()
			.map(sessionFromSql)
			.filter((session) => isAlive(session, now))
			.map(({ id, createdAt, usedAt, expiresAt, agent }) => ({ id, createdAt, usedAt, expiresAt, agent }));
	}

	async revokeSession(sessionId: string): Promise<boolean> {
		const session = this.#exists ? this.#session(sessionId) : undefined;
		if (!isAlive(session, Date.now())) return false;
		this.#writeSession({ ...session, revokedAt: Date.now() });
		return true;
	}

	async revokeByToken(sessionId: string, tokenHash: string): Promise<void> {
		const session = this.#exists ? this.#session(sessionId) : undefined;
		if (session !== undefined && sameHash(session.hash, tokenHash)) await this.revokeSession(sessionId);
	}

	/** Ends all sessions but one. */
	#revokeOthers(keep: string | undefined): void {
		this.#sql.exec('UPDATE sessions SET revoked_at = coalesce(revoked_at, ?) WHERE id <> ?', Date.now(), keep ?? '');
	}

	async setPassword(phc: string, keepSession?: string): Promise<void> {
		this.#setPassword(phc, keepSession);
	}

	#setPassword(phc: string, keepSession: string | undefined): void {
		if (!this.#exists) return;
		this.ctx.storage.transactionSync(() => {
			this.#sql.exec('UPDATE account SET phc = ?', phc);
			this.#sql.exec('DELETE FROM resets');
			this.#sql.exec('DELETE FROM codes');
			this.#revokeOthers(keepSession);
		});
		this.#remember(NO_ATTEMPTS);
	}

	async rename(name: string): Promise<AccountView | null> {
		if (!this.#exists) return null;
		this.#sql.exec('UPDATE account SET name = ?', name);
		return this.#view();
	}

	async createReset(gapMs = 0): Promise<Result<{ token: string; expiresAt: number }>> {
		if (!this.#exists) return refuse('not_found', 'there is no account with this e-mail address');
		const newest = this.#sql.exec<{ at: number | null }>('SELECT max(expires_at) AS at FROM resets').one().at;
		if (newest !== null && newest - L.resetTtlMs > Date.now() - gapMs) return refuse('rate_limited', 'a link was made a moment ago');
		const made = newOneTime('lp', this.#mustRow().id.slice('acct_'.length), randomBytes(RANDOM_BYTES));
		const expiresAt = Date.now() + L.resetTtlMs;
		// One link at a time: making a second one ends the first.
		this.#sql.exec('DELETE FROM resets');
		this.#sql.exec('INSERT INTO resets (id, hash, expires_at) VALUES (?, ?, ?)', made.id, sha256Hex(made.text), expiresAt);
		return { ok: true, token: made.text, expiresAt };
	}

	async checkReset(id: string, tokenHash: string): Promise<boolean> {
		return this.#isReset(id, tokenHash);
	}

	#isReset(id: string, tokenHash: string): boolean {
		if (!this.#exists) return false;
		const row = this.#sql.exec<{ hash: string; expires_at: number }>('SELECT hash, expires_at FROM resets WHERE id = ?', id).toArray()[0];
		return row !== undefined && sameHash(row.hash, tokenHash) && row.expires_at > Date.now();
	}

	/** One turn: a link cannot be used twice in parallel. */
	async useReset(id: string, tokenHash: string, phc: string): Promise<boolean> {
		if (!this.#isReset(id, tokenHash)) return false;
		this.#setPassword(phc, undefined);
		return true;
	}

	async view(): Promise<AccountView | null> {
		return this.#exists ? this.#view() : null;
	}

	async memberships(): Promise<Membership[]> {
		if (!this.#exists) return [];
		return this.#sql
			.exec<{ ws: string; role: string; joined_at: number }>('SELECT ws, role, joined_at FROM memberships ORDER BY joined_at, ws')
			.toArray()
			.map(({ ws, role, joined_at }) => ({ ws, role: role as Membership['role'], joinedAt: joined_at }));
	}

	async setMembership(ws: string, role: Membership['role'] | null): Promise<void> {
		if (!this.#exists) return;
		if (role === null) this.#sql.exec('DELETE FROM memberships WHERE ws = ?', ws);
		else {
			this.#sql.exec(
				'INSERT INTO memberships (ws, role, joined_at) VALUES (?, ?, ?) ON CONFLICT (ws) DO UPDATE SET role = excluded.role',
				ws,
				role,
				Date.now(),
			);
		}
	}

	/** Leaves nothing behind. */
	async remove(): Promise<void> {
		await this.ctx.storage.deleteAll();
		this.#exists = false;
		this.#attempts = NO_ATTEMPTS;
	}

	#remember(attempts: Attempts): void {
		if (attempts.failures === this.#attempts.failures && attempts.lastAt === this.#attempts.lastAt) return;
		this.#attempts = attempts;
		if (this.#exists) this.#sql.exec('UPDATE account SET failures = ?, failed_at = ?', attempts.failures, attempts.lastAt);
	}

	#session(id: string): SessionRow | undefined {
		const row = this.#sql.exec<SessionSql>('SELECT * FROM sessions WHERE id = ?', id).toArray()[0];
		return row && sessionFromSql(row);
	}

	#writeSession(session: SessionRow): void {
		const [id = null, ...values] = sessionValues(session);
		this.#sql.exec(
			'UPDATE sessions SET hash = ?, prev_hash = ?, rotated_at = ?, created_at = ?, used_at = ?, expires_at = ?, revoked_at = ?, agent = ?, oauth = ? WHERE id = ?',
			...values,
			id,
		);
	}

	#row(): AccountSql | undefined {
		return this.#sql.exec<AccountSql>('SELECT * FROM account').toArray()[0];
	}

	#mustRow(): AccountSql {
		const row = this.#row();
		if (row === undefined) throw new Error('there is no account');
		return row;
	}

	#view(): AccountView {
		const { id, email, name, created_at } = this.#mustRow();
		return { id, email, name, createdAt: created_at };
	}
}
