/**
 * Keys, members, quotas and reads of a Workspace: each method is one call of what decides it.
 * @module
 */
import { refuse, REQUEST_LIMITS, type Result, type Role, type WorkspaceLimits } from '@limner/shared';
import type {
	Actor,
	AllocationInput,
	AuditEvent,
	AuditFilter,
	AuditPage,
	By,
	JobRow,
	KeyInput,
	LedgerSlice,
	TokenCaller,
	WorkspaceActivity,
} from '../rpc.ts';
import { ledgerSlice, listAudit, settledHistory } from './audit.ts';
import { activityOf } from './health.ts';
import { listImages, listJobs, type JobFilter } from './listing.ts';
import { WorkspaceObject } from './object.ts';
import { beginRequest, endRequest } from './replies.ts';

export abstract class TenancyObject extends WorkspaceObject {
	async createWorkspace(ws: string, name: string) {
		if (this.store !== undefined) return refuse('conflict', 'this workspace id is taken');
		this.commit(() => this.makeStore(ws));
		this.profiles.created(name);
		const workspace = this.profiles.workspace();
		return workspace === null ? refuse('internal') : { ok: true as const, workspace };
	}

	async deleteWorkspace(): Promise<Result<{ members: string[] }>> {
		const store = this.store;
		if (store === undefined) return refuse('not_found', 'there is no such workspace');
		const members = this.membership.listMembers().map(({ accountId }) => accountId);
		if (store.deletingSince === null) this.commit(() => store.markDeleting(Date.now()));
		await this.arm(Date.now() + 1);
		return { ok: true, members };
	}

	async beginRequest(name: string, bodyHash: string) {
		const begun = this.commit(() => beginRequest(this.mustStore(), name, bodyHash, Date.now()));
		// The row must go in time even when nothing else happens here.
		if (begun.ok && begun.kind === 'new') await this.arm(Date.now() + 2 * REQUEST_LIMITS.idempotencyTtlMs);
		return begun;
	}

	async endRequest(name: string, reply: string | null): Promise<void> {
		this.commit(() => endRequest(this.mustStore(), name, reply, Date.now()));
	}

	async quotas(keyId?: string) {
		return this.resources.quotas(keyId, this.config.maxQueueDepth);
	}

	async usageSeries(fromMs: number, toMs: number) {
		return this.resources.series(fromMs, toMs);
	}

	async allocate(input: AllocationInput, actor: Actor) {
		return this.resources.allocate(input, actor);
	}

	async release(id: string, actor: Actor) {
		return this.resources.release(id, actor);
	}

	async storageLeft() {
		return this.resources.storageLeft();
	}

	async workspace() {
		return this.profiles.workspace();
	}

	async renameWorkspace(name: string, actor: Actor) {
		return this.profiles.rename(name, actor);
	}

	async setLimits(limits: WorkspaceLimits, actor: Actor) {
		return this.profiles.setLimits(limits, actor);
	}

	async principalOf(ws: string, caller: TokenCaller) {
		return this.keyRing.principal(ws, caller);
	}

	async listKeys() {
		return this.keyRing.listKeys();
	}

	async getKey(id: string) {
		return this.keyRing.getKey(id);
	}

	async createKey(input: KeyInput, by: By) {
		return this.keyRing.createKey(input, by);
	}

	async updateKey(id: string, change: Partial<KeyInput>, by: By) {
		return this.keyRing.updateKey(id, change, by);
	}

	async rotateKey(id: string, graceMs: number, by: By) {
		return this.keyRing.rotateKey(id, graceMs, by);
	}

	async revokeKey(id: string, actor: Actor) {
		return this.keyRing.revokeKey(id, actor);
	}

	async listMembers() {
		return this.membership.listMembers();
	}

	async setRole(accountId: string, role: Role, by: By) {
		return this.membership.setRole(accountId, role, by);
	}

	async removeMember(accountId: string, by: By) {
		return this.membership.removeMember(accountId, by);
	}

	async transferOwnership(accountId: string, actor: Actor) {
		return this.membership.transferOwnership(accountId, actor);
	}

	async invite(input: { role: Role; email: string | null }, by: By) {
		return this.membership.invite(input, by);
	}

	async ownerLink(actor: Actor) {
		return this.membership.ownerLink(actor);
	}

	async listInvitations() {
		return this.membership.listInvitations();
	}

	async revokeInvitation(id: string, actor: Actor) {
		return this.membership.revokeInvitation(id, actor);
	}

	async peekInvitation(id: string, tokenHash: string) {
		return this.membership.peekInvitation(id, tokenHash);
	}

	async acceptInvitation(id: string, tokenHash: string, account: { id: string; email: string; name: string }) {
		return this.membership.acceptInvitation(id, tokenHash, account);
	}

	async getJobs(jobIds: string[]): Promise<JobRow[]> {
		return jobIds.flatMap((id) => this.store?.job(id)?.row ?? []);
	}

	async listJobs(query: { limit: number; cursor?: string; state?: JobFilter }) {
		return this.store === undefined ? { data: [], nextCursor: null } : listJobs(this.store, query);
	}

	async listImages(query: { limit: number; cursor?: string }) {
		return this.store === undefined ? { data: [], nextCursor: null } : listImages(this.store, query);
	}

	async audit(query: AuditFilter & { limit: number; cursor?: string }): Promise<AuditPage> {
		return this.store === undefined ? { data: [], nextCursor: null } : listAudit(this.store, query);
	}

	async settledHistory(jobId: string): Promise<AuditEvent[]> {
		return this.store === undefined ? [] : settledHistory(this.store, jobId);
	}

	async ledgerSlice(after: number, limit: number): Promise<LedgerSlice> {
		return ledgerSlice(this.mustStore(), after, limit);
	}

	async activity(sinceMs: number): Promise<WorkspaceActivity> {
		return activityOf(this.mustStore(), sinceMs);
	}

	async openJobs(): Promise<JobRow[]> {
		const store = this.store;
		return store === undefined ? [] : [...store.open.keys()].flatMap((id) => store.job(id)?.row ?? []);
	}

	async usage(): Promise<{ images: number; megapixelSteps: number; openJobs: number; settledJobs: number }> {
		const totals = this.store?.ledger.totals ?? { images: 0, megapixelSteps: 0, settledJobs: 0 };
		return { ...totals, openJobs: this.store?.open.size ?? 0 };
	}

	async rowsWritten(): Promise<Record<string, number>> {
		return this.sql.written();
	}
}
