/**
 * Durable Object of one region's enrolment (key: `registry:<region>`): join tokens and the identities of nodes. Rarely
 * called, and never while a job is submitted. A shell over tokens.ts and enrol.ts.
 * @module
 */
import { DurableObject } from 'cloudflare:workers';
import { randomBytes } from 'node:crypto';
import { refuse, type Result } from '@limner/shared';
import { migrate } from '../lib/migrations.ts';
import { parseShards, rendezvous } from '../lib/rendezvous.ts';
import { workspaceOf } from '../lib/stubs.ts';
import type { JoinTokenView, NodeIdentity, Page, RegistryRpc, ReportQuery, ReportView, WorkspaceEntry } from '../rpc.ts';
import { checkName, checkPublicKey, decideEnrol, type NodeRow } from './enrol.ts';
import { Reports } from './reports.ts';
import { nodeFromSql, REGISTRY_MIGRATIONS, tokenFromSql, type NodeSql, type TokenSql } from './schema.ts';
import { checkToken, makeToken, tokenId, tokenView, type JoinTokenRow, type TokenInput } from './tokens.ts';

/** Expired tokens are listed for this long, so that their owner sees why a node was refused; then they go. */
const EXPIRED_KEPT_MS = 30 * 86_400_000;
/** Old tokens removed when a new one is made. */
const PRUNE_ROWS = 100;

type Enrolment = Result<NodeIdentity>;
const enrolment = (node: NodeRow): Enrolment => ({
	ok: true,
	nodeId: node.id,
	ws: node.ws,
	trust: node.trust,
	shard: node.shard,
	name: node.name,
	labels: node.labels,
	pending: node.state === 'pending',
	keyVersion: node.keyVersion,
});

export class Registry extends DurableObject<Cloudflare.Env> implements RegistryRpc {
	readonly #shards: number;
	readonly #sql: SqlStorage;
	readonly #reports: Reports;

	constructor(ctx: DurableObjectState, env: Cloudflare.Env) {
		super(ctx, env);
		this.#shards = parseShards(env.SHARDS);
		this.#sql = ctx.storage.sql;
		migrate(ctx.storage, REGISTRY_MIGRATIONS, Date.now());
		this.#reports = new Reports(this.#sql);
	}

	async shards(): Promise<number> {
		return this.#shards;
	}

	async addWorkspace(id: string): Promise<boolean> {
		const cursor = this.#sql.exec('INSERT OR IGNORE INTO workspaces (id, created_at, deleted_at) VALUES (?, ?, NULL)', id, Date.now());
		cursor.toArray();
		return cursor.rowsWritten > 0;
	}

	async listWorkspaces(query: { limit: number; cursor?: string }): Promise<Page<WorkspaceEntry>> {
		const rows = this.#sql
			.exec<{ id: string; created_at: number; deleted_at: number | null }>(
				'SELECT * FROM workspaces WHERE id > ? ORDER BY id LIMIT ?',
				query.cursor ?? '',
				query.limit + 1,
			)
			.toArray();
		const data = rows.slice(0, query.limit).map((row) => ({ id: row.id, createdAt: row.created_at, deletedAt: row.deleted_at }));
		return { data, nextCursor: rows.length > query.limit ? (data.at(-1)?.id ?? null) : null };
	}

	async dropWorkspace(id: string): Promise<void> {
		this.ctx.storage.transactionSync(() => {
			this.#sql.exec('INSERT OR IGNORE INTO workspaces (id, created_at, deleted_at) VALUES (?, ?, NULL)', id, Date.now());
			this.#sql.exec('UPDATE workspaces SET deleted_at = coalesce(deleted_at, ?) WHERE id = ?', Date.now(), id);
			this.#sql.exec('UPDATE join_tokens SET revoked_at = coalesce(revoked_at, ?) WHERE ws = ?', Date.now(), id);
			this.#sql.exec('DELETE FROM nodes WHERE ws = ?', id);
			this.#reports.drop(id);
		});
	}

	async createJoinToken(input: TokenInput): Promise<{ token: string; view: JoinTokenView }> {
		const now = Date.now();
		let made = makeToken(input, now, randomBytes(37));
		// An id has 40 bits: a second token with the same id is rare, not impossible.
		while (this.#token(made.row.id) !== undefined) made = makeToken(input, now, randomBytes(37));
		const { row } = made;
		this.ctx.storage.transactionSync(() => {
			this.#sql.exec(
				'DELETE FROM join_tokens WHERE id IN (SELECT id FROM join_tokens WHERE expires_at <= ? LIMIT ?)',
				now - EXPIRED_KEPT_MS,
				PRUNE_ROWS,
			);
			this.#sql.exec(
				'INSERT INTO join_tokens (id, hash, ws, trust, created_at, expires_at, max_uses, labels, approval, uses, revoked_at) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, 0, NULL)',
				row.id,
				row.hash,
				row.ws,
				row.trust,
				row.createdAt,
				row.expiresAt,
				row.maxUses,
				JSON.stringify(row.labels),
				row.approval ? 1 : 0,
			);
		});
		return { token: made.token, view: tokenView(row) };
	}

	async listJoinTokens(ws: string): Promise<JoinTokenView[]> {
		return this.#sql
			.exec<TokenSql>('SELECT * FROM join_tokens WHERE ws = ? ORDER BY created_at DESC', ws)
			.toArray()
			.map((sql) => tokenView(tokenFromSql(sql)));
	}

	/** Nodes that joined with the token stay. Revoking again changes nothing. */
	async revokeJoinToken(ws: string, id: string): Promise<Result<{ view: JoinTokenView }>> {
		const row = this.#token(id);
		if (row === undefined || row.ws !== ws) return refuse('not_found', 'there is no such join token');
		this.#sql.exec('UPDATE join_tokens SET revoked_at = coalesce(revoked_at, ?) WHERE id = ?', Date.now(), id);
		return { ok: true, view: tokenView({ ...row, revoked: true }) };
	}

	async enrol(input: { token: string; publicKey: string; name: string }): Promise<Enrolment> {
		const invalid = checkPublicKey(input.publicKey) ?? checkName(input.name);
		if (invalid !== undefined) return invalid;
		const id = tokenId(input.token);
		const refused = checkToken(id === undefined ? undefined : this.#token(id), input.token, Date.now());
		if (refused !== undefined || id === undefined) return refused ?? refuse('unauthorized', 'the join token is malformed');
		const ws = this.#token(id)?.ws ?? '';
		const home = (await workspaceOf(this.env, ws).homeShard()) ?? rendezvous(ws, this.#shards);
		// The call opened the gate: the token may have been used up or revoked, so everything is read again.
		return this.#enrol(id, input, home);
	}

	/** One synchronous turn: parallel enrolments cannot share the last use of a token. */
	#enrol(id: string, input: { token: string; publicKey: string; name: string }, home: number): Enrolment {
		const now = Date.now();
		const token = this.#token(id);
		const refused = checkToken(token, input.token, now);
		if (refused !== undefined || token === undefined) return refused ?? refuse('unauthorized', 'the join token is not known');
		if (this.#replaced(input.publicKey))
			return refuse('forbidden', 'this key was replaced by a newer one; let the node make a new identity');
		const known = this.#nodeBy('public_key', input.publicKey);
		const decision = decideEnrol(input, { token, known, home, shards: this.#shards, nowMs: now, random: randomBytes(10) });
		if (decision.kind === 'refused') return decision.refusal;
		const { node } = decision;
		this.ctx.storage.transactionSync(() => {
			if (decision.kind === 'insert') {
				this.#sql.exec('UPDATE join_tokens SET uses = uses + 1 WHERE id = ?', token.id);
				this.#sql.exec(
					'INSERT INTO nodes (id, public_key, ws, trust, shard, name, token_id, created_at, labels, state) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)',
					node.id,
					node.publicKey,
					node.ws,
					node.trust,
					node.shard,
					node.name,
					node.tokenId,
					node.createdAt,
					JSON.stringify(node.labels),
					node.state,
				);
			} else if (decision.changed) {
				this.#sql.exec(
					'UPDATE nodes SET trust = ?, shard = ?, name = ?, token_id = ?, labels = ? WHERE id = ?',
					node.trust,
					node.shard,
					node.name,
					node.tokenId,
					JSON.stringify(node.labels),
					node.id,
				);
			}
		});
		return enrolment(node);
	}

	async renew(input: { nodeId: string; publicKey: string }): Promise<Enrolment> {
		const node = this.#nodeBy('id', input.nodeId);
		if (node === undefined || node.publicKey !== input.publicKey) {
			return refuse('unauthorized', 'the node is not enrolled with this public key; enrol it again with a join token');
		}
		if (node.state === 'banned') return refuse('forbidden', `this node was banned: ${node.banReason ?? ''}`);
		return enrolment(node);
	}

	async approveNode(ws: string, nodeId: string): Promise<Result<{ shard: number }>> {
		const node = this.#nodeBy('id', nodeId);
		if (node === undefined || node.ws !== ws) return refuse('not_found', `there is no node ${nodeId}`);
		if (node.state === 'banned') return refuse('conflict', 'the node is banned');
		this.#sql.exec("UPDATE nodes SET state = 'approved' WHERE id = ?", nodeId);
		return { ok: true, shard: node.shard };
	}

	async banNode(ws: string, nodeId: string, reason: string): Promise<Result<{ shard: number }>> {
		const node = this.#nodeBy('id', nodeId);
		if (node === undefined || node.ws !== ws) return refuse('not_found', `there is no node ${nodeId}`);
		this.#sql.exec("UPDATE nodes SET state = 'banned', ban_reason = ? WHERE id = ?", reason, nodeId);
		return { ok: true, shard: node.shard };
	}

	async rotateNodeKey(input: { nodeId: string; publicKey: string; newPublicKey: string }): Promise<Enrolment> {
		const invalid = checkPublicKey(input.newPublicKey);
		if (invalid !== undefined) return invalid;
		const node = this.#nodeBy('id', input.nodeId);
		// The answer to the first try may have been lost: the node asks again with the key that it knows.
		const again = node?.publicKey === input.newPublicKey && this.#replaced(input.publicKey);
		if (node === undefined || (node.publicKey !== input.publicKey && !again)) {
			return refuse('unauthorized', 'the node is not enrolled with this key');
		}
		if (node.state === 'banned') return refuse('forbidden', `this node was banned: ${node.banReason ?? ''}`);
		if (again) return enrolment(node);
		if (this.#replaced(input.newPublicKey) || this.#nodeBy('public_key', input.newPublicKey) !== undefined) {
			return refuse('conflict', 'the new key is or was in use; make another one');
		}
		const next = { ...node, publicKey: input.newPublicKey, keyVersion: node.keyVersion + 1 };
		this.ctx.storage.transactionSync(() => {
			this.#sql.exec('INSERT INTO old_keys (public_key, node_id, at) VALUES (?, ?, ?)', node.publicKey, node.id, Date.now());
			this.#sql.exec('UPDATE nodes SET public_key = ?, key_version = ? WHERE id = ?', next.publicKey, next.keyVersion, node.id);
		});
		return enrolment(next);
	}

	async addReport(input: Pick<ReportView, 'ws' | 'imageId' | 'reason' | 'detail' | 'who'>): Promise<Result<{ report: ReportView }>> {
		return this.#reports.add(input, Date.now());
	}

	async listReports(query: ReportQuery): Promise<Page<ReportView>> {
		return this.#reports.list(query);
	}

	async dismissReport(id: string, ws: string | null, by: { who: string; note: string }): Promise<Result<{ report: ReportView }>> {
		return this.#reports.dismiss(id, ws, by, Date.now());
	}

	async closeReports(ws: string, imageId: string, by: { who: string; note: string }): Promise<number> {
		return this.#reports.close(ws, imageId, by, Date.now());
	}

	#replaced(publicKey: string): boolean {
		return this.#sql.exec('SELECT 1 FROM old_keys WHERE public_key = ?', publicKey).toArray().length > 0;
	}

	#token(id: string): JoinTokenRow | undefined {
		const row = this.#sql.exec<TokenSql>('SELECT * FROM join_tokens WHERE id = ?', id).toArray()[0];
		return row && tokenFromSql(row);
	}

	#nodeBy(column: 'id' | 'public_key', value: string): NodeRow | undefined {
		const row = this.#sql.exec<NodeSql>(`SELECT * FROM nodes WHERE ${column} = ?`, value).toArray()[0];
		return row && nodeFromSql(row);
	}
}
